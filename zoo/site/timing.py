"""Times one unpacked encoder in a process of its own: `python -m zoo.site.timing DIRECTORY TOKENS BATCH…`."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.archive.card import EncoderCard, read_card
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.contract import INPUT_KEYS
from zoo.loading.load import load_checked

_LEAST_CALLS, _MOST_CALLS, _ENOUGH = 3, 50, 2.0  # calls, calls, seconds


def time_encoder(argv: Sequence[str]) -> None:
    """Print {"seconds": {batch: median}, "tensorflow": version} as one line of JSON."""
    directory, tokens = Path(argv[0]), int(argv[1])
    card = read_card(directory)
    assert isinstance(card, EncoderCard)
    import_tensorflow_quietly()
    import tensorflow as tf

    encoder = load_checked(directory, card)
    seconds = {batch: _seconds(encoder, _inputs(card, int(batch), tokens)) for batch in argv[2:]}
    print(json.dumps({"seconds": seconds, "tensorflow": tf.__version__}))


def _inputs(card: EncoderCard, batch: int, tokens: int) -> dict[str, Any]:
    """Return rows of random ids, none of them padding."""
    import tensorflow as tf

    ids = np.random.default_rng(0).integers(1, card.sizes.vocab_size, (batch, tokens))  # (B, T)
    arrays = (ids, np.ones_like(ids), np.zeros_like(ids))
    return {key: tf.constant(array, tf.int32) for key, array in zip(INPUT_KEYS, arrays, strict=True)}


def _seconds(encoder: Any, inputs: dict[str, Any]) -> float:
    """Return the median seconds of a call, to two digits. Two calls before do not count: they trace."""
    taken: list[float] = []
    for call in range(2 + _MOST_CALLS):
        began = time.perf_counter()
        encoder(inputs)["pooled_output"].numpy()
        if call >= 2:
            taken.append(time.perf_counter() - began)
        if len(taken) >= _LEAST_CALLS and sum(taken) > _ENOUGH:
            break
    return float(f"{statistics.median(taken):.2g}")


if __name__ == "__main__":
    time_encoder(sys.argv[1:])
