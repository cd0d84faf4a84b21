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

_Field = tuple[int, str, str]  # number, name, type of protobuf or name of a message; "*" in front: repeated
# Texts are read as bytes, because C++ does not check their encoding.
_MESSAGES: Mapping[str, tuple[_Field, ...]] = {
    "ModelProto": (
        (1, "pieces", "*SentencePiece"),
        (2, "trainer_spec", "TrainerSpec"),
        (3, "normalizer_spec", "NormalizerSpec"),
        (4, "self_test_data", "SelfTestData"),
        (5, "denormalizer_spec", "NormalizerSpec"),
    ),
    "SentencePiece": ((1, "piece", "BYTES"), (2, "score", "FLOAT"), (3, "type", "INT32")),
    "SelfTestData": ((1, "samples", "*BYTES"),),
    "NormalizerSpec": (
        (1, "name", "BYTES"),
        (2, "precompiled_charsmap", "BYTES"),
        (3, "add_dummy_prefix", "BOOL"),
        (4, "remove_extra_whitespaces", "BOOL"),
        (5, "escape_whitespaces", "BOOL"),
        (6, "normalization_rule_tsv", "BYTES"),
    ),
    "TrainerSpec": (
        *((number, f"text_{number}", "*BYTES") for number in (1, 2, 5, 7, 30, 31, 36, 44, 45, 46, 47, 48, 53, 54)),
        *((number, f"fraction_{number}", "FLOAT") for number in (10, 15, 51)),
        *((number, f"number_{number}", "INT64") for number in (4, 6, *range(11, 15), 16, 17, 18, 20, *range(40, 44))),
        *((number, f"flag_{number}", "BOOL") for number in (19, 21, 22, 23, 25, 26, 32, 33, 34, 49, 50, 55)),
        (52, "number_52", "UINT64"),
        (3, "model_type", "INT32"),
        (24, "treat_whitespace_as_suffix", "BOOL"),
        (35, "byte_fallback", "BOOL"),
    ),
}
_DEFAULTS = {
    ("SentencePiece", "type"): str(NORMAL),
    ("TrainerSpec", "model_type"): str(_UNIGRAM),
    **{("NormalizerSpec", f"{rule}"): "true" for _, rule, kind in _MESSAGES["NormalizerSpec"] if kind == "BOOL"},
}
_PACKAGE = "zoo.sentencepiece"


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


@cache
def _message(name: str) -> Any:
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _file() -> Any:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="sentencepiece.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for number, field, kind in fields:
            added = described.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if kind.startswith("*") else added.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in _MESSAGES:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind}")
            if (name, field) in _DEFAULTS:
                added.default_value = _DEFAULTS[name, field]
    return file
