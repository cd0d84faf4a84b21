"""What WordPiece libraries are given: texts with what real ones are full of, a tokenizer.json; and the right ids."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from benchmarks.cases import PADDED
from benchmarks.sections.tokenizers import KINDS
from export.oracle.wordpiece import ReferenceTokenizer

ONE_IN = 8  # texts that hold one of RARE

# Of what real texts are full, and tests of tokenizers are not.
RARE = (
    *("café", "cafe\u0301", "naïve", "Zoë", "São Paulo", "İstanbul", "Straße", "Łódź", "Nguyễn", "jalapeño"),
    *("“so”", "it’s", "don't", " — ", "…", "«oui»", "¿qué?", "3–5", "e-mail", "C++", "a/b", "50%", "$9.99", "€20", "™"),
    *("https://example.org/a_b?c=d&e=f#g", "me@example.org", "#tag", "@name", "snake_case", "<br>", "`code`", "x^2"),
    *("😀", "👍🏽", "👩\u200d💻", "🇨🇳", "☺️", "→", "★", "№", "½", "x²", "H₂O", "ﬁle", "①", "Ⅷ"),
    *("ＡＢＣ１２３", "～", "￥９９", "（注）", "《书》", "、", "……", "𠮷野家", "㐂", "繁體字", "々", "〇", "ｶﾀｶﾅ"),
    *("ΟΔΥΣΣΕΥΣ", "Ελλάδα", "Москва", "日本語のテキスト", "한국어", "हिन्दी", "ภาษาไทย", "العربية", "עברית"),
    *("\u00a0", "\u3000", "\u200b", "\ufeff", "soft\u00adhyphen", "\u2028", "a\tb", "\ufffd", "[MASK]", "##ing"),
    *("0123456789abcdef" * 8, "https://example.org/" + "path/" * 20),
)


def chunk(kind: str, count: int, start: int, english: Sequence[str]) -> list[str]:
    """Return texts from a seed of their own. One in ONE_IN has one of RARE at the beginning, at the end or inside."""
    rng = random.Random(f"{kind} {start}")
    made = KINDS[kind](count, english, 10 + start)
    return [_with_rare(text, rng) if rng.random() < 1 / ONE_IN else text for text in made]


def _with_rare(text: str, rng: random.Random) -> str:
    place, space = rng.randint(0, len(text)), rng.choice(("", " "))
    return f"{text[:place]}{space}{rng.choice(RARE)}{space}{text[place:]}"


def packed(oracle: ReferenceTokenizer, texts: Sequence[str]) -> np.ndarray:
    """Return BERT's own ids: [CLS], the first 126 pieces, [SEP], and 0 behind them."""
    ids = np.zeros((len(texts), PADDED), np.int32)
    cls, sep = oracle.number["[CLS]"], oracle.number["[SEP]"]
    for row, text in zip(ids, texts, strict=True):
        pieces = oracle.ids(text)[: PADDED - 2]
        row[: len(pieces) + 2] = [cls, *pieces, sep]
    return ids


def tokenizer_json(entries: Sequence[str], lower_case: bool, strip_accents: bool) -> dict[str, object]:
    """Return the tokenizer.json that published BERTs have, cut at 128 tokens."""
    number = {entry: place for place, entry in enumerate(entries)}
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    frame = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    frame.append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    pair = [*frame, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": PADDED, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [{"id": number[token], "content": token, **flags} for token in special],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": strip_accents,
            "lowercase": lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": frame,
            "pair": pair,
            "special_tokens": {
                token: {"id": token, "ids": [number[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": number,
        },
    }
