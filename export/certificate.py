"""Tolerances and certificates: the references that an exported encoder is compared with, and the differences."""

from __future__ import annotations

import gc
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.heads import HEADS
from export.oracle.forward import Case, ReferenceOutputs, forward
from export.oracle.heads import HeadOracle
from export.oracle.names import AS_PUBLISHED, Read, Under
from export.oracle.stored_names import as_published
from export.readers.protocol import Checkpoint
from export.weights.config import EncoderConfig
from export.weights.derived import DerivedCheckpoint
from zoo.archive.card import Computed, EncoderCertificate, Positions
from zoo.contract import GOLDEN_FILE, INPUT_WORD_IDS, POOLED_OUTPUT, SEQUENCE_OUTPUT, head_outputs
from zoo.loading.verify import compare_encoder

# Largest absolute difference over all real positions. Where products are computed in bfloat16, each is rounded to 8
# bits, and the layers' errors add up as noise does: by the square root of their number.
TOLERANCE = 2e-5
_BFLOAT16_A_LAYER = 8 * 2.0**-8
_SHAPES = ((2, 9), (3, 17))  # (batch, length)
_LONG: Mapping[Positions, tuple[tuple[int, int], ...]] = {"relative": ((1, 70),)}  # distances over 64 count as 64


def tolerance(config: EncoderConfig, computed_in: Computed) -> float:
    """Return by how much an encoder's outputs may differ from its references."""
    return TOLERANCE if computed_in == "float32" else _BFLOAT16_A_LAYER * math.sqrt(config.layers)


def golden_cases(config: EncoderConfig) -> list[Case]:
    """Return the inputs of a certificate: ids all over the vocabulary, padding at the end and a hole in the middle.

    Plain arithmetic, so that the same model has the same golden inputs on every machine.
    """
    shapes = (*_SHAPES, *_LONG.get(config.positions, ()))
    return [_case(b, min(t, config.position_limit), config) for b, t in shapes]


def golden_arrays(
    checkpoint: Checkpoint,
    config: EncoderConfig,
    heads: Sequence[str] = (),
    cases: Sequence[Case] = (),
    under: Under = AS_PUBLISHED,
) -> dict[str, np.ndarray]:
    """Return inputs and reference outputs of every golden case, as `GOLDEN_FILE` holds them.

    The references come from the independent forward pass over the source checkpoint, in float64, rounded to float32. It
    finds the variables by the names they are stored with, so that a reader's renaming is certified too; `under` says
    where in the file these names lie.
    Outputs of heads are computed for the first case only: one row of logits is as long as the vocabulary.
    """
    cases = cases or golden_cases(config)
    source, how = published(checkpoint), as_run(checkpoint, config, under)
    answers = forward(*source, cases, **how)
    arrays: dict[str, np.ndarray] = {}
    for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        arrays |= {f"{number}/{name}": array for name, array in _arrays(case, answer).items()}
    if heads:
        oracle = HeadOracle(*source, how["activation"], how["family"], how["source"], under)
        arrays |= {f"0/{name}": array for name, array in _head_arrays(oracle, heads, cases[0], answers[0]).items()}
    return arrays


def drift(
    directory: Path,
    golden: Mapping[str, np.ndarray],
    derived: DerivedCheckpoint,
    config: EncoderConfig,
    name: str,
    under: Under = AS_PUBLISHED,
) -> dict[str, float]:
    """Return output -> how far a SavedModel is from the parent of its checkpoint, by `golden`, its own golden arrays.

    Of a model with fewer tokens, those that it kept are compared.
    """
    axes_of = head_outputs()
    heads = [name for name, head in HEADS.items() if any(f"0/{output}" in golden for output in head.outputs)]
    cases = golden_cases(config)
    parent_config = config
    if derived.kept is not None:
        cases = [case._replace(ids=derived.kept[case.ids].astype(np.int32)) for case in cases]
        parent_config = replace(config, vocab_size=derived.parent.shapes[derived.word_table][0])
    parent = golden_arrays(derived.parent, parent_config, heads, cases, under)
    if derived.kept is not None:
        parent |= {key: array for key, array in golden.items() if key.endswith(INPUT_WORD_IDS)}
        for key, array in parent.items():
            if "V" in (axes := axes_of.get(key.removeprefix("0/"), "")):
                parent[key] = array.take(derived.kept, axis=axes.index("V"))
    found = compare_encoder(directory, parent, math.inf, name)
    gc.collect()
    shown = (SEQUENCE_OUTPUT, POOLED_OUTPUT, *axes_of)
    return {output: rounded_up(value) for output, value in found.items() if output in shown}


