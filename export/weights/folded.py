"""Shows the embedding tables of a checkpoint as BERT's arithmetic needs them, by the folds of its family.

RoBERTa's positions begin at row 2, DistilBERT has no token types, ERNIE 3.0 adds a vector for its task: with one table
changed, each is a BERT. The oracle computes the original arithmetic from `stored`, and so certifies the folding.
"""

from __future__ import annotations

import numpy as np

from export.families.table import Family, Fold, Layout, Settings
from export.readers.protocol import Checkpoint, CheckpointView
from export.weights.naming import WORD_TABLE, Names
from zoo.errors import BadCheckpoint


def folded(checkpoint: Checkpoint, family: Family, layout: Layout) -> Checkpoint:
    """Return a view of a checkpoint with the folds of its family; the checkpoint itself if none applies."""
    folds = family.folds_of(layout.format, checkpoint.config)
    settings = family.settings(layout.format, checkpoint.config)
    return FoldedCheckpoint(checkpoint, layout, folds, settings) if folds else checkpoint


class FoldedCheckpoint(CheckpointView):
    """A view of `parent` that shows folded tables under the names that the layout has for them.

    Raises BadCheckpoint if a table that a fold needs is missing, or has no row that is used.
    """

    def __init__(self, parent: Checkpoint, layout: Layout, folds: list[Fold], settings: Settings) -> None:
        super().__init__(parent)
        self._names, self._settings = Names(parent.shapes, layout), settings
        self.facts = (*parent.facts, *(fold.note for fold in folds))
        self._folds: dict[str, Fold] = {}
        shapes = dict(parent.shapes)
        width = parent.shapes[self._stored(WORD_TABLE)][-1]
        for fold in folds:
            for module in fold.needs:
                self._stored(f"{module}/table")
            name, (shown, *_) = self._names.find(f"{fold.module}/table")
            rows = fold.rows(parent.shapes[name][0] if name else 0, settings)
            if rows < 1:
                raise BadCheckpoint(
                    f"{name} of {parent.path} has {parent.shapes[name or shown][0]} rows: none is used."
                )
            self._folds[name or shown] = fold
            shapes[name or shown] = (rows, width)
        self.shapes = dict(sorted(shapes.items()))

    def read(self, name: str) -> np.ndarray:
        """Return one variable of the parent, or a folded table."""
        if name not in self._folds:
            return self.parent.read(name)
        return self._folds[name].values(self._table, self.shapes[name], self._settings)

    def _table(self, module: str) -> np.ndarray:
        return np.asarray(self.parent.read(self._stored(f"{module}/table")), np.float32)

    def _stored(self, ours: str) -> str:
        name, candidates = self._names.find(ours)
        if name is None:
            raise BadCheckpoint(f"{self.parent.path} is incomplete: {' or '.join(candidates)} is missing.")
        return name
