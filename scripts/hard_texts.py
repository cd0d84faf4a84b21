"""Texts for which wrong tokenizers give other ids, with the ids of the original algorithm, for tests in any language.

    python -m scripts.hard_texts        # writes tests/data/hard_texts.json again

The ids include [CLS] and [SEP], count in the `vocabulary` of the same file, and come from `export.oracle.wordpiece`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer

FILE = Path(__file__).parents[1] / "tests" / "data" / "hard_texts.json"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = (
    "un",
    "##aff",
    "##able",
    "hello",
    "##ing",
    "str",
    "##asse",
    "istanbul",
    "...",
    "，。",
    "你好",
    "##[SEP]",
    "[mask]",
)
ABSENT = "😀丢Ж"  # characters that the vocabulary lacks, so that some words are unknown

TEXTS = (
    "「你好」，他说：“天气…真好！”——《诗》【注】〈一〉『二』、；·～￥％＆＠＃＊＋－／＝＜＞［］｛｝｜＼＾＿｀",
    "ＨＥＬＬＯ，ｗｏｒｌｄ１２３　全角空格",
    "a\u00a0b\u1680c\u2000d\u2009e\u202ff\u205fg\u3000h\u2028i\u2029j\tk\nl\rm\r\nn",
    "a\x00b\x01c\x07d\x1be\x1cf\x1fg\x7fh\x80i\x85j\x9fk",
    "a\u00adb\u200bc\u200cd\u200de\u2060f\ufeffg\ufffdh\u180ei\u061cj\U000e0001k",
    "\u0301 \u0301a a\u0301 e\u0323\u0301 e\u0301\u0323 ệ Ệ ǖ Ǖ ṩ Å Å",
    "ΟΔΥΣΣΕΥΣ ΣΑΣ Σ ΑΣ. ΑΣ΄Α ΑΣ\u0301 ΑΣ\u0301Α ΑΣ\u00adΑ ʰΣ ΑΣʰ 1Σ Σ1 αΣ",
    "İSTANBUL ISPARTA ıI ǅ ǈ ẞ ß ﬁ ﬀ K Ω ſ Ա Ა Ꭰ ꭰ Ⓐ Ⅷ",
    "ЙОГ йог Ёлка Жук ѓ ї",
    "\u1100\u1161\u11a8 각 한국어 カ\u3099 ガ が ﾊﾟ ㌔ ㍿",
    "शक्ति กำลัง العَرَبِيَّة עִבְרִית བོད་ ខ្មែរ \u302e\u302f \u0903 \u093e",
    "㐀䶿一龥鿿豈舘丽𠀀𪛖𪜀𫜴𫝀𫠝𫠠𬺡𬺰𮯠𰀀𱍊 々〇〆ヶ㆒",
    "金a金b12金。丢失的 丢a",
    "😀 👩\u200d👩\u200d👧 🇨🇳 👍🏽 ☺️ ✓ ♥ → × ÷ ± © ™ № ℃ ½ ² ₂",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ a!b\"c#d$e%f&g'h(i)j*k+l,m-n.o/p:q;r<s=t>u?v@w[x\\y]z^a_b`c{d|e}f~",
    "¡¿«»‹›†‡•‰′″※‼⁇⸮〽゠・﹏﹫｡｢｣ § ¶ ¢ £ ¤ ¥ ¨ ¯ ´ ¸ ˜ ΄",
    "[MASK] [SEP]x [CLS]你 [PAD] [UNK] [mask] ##un ## # [ MASK ]",
    "unaffable unaffableX unhelloing Hello... hello，。hello strasse",
    "x" * 199 + " " + "x" * 200 + " " + "x" * 201 + "!" + "é" * 200 + "，" + "é" * 201,
    "你" * 201 + "x" * 201 + "你",
    "e\u0301" * 200 + " " + "e\u0301" * 201,
    "𝔄𝔅 𐐀𐐨 𞤀𞤢 \U0001f600\U00010348",
    "\ue000 \U000f0000 \ufdd0 \uffff \U0010ffff",
    " \t \u3000 ",
)


def hard_texts() -> dict[str, object]:
    """Return the content of the file: casing, vocabulary, and all texts with their ids."""
    texts = [*(text for row in GOLDEN_TEXTS for text in row), *TEXTS]
    vocabulary = list(dict.fromkeys([*SPECIAL, *PIECES, *_characters(texts)]))
    tokenizer = ReferenceTokenizer(vocabulary, lower_case=True)
    rows = [{"text": text, "ids": tokenizer.encode(text)} for text in texts]
    return {"lower_case": True, "vocabulary": vocabulary, "texts": rows}


def _characters(texts: list[str]) -> Iterator[str]:
    """Yield every character of the texts' words: as "x" at the beginning of a word, as "##x" further on."""
    basic = ReferenceTokenizer(SPECIAL, lower_case=True)
    for text in texts:
        for word in basic.words(text):
            yield from (f"##{char}" if place else char for place, char in enumerate(word) if char not in ABSENT)


def main() -> None:
    content = hard_texts()
    lines = (f"  {json.dumps(key)}: {_rows(value)}" for key, value in content.items())
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _rows(value: object) -> str:
    """Return JSON with one line for every text, in ASCII, because editors change characters that they cannot show."""
    if isinstance(value, list) and isinstance(value[0], dict):
        return "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
