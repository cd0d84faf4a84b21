r"""Added tokens as string ops: finds whole tokens in texts and puts one mark in the place of each.

Source: AddedVocabulary of Hugging Face's tokenizers. Tokens are found from left to right; if several begin at one
place, the longest is found. Tokens that are not `normalized` are looked for in the text as given, the others afterwards
in the normalised text. A mark is one character that no text holds, so the steps of the normalisation leave it as it is,
and the k-th mark of all texts is the k-th token that was found.

Shapes: B texts, T tokens found in all texts together, P pairs of all texts together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import tensorflow as tf

from tokenizer.rules import AddedToken

# \w and \s of Rust's regular expressions, with which the original looks beside a token. RE2 lacks the class Alphabetic;
# beyond letters, marks and letter-like numbers it holds the letters in circles and squares.
_CIRCLED = r"\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}"
_WORD = rf"[\p{{L}}\p{{M}}\p{{Nl}}\p{{Nd}}\p{{Pc}}\x{{200C}}\x{{200D}}{_CIRCLED}]"
_SPACE = r"[\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"


class AddedTokens:
    """The added tokens that one kind of text is searched for. Plain Python around ops; `find` is called in a graph.

    `tokens` maps the content to look for (of a `normalized` token in its normalised form) to the token. `mark` is the
    character that is put in their place. `apart` is a class of characters that are no parts of words beside a
    `single_word` token.
    """

    def __init__(self, tokens: Mapping[str, AddedToken], mark: str, apart: str | None = None) -> None:
        self.tokens, self.mark, self._apart = tokens, mark, apart
        self._pattern = any_of(tokens)

    def find(self, text: tf.Tensor) -> Found:
        """Return the tokens in texts (B,) that hold no mark yet."""
        wrapped = tf.strings.regex_replace(text, self._pattern, rf"{self.mark}\0{self.mark}")
        segments = tf.strings.split(tf.strings.join([wrapped, self.mark]), self.mark)
        before, token = tf.unstack(tf.reshape(segments.values, [-1, 2]), axis=1)  # (P,) each
        is_found = token != ""
        if single := self.those_with("single_word"):
            left = tf.where(before == "", _previous(token, ""), before)
            right = tf.where(_next(before, "") == "", _next(token, ""), _next(before, ""))
            is_joined = self._is_word(".*{}", left) | self._is_word("{}.*", right)
            is_found &= tf.logical_not(_is(single, token) & is_joined)
        return Found(self, segments, before, token, is_found)

    def those_with(self, flag: str) -> str | None:
        """Return a pattern for the tokens that have a flag, None if no token has it."""
        chosen = [content for content, token in self.tokens.items() if getattr(token, flag)]
        return any_of(chosen) if chosen else None

    def _is_word(self, place: str, text: tf.Tensor) -> tf.Tensor:
        """Return whether the last character (place ".*{}") or the first ("{}.*") is part of a word."""
        found = _is(place.format(_WORD), text)
        return found if self._apart is None else found & tf.logical_not(_is(place.format(self._apart), text))


class Found(NamedTuple):
    """The result of a search. Each text is cut into pairs: a part without a token, then a token.

    The token of a text's last pair is empty. "a[E]b[E]" gives the pairs ("a", "[E]"), ("b", "[E]"), ("", ""). A token
    that `single_word` forbids is cut out too, but `is_found` is false there.
    """

    tokens: AddedTokens
    segments: tf.RaggedTensor  # (B, (2 for each pair))
    before: tf.Tensor  # (P,)
    token: tf.Tensor  # (P,)
    is_found: tf.Tensor  # (P,)

    def ids(self) -> tf.Tensor:
        """Return the ids of the tokens that were found, (T,) int32."""
        contents = tf.constant([*self.tokens.tokens])
        ids = tf.constant([token.id for token in self.tokens.tokens.values()], tf.int32)
        found = tf.boolean_mask(self.token, self.is_found)
        return tf.gather(ids, tf.where(found[:, tf.newaxis] == contents)[:, 1])

    def marked(self) -> tf.Tensor:
        """Return the texts (B,) with a mark in the place of every token that was found."""
        return self._joined(self.before)

    def swallowed(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return `marked()` without the white space that tokens swallow, and the number of characters of each mark.

        The numbers are (T,) int64: a mark for "[E] " stands for 4 characters. White space beside a mark makes no
        difference to the ids, only to offsets.
        """
        before, widths = self.before, _length(self.token)
        if swallows := self.tokens.those_with("rstrip"):
            swallowing = self.is_found & _is(swallows, self.token)
            rest = tf.where(_previous(swallowing, False), _without(f"^{_SPACE}+", before), before)
            widths += _next(_length(before) - _length(rest), 0)
            before = rest
        if swallows := self.tokens.those_with("lstrip"):
            rest = tf.where(self.is_found & _is(swallows, self.token), _without(f"{_SPACE}+$", before), before)
            widths += _length(before) - _length(rest)
            before = rest
        return self._joined(before), tf.cast(tf.boolean_mask(widths, self.is_found), tf.int64)

    def _joined(self, before: tf.Tensor) -> tf.Tensor:
        pairs = tf.stack([before, tf.where(self.is_found, self.tokens.mark, self.token)], axis=1)  # (P, 2)
        return tf.strings.reduce_join(self.segments.with_values(tf.reshape(pairs, [-1])), axis=-1)


def any_of(contents: Iterable[str]) -> str:
    """Return a pattern for any of some texts.

    RE2 takes the first that fits, so a longer text has to come before its beginnings: "abc" before "ab". In this order
    texts that begin alike also stand together, and RE2 needs less memory.
    """
    return "|".join(map(_quoted, sorted(contents, reverse=True)))


def _quoted(content: str) -> str:
    return re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", content)


def _is(pattern: str, text: tf.Tensor) -> tf.Tensor:
    return tf.strings.regex_full_match(text, f"(?s:{pattern})")


def _without(pattern: str, text: tf.Tensor) -> tf.Tensor:
    return tf.strings.regex_replace(text, pattern, "")


def _length(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.length(text, "UTF8_CHAR")


def _previous(values: tf.Tensor, first: str | bool) -> tf.Tensor:
    """Return, for each place, the value one place before; `first` for the first place."""
    return tf.concat([[first], values], axis=0)[:-1]


def _next(values: tf.Tensor, last: str | int) -> tf.Tensor:
    return tf.concat([values, [last]], axis=0)[1:]
