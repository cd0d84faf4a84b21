"""Names, downloads and loads the models of the zoo. Importing it loads no TensorFlow."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import (
    BadArchive,
    BadCheckpoint,
    BadConfig,
    BadRegistry,
    BadVocabulary,
    CannotWrite,
    DigestMismatch,
    DownloadFailed,
    NotBuilt,
    UnknownModel,
    Unsupported,
    VerificationFailed,
    WeightMismatch,
    ZooError,
)

if TYPE_CHECKING:
    from zoo.registry import Entry

__all__ = [
    "BadArchive",
    "BadCheckpoint",
    "BadConfig",
    "BadRegistry",
    "BadVocabulary",
    "CannotWrite",
    "DigestMismatch",
    "DownloadFailed",
    "NotBuilt",
    "UnknownModel",
    "Unsupported",
    "VerificationFailed",
    "WeightMismatch",
    "ZooError",
    "info",
    "names",
    "path",
    "url",
]

try:
    __version__ = version("bert-zoo")
except PackageNotFoundError:  # run from a checkout
    __version__ = "0.1.0"


def names(registry: str | Path | None = None) -> list[str]:
    """Return the names of all models, sorted. `registry` is a path or URL; else ZOO_REGISTRY or the packaged one."""
    from zoo.registry import read_registry

    return read_registry(registry).names()


def info(name: str, registry: str | Path | None = None) -> Entry:
    """Return the registry's entry of a name or alias: kind, family, sizes, tokenizer, licence, archive.

    Raises UnknownModel with the closest names.
    """
    from zoo.registry import read_registry

    return read_registry(registry).entry(name)


def url(name: str, registry: str | Path | None = None) -> str:
    """Return the absolute URL of a model's archive: `hub.load(zoo.url("albert_tiny"))`.

    Raises UnknownModel, NotBuilt.
    """
    from zoo.registry import read_registry

    return read_registry(registry).archive(name).urls[0]


def path(name: str, registry: str | Path | None = None) -> Path:
    """Return the directory of a model, fetched, verified and unpacked: `hub.load(str(zoo.path("albert_tiny")))`.

    Raises UnknownModel, NotBuilt, DownloadFailed, DigestMismatch, BadArchive, CannotWrite.
    """
    from zoo.cache import fetch
    from zoo.registry import read_registry

    return fetch(name, read_registry(registry))
