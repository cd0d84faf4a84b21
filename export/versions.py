"""The versions of the packages that make an archive, as cards and reports state them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import zoo

_LIBRARIES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "tensorflow-text": ("tensorflow-text",)}


def versions() -> dict[str, str]:
    """Return the versions of bert-zoo, tensorflow (also if it was installed as tensorflow-cpu) and tensorflow-text.

        versions()["tensorflow"]  # "2.21.0"

    Raises PackageNotFoundError if one is not installed.
    """
    return {"bert-zoo": zoo.__version__} | {name: _version(*names) for name, names in _LIBRARIES.items()}


def _version(name: str, *others: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        if not others:
            raise
        return _version(*others)
