"""Repeats on this machine what an archive's card promises: files, operations, and the outputs for its golden inputs."""

from __future__ import annotations

import math
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.archive.card import Card, EncoderCard, GoldenText, OnnxCard, TextCard, TokenizerCard, read_card
from zoo.archive.digests import check_files
from zoo.archive.kinds import KINDS
from zoo.basics.display import table
from zoo.basics.extras import imported
from zoo.contract import (
    ENCODER_OUTPUTS,
    GOLDEN_FILE,
    HEADS,
    INPUT_KEYS,
    INPUT_MASK,
    INPUT_WORD_IDS,
    POOLED_OUTPUT,
    SEQUENCE_OUTPUT,
    head_outputs,
)
from zoo.errors import BadArchive, VerificationFailed, first_line
from zoo.lite import PACKAGES as LITE_PACKAGES
from zoo.loading.checking import checking
from zoo.loading.load import load_directory, prepare
from zoo.loading.verify_text import Golden as Answers, check_labels, checked_golden, differences, reason_of_the_cpu

FIRST_TOKEN_OUTPUTS = "first_token_outputs"
_MOST_GOLDEN = 256 << 20  # bytes of all arrays together; a BERT of 24 layers has some 10 MB
_GOLDEN_KEYS = (*INPUT_KEYS, SEQUENCE_OUTPUT, POOLED_OUTPUT, FIRST_TOKEN_OUTPUTS)

Array = NDArray[Any]
Repeated = tuple[int, float, Mapping[str, float]]  # how many were compared, the tolerance, output -> largest difference


@dataclass(frozen=True)
class Golden:
    """How the golden data of one kind of archive is repeated.

    `read(directory, card)` returns what has to come out; it is called before TensorFlow loads anything, and raises
    BadArchive. `repeat(loaded object, what was read, card)` raises VerificationFailed. `prepare` and `load` are those
    of `zoo.loading.load`, or what an archive that TensorFlow does not load has in their place.
    """

    read: Callable[..., Any]
    repeat: Callable[..., Repeated]
    prepare: Callable[[Path, Card], Sequence[str]] = lambda directory, card: prepare(directory, card)
    load: Callable[[Path, Card], Any] = lambda directory, card: load_directory(directory, card.name, card.needs)


@dataclass(frozen=True)
class VerificationReport:
    """A verification that succeeded: the largest absolute difference of each output, none above `tolerance`."""

    name: str
    kind: str
    files: int
    ops: Sequence[str]
    compared: int
    tolerance: float
    differences: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return what `zoo verify --json` prints."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [(output, f"{difference:.2g}") for output, difference in self.differences.items()]
        compared = f"{self.compared} golden {KINDS[self.kind].golden}"
        return (
            f"{self.name} ({self.kind}): {self.files} files and {compared} agree, "
            f"tolerance {self.tolerance:g}\n{table(('output', 'largest difference'), rows)}\n"
            + (
                textwrap.fill(f"{len(self.ops)} operations, all of them allowed: {', '.join(self.ops)}", 118)
                if self.ops
                else ""
            )
        ).rstrip()


def verify(directory: Path) -> VerificationReport:
    """Return how closely an unpacked archive repeats its certificate. Loads TensorFlow.

        print(verify(zoo.path("albert_tiny")))

    Raises BadArchive when files are missing or differ from the card, or when an operation does more than compute:
    nothing is loaded then, or, if it is the weights that differ, nothing computed. CannotLoad when TensorFlow refuses
    it, VerificationFailed when it computes something else; its message names every output that differs and the first
    wrong layer.
    """
    card = read_card(directory)
    golden = GOLDEN[card.kind]
    with checking(directory, card):
        ops = golden.prepare(directory, card)
        expected = golden.read(directory, card)
        model = golden.load(directory, card)
    return VerificationReport(card.name, card.kind, len(card.files), ops, *golden.repeat(model, expected, card))


# -- encoders -----------------------------------------------------------------------------------------------------


