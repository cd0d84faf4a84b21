"""From a handle to a text archive in ONNX. What is in the cache is found without the registry's packages."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.basics.extras import imported
from zoo.basics.files import read_regular
from zoo.basics.untrusted import parse_strict_json
from zoo.contract import CONVERSION_FILE, ONNX, REGISTRY_FILE, REGISTRY_FORMAT, TRUSTED_KEY
from zoo.errors import NotBuilt, ZooError
from zoo.fetching.places import cache_directory, directories_place, installed_place, model_name
from zoo.lite.converted import ConvertedText, read_converted

if TYPE_CHECKING:
    from zoo.registry.registry import Registry

_KIND = "onnx"
_OF_NAMES = "pydantic requests filelock packaging"  # packages that a directory does without
_MOST_BYTES = 1 << 20  # of a registry that is read here: thousands of rows
_PACKAGED = Path(__file__).parent.with_name(REGISTRY_FILE)


def find_converted(handle: str | Path, registry: Registry | str | Path | None = None) -> ConvertedText:
    """Return a directory's conversion; that of a name or an archive from the cache, fetched and compared if need be.

    A name may be that of the text archive: its conversion is called NAME_onnx. Raises NotBuilt for a name without one,
    BadArchive, BadArgument and DamagedArchive as `read_converted` does, and what `zoo.fetching.resolve.resolve` does.
    """
    if "://" not in str(handle):
        is_path = isinstance(handle, Path) and handle.is_dir()
        if is_path or (Path(handle) / CONVERSION_FILE).is_file():
            return read_converted(Path(handle))
    name = model_name(handle)
    if name is not None and (found := _in_cache(name, registry)) is not None:
        return found
    resolving = imported("zoo.fetching.resolve", "a name in zoo.lite", "lite", _OF_NAMES)
    if name is None:
        return read_converted(Path(resolving.resolve(handle, registry=registry)))
    from zoo.fetching.registries import read_registry
    from zoo.registry.registry import Registry

    known = registry if isinstance(registry, Registry) else read_registry(registry)
    if f"{name}{ONNX}" in known.models:
        name += ONNX
    elif known.entry(name).kind != _KIND:
        raise NotBuilt(
            f"{name} has no ONNX form in this registry. `zoo convert {name} --to onnx`, where TensorFlow is installed, "
            f"writes the directory {name}-onnx, which zoo.lite.TextEncoder takes. To publish {name}{ONNX} for others: "
            f"`zoo build {name} --with onnx --out DIR`."
        )
    return read_converted(Path(resolving.resolve(f"zoo://{name}", registry=known)))


def _in_cache(name: str, registry: Registry | str | Path | None) -> ConvertedText | None:
    """Return a name's conversion if it lies in the cache already, by a registry in a file that nobody has to sign.

    None means that the registry has to be read whole. That is left out here because its packages, such as pydantic,
    take 0.2 s to import, a third of the time to the first vector.
    """
    place = _plain_file(name, registry)
    if place is None or os.environ.get(TRUSTED_KEY):
        return None
    try:
        facts = parse_strict_json(read_regular(place, _MOST_BYTES), _MOST_BYTES)
        if "expires" in facts or facts.get("format", REGISTRY_FORMAT) != REGISTRY_FORMAT:
            return None
        rows = facts["models"]
        row = rows.get(f"{name}{ONNX}") or rows[name]
        digest = row["archive"]["sha256"]
        if row["kind"] != _KIND or not re.fullmatch("[0-9a-f]{64}", digest):
            return None
        found = read_converted(cache_directory() / digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZooError):
        return None  # the long way says what is wrong, or mends it
    with suppress(OSError):  # the cache may be read-only
        os.utime(found.directory)  # the time of its last use
    return found


def _plain_file(name: str, registry: Any) -> Path | None:
    """Return the file of the registry that decides about a name: the one given, else that of the installed models."""
    given = registry or os.environ.get("ZOO_REGISTRY")
    if given is not None:
        return Path(given) if isinstance(given, str | Path) and "://" not in str(given) else None
    others = directories_place().exists() or f'"{name}{ONNX}"'.encode() in _PACKAGED.read_bytes()
    return None if others else installed_place()
