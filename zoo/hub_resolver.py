"""Teaches tensorflow_hub the names of the zoo and local archives; every other handle stays hub's own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from zoo.basics.quiet import quiet_imports
from zoo.basics.urls import ID_SCHEMES, local_path
from zoo.errors import CannotLoad
from zoo.loading.load import checked_model


def register() -> None:
    """Let `hub.load`, `hub.resolve` and `hub.KerasLayer` take names and archives, in this process. Once is enough.

        zoo.register()
        hub.load("zoo://albert_tiny")
        hub.KerasLayer("zoo://albert_tiny", trainable=True)  # tf_keras
        hub.load("hf://BAAI/bge-base-zh-v1.5")
        hub.load("dist/albert_tiny.tar.gz")  # or file:///…/albert_tiny.tar.gz

    What is loaded that way is checked as `zoo.load` checks it, and raises the same errors; CannotLoad without hub.
    """
    try:
        with quiet_imports():
            from tensorflow_hub import registry
    except ImportError as error:  # also pkg_resources, which its release 0.16.1 imports and setuptools 81 removed
        raise CannotLoad(
            f"tensorflow_hub cannot be imported: {error}. `pip install tensorflow-hub 'setuptools<81'` brings it; "
            "`zoo.load` works without it."
        ) from error
    if not any(isinstance(resolver, _ZooResolver) for resolver in registry.resolver._impls):
        registry.resolver.add_implementation(_ZooResolver())


class _ZooResolver:
    """What hub calls a resolver: it asks those that came last first, and takes the first that supports a handle.

    With TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED hub asks a server for a gs:// path, which few have. From one that has none
    the archive is fetched into the cache of the zoo. (Without `register` hub refuses that server.)
    """

    def is_supported(self, handle: str) -> bool:
        return handle.startswith(ID_SCHEMES) or _is_local_archive(handle) or _is_read_in_place(handle)

    def __call__(self, handle: str) -> str:
        if _is_read_in_place(handle):
            with suppress(ValueError):  # the server names no gs:// path
                return str(_uncompressed()(handle))
        return str(checked_model(handle)[0])


def _is_read_in_place(handle: str) -> bool:
    """Return whether hub would ask for a gs:// path in the place of an archive."""
    is_archive = urlsplit(handle).path.endswith((".tar.gz", ".tgz"))
    return is_archive and bool(_uncompressed().is_supported(handle))


def _uncompressed() -> Any:
    from tensorflow_hub.uncompressed_module_resolver import HttpUncompressedFileResolver

    return HttpUncompressedFileResolver()


def _is_local_archive(handle: str) -> bool:
    is_local = handle.startswith("file://") or "://" not in handle
    path = local_path(handle) if is_local and handle.endswith((".tar.gz", ".tgz")) else None
    return path is not None and not path.is_dir()