def _encoder_golden(directory: Path, card: EncoderCard) -> dict[str, Array]:
    golden = _read_golden(directory / GOLDEN_FILE)
    if unknown := [head for head in card.exported_heads if head not in HEADS]:
        raise BadArchive(f"{card.name} exports {', '.join(unknown)}, which is not known here: update bert-zoo.")
    given = {key for case in _cases(golden) for key in case}
    if silent := [head for head in card.exported_heads if not HEADS[head].outputs.keys() <= given]:
        raise BadArchive(f"{card.name} exports {', '.join(silent)}, but has no golden outputs of it.")
    return golden


def _repeat_encoder(encoder: Any, golden: Mapping[str, Array], card: EncoderCard) -> Repeated:
    tolerance = card.certificate.tolerance
    differences = _compare_encoder(encoder, golden, tolerance, card.name)
    return sum(len(case[INPUT_WORD_IDS]) for case in _cases(golden)), tolerance, differences


def compare_encoder(directory: Path, golden: Mapping[str, Array], tolerance: float, name: str) -> dict[str, float]:
    """Return output -> largest absolute difference between a saved encoder and its golden arrays, over all cases.

    `golden` holds, for each case `n`, `n/input_word_ids`, `n/input_mask`, `n/input_type_ids` (B, T) and what has to
    come out: `n/sequence_output` (B, T, H), `n/pooled_output` (B, H) and `n/first_token_outputs` (L, B, H), the first
    position of every layer's output. A single case may go without `n/`.

    Logits are not normed: their difference counts in parts of the largest one, where that is above 1.

    Raises CannotLoad, and VerificationFailed when any output differs by more than `tolerance`.
    """
    return _compare_encoder(load_directory(directory, name), golden, tolerance, name)


def _compare_encoder(encoder: Any, golden: Mapping[str, Array], tolerance: float, name: str) -> dict[str, float]:
    differences: dict[str, float] = {}
    logits = head_outputs()
    for case in _cases(golden):
        for output, pair in _pairs(encoder, case, name).items():
            scale = max(1.0, float(np.max(np.abs(pair[1])))) if output in logits else 1.0
            differences[output] = max(differences.get(output, 0.0), _difference(*pair) / scale)
    wrong = {output: value for output, value in differences.items() if not value <= tolerance}
    if wrong:
        layers = [output for output in wrong if output.startswith(ENCODER_OUTPUTS)]
        first = f"the first wrong layer is {layers[0]}" if layers else "the first token of every layer is right"
        amounts = ", ".join(f"{output} by {value:.3g}" for output, value in wrong.items())
        raise VerificationFailed(
            f"{name} differs from its golden outputs by more than {tolerance:g}; {first}. Different: {amounts}."
            + reason_of_the_cpu(encoder)
        )
    return differences


