"""What `zoo convert` is asked for, checked before a model is fetched or TensorFlow imported; the directory it fills."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.basics.extras import versions_of
from zoo.basics.files import cannot_write, check_directory, move_into_place, set_aside, unique_beside, written_directory
from zoo.contract import CONVERSION_FILE
from zoo.errors import BadArgument, CannotWrite

# Format of --to -> why its matrices cannot be quantised, None where they can be.
TARGETS: dict[str, str | None] = {
    "onnx": None,
    "tflite": None,
    "tfjs": "tfjs is written in float32",
    "serving": "--to serving adds a version of the archive as it is",
    "transformers": "for transformers, matrices are written as the archive stores them",
}

# Format of --to -> the extra that it needs, with the packages in it that convert.
_EXTRAS = {
    "onnx": ("onnx", ("tf2onnx", "onnx", "onnxruntime")),
    "serving": ("serving", ("tensorflow-serving-api",)),
    "transformers": ("hf", ("safetensors",)),
}
_MOST_TEXTS, _LEAST_TEXTS = 2000, 4  # of --calibrate


def check_asked(to: str, quantize: str | None, force: bool, out: Path) -> None:
    """Raise BadArgument for options that do not go together, CannotWrite if `out` cannot become the conversion."""
    if quantize and (reason := TARGETS[to]):
        able = ", ".join(name for name, why in TARGETS.items() if why is None)
        raise BadArgument(f"--quantize {quantize} goes with --to {able}; {reason}.")
    if to == "serving":
        if force:
            raise BadArgument(f"{TARGETS[to]}: no --quantize, no --force.")
        check_directory(out)
    else:
        check_place(out, force)


def converter_versions(to: str) -> dict[str, str]:
    """Return the versions of the packages that a format needs beside TensorFlow. Raises MissingExtra without them."""
    extra, packages = _EXTRAS.get(to, ("", ()))
    return versions_of(packages, f"`zoo convert --to {to}`", extra)


def check_calibrate(to: str, quantize: str | None) -> None:
    """Raise BadArgument if nothing would be done with texts of `--calibrate`."""
    if to != "onnx" or not quantize:
        raise BadArgument("--calibrate FILE goes with --to onnx --quantize int8: int8 is chosen by these texts.")


def read_texts(file: Path) -> list[str]:
    """Return the lines of a file, the first 2,000 that are not empty. Raises BadArgument for fewer than four."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"--calibrate {file}: {error}. Give a file of UTF-8, a text a line.") from None
    texts = [line for line in lines if line.strip()][:_MOST_TEXTS]
    if len(texts) < _LEAST_TEXTS:
        raise BadArgument(f"--calibrate {file} has {len(texts)} texts: give at least {_LEAST_TEXTS}, one a line.")
    return texts


def check_place(out: Path, force: bool) -> None:
    """Raise CannotWrite if there are files in `out`; with `force`, only if they are not an earlier conversion."""
    check_directory(out.parent)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise CannotWrite(f"{out} is there already: give --force to replace it, or another --out.")
    if not (out / CONVERSION_FILE).is_file():
        raise CannotWrite(
            f"{out} has no {CONVERSION_FILE}: `zoo convert` did not write it and does not replace it. Choose another "
            "--out."
        )


@contextmanager
def replaced_directory(out: Path) -> Iterator[Path]:
    """Yield an empty directory that is moved to `out` when the block ends without an error; the old one is removed."""
    if not out.exists():
        with written_directory(out) as work:
            yield work
        return
    new, old = unique_beside(out), unique_beside(out)
    with written_directory(new) as work:
        yield work
    with cannot_write(out):
        set_aside(out, old)
        move_into_place(new, out)
        shutil.rmtree(old, ignore_errors=True)