def published(checkpoint: Checkpoint) -> tuple[Read, Collection[str], Mapping[str, Any]]:
    """Return what the oracle computes with: reader and names of the variables as published, and the config."""
    return *as_published(checkpoint.stored.read, checkpoint.stored.shapes), checkpoint.config


def as_run(checkpoint: Checkpoint, config: EncoderConfig, under: Under) -> dict[str, Any]:
    """Return the arguments of the forward pass that a person's choices decide."""
    return {
        "under": under,
        "layers": config.layers,
        "pooler": config.pooler != "first_token",
        "activation": config.activation if config.activation_chosen else None,
        "family": config.family,
        "source": checkpoint.format,
    }


def write_golden(arrays: Mapping[str, np.ndarray], directory: Path) -> None:
    """Write the golden cases into a SavedModel directory."""
    path = directory / GOLDEN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def certify(directory: Path, arrays: Mapping[str, np.ndarray], name: str, allowed: float) -> EncoderCertificate:
    """Return how far a SavedModel is from its references. Raises VerificationFailed beyond what is allowed."""
    differences = compare_encoder(directory, arrays, allowed, name)
    gc.collect()  # a loaded model hangs in reference cycles; its weights must go before the next one is loaded
    shapes = [array.shape for name, array in arrays.items() if name.endswith("/input_word_ids")]
    return EncoderCertificate(
        shapes=[(shape[0], shape[1]) for shape in shapes],
        tolerance=allowed,
        max_difference={name: rounded_up(value) for name, value in differences.items()},
    )


def _case(batch: int, length: int, config: EncoderConfig) -> Case:
    numbers = np.arange(1, batch * length + 1, dtype=np.int64).reshape(batch, length)
    ids = numbers * 7919 % config.vocab_size
    # RoBERTa numbers no padding inside. Where tokens were left out, the id of padding may be another one than before.
    paddings = {config.padding_id, *([] if config.kept_padding_id is None else [config.kept_padding_id])}
    while (is_padding := np.isin(ids, [*paddings])).any() and config.vocab_size > len(paddings):
        ids[is_padding] = (ids[is_padding] + 1) % config.vocab_size
    mask = np.ones_like(ids)
    mask[-1, length // 2 :] = 0  # padding at the end of the last row
    if length > 4:
        mask[0, 2:4] = 0  # a hole in the first
    types = (np.arange(length) >= length // 3) * np.ones_like(ids) % config.type_vocab_size
    return Case(*(array.astype(np.int32) for array in (ids, mask, types)))


def _inputs(case: Case) -> dict[str, np.ndarray]:
    return {"input_word_ids": case.ids, "input_mask": case.mask, "input_type_ids": case.types}


def _arrays(case: Case, answer: ReferenceOutputs) -> dict[str, np.ndarray]:
    return {
        **_inputs(case),
        "sequence_output": (answer.layers[-1] * (case.mask[..., None] != 0)).astype(np.float32),
        "pooled_output": answer.pooled.astype(np.float32),
        "first_token_outputs": np.stack([layer[:, 0] for layer in answer.layers]).astype(np.float32),
    }


def _head_arrays(
    oracle: HeadOracle, heads: Sequence[str], case: Case, answer: ReferenceOutputs
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for head in HEADS.values():
        if head.name in heads:
            own = head.golden_inputs(case)
            arrays |= {**own, **head.oracle(oracle, answer, {**_inputs(case), **own})}
    return {name: array if array.dtype == np.int32 else array.astype(np.float32) for name, array in arrays.items()}


def rounded_up(value: float) -> float:
    """Two runs of one model may differ in the last bits; the card states one digit, rounded up."""
    if value == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit) * unit:.0e}")