def _read_golden(path: Path) -> dict[str, Array]:
    golden = _read_arrays(path)
    missing = [key for case in _cases(golden) for key in _GOLDEN_KEYS if key not in case]
    if missing or not golden:
        raise BadArchive(f"{path} lacks {', '.join(missing) or 'everything'}.")
    return golden


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as file:  # numpy would read other formats too
            size = sum(member.file_size for member in file.infolist())
            odd = [name for name in file.namelist() if not name.endswith(".npy")]
        if size > _MOST_GOLDEN or odd:
            raise BadArchive(
                f"{path} holds {size:,} bytes, and {', '.join(odd) or 'arrays'}: no golden outputs of ours."
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise BadArchive(f"{path} cannot be read: {error}.") from error


def _cases(golden: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Return the cases one by one: what `n/` stands before belongs together."""
    cases: dict[str, dict[str, Array]] = {}
    for path, array in golden.items():
        number, _, key = path.rpartition("/")
        cases.setdefault(number, {})[key] = array
    return list(cases.values())


def _pairs(encoder: Any, golden: Mapping[str, Array], name: str) -> dict[str, tuple[Array, Array]]:
    """Return output -> (computed, golden), layers first to last, then what is made of them."""
    import tensorflow as tf

    try:
        outputs = encoder({key: tf.constant(golden[key], tf.int32) for key in INPUT_KEYS})
        layers = [np.asarray(layer)[:, 0] for layer in outputs[ENCODER_OUTPUTS]]  # L of (B, H)
        last = {output: np.asarray(outputs[output]) for output in (SEQUENCE_OUTPUT, POOLED_OUTPUT)}
        for head, call in HEADS.items():
            if call.outputs.keys() & golden.keys():
                given = {key: tf.constant(golden[key], tf.int32) for key in (*INPUT_KEYS, *call.inputs)}
                computed = getattr(encoder, head)(given)
                last |= {output: np.asarray(computed[output]) for output in call.outputs if output in golden}
    except Exception as error:  # whatever TensorFlow raises about a call
        raise VerificationFailed(f"{name} cannot be called with its golden inputs: {first_line(error)}") from error
    expected = golden[FIRST_TOKEN_OUTPUTS]  # (L, B, H)
    if len(layers) != len(expected):
        raise VerificationFailed(f"{name} has {len(layers)} layers, its golden outputs {len(expected)}.")
    pairs = {f"{ENCODER_OUTPUTS}[{i}]": (layer, expected[i]) for i, layer in enumerate(layers)}
    return pairs | {output: (computed, golden[output]) for output, computed in last.items()}


def _difference(computed: Array, expected: Array) -> float:
    """Return the largest absolute difference; inf for another shape or anything that is not a number."""
    if computed.shape != expected.shape:
        return math.inf
    difference = float(np.max(np.abs(computed.astype(np.float64) - expected.astype(np.float64)), initial=0.0))
    return difference if math.isfinite(difference) else math.inf


# -- texts --------------------------------------------------------------------------------------------------------


def _text_golden(directory: Path, card: TextCard | OnnxCard) -> Answers:
    return checked_golden(_read_arrays(directory / GOLDEN_FILE), card, directory)


def _repeat_texts(loaded: Any, golden: Answers, card: TextCard) -> Repeated:
    texts, answers = golden
    tolerance = card.certificate.tolerance
    check_labels(loaded, card)
    return len(texts), tolerance, differences(loaded, texts, answers, tolerance, card.name)


def _lite(directory: Path, card: Card) -> Any:
    """Return the encoder of an ONNX archive. Raises MissingExtra without onnxruntime, after comparing all files."""
    check_files(directory, card)
    who, advice = f"repeating the vectors of {card.name}", " Its files agree with its card."
    return imported("zoo.lite.encoder", who, "lite", LITE_PACKAGES, advice).TextEncoder(directory)


def _repeat_lite(encode: Any, golden: Answers, card: OnnxCard) -> Repeated:
    texts, answers = golden
    tolerance = card.certificate.tolerance
    return len(texts), tolerance, differences(encode, texts, answers, tolerance, card.name, given=list)


# -- tokenizers ---------------------------------------------------------------------------------------------------


def _repeat_tokenizer(loaded: Any, texts: Sequence[GoldenText], card: TokenizerCard) -> Repeated:
    wrong = []
    for golden in texts:
        ids = _ids(loaded, golden.text, len(golden.ids) + 1, card)  # one more, or a token too many would be cut away
        if ids != golden.ids:
            wrong.append(f"{golden.text} gives {ids}, should be {golden.ids}")
    if wrong:
        count = f"{len(wrong)} of {len(texts)} golden texts"
        raise VerificationFailed(f"{card.name} gives other ids for {count}: {'; '.join(wrong)}.")
    return len(texts), 0.0, {INPUT_WORD_IDS: 0.0}


def _ids(loaded: Any, text: list[str], length: int, card: TokenizerCard) -> list[int]:
    """Return the ids, padding left out, of one text or one pair."""
    import tensorflow as tf

    try:
        packed = loaded.preprocess(tf.constant([text] if len(text) > 1 else text), seq_length=length)
        ids, mask = packed[INPUT_WORD_IDS].numpy()[0], packed[INPUT_MASK].numpy()[0]  # (T,), (T,)
    except Exception as error:  # whatever TensorFlow raises about a call
        raise VerificationFailed(f"{card.name} cannot preprocess {text}: {first_line(error)}") from error
    return [int(i) for i in ids[mask != 0]]


_TEXTS = Golden(lambda _, card: card.certificate, _repeat_tokenizer)
# name of a kind in zoo.archive.kinds -> how its golden data is repeated
GOLDEN = {
    "encoder": Golden(_encoder_golden, _repeat_encoder),
    "tokenizer": _TEXTS,
    "preprocess": _TEXTS,
    "text": Golden(_text_golden, _repeat_texts),
    "onnx": Golden(_text_golden, _repeat_lite, lambda directory, card: [], _lite),
}
