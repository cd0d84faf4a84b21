"""Makes the WordPiece model of a tokenizer archive from the vocabulary: first its words, then its bytes.

The exporter makes the model with this module. `zoo.load` makes the model again and compares the bytes, because
tensorflow-text follows the offsets in a model without checking them. Importing this module does not import TensorFlow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

CONTINUATION = "##"
PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORD_LIMIT = 200  # characters; a longer word becomes [UNK]
# BERT drops U+0001 from every text, so no word of a text holds it, and placeholders can be made of it.
MARK = "\x01"
# Stand in texts for added tokens: the first for tokens found in a text as given, the second for tokens found in its
# normalised form. BERT drops both characters from every text.
FOUND_AS_GIVEN, FOUND_NORMALISED = ADDED_MARKS = (MARK, "\x02")
# Ranges of the characters that BERT always makes words of their own.
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
_SINGLE_WORD = re.compile(rf"[^ {MARK}{_CJK}]*|[{_CJK}]")  # of normalised text, which has spaces around punctuation
_SINGLE_WORD_OF_CHINESE = re.compile(rf"[^ {MARK}]*")


def marks(tokens: Sequence[str]) -> dict[str, str]:
    """Return special token -> its mark, which stands for the token inside a text: [CLS] -> U+0001 222 U+0001.

    A mark has as many characters as the token (offsets stay right), no letter (lower-casing keeps it) and no space.
    """
    return {token: MARK + str(number) * (len(token) - 2) + MARK for number, token in enumerate(tokens)}


def reachable(entries: Sequence[str], chinese_words: bool = False) -> list[str]:
    r"""Return the words of the model, one for each entry of a vocabulary.

        reachable(["[UNK]", "好", "a b"])  # ["\x01111\x01", "好", "\x012"]

    FastWordpiece would match an entry that holds a space or a Chinese character in its middle across the border of two
    words. Such entries are replaced by placeholders that cannot occur in text. Special tokens are replaced by their
    marks. With `chinese_words` Chinese characters are letters as all others.
    """
    single_word = _SINGLE_WORD_OF_CHINESE if chinese_words else _SINGLE_WORD
    stand_ins = marks(SPECIAL_TOKENS)
    return [
        stand_ins.get(entry, entry if single_word.fullmatch(entry) else f"{MARK}{number}")
        for number, entry in enumerate(entries)
    ]


def model_bytes(
    entries: Sequence[str], unk: int | None = None, chinese_words: bool = False, added: Mapping[int, bool] | None = None
) -> bytes:
    """Return the bytes of a vocabulary's model. Imports tensorflow_text; takes about 0.1 s for 21,128 entries.

    `unk` is the id of the unknown token, if that is not [UNK]. With `chinese_words` the model reads single words, not
    texts, and Chinese characters are letters. `added` maps the id of every added token to whether the token is also a
    word of the vocabulary; then the model has two more words, `ADDED_MARKS`, whose ids come after the vocabulary's.
    """
    from tensorflow_text.core.pybinds import pywrap_fast_wordpiece_tokenizer_model_builder as builder

    words = reachable(entries, chinese_words)
    unknown = marks(SPECIAL_TOKENS)[UNK] if unk is None else words[unk]
    if added:
        hidden = {number for number, is_word in added.items() if not is_word}
        hidden |= {number for number, word in enumerate(words) if word in ADDED_MARKS}
        words = [*(f"{MARK}{n}" if n in hidden else word for n, word in enumerate(words)), *ADDED_MARKS]
    # Longest word in bytes, prefix, unknown token, no splitting at spaces and punctuation, no support for detokenising.
    arguments = (4 * WORD_LIMIT, CONTINUATION, unknown, chinese_words, False)
    return bytes(builder.build_fast_wordpiece_model(words, *arguments))


def vocabulary_sha256(entries: Sequence[str]) -> str:
    """Return the sha256 of a vocabulary's entries, each followed by a line feed."""
    return hashlib.sha256("".join(f"{entry}\n" for entry in entries).encode()).hexdigest()
