"""BERT's basic tokenizer as string ops: any bytes in, words separated by spaces out. Every op works on any shape.

Source: BasicTokenizer of google-research/bert (tokenization.py). Which characters count as what follows the tables
inside TensorFlow: RE2's classes equal Python's `unicodedata` on every assigned code point, ICU's lower case is that of
Unicode 13. NFKC case folding, as tensorflow-text's own BertTokenizer does it, would turn ，！？ into ASCII.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_text as tf_text

from zoo.archive import wordpiece_model
from zoo.archive.wordpiece_model import MARK, WORD_LIMIT

CJK = "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in wordpiece_model.CJK)
PUNCTUATION = r"[[:punct:]\p{P}]"
WHITESPACE = r"[\t\n\r\p{Zs}\p{Zl}\p{Zp}]"
DROPPED = r"[\x00\x02-\x1F\x7F-\x9F\p{Cf}\x{FFFD}]"  # Cc, Cf and the replacement character; MARK apart

# Characters that the model splits as BERT does, and that nothing but a lower case of ASCII changes: most Chinese texts
# hold no others. Runs of more than WORD_LIMIT in ASCII, where a word may be too long, are left to the other rules.
_COMMON = r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}，。！？；：、…—·“”‘’（）《》〈〉【】「」『』"


def is_plain(text: tf.Tensor, kept_whole: Mapping[str, str]) -> tf.Tensor:
    """Whether the model may read a text as it is, but for capitals; false for anything that is not UTF-8."""
    ascii_run = r"[!-Z\\^-~]{0,%d}" if kept_whole else r"[!-~]{0,%d}"
    run = ascii_run % WORD_LIMIT
    return tf.strings.regex_full_match(text, rf"(?:{run}[ {_COMMON}])*{run}")


def valid(text: tf.Tensor) -> tf.Tensor:
    """Bytes that are not UTF-8 dropped, as `bytes.decode('utf-8', 'ignore')` does."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="ignore")


def mark(text: tf.Tensor, kept_whole: Mapping[str, str]) -> tf.Tensor:
    """The special tokens to keep whole, in exactly this spelling, become their marks; as many characters as before."""
    if not kept_whole:
        return text
    text = tf.strings.regex_replace(text, MARK, "\x02")
    for token, stand_in in kept_whole.items():
        text = tf.strings.regex_replace(text, rf"\[{token[1:-1]}\]", stand_in)
    return text


def clean(text: tf.Tensor, kept_whole: Mapping[str, str]) -> tf.Tensor:
    """Whitespace becomes ' ', control characters go. Works on single characters as it does on texts."""
    text = tf.strings.regex_replace(text, WHITESPACE, " ")
    return tf.strings.regex_replace(text, DROPPED if kept_whole else rf"{DROPPED}|{MARK}", "")


def lower(text: tf.Tensor) -> tf.Tensor:
    """str.lower(), final sigma included; only İ becomes two characters."""
    return tf.strings.lower(text, encoding="utf-8")


def decompose(text: tf.Tensor) -> tf.Tensor:
    """Canonical decomposition (NFD), combining marks in canonical order."""
    return tf_text.normalize_utf8(text, "NFD")


def strip_accents(text: tf.Tensor) -> tf.Tensor:
    """Nonspacing marks dropped."""
    return tf.strings.regex_replace(text, r"\p{Mn}", "")


def space(text: tf.Tensor, kept_whole: Mapping[str, str]) -> tf.Tensor:
    """Spaces around punctuation and marks. WordPiece splits off CJK characters by itself."""
    split_off = rf"{MARK}[0-9]+{MARK}|{PUNCTUATION}" if kept_whole else PUNCTUATION
    return blank_long_words(tf.strings.regex_replace(text, split_off, r" \0 "))


def blank_long_words(text: tf.Tensor) -> tf.Tensor:
    """Words over the limit become as many MARKs, which are in no vocabulary; (B,) strings in and out.

    The limit counts characters; tensorflow-text's `max_bytes_per_word` counts bytes. Finding a long word costs two
    passes over a text of more than WORD_LIMIT bytes and nothing below, replacing it is left to the texts that have one.
    """

    def some_word_is_long() -> tf.Tensor:
        words = tf.strings.split(tf.strings.regex_replace(text, f"[{CJK}]+", " ")).values
        return tf.reduce_any(tf.strings.length(words, "UTF8_CHAR") > WORD_LIMIT)

    def blanked() -> tf.Tensor:
        words = tf.strings.split(tf.strings.regex_replace(text, f"[{CJK}]", r" \0 "))
        is_long = tf.strings.length(words.values, "UTF8_CHAR") > WORD_LIMIT
        long_words = tf.strings.regex_replace(tf.boolean_mask(words.values, is_long), ".", MARK)
        values = tf.tensor_scatter_nd_update(words.values, tf.where(is_long), long_words)
        return tf.strings.reduce_join(words.with_values(values), axis=-1, separator=" ")

    has_long_text = tf.reduce_any(tf.strings.length(text) > WORD_LIMIT)
    has_long_word = tf.cond(has_long_text, some_word_is_long, lambda: tf.constant(False))
    return tf.cond(has_long_word, blanked, lambda: text)
