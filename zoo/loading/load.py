"""From whatever means a model to the loaded object: resolved, checked, its packages imported, and then TensorFlow."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.archive.card import Card, ModelCard, TokenizerCard, read_card
from zoo.archive.digests import check_files
from zoo.archive.kinds import KINDS
from zoo.basics.quiet import quiet_imports
from zoo.basics.urls import local_path
from zoo.errors import BadArchive, BadArgument, CannotLoad, DamagedArchive, VocabularyMismatch, first_line
from zoo.fetching.bundles import from_bundle, is_bundle
from zoo.fetching.cache import check_sizes
from zoo.fetching.places import model_name
from zoo.fetching.resolve import resolve
from zoo.loading.calls import without_traces
from zoo.loading.checking import check_before_load
from zoo.registry.registry import Registry
from zoo.safety import check_ops

_PACKAGES = {"tensorflow_text": "tensorflow-text"}  # all that a card may ask to be imported


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded object, its card and the directory it was loaded from."""

    card: Card
    path: Path
    loaded: Any


def load(
    handle: str | Path,
    *,
    registry: Registry | str | Path | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Any:
    """Return what `hub.load` gives for a model, after its files and operations have been checked.

        encoder, tokenizer = zoo.load("albert_tiny"), zoo.load("bert_tokenizer_chinese")
        encoder(tokenizer(["你好"]))["pooled_output"]  # (1, 312)

    A handle is a name (or `zoo://name`), hf://owner/name, ms://owner/name, a URL, a .tar.gz, an unpacked directory or a
    bundle with one encoder in it; `registry`, `sha256` and `allow_unverified` are those of
    `zoo.fetching.resolve.resolve`. tensorflow_text is imported where the card asks for it.

    Raises what `resolve` does; BadArchive for operations that do more than compute, before anything is loaded;
    CannotLoad when a package is missing or TensorFlow refuses the model.
    """
    return load_found(handle, registry=registry, sha256=sha256, allow_unverified=allow_unverified).loaded


def load_found(handle: str | Path, **how: Any) -> Loaded:
    """Return a model with its card and directory; `how` are the further arguments of `find_model`.

    A model of the cache that turns out to be damaged while it is loaded is fetched once more.
    """
    directory, card = find_model(handle, **how)
    try:
        return Loaded(card, directory, load_checked(directory, card))
    except DamagedArchive:
        directory, card = find_model(handle, thorough=True, **how)  # which replaces it, or tells what is wrong
        return Loaded(card, directory, load_checked(directory, card))


def load_checked(directory: Path, card: Card) -> Any:
    """Return what `load_directory` does, after the files and everything in the graph have been checked.

    Damaged weights are found by TensorFlow's own checksums: see `zoo.loading.checking.check_before_load`. Raises
    DamagedArchive, BadArchive, CannotLoad.
    """
    check_before_load(directory, card)
    prepare(directory, card)
    try:
        return load_directory(directory, card.name, card.needs)
    except CannotLoad:
        check_files(directory, card)  # if that is why, the file is named
        raise


def checked_model(
    handle: str | Path,
    *,
    name: str | None = None,
    registry: Registry | str | Path | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> tuple[Path, Card]:
    """Return directory and card of a model that may be loaded: see `load`, and `load_model` for `name`.

    It is for those who load the directory themselves: every file is compared with the card before this returns.
    """
    directory, card = find_model(
        handle, name=name, registry=registry, sha256=sha256, allow_unverified=allow_unverified, thorough=True
    )
    prepare(directory, card)
    return directory, card


def find_model(
    handle: str | Path,
    *,
    name: str | None = None,
    registry: Registry | str | Path | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
    thorough: bool = False,
) -> tuple[Path, Card]:
    """Return directory and card of a model, as `checked_model` does, before its operations are looked at.

    Only the sizes of its files have been compared with its card, unless `thorough`. Imports no TensorFlow.
    """
    path = local_path(str(handle))
    if path is not None and is_bundle(path):
        directory = from_bundle(path, name, sha256=sha256, thorough=thorough)
    elif name is not None:
        raise BadArchive(f"name={name!r} chooses a model of a bundle, and {handle} is none.")
    elif path is not None and path.is_dir() and model_name(handle) is None and not (sha256 or thorough):
        card = read_card(path)
        check_sizes(path, card)
        return path, card
    else:
        directory = resolve(
            handle, registry=registry, sha256=sha256, allow_unverified=allow_unverified, thorough=thorough
        )
    return directory, read_card(directory)


def prepare(directory: Path, card: Card) -> list[str]:
    """Import what a model needs and return its operations, all of which are allowed. Raises CannotLoad, BadArchive.

    Raises BadArgument for an archive that TensorFlow does not load, with the function that does.
    """
    if (user := KINDS[card.kind].used_by) != "zoo.load":
        raise BadArgument(
            f"{card.name} is {KINDS[card.kind].with_article} archive, which TensorFlow does not load: call "
            f"{user}({card.name!r})."
        )
    _import_packages(card.name, card.needs)
    return check_ops(directory, card)


def load_directory(directory: Path, name: str, needs: Sequence[str] = ()) -> Any:
    """Return what `hub.load` gives for a directory that the caller trusts, with the modules it `needs` imported.

    It takes inputs of any shape in every form without being traced: see zoo.loading.calls. Raises BadArchive when it
    asks for any other module than tensorflow_text, CannotLoad.
    """
    _import_packages(name, needs)
    import tensorflow as tf

    try:
        with _no_collection():
            model = tf.saved_model.load(str(directory))
            without_traces(model)
    except Exception as error:  # whatever TensorFlow raises about a SavedModel
        raise CannotLoad(f"{name} does not load from {directory}: {first_line(error)}") from error
    return model


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's collector from going through the objects TensorFlow makes, again and again as they become more."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def check_pair(encoder: ModelCard, tokenizer: TokenizerCard) -> None:
    """Raise VocabularyMismatch when a tokenizer's ids are not those that an encoder was trained with."""
    theirs, ours = encoder.vocabulary_sha256, tokenizer.vocabulary_sha256
    if theirs is not None and theirs != ours:
        raise VocabularyMismatch(
            f"{tokenizer.name} does not belong to {encoder.name}: its vocabulary is sha256 {ours[:12]}… "
            f"({tokenizer.vocab_size:,} entries), the encoder's {theirs[:12]}… ({encoder.sizes.vocab_size:,}). "
            f"`zoo info {encoder.name}` names the right one."
        )
    if tokenizer.vocab_size > encoder.sizes.vocab_size:
        raise VocabularyMismatch(
            f"{tokenizer.name} gives ids up to {tokenizer.vocab_size - 1:,}, {encoder.name} takes "
            f"{encoder.sizes.vocab_size:,}. `zoo info {encoder.name}` names the right one."
        )


def _import_packages(name: str, needs: Sequence[str]) -> None:
    unknown = sorted(set(needs) - set(_PACKAGES))
    if unknown:
        raise BadArchive(f"{name} asks for {', '.join(unknown)}; only {', '.join(_PACKAGES)} may be imported for it.")
    try:
        if new := [module for module in ("tensorflow", *needs) if sys.modules.get(module) is None]:
            with quiet_imports():
                for module in new:
                    importlib.import_module(module)
    except ImportError as error:
        wanted = " ".join(["tensorflow", *(_PACKAGES[need] for need in needs)])
        raise CannotLoad(f"{name} needs `pip install {wanted}`: {error}.") from error
