"""Names, downloads and loads the models of the zoo. Importing it loads no TensorFlow.

    import zoo
    encoder, tokenizer = zoo.load("albert_tiny"), zoo.load("bert_tokenizer_chinese")
    encoder(tokenizer(["你好"]))["pooled_output"]  # (1, 312)

    load, load_model             a loaded model, checked first; load_model uses no network
    path, url, info, names       a model's directory, its archive's URL, its row of the registry; the names of all
    TextEncoder                  texts to vectors: an encoder and its tokenizer in one object
    KerasLayer                   a model as a layer of Keras 3
    register                     teaches hub.load the names of the zoo
    export                       a fitted Keras model as an archive of its own
    bundle, install              models in one file, for a machine without a network
    import_tensorflow_quietly    before `import tensorflow` or `import keras`, which then log nothing

`help(zoo.load)` says more of one. All errors are subclasses of ZooError: `help(zoo.errors)`. The command: `zoo --help`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.basics.announcing import announce_plainly as _announce_plainly
from zoo.basics.quiet import (
    import_tensorflow_quietly as import_tensorflow_quietly,
    quiet_imports as _quiet_imports,
)
from zoo.errors import (  # `X as X` tells type checkers that X is public
    BadArchive as BadArchive,
    BadArgument as BadArgument,
    BadCheckpoint as BadCheckpoint,
    BadConfig as BadConfig,
    BadRegistry as BadRegistry,
    BadVocabulary as BadVocabulary,
    CannotLoad as CannotLoad,
    CannotServe as CannotServe,
    CannotWrite as CannotWrite,
    DamagedArchive as DamagedArchive,
    DigestMismatch as DigestMismatch,
    DownloadFailed as DownloadFailed,
    MissingExtra as MissingExtra,
    NotBuilt as NotBuilt,
    Stale as Stale,
    UnknownModel as UnknownModel,
    Unsupported as Unsupported,
    Untrusted as Untrusted,
    Unverified as Unverified,
    VerificationFailed as VerificationFailed,
    VocabularyMismatch as VocabularyMismatch,
    WeightMismatch as WeightMismatch,
    ZooError as ZooError,
)
from zoo.version import __version__ as __version__

if TYPE_CHECKING:
    from zoo.exporting import export
    from zoo.fetching.bundles import bundle
    from zoo.fetching.installing import install
    from zoo.hub_resolver import register
    from zoo.keras.layer import KerasLayer as KerasLayer
    from zoo.loading.load import load
    from zoo.model import load_model
    from zoo.offsets import character_offsets as character_offsets, pieces_of as pieces_of
    from zoo.registry.entry import Entry
    from zoo.text_encoder import TextEncoder as TextEncoder

# Names whose modules need TensorFlow, or more than a registry: such a module is imported when its name is first used.
_HOMES = {
    "KerasLayer": "zoo.keras.layer",
    "TextEncoder": "zoo.text_encoder",
    "bundle": "zoo.fetching.bundles",
    "export": "zoo.exporting",
    "install": "zoo.fetching.installing",
    "load": "zoo.loading.load",
    "character_offsets": "zoo.offsets",
    "load_model": "zoo.model",
    "pieces_of": "zoo.offsets",
    "register": "zoo.hub_resolver",
}

_announce_plainly()

# Not all that is public: `help(zoo)` prints what is in this list, a class with everything that Keras gives it.
__all__ = ["bundle", "export", "info", "install", "load", "load_model", "names", "path", "register", "url"]
_BESIDE = ("character_offsets", "import_tensorflow_quietly", "pieces_of", "KerasLayer", "TextEncoder", "__version__")


def __dir__() -> list[str]:
    """Return the public names for tab completion, also those whose modules are not imported yet."""
    errors = [name for name, value in globals().items() if isinstance(value, type) and issubclass(value, ZooError)]
    return sorted([*__all__, *_BESIDE, *errors])


def __getattr__(name: str) -> Any:
    if name == "lite":
        return importlib.import_module("zoo.lite")
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    with _quiet_imports():
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


def path(name: str | Path, registry: str | Path | None = None) -> Path:
    """Return the directory of a model, fetched or built, and verified: `hub.load(str(zoo.path("albert_tiny")))`.

    A URL, an id of a hub, a .tar.gz or a directory works too, as for `zoo.load`. Raises UnknownModel, NotBuilt,
    DownloadFailed, DigestMismatch, BadArchive, CannotWrite, and what an export raises.
    """
    from zoo.fetching.resolve import resolve

    return resolve(name, registry=registry)
