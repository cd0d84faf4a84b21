"""Models of SentencePiece that tensorflow-text could not run safely are refused, before it sees them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.tokenizer.sentencepiece_models import model
from zoo.archive.charsmap import check_charsmap
from zoo.archive.sentencepiece_model import _message, read_sentencepiece
from zoo.basics.untrusted import BadInput


def changed(change: Callable[[Any], object]) -> bytes:
    message = _message("ModelProto").FromString(model("xlmr"))
    change(message)
    return bytes(message.SerializeToString())


def _piece(number: int, **fields: Any) -> Callable[[Any], object]:
    def change(message: Any) -> None:
        for name, value in fields.items():
            setattr(message.pieces[number], name, value)

    return change


def _prefixes(message: Any) -> None:
    for size in range(1, 40):
        message.pieces.add(piece=b"\x7f" * size, type=4)


REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "pairs": (lambda m: setattr(m.trainer_spec, "model_type", 2), "a model of byte pairs; unigram"),
    "bytes": (lambda m: setattr(m.trainer_spec, "byte_fallback", True), "byte_fallback"),
    "suffix": (lambda m: setattr(m.trainer_spec, "treat_whitespace_as_suffix", True), "treat_whitespace_as_suffix"),
    "spaces": (lambda m: setattr(m.normalizer_spec, "escape_whitespaces", False), "escape_whitespaces"),
    "self-test": (lambda m: m.self_test_data.samples.append(b"x"), "self_test_data"),
    "decoding": (lambda m: setattr(m.denormalizer_spec, "precompiled_charsmap", b"x"), "denormalizer_spec"),
    "no pieces": (lambda m: m.ClearField("pieces"), "0 pieces"),
    "empty": (_piece(5, piece=b""), "piece 5 is empty"),
    "zero byte": (_piece(5, piece=b"a\x00"), "zero byte"),
    "long": (_piece(5, piece=b"a" * 2000), "longer than 1,000 bytes"),
    "not text": (_piece(5, piece=b"\xff"), "not UTF-8"),
    "twice": (_piece(5, piece=b"</s>"), "there twice: b'</s>'"),
    "type": (_piece(5, type=6), "of the type 6"),
    "score": (_piece(5, score=float("nan")), "the score nan"),
    "two unknown": (_piece(5, type=2), "2 of its pieces stand for unknown"),
    "no unknown": (_piece(0, type=3), "0 of its pieces stand for unknown"),
    "prefixes": (_prefixes, "user-defined pieces begin one another"),
    "table": (lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"\x01\x02"), "cut short"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(change: Callable[[Any], object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_sentencepiece(changed(change))


def test_fields_that_are_not_known_are_named() -> None:
    with pytest.raises(BadInput, match="field 200 of ModelProto"):
        read_sentencepiece(model("xlmr") + b"\xc2\x0c\x01a")
    inner = b"\xc8\x0c\x01"  # field 201, a number, of the normaliser
    with pytest.raises(BadInput, match="field 201 of NormalizerSpec"):
        read_sentencepiece(model("xlmr") + b"\x1a" + bytes([len(inner)]) + inner)
    with pytest.raises(BadInput, match="its fields cannot be read"):
        read_sentencepiece(model("xlmr")[:-1])


def test_genuine_tables_pass() -> None:
    assert len(read_sentencepiece(model("albert")).charsmap) > 200_000  # nmt_nfkc
    assert 0 < len(read_sentencepiece(model("xlmr")).charsmap) < 20_000


def table(units: np.ndarray, replacements: bytes = b"x\x00") -> bytes:
    return struct.pack("<I", 4 * len(units)) + units.astype("<u4").tobytes() + replacements


def unit(label: int, offset: int, leaf: bool = False) -> int:
    return offset << 10 | leaf << 8 | label


def test_tables_that_lead_astray() -> None:
    units = np.full(512, 0x80000000, np.uint32)
    units[0] = unit(0, 256)
    units[256 ^ 97] = unit(97, 300, leaf=True)  # "a" is replaced by what lies at 0
    at = 256 ^ 97 ^ 300  # the place of the replacement's unit
    units[at] = 0x80000000
    check_charsmap(table(units))
    units[at] = 0x80000002
    with pytest.raises(BadInput, match="a replacement that it does not hold"):
        check_charsmap(table(units))
    units[at] = 0x80000000
    with pytest.raises(BadInput, match="more than 256 bytes"):
        check_charsmap(table(units, b"x" * 300 + b"\x00"))
    with pytest.raises(BadInput, match="not UTF-8"):
        check_charsmap(table(units, b"\xff\x00"))
    with pytest.raises(BadInput, match="cut short"):
        check_charsmap(table(units, b"x"))
    with pytest.raises(BadInput, match="odd size"):
        check_charsmap(table(units[:500]))
    far = units.copy()
    far[256 ^ 97] = unit(97, 5000)
    with pytest.raises(BadInput, match="leads outside"):
        check_charsmap(table(far))
    circle = units.copy()
    circle[256 ^ 97] = unit(97, 97)  # behind "a" the same place follows again
    with pytest.raises(BadInput, match="runs in a circle"):
        check_charsmap(table(circle))
    unreached = units.copy()
    unreached[at ^ 1] = unit(5, 5000)  # no text leads there
    check_charsmap(table(unreached))
