"""A fitted model as a checkpoint: the names, sizes and vocabulary of its parent's archive, and the numbers of Keras."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.convert.tokenizer_file import rules_of
from export.fitted.model import Used
from export.readers.own_archive import open_own_archive
from export.readers.protocol import Checkpoint, CheckpointView, Shape
from tokenizer.source import TokenizerConfig
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import ModelCard, TokenizerFacts
from zoo.errors import Unsupported


class Numbers:
    """The variables of a model in memory as a container: no file is read. Numbers are float32."""

    files: tuple[Path, ...] = ()
    facts: tuple[str, ...] = ()

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.shapes: Mapping[str, Shape] = {name: tuple(values[name].shape) for name in sorted(values)}

    def read(self, name: str) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(self._values[name]), np.float32)


class WithHead(CheckpointView):
    """A checkpoint that has the variables of a head too."""

    def __init__(self, parent: Checkpoint, head: Mapping[str, np.ndarray]) -> None:
        super().__init__(parent)
        self._head = Numbers(head)
        self.shapes = {**parent.shapes, **self._head.shapes}

    def read(self, name: str) -> np.ndarray:
        return self._head.read(name) if name in self._head.shapes else self.parent.read(name)


class FittedCheckpoint(CheckpointView):
    """The encoder of a fitted layer, as `open_own_archive` returns that of an archive."""

    def __init__(self, parent: Checkpoint, place: Path) -> None:
        super().__init__(parent)
        self.facts = (f"its weights were fitted in Keras {keras.__version__}", *parent.facts)
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)


def fitted_checkpoint(used: Used, card: ModelCard) -> FittedCheckpoint:
    """Return the encoder of a fitted layer as a checkpoint; `card` is that of its archive.

    Its directory, with graph, card and vocabulary of the parent, is removed when the checkpoint is. Raises what
    `open_own_archive` does.
    """
    place = Path(tempfile.mkdtemp(prefix="zoo-"))
    try:
        with used.origin.unpacked() as graph:
            shutil.copytree(graph, place / "parent")
        values, names = used.values(), {name: name.replace("/", ".") for name in card.variables}
        numbers = Numbers({name: values[theirs] for name, theirs in names.items() if theirs in values})
        return FittedCheckpoint(open_own_archive(place / "parent", numbers, place), place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def tokenizer_of(facts: TokenizerFacts, vocabulary: Vocabulary) -> TokenizerConfig:
    """Return the tokenizer whose rules a card states. Raises Unsupported for SentencePiece."""
    if facts.sentencepiece:
        raise Unsupported(
            "SentencePiece runs in operations of tensorflow-text alone, so there is no text archive with this "
            "tokenizer. Keep the fitted model as a .keras file: model.save(…)."
        )
    rules, _ = rules_of(facts, vocabulary)
    return TokenizerConfig(vocabulary, rules, facts.lower_case_reason, ())
