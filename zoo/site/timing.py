"""Times one unpacked encoder or text archive: `python -m zoo.site.timing DIRECTORY TOKENS BATCH…`."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.archive.card import ModelCard, TextCard, read_card
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.contract import INPUT_KEYS, TASKS
from zoo.errors import BadArchive
from zoo.loading.load import load_checked

_LEAST_CALLS, _MOST_CALLS, _ENOUGH = 3, 50, 2.0  # calls, calls, seconds
_WORD = "好 "  # one token of every WordPiece vocabulary: if the vocabulary lacks it, [UNK]
_FIRST = 8  # tokens of the first text of a pair


def time_model(argv: Sequence[str]) -> None:
    """Print the JSON of a `zoo.site.speed.Timed` as one line: medians and quartiles by the size of the batch."""
    directory, tokens = Path(argv[0]), int(argv[1])
    card = read_card(directory)
    assert isinstance(card, ModelCard)
    import_tensorflow_quietly()
    import tensorflow as tf

    model = load_checked(directory, card)
    calls = {batch: _call(model, card, int(batch), tokens) for batch in argv[2:]}
    began, busy, own = time.perf_counter(), busy_seconds(), time.process_time()
    taken = {batch: _seconds(call) for batch, call in calls.items()}
    others = None
    if busy is not None and (busy_since := busy_seconds()) is not None:
        others = max(0.0, busy_since - busy - (time.process_time() - own)) / (time.perf_counter() - began)
    timed = {
        "seconds": {batch: _digits(statistics.median(each)) for batch, each in taken.items()},
        "quartiles": {batch: [_digits(value) for value in _quartiles(each)] for batch, each in taken.items()},
        "others": None if others is None else round(others, 2),
        "tensorflow": tf.__version__,
    }
    print(json.dumps(timed))


def busy_seconds() -> float | None:
    """Return the seconds that all cores of this machine have worked since it started; None where nothing says so."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, interrupts, soft, stolen = map(int, fields[:8])  # without idle and waiting
    return float(user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def _call(model: Any, card: ModelCard, batch: int, tokens: int) -> Callable[[], object]:
    """Return a call of a model with `batch` rows of `tokens` tokens, none of them padding."""
    import tensorflow as tf

    if isinstance(card, TextCard):
        rows = tf.constant([_text(model, card, tokens)] * batch)  # (B,), of pairs (B, 2)
        return lambda: tf.nest.map_structure(lambda each: each.numpy(), model(rows))
    ids = np.random.default_rng(0).integers(1, card.sizes.vocab_size, (batch, tokens))  # (B, T)
    arrays = (ids, np.ones_like(ids), np.zeros_like(ids))
    inputs = {key: tf.constant(array, tf.int32) for key, array in zip(INPUT_KEYS, arrays, strict=True)}
    return lambda: model(inputs)["pooled_output"].numpy()


def _text(model: Any, card: TextCard, tokens: int) -> str | list[str]:
    """Return a text, or a pair if the task takes no other, that becomes `tokens` tokens, its prompt among them.

    Raises BadArchive if a SentencePiece model makes more or fewer tokens of it.
    """
    room = tokens - 2 - len(model.tokenizer.tokenize([card.task.prompt]).flat_values)  # beside [CLS] and [SEP]
    text: str | list[str] = _WORD * room
    if TASKS[card.task.name].takes == "pairs":
        text = [_WORD * _FIRST, _WORD * (room - 1 - _FIRST)]  # and another [SEP]
    made = len(model.tokenizer.tokenize([text] if isinstance(text, str) else text).flat_values)
    if made != (asked := room if isinstance(text, str) else room - 1):
        raise BadArchive(f"its tokenizer makes {made} tokens of {asked} times 好")
    return text


def _seconds(call: Callable[[], object]) -> list[float]:
    """Return the seconds of every call. Two calls before do not count: they trace."""
    taken: list[float] = []
    for number in range(2 + _MOST_CALLS):
        began = time.perf_counter()
        call()
        if number >= 2:
            taken.append(time.perf_counter() - began)
        if len(taken) >= _LEAST_CALLS and sum(taken) > _ENOUGH:
            break
    return taken


def _quartiles(taken: Sequence[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(taken, n=4, method="inclusive")
    return low, high


def _digits(value: float) -> float:
    return float(f"{value:.2g}")


if __name__ == "__main__":
    time_model(sys.argv[1:])
