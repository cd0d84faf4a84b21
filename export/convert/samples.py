"""The texts that an int8 model is chosen by and measured on: the user's, or those of the archive's certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.convert.check import Batch
from export.convert.subject import Subject
from zoo.archive.card import TextCard
from zoo.errors import BadArgument
from zoo.lite.converted import TokenRules
from zoo.loading.matching import EncoderWithTokenizer, FoundText
from zoo.text_batches import batches_of_a_length

if TYPE_CHECKING:
    from export.convert.conversion import Conversion

_MOST_TOKENS = 128


def check_samples(asked: Conversion) -> None:
    """Raise BadArgument if there are texts and no tokenizer for them."""
    if asked.calibrate is not None and not isinstance(asked.model, FoundText | EncoderWithTokenizer):
        raise BadArgument("--calibrate FILE needs a tokenizer for its texts: name one with --tokenizer.")


def sample_batches(asked: Conversion, subject: Subject, directory: Path) -> Sequence[Batch]:
    """Return the texts of `--calibrate`, as the tokenizer.json in `directory` cuts them; else the questions."""
    if asked.calibrate is None:
        return subject.questions
    from zoo.lite.tokens import Tokens, batch_of

    card = asked.model.card
    task = card.task if isinstance(card, TextCard) else None
    tokens = Tokens(
        TokenRules(
            directory=directory,
            name=card.name,
            max_length=min(task.max_length if task else card.sizes.position_limit, _MOST_TOKENS),
            truncation="longest_first",
            lower_case=task is not None and task.lower_case,
        )
    )
    prompt = task.prompt if task else ""
    rows = tokens.rows(np.array(asked.calibrate, object), prompt)
    lengths = np.array([len(row.ids) for row in rows])
    return [batch_of([rows[place] for place in chosen]) for chosen in batches_of_a_length(lengths, 32)]
