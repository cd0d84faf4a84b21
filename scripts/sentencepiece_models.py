"""Writes small models, and what SentencePiece makes of texts, into tests/tokenizer/data: *.model.xz, sentencepiece_ids.

    python -m scripts.sentencepiece_models

Run it in an environment with the package sentencepiece 0.2.1: of cuts with equal scores later versions choose others
than tensorflow-text does. The models are trained on the documents of this project.
"""

from __future__ import annotations

import json
import lzma
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece.sentencepiece_pb2 import SentencePieceText

from tests.tokenizer.texts import assigned, mixtures, plain_texts

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "tokenizer" / "data"
COUNT = 150
_ENGLISH, _CHINESE = ("README.md", "docs/*.md"), ("README.zh-CN.md", "docs/*.zh-CN.md")
# As XLM-R was trained, but with a small table of characters: full-width ones, a ligature, a mark, spaces.
_RULES = [
    *((f"{0xFF01 + n:X}", f"{0x21 + n:X}") for n in range(0x5E)),
    *(("FB01", "66 69"), ("65 301", "E9"), ("3000", "20"), ("A0", "20"), ("9", "20"), ("A", "20"), ("200B", "")),
]
_XLMR: Mapping[str, Any] = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "vocab_size": 1200}
# The settings that README.md of google-research/albert names, and its table of characters.
_ALBERT: Mapping[str, Any] = {
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
    "user_defined_symbols": ["(", ")", '"', "-", ".", "–", "£", "€"],
    "vocab_size": 800,
}


def texts() -> Iterator[bytes]:
    """Yield texts: mixed ones, repeated words that can be cut in several equal ways, and bytes that are not UTF-8."""
    yield from (
        b"",
        b" ",
        b"\x00",
        b"a\x00b",
        b"\xff",
        b"\xe4\xbd",
        b"\xed\xa0\x80",
        b"\xc0\x80a",
        "１,２３４９，9,".encode(),
    )
    yield "In 2019, 1,234 (or £2) cost 9,9, \u2581a\u2581 [MASK]<mask>".encode()
    yield from (text.encode() for text in mixtures(COUNT, 3, assigned()))
    yield from (text.encode() for text in list(plain_texts(COUNT, 4))[-COUNT:])
    yield from (word * count for word in (b"ab", b"-", b"the", b"9,", "的".encode()) for count in (2, 7, 30))
    yield from (letter * count for letter in (b"x", b"y", b"X") for count in range(20, 150, 3))
    yield b"in 2021, 21,102, 102, (121, x21,) \xef\xbc\x92\xef\xbc\x90\xef\xbc\x91\xef\xbc\x99\xef\xbc\x8c"
    for text in mixtures(30, 5, ["é"]):
        yield text.encode()[1::2]


def trained(name: str, lines: list[str], settings: Mapping[str, Any]) -> bytes:
    """Return the bytes of a unigram model."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        rules.write_text("".join(f"{one}\t{other}\n" for one, other in _RULES), encoding="utf-8")
        own = {"normalization_rule_tsv": str(rules)} if name == "xlmr" else {"normalization_rule_name": "nmt_nfkc"}
        model = Path(folder) / name
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=str(model),
            model_type="unigram",
            num_threads=1,
            minloglevel=2,
            **own,
            **settings,
        )
        return model.with_suffix(".model").read_bytes()


def pieces(processor: Any, text: bytes) -> list[list[int]]:
    """Return ids, starts and limits of the pieces; offsets count bytes."""
    found = SentencePieceText.FromString(processor.encode(text, out_type="serialized_proto")).pieces
    return [[each.id for each in found], [each.begin for each in found], [each.end for each in found]]


def prepared_ids(processor: Any, text: bytes) -> list[int]:
    """Return the ids that the code of google-research/albert gives a text, in lower case."""
    joined = " ".join(text.decode("utf-8", "ignore").strip().split())
    kept = "".join(char for char in unicodedata.normalize("NFKD", joined) if not unicodedata.combining(char))
    ids: list[int] = []
    for piece in processor.encode(kept.lower(), out_type=str):
        if not (len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()):
            ids.append(processor.piece_to_id(piece))
            continue
        first, *others = processor.encode(piece[:-1].replace("\u2581", ""), out_type=str)
        first = first if piece[0] == "\u2581" else first.removeprefix("\u2581")
        ids += [processor.piece_to_id(each) for each in (first, *others, ",") if each]
    return ids


def main() -> None:
    """Write the models and the ids."""
    english, chinese = (
        [line for pattern in patterns for file in sorted(ROOT.glob(pattern)) for line in _lines(file)]
        for patterns in (_ENGLISH, _CHINESE)
    )
    # Words of one letter can be cut in several ways of nearly equal scores; years make pieces such as "2019,".
    runs = [" ".join(letter * count for count in range(1, 16)) for letter in "xy" for _ in range(30)]
    years = [f"in {year}, {year + 1}, and {year + 2}," for year in range(1990, 2030)]
    lines = {"xlmr": [*english, *chinese, *runs], "albert": [line.lower() for line in [*english, *runs, *years]]}
    given = [*texts()]
    result: dict[str, Any] = {"texts": [text.hex() for text in given]}
    for name, settings in {"xlmr": _XLMR, "albert": _ALBERT}.items():
        data = trained(name, lines[name], settings)
        (DATA / f"{name}.model.xz").write_bytes(lzma.compress(data, preset=9))
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        result[name] = [pieces(processor, text) for text in given]
    result["albert_prepared"] = [prepared_ids(processor, text) for text in given]
    content = json.dumps(result, separators=(",", ":")).encode()
    (DATA / "sentencepiece_ids.json.xz").write_bytes(lzma.compress(content, preset=9))


def _lines(file: Path) -> list[str]:
    lines = (line.strip(" |#`-") for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if 10 < len(line) < 1000]


if __name__ == "__main__":
    main()
