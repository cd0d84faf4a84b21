"""From a handle to the directory of a text archive in ONNX. Names and archives need the registry and its packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.basics.extras import imported
from zoo.contract import CONVERSION_FILE, ONNX
from zoo.errors import NotBuilt

if TYPE_CHECKING:
    from zoo.registry.registry import Registry

_KIND = "onnx"
_OF_NAMES = "pydantic requests filelock packaging"  # packages that a directory does without


def find_converted(handle: str | Path, registry: Registry | str | Path | None = None) -> Path:
    """Return a directory as it is; that of a name or an archive from the cache, fetched and compared if need be.

    A name may be that of the text archive: its conversion is called NAME_onnx. Raises NotBuilt for a name without one,
    and what `zoo.fetching.resolve.resolve` does.
    """
    if "://" not in str(handle):
        is_path = isinstance(handle, Path) and handle.is_dir()
        if is_path or (Path(handle) / CONVERSION_FILE).is_file():
            return Path(handle)
    resolving = imported("zoo.fetching.resolve", "a name in zoo.lite", "lite", _OF_NAMES)
    if (name := resolving.model_name(handle)) is None:
        return Path(resolving.resolve(handle, registry=registry))
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
    return Path(resolving.resolve(f"zoo://{name}", registry=known))
