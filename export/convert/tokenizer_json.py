"""tokenizer.json, which Hugging Face's tokenizers read in Rust, Python and JavaScript, with the ids of our tokenizer.

Their own BertNormalizer and BertPreTokenizer follow other Unicode tables than the archive's graph. Here every rule is
spelled out as ranges of code points, read off the operations of that graph, so that no table of the runtime counts but
those of lower case and canonical decomposition.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from tokenizer.normalisation import CJK, DROPPED, MARK, PUNCTUATION, WHITESPACE, lower
from tokenizer.rules import AddedToken, TokenizerRules
from zoo.archive.tokenizer_json import content_of

DIFFERENCES = (
    "Capitals of Unicode 14 and later (Glagolitic U+2C2F, six of Latin Extended-D, Vithkuqi, Garay) stay capitals in "
    "the archive and are lowered by a runtime whose tables know them; canonical decompositions of that age likewise.",
    "Half of a surrogate pair, which a JavaScript string may hold, is no text.",
)


def tokenizer_json(entries: Sequence[str], rules: TokenizerRules, whole: Sequence[AddedToken] = ()) -> dict[str, Any]:
    """Return the content of a tokenizer.json for a vocabulary, its entries in the order of their ids.

        tokenizer_json(Vocabulary.read(path).entries, TokenizerRules.original(lower_case=True))

    `zoo.archive.tokenizer_json.content_of` says more.
    """
    return content_of(entries, rules, whole, characters)


# -- characters -------------------------------------------------------------------------------------------------------


def characters(name: str) -> str:
    """Return the class of one of `CHARACTERS`, or what finds a final sigma."""
    return _matching(_PATTERNS[name]) if name in _PATTERNS else _final_sigma()


_PATTERNS = {
    "white space": WHITESPACE,
    "dropped": f"{DROPPED}|{MARK}",
    "marks": r"\p{Mn}",
    "punctuation": PUNCTUATION,
    "punctuation and Chinese characters": rf"[{CJK}]|{PUNCTUATION}",
}


@cache
def _matching(pattern: str) -> str:
    r"""Return the class of all characters that match a pattern of the graph: "[\x{9}-\x{A}…]"."""
    return _class(tf.strings.regex_full_match(_characters()[1], pattern).numpy())


@cache
def _final_sigma() -> str:
    """Return what finds a capital sigma that ends a word. Rust lowers it to σ wherever it stands.

    After a cased letter and before none; characters that are neither letters nor between words do not count.
    """
    chars = _characters()[1]
    is_cased = _lowered("aΣ", chars, "") == "σ".encode()
    is_skipped = ~is_cased & (_lowered("aΣ", chars, "a") == "σ".encode())
    cased, skipped = _class(is_cased), _class(is_skipped)
    return f"(?<={cased}{skipped}*)Σ(?!{skipped}*{cased})"


def _lowered(before: str, chars: tf.Tensor, after: str) -> np.ndarray:
    """Return what becomes of the last character of `before`."""
    lowered = lower(tf.strings.join([before, chars, after]))
    result: np.ndarray = tf.strings.substr(lowered, len(before) - 1, 1, unit="UTF8_CHAR").numpy()
    return result


def _class(is_in: np.ndarray) -> str:
    r"""Return a class of characters, `[\x{4E00}-\x{9FFF}…]`: Oniguruma's syntax, read in JavaScript too."""
    codes = _characters()[0][is_in]
    starts = codes[np.diff(codes, prepend=-2) > 1]
    ends = codes[np.diff(codes, append=0x110001) > 1]
    return "[" + "".join(rf"\x{{{a:X}}}-\x{{{b:X}}}" for a, b in zip(starts, ends, strict=True)) + "]"


@cache
def _characters() -> tuple[np.ndarray, tf.Tensor]:
    """Every code point but the surrogates, and the same as strings."""
    codes = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x110000)]).astype(np.int32)
    return codes, tf.strings.unicode_encode(codes[:, None], "UTF-8")
