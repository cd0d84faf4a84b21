"""How the WordPiece model of a tokenizer archive is made of its vocabulary: the words that it holds, and its bytes.

The exporter makes the model by these rules. Whoever loads an archive makes it again and compares the bytes, because
tensorflow-text follows the offsets in those bytes without checking where they lead. Importing this imports no
TensorFlow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

CONTINUATION = "##"
PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORD_LIMIT = 200  # characters; a longer word becomes [UNK]
# U+0001 is dropped from every text, so it is free to stand for what no text can say.
MARK = "\x01"
# The characters that BERT makes words of their own, as ranges of code points.
CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_CJK = "".join(f"{chr(first)}-{chr(last)}" for first, last in CJK)
_SINGLE_WORD = re.compile(rf"[^ {MARK}{_CJK}]*|[{_CJK}]")  # once normalised; punctuation has spaces around it


def marks(tokens: Sequence[str]) -> dict[str, str]:
    """Return what stands for each special token inside a text: as many characters, no letter to lower, no space."""
    return {token: MARK + str(number) * (len(token) - 2) + MARK for number, token in enumerate(tokens)}


def reachable(entries: Sequence[str]) -> list[str]:
    """Return the words of the model, one for each entry of a vocabulary.

        reachable(["[UNK]", "好", "a b"])  # two of them replaced

    FastWordpiece would match an entry that holds a space or a Chinese character in its middle across the border of two
    words. Such entries are replaced by placeholders that cannot occur in text, and so are special tokens, which only a
    mark may reach.
    """
    stand_ins = marks(SPECIAL_TOKENS)
    return [
        stand_ins.get(entry, entry if _SINGLE_WORD.fullmatch(entry) else f"{MARK}{number}")
        for number, entry in enumerate(entries)
    ]


def model_bytes(entries: Sequence[str]) -> bytes:
    """Return the bytes of the model of a vocabulary. Imports tensorflow_text; takes some 0.1 s for 21,128 entries."""
    from tensorflow_text.core.pybinds import pywrap_fast_wordpiece_tokenizer_model_builder as builder

    # The longest word in bytes; whether it splits at spaces and punctuation itself, and whether it could detokenise.
    arguments = (4 * WORD_LIMIT, CONTINUATION, marks(SPECIAL_TOKENS)[UNK], False, False)
    return bytes(builder.build_fast_wordpiece_model(reachable(entries), *arguments))


def vocabulary_sha256(entries: Sequence[str]) -> str:
    """Return the digest of a vocabulary: of its entries, each followed by a line feed."""
    return hashlib.sha256("".join(f"{entry}\n" for entry in entries).encode()).hexdigest()
