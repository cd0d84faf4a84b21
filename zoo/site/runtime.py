"""ONNX Runtime for browsers, two files of npm's package onnxruntime-web, which a site may ship."""

from __future__ import annotations

from pathlib import Path

from zoo.archive.digests import sha256_of
from zoo.basics.files import written_file
from zoo.errors import BadArgument
from zoo.site.tokens import PageFile

FOLDER = "onnxruntime-web"
SCRIPT, PROGRAM = FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def copy_runtime(source: Path, dist: Path) -> None:
    """Copy the two files from the directory `dist` of the package. Raises BadArgument if one is missing there."""
    if missing := [name for name in FILES if not (source / name).is_file()]:
        raise BadArgument(
            f"{source} has no {', '.join(missing)}: give the directory package/dist of `npm pack onnxruntime-web`, "
            "unpacked by `tar xzf onnxruntime-web-*.tgz`."
        )
    for name in FILES:
        content = (source / name).read_bytes()
        with written_file(dist / FOLDER / name) as temporary:
            temporary.write_bytes(content)


def runtime_files(dist: Path) -> dict[str, PageFile] | None:
    """Return the "script" and the "program" that a site ships, None if it ships neither or one alone."""
    paths = [dist / FOLDER / name for name in FILES]
    if not all(path.is_file() for path in paths):
        return None
    script, program = (PageFile(f"{FOLDER}/{path.name}", sha256_of(path), path.stat().st_size) for path in paths)
    return {"script": script, "program": program}
