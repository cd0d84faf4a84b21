"""Does a head look trained? Its numbers against those of a fresh initialisation; nothing else is asked of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import ml_dtypes
import numpy as np

from export.readers.protocol import Checkpoint
from zoo.archive.card import HeadState

MOST_READ = 64 * 2**20  # bytes of one head; heads of published models, without their tied word table, have 4 MiB
INITIALIZER_RANGE = 0.02  # of every published config of these families

Role = Literal["kernel", "bias", "gamma", "beta"]
_Verdict = Literal["fresh", "moved"]

# What a variable is, by the leaf that our name of it ends with.
_ROLES: Mapping[str, Role] = {
    "kernel": "kernel",
    "rows": "kernel",
    "table": "kernel",
    "bias": "bias",
    "output_bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
}


@dataclass(frozen=True)
class _Distribution:
    """Where an initialiser's values lie, for a scale of 1."""

    deviation: float
    bound: float
    kurtosis: float  # fourth moment over squared variance; a normal distribution has 3


_TRUNCATED_NORMAL = _Distribution(0.879626, 2.0, 2.36548)  # tf.truncated_normal_initializer: redrawn beyond 2 sigma
_NORMAL = _Distribution(1.0, math.inf, 3.0)  # torch's normal_, as transformers calls it
_UNIFORM = _Distribution(1 / math.sqrt(3), 1.0, 1.8)

_FEWEST = 32  # values of a kernel, below which its distribution says nothing
_ERRORS = 5  # standard errors that a sample may lie off; none of 3,600 simulated fresh kernels did
_ROUNDING = 2**-8  # of bfloat16, relative


def head_state(arrays: Mapping[str, np.ndarray], initializer_range: float = INITIALIZER_RANGE) -> HeadState:
    """Return whether a head looks trained, from its variables by our names.

        head_state({"nsp/rows": …, "nsp/output_bias": …})  # 'trained'

    A fresh head has biases of exactly zero, norms of exactly one and zero, and kernels that follow the initialiser of
    its code base: 'random'. Training moves them all: 'trained'. It is 'unknown' where the variables disagree, where
    only kernels are there and follow no initialiser that we know, and where numbers are whole or not finite. Without
    variables the head is 'absent'.
    A tied word table is not asked about: it is trained whatever became of the head.

    Sources of the initialisers: create_initializer in google-research/bert's modeling.py, tf.layers.dense (Glorot's
    uniform) for the last layer of google-research/electra's discriminator, `_init_weights` of transformers' models.
    """
    kernels: set[_Verdict] = set()
    others: set[_Verdict] = set()
    if not arrays:
        return "absent"
    for name, array in arrays.items():
        role = _ROLES[name.rpartition("/")[2]]
        if not _is_readable(array):
            return "unknown"
        values = np.asarray(array, np.float64)
        if role != "kernel":
            others.add("fresh" if np.all(values == (1 if role == "gamma" else 0)) else "moved")
        elif values.size >= _FEWEST:
            kernels.add("fresh" if _is_fresh(values, initializer_range) else "moved")
    if kernels | others == {"fresh"}:
        return "random"
    if others == {"moved"} and "fresh" not in kernels:
        return "trained"
    return "unknown"


def read_head_state(names: Mapping[str, str], checkpoint: Checkpoint) -> HeadState:
    """Return `head_state` of a checkpoint's variables, from our name -> the checkpoint's.

        read_head_state({"nsp/rows": "cls/seq_relationship/output_weights", …}, checkpoint)

    A head with more than MOST_READ bytes is not read: 'unknown'. Raises BadCheckpoint when a variable's bytes are
    damaged.
    """
    if sum(prod(checkpoint.shapes[name]) for name in names.values()) * np.dtype(np.float32).itemsize > MOST_READ:
        return "unknown"
    said = checkpoint.config.get("initializer_range")
    scale = said if isinstance(said, float) and 0 < said < 1 else INITIALIZER_RANGE
    return head_state({ours: checkpoint.read(name) for ours, name in names.items()}, scale)


def _is_readable(array: np.ndarray) -> bool:
    floating = np.issubdtype(array.dtype, np.floating) or array.dtype == ml_dtypes.bfloat16
    return floating and array.size > 0 and bool(np.all(np.isfinite(array)))


def _is_fresh(values: np.ndarray, initializer_range: float) -> bool:
    candidates = [(_TRUNCATED_NORMAL, initializer_range), (_NORMAL, initializer_range)]
    if values.ndim == 2:
        candidates.append((_UNIFORM, math.sqrt(6 / sum(values.shape))))  # Glorot's
    return any(_follows(values, distribution, scale) for distribution, scale in candidates)


def _follows(values: np.ndarray, distribution: _Distribution, scale: float) -> bool:
    """Mean, deviation, bound and kurtosis, each within the sampling error of so many values."""
    count, expected = values.size, distribution.deviation * scale
    deviation = float(values.std())
    if deviation == 0 or float(np.abs(values).max()) > distribution.bound * scale * (1 + _ROUNDING):
        return False
    kurtosis = float(np.mean(((values - values.mean()) / deviation) ** 4))
    return (
        abs(float(values.mean())) <= _ERRORS * expected / math.sqrt(count)
        and abs(deviation - expected) <= _ERRORS * expected * math.sqrt((distribution.kurtosis - 1) / (4 * count))
        and abs(kurtosis - distribution.kurtosis) <= _ERRORS * math.sqrt(24 / count)
    )
