"""Names, downloads and loads the models of the zoo. Importing it loads no TensorFlow."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import (
    BadArchive,
    BadCheckpoint,
    BadConfig,
    BadRegistry,
    BadVocabulary,
    CannotLoad,
    CannotWrite,
    DigestMismatch,
    DownloadFailed,
    NotBuilt,
    Stale,
    UnknownModel,
    Unsupported,
    Untrusted,
    Unverified,
    VerificationFailed,
    VocabularyMismatch,
    WeightMismatch,
    ZooError,
)
from zoo.version import __version__ as __version__

if TYPE_CHECKING:
    from zoo.fetching.bundles import bundle, install
    from zoo.hub_resolver import register
    from zoo.keras.layer import KerasLayer
    from zoo.loading.load import load
    from zoo.model import load_model
    from zoo.registry.entry import Entry
    from zoo.text_encoder import TextEncoder

# What needs TensorFlow or more than a registry is imported when it is first asked for.
_HOMES = {
    "KerasLayer": "zoo.keras.layer",
    "TextEncoder": "zoo.text_encoder",
    "bundle": "zoo.fetching.bundles",
    "install": "zoo.fetching.bundles",
    "load": "zoo.loading.load",
    "load_model": "zoo.model",
    "register": "zoo.hub_resolver",
}

__all__ = [
    "BadArchive",
    "BadCheckpoint",
    "BadConfig",
    "BadRegistry",
    "BadVocabulary",
    "CannotLoad",
    "CannotWrite",
    "DigestMismatch",
    "DownloadFailed",
    "KerasLayer",
    "NotBuilt",
    "Stale",
    "TextEncoder",
    "UnknownModel",
    "Unsupported",
    "Untrusted",
    "Unverified",
    "VerificationFailed",
    "VocabularyMismatch",
    "WeightMismatch",
    "ZooError",
    "bundle",
    "info",
    "install",
    "load",
    "load_model",
    "names",
    "path",
    "register",
    "url",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def names(registry: str | Path | None = None) -> list[str]:
    """Return the names of all models, sorted. `registry` is a path or URL; else ZOO_REGISTRY or the packaged one."""
    from zoo.fetching.registries import read_registry

    return read_registry(registry).names()


def info(name: str, registry: str | Path | None = None) -> Entry:
    """Return the registry's entry of a name or alias: kind, family, sizes, tokenizer, licence, archive.

    Raises UnknownModel with the closest names.
    """
    from zoo.fetching.registries import read_registry

    return read_registry(registry).entry(name)


def url(name: str, registry: str | Path | None = None) -> str:
    """Return the absolute URL of a model's archive: `hub.load(zoo.url("albert_tiny"))`.

    Raises UnknownModel, NotBuilt.
    """
    from zoo.fetching.registries import read_registry

    return read_registry(registry).archive(name).urls[0]


def path(name: str, registry: str | Path | None = None) -> Path:
    """Return the directory of a model, fetched, verified and unpacked: `hub.load(str(zoo.path("albert_tiny")))`.

    Raises UnknownModel, NotBuilt, DownloadFailed, DigestMismatch, BadArchive, CannotWrite.
    """
    from zoo.fetching.registries import read_registry
    from zoo.fetching.resolve import fetch

    return fetch(name, read_registry(registry))
