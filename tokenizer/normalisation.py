"""BERT's basic tokenizer as string ops: any bytes in, words separated by spaces out. Every op works on any shape.

Source: BasicTokenizer of google-research/bert (tokenization.py). Tables inside TensorFlow say which character is a
letter, a space or punctuation: RE2's classes equal Python's `unicodedata` on every assigned code point, ICU's lower
case is that of Unicode 13. tensorflow-text's own BertTokenizer is not used, because it folds case with NFKC, which
would turn ，！？ into ASCII.
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

# The characters of plain text: FastWordpiece splits them as BERT does, and the rules below change nothing in them but
# ASCII capitals. Most Chinese texts hold no other characters. A run of more than WORD_LIMIT ASCII characters is not
# plain, because it may hold a word that is too long.
IDEOGRAPHS = r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}"
SIGNS = "，。！？；：、…—·“”‘’（）《》〈〉【】「」『』"


def is_plain(text: tf.Tensor, kept_whole: Mapping[str, str], chinese_words: bool) -> tf.Tensor:
    """Return whether a text needs no other rule than lower-casing; false for bytes that are not UTF-8.

    Where Chinese characters stay in words, the model reads words and splits nothing: plain texts have no punctuation.
    """
    if chinese_words:
        run = rf"[0-9A-Za-z{IDEOGRAPHS}]{{0,{WORD_LIMIT}}}"
        return tf.strings.regex_full_match(text, f"(?:{run} )*{run}")
    ascii_run = r"[!-Z\\^-~]{0,%d}" if kept_whole else r"[!-~]{0,%d}"
    run = ascii_run % WORD_LIMIT
    return tf.strings.regex_full_match(text, rf"(?:{run}[ {IDEOGRAPHS}{SIGNS}])*{run}")


def valid(text: tf.Tensor) -> tf.Tensor:
    """Drop bytes that are not UTF-8, as `bytes.decode('utf-8', 'ignore')` does."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="ignore")


def mark(text: tf.Tensor, kept_whole: Mapping[str, str]) -> tf.Tensor:
    """Replace every special token of `kept_whole`, spelled exactly so, by its mark, which has as many characters."""
    if not kept_whole:
        return text
    text = without_marks(text)
    for token, stand_in in kept_whole.items():
        text = tf.strings.regex_replace(text, rf"\[{token[1:-1]}\]", stand_in)
    return text


def without_marks(text: tf.Tensor) -> tf.Tensor:
    """Replace MARK by another character that `clean` drops."""
    return tf.strings.regex_replace(text, MARK, "\x02")


def clean(text: tf.Tensor, has_marks: bool) -> tf.Tensor:
    """Turn whitespace into ' ' and drop control characters, except for marks. Works on texts and on characters."""
    text = tf.strings.regex_replace(text, WHITESPACE, " ")
    return tf.strings.regex_replace(text, DROPPED if has_marks else rf"{DROPPED}|{MARK}", "")


def lower(text: tf.Tensor) -> tf.Tensor:
    """Lower-case as str.lower() does, final sigma included. Only İ becomes two characters."""
    return tf.strings.lower(text, encoding="utf-8")


def decompose(text: tf.Tensor) -> tf.Tensor:
    """Decompose characters canonically (NFD): é becomes e and U+0301, combining marks in canonical order."""
    return tf_text.normalize_utf8(text, "NFD")


def strip_accents(text: tf.Tensor) -> tf.Tensor:
    """Drop nonspacing marks, such as the U+0301 of a decomposed é."""
    return tf.strings.regex_replace(text, r"\p{Mn}", "")


def space(text: tf.Tensor, marks: str, chinese_words: bool) -> tf.Tensor:
    """Put spaces around punctuation and marks. FastWordpiece splits off CJK characters by itself."""
    split_off = f"{marks}|{PUNCTUATION}" if marks else PUNCTUATION
    text = tf.strings.regex_replace(text, split_off, r" \0 ")
    return blank_long_words(text, chinese_words)


def blank_long_words(text: tf.Tensor, chinese_words: bool) -> tf.Tensor:
    """Replace every character of a word over WORD_LIMIT by MARK, which begins no word; (B,) strings in and out.

    The limit counts characters; tensorflow-text's `max_bytes_per_word` counts bytes. A search for long words takes two
    passes over the texts and happens only if a text has more than WORD_LIMIT bytes. Words are replaced only if the
    search finds a long one.
    """

    def some_word_is_long() -> tf.Tensor:
        words = tf.strings.split(text if chinese_words else tf.strings.regex_replace(text, f"[{CJK}]+", " ")).values
        return tf.reduce_any(tf.strings.length(words, "UTF8_CHAR") > WORD_LIMIT)

    def blanked() -> tf.Tensor:
        words = tf.strings.split(text if chinese_words else tf.strings.regex_replace(text, f"[{CJK}]", r" \0 "))
        is_long = tf.strings.length(words.values, "UTF8_CHAR") > WORD_LIMIT
        long_words = tf.strings.regex_replace(tf.boolean_mask(words.values, is_long), ".", MARK)
        values = tf.tensor_scatter_nd_update(words.values, tf.where(is_long), long_words)
        return tf.strings.reduce_join(words.with_values(values), axis=-1, separator=" ")

    has_long_text = tf.reduce_any(tf.strings.length(text) > WORD_LIMIT)
    has_long_word = tf.cond(has_long_text, some_word_is_long, lambda: tf.constant(False))
    return tf.cond(has_long_word, blanked, lambda: text)
