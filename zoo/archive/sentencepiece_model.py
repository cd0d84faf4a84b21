"""Reads a model of SentencePiece, and refuses every model that tensorflow-text could not run safely.

tensorflow-text trusts the model: a wrong table of characters makes it read outside of its memory, and some fields make
it end the process. The exporter reads models with this module, and `zoo.load` reads the model of an archive again.
Importing this module imports neither TensorFlow nor protobuf.

Source: src/sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from zoo.archive.charsmap import check_charsmap
from zoo.archive.messages import Field, message_classes
from zoo.basics.untrusted import BadInput

Numbering = Literal["own", "fairseq", "camembert"]  # how ids follow from the numbers of pieces

SPACE = "\u2581"  # stands for a space in pieces
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = range(1, 6)  # types of pieces
MOST_BYTES = 32 << 20  # XLM-R's model has 5 MB
_MOST_PIECES = 1_000_000  # XLM-R has 250,000
_LONGEST = 1_000  # bytes of a piece
_HIGHEST = 1e6  # of scores, which are logarithms of probabilities
_MOST_PREFIXES = 32  # of user-defined pieces that begin one another; tensorflow-text has room for 64

_UNIGRAM = 1
_TYPES = {2: "byte pairs", 3: "words", 4: "characters"}

# Texts are read as bytes, because C++ does not check their encoding.
_MESSAGES: Mapping[str, tuple[Field, ...]] = {
    "ModelProto": (
        ("pieces", 1, "*SentencePiece"),
        ("trainer_spec", 2, "TrainerSpec"),
        ("normalizer_spec", 3, "NormalizerSpec"),
        ("self_test_data", 4, "SelfTestData"),
        ("denormalizer_spec", 5, "NormalizerSpec"),
    ),
    "SentencePiece": (("piece", 1, "BYTES"), ("score", 2, "FLOAT"), ("type", 3, "INT32")),
    "SelfTestData": (("samples", 1, "*BYTES"),),
    "NormalizerSpec": (
        ("name", 1, "BYTES"),
        ("precompiled_charsmap", 2, "BYTES"),
        ("add_dummy_prefix", 3, "BOOL"),
        ("remove_extra_whitespaces", 4, "BOOL"),
        ("escape_whitespaces", 5, "BOOL"),
        ("normalization_rule_tsv", 6, "BYTES"),
    ),
    "TrainerSpec": (
        *((f"text_{number}", number, "*BYTES") for number in (1, 2, 5, 7, 30, 31, 36, 44, 45, 46, 47, 48, 53, 54)),
        *((f"fraction_{number}", number, "FLOAT") for number in (10, 15, 51)),
        *((f"number_{number}", number, "INT64") for number in (4, 6, *range(11, 15), 16, 17, 18, 20, *range(40, 44))),
        *((f"flag_{number}", number, "BOOL") for number in (19, 21, 22, 23, 25, 26, 32, 33, 34, 49, 50, 55)),
        ("number_52", 52, "UINT64"),
        ("model_type", 3, "INT32"),
        ("treat_whitespace_as_suffix", 24, "BOOL"),
        ("byte_fallback", 35, "BOOL"),
    ),
}
_DEFAULTS = {
    ("SentencePiece", "type"): str(NORMAL),
    ("TrainerSpec", "model_type"): str(_UNIGRAM),
    **{("NormalizerSpec", rule): "true" for rule, _, kind in _MESSAGES["NormalizerSpec"] if kind == "BOOL"},
}


class Piece(NamedTuple):
    """A piece of a model: its text, the logarithm of its probability, and its type, such as NORMAL."""

    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """A unigram model: its pieces in the order of their numbers, and how it prepares texts.

    `charsmap` is the table of characters that it replaces (see `zoo.archive.charsmap`), empty if it replaces none.
    """

    pieces: tuple[Piece, ...]
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool

    def number(self, text: str) -> int | None:
        """Return the number of a piece, None if the model has no such piece."""
        return next((number for number, piece in enumerate(self.pieces) if piece.text == text), None)

    @property
    def unknown(self) -> int:
        """The number of the piece for text that no piece has."""
        return next(number for number, piece in enumerate(self.pieces) if piece.type == UNKNOWN)


def read_sentencepiece(data: bytes) -> SentencePieceModel:
    """Return the model in the bytes of a .model file. Raises BadInput, which names the problem.

    read_sentencepiece(Path("sentencepiece.bpe.model").read_bytes()).pieces[0].text  # "<unk>"
    """
    if len(data) > MOST_BYTES:
        raise BadInput(f"it has {len(data):,} bytes; a model of SentencePiece has at most {MOST_BYTES:,}")
    from google.protobuf.message import DecodeError

    try:
        model = _message("ModelProto").FromString(data)
    except DecodeError:
        raise BadInput("it is not a model of SentencePiece: its fields cannot be read") from None
    if problem := next(_problems(model), None):
        raise BadInput(problem)
    pieces = tuple(_pieces(model.pieces))
    normalizer = model.normalizer_spec
    check_charsmap(normalizer.precompiled_charsmap)
    return SentencePieceModel(
        pieces, normalizer.precompiled_charsmap, normalizer.add_dummy_prefix, normalizer.remove_extra_whitespaces
    )


def _problems(model: Any) -> Iterator[str]:
    for number in _unknown_fields(model):
        yield f"it holds {number}, which is not known here"
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    if trainer.model_type != _UNIGRAM:
        kind = _TYPES.get(trainer.model_type, f"of type {trainer.model_type}")
        yield f"it is a model of {kind}; unigram models can be run"
    if trainer.byte_fallback:
        yield "it cuts unknown characters into bytes (byte_fallback), which cannot be followed"
    if trainer.treat_whitespace_as_suffix:
        yield "it puts spaces behind words (treat_whitespace_as_suffix), which cannot be followed"
    if not normalizer.escape_whitespaces:
        yield "it leaves spaces as they are (escape_whitespaces is false), which cannot be followed"
    if model.self_test_data.samples:
        yield "it holds samples to test itself with (self_test_data)"
    if model.denormalizer_spec.precompiled_charsmap:
        yield "it replaces characters when it joins pieces (denormalizer_spec)"
    if not 0 < len(model.pieces) <= _MOST_PIECES:
        yield f"it has {len(model.pieces):,} pieces; 1 to {_MOST_PIECES:,} can be read"


def _pieces(stored: Any) -> Iterator[Piece]:
    """Yield the pieces. Raises BadInput for a piece that is odd by itself or beside the others."""
    seen: set[bytes] = set()
    unknown = 0
    for number, each in enumerate(stored):
        text, score, kind = each.piece, each.score, each.type
        if not text or b"\x00" in text or len(text) > _LONGEST:
            raise BadInput(f"its piece {number:,} is empty, longer than {_LONGEST:,} bytes, or holds a zero byte")
        if text in seen:
            raise BadInput(f"its piece {number:,} is there twice: {text[:50]!r}")
        if not NORMAL <= kind <= UNUSED:
            raise BadInput(f"its piece {number:,} is of the type {kind}, which is not known here")
        if not math.isfinite(score) or abs(score) > _HIGHEST:
            raise BadInput(f"its piece {number:,} has the score {score}")
        seen.add(text)
        unknown += kind == UNKNOWN
        try:
            yield Piece(text.decode(), score, kind)
        except UnicodeDecodeError:
            raise BadInput(f"its piece {number:,} is not UTF-8: {text[:50]!r}") from None
    if unknown != 1:
        raise BadInput(f"{unknown} of its pieces stand for unknown text; there has to be one")
    own = {each.piece for each in stored if each.type == USER_DEFINED}
    for text in own:
        if sum(text[:size] in own for size in range(1, len(text) + 1)) > _MOST_PREFIXES:
            raise BadInput(f"more than {_MOST_PREFIXES} of its user-defined pieces begin one another: {text[:50]!r}")


# -- messages ---------------------------------------------------------------------------------------------------------


def _unknown_fields(model: Any) -> Iterator[str]:
    """Yield every field that `_MESSAGES` lacks, or has with another type: "field 60 of TrainerSpec"."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    parts = [model, model.trainer_spec, model.normalizer_spec, model.denormalizer_spec, model.self_test_data]
    for part in (*parts, *model.pieces):
        for field in UnknownFieldSet(part):
            yield f"field {field.field_number} of {part.DESCRIPTOR.name}"


def _message(name: str) -> Any:
    return _classes()[name]


@cache
def _classes() -> dict[str, Any]:
    return message_classes("zoo.sentencepiece", "proto2", _MESSAGES, _DEFAULTS)
