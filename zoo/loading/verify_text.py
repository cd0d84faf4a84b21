"""Repeats the golden answers of a text archive: numbers within the tolerance, labels and places exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.archive.card import OnnxCard, TextCard
from zoo.basics.processor import multiplies_bfloat16
from zoo.contract import GOLDEN_FILE, TASKS, VECTOR
from zoo.errors import BadArchive, VerificationFailed, first_line

Array = NDArray[Any]
Golden = tuple[Sequence[Sequence[str]], Mapping[str, Array]]
_SHOWN = 5  # problems that an error lists


def differences(
    model: Any,
    texts: Sequence[Sequence[str]],
    golden: Mapping[str, Array],
    tolerance: float,
    name: str,
    given: Callable[[Any], Any] = lambda rows: _tensor(rows),
) -> dict[str, float]:
    """Return output -> largest difference between a loaded text archive and its golden answers.

    `golden` holds `n/output` for text number n. Texts are answered in one batch, and so are pairs. Logits are not
    normed: their difference counts in parts of the largest one, where that is above 1. `given` makes the model's input
    of a list of texts or pairs, a tensor unless it is said. Raises VerificationFailed when a
    number differs by more than `tolerance`, or anything else at all.
    """
    found: dict[str, float] = {}
    wrong = []
    for width in (1, 2):
        numbers = [number for number, text in enumerate(texts) if len(text) == width]
        if not numbers:
            continue
        answers = _answers(lambda rows: model(given(rows)), [texts[number] for number in numbers], name)
        for row, number in enumerate(numbers):
            expected = {key.partition("/")[2]: value for key, value in golden.items() if key.startswith(f"{number}/")}
            if not expected or not expected.keys() <= answers.keys():
                raise VerificationFailed(
                    f"{name} lacks outputs: it gives {', '.join(answers)}, not {', '.join(expected)}."
                )
            for output, value in expected.items():
                difference = _difference(answers[output][row], value)
                found[output] = max(found.get(output, 0.0), difference)
                if not difference <= (tolerance if value.dtype.kind == "f" else 0.0):
                    wrong.append(f"{output} of {_short(texts[number])} by {difference:.3g}")
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise VerificationFailed(
            f"{name} differs from its golden answers by more than {tolerance:g}: {', '.join(wrong[:_SHOWN])}{more}."
            + reason_of_the_cpu(model)
        )
    return found


def reason_of_the_cpu(model: Any) -> str:
    """Return a sentence about a loaded model with bfloat16 on a CPU without instructions for it, else ''."""
    of_bfloat16 = any(variable.dtype.name == "bfloat16" for variable in getattr(model, "variables", ()))
    if not of_bfloat16 or multiplies_bfloat16():
        return ""
    return (
        " Its bfloat16 may be the reason: this CPU is not known to have instructions for it, and without them "
        "TensorFlow rounds more often. Try a CPU with AVX512_BF16 or AMX, or an archive in float32 or float16."
    )


def check_labels(model: Any, card: TextCard) -> None:
    """Raise VerificationFailed if the labels in the graph are not those of the card."""
    own = _strings(model.labels().numpy()) if hasattr(model, "labels") else []
    if own != card.task.labels:
        there, stated = (", ".join(labels[:_SHOWN]) or "none" for labels in (own, card.task.labels))
        raise VerificationFailed(f"{card.name} has other labels than its card says: {there}; on the card: {stated}.")


def _answers(model: Any, texts: Sequence[Sequence[str]], name: str) -> Mapping[str, Sequence[Array]]:
    """Return output -> an array for each text; rows of a batch are without padding."""
    rows = [list(text) if len(text) == 2 else text[0] for text in texts]
    try:
        answers = model(rows)
    except Exception as error:  # whatever TensorFlow raises about a call
        raise VerificationFailed(f"{name} cannot be called with its golden texts: {first_line(error)}") from error
    named = answers if isinstance(answers, Mapping) else {VECTOR: answers}
    return {output: [np.asarray(row) for row in value] for output, value in named.items()}


def _tensor(rows: Any) -> Any:
    import tensorflow as tf

    return tf.constant(rows, tf.string)


def _difference(found: Array, expected: Array) -> float:
    """Return the largest difference; inf for another shape, other texts, and anything that is not a number."""
    if expected.dtype.kind in "US":
        return 0.0 if _strings(found) == _strings(expected) else np.inf
    if found.shape != expected.shape:
        return np.inf
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    difference = float(np.max(np.abs(found.astype(np.float64) - expected.astype(np.float64)), initial=0.0)) / scale
    return difference if np.isfinite(difference) else np.inf


def _strings(array: Array) -> list[str]:
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in array.reshape(-1)]


def _short(text: Sequence[str]) -> str:
    return repr(" | ".join(part if len(part) <= 20 else part[:20] + "…" for part in text))


def checked_golden(golden: Mapping[str, Array], card: TextCard | OnnxCard, directory: Path) -> Golden:
    """Return the golden texts and answers of an archive. Raises BadArchive if a text has no answer."""
    wanted = {
        f"{number}/{output}"
        for number in range(len(card.certificate.texts))
        for output in TASKS[card.task.name].outputs
    }
    if missing := sorted(wanted - golden.keys()):
        raise BadArchive(f"{directory / GOLDEN_FILE} lacks {', '.join(missing[:_SHOWN])} of {len(wanted)} answers.")
    return card.certificate.texts, golden
