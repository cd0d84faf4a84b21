"""The WordPiece model of one vocabulary: texts to pieces and back. One op, whose model is a constant of the graph.

FastWordpieceTokenizer holds the vocabulary as a constant, so an archive needs no table and no asset file: nothing has
to be initialised, the loaded model does not need the unpacked directory, and saved_model.pb holds no path and no random
table name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from tokenizer import normalisation
from tokenizer.added import AddedTokens, any_of
from tokenizer.ragged import by_text
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import UNK, Vocabulary
from zoo.archive.wordpiece_model import (
    ADDED_MARKS,
    FOUND_AS_GIVEN,
    FOUND_NORMALISED,
    MARK,
    SPECIAL_TOKENS,
    marks,
    model_bytes,
)
from zoo.errors import Unsupported


class WordPiece:
    """Maps texts to the original BERT tokenizer's pieces. Plain Python around ops; its methods are called in a graph.

    A special token in a text is split like any other word, unless `special_tokens_in_text` is set. Then every [PAD],
    [UNK], [CLS], [SEP] and [MASK] that a text holds in exactly this spelling is one word, before any other rule is
    applied, and separates the words beside it as a space would. (Hugging Face does the same.) These five have marks of
    their own. Special tokens with other spellings, and all if there are added tokens, are found as added tokens are.
    """

    def __init__(self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> None:
        self.rules = rules
        self.chinese_words = not rules.tokenize_chinese_chars
        is_usual = rules.has_usual_tokens_alone
        self.kept_whole = marks(SPECIAL_TOKENS) if special_tokens_in_text and is_usual else {}
        added = () if is_usual else rules.whole_tokens(vocabulary, special_tokens_in_text)
        self.given, self.normalised = self._searches(added)
        self.searches = [search for search in (self.given, self.normalised) if search]
        self._in_plain_texts = [*self._patterns_in_plain_texts()]
        self._size = len(vocabulary)
        self._model = tf_text.FastWordpieceTokenizer(
            token_out_type=tf.int32,
            model_buffer=model_bytes(
                vocabulary.entries,
                rules.special_ids(vocabulary)[UNK],
                self.chinese_words,
                {token.id: token.in_vocabulary for token in added},
            ),
            no_pretokenization=self.chinese_words,
        )

    def _searches(self, added: Iterable[AddedToken]) -> tuple[AddedTokens | None, AddedTokens | None]:
        """Return the search in texts as given and the search in normalised texts; None where there is no such token.

        The normalised forms of two tokens may be equal; the first token wins, special ones before others.
        """
        first = sorted(added, key=lambda token: not token.special)
        given = {token.content: token for token in first if not token.normalized}
        later = [token for token in first if token.normalized]
        forms = self._normal_forms([token.content for token in later]) if later else []
        normalised = dict(reversed([*zip(forms, later, strict=True)]))
        # Hugging Face puts spaces around Chinese characters before it looks beside a normalised token.
        apart = None if self.chinese_words else f"[{normalisation.CJK}]"
        return (
            AddedTokens(given, FOUND_AS_GIVEN) if given else None,
            AddedTokens(normalised, FOUND_NORMALISED, apart) if normalised else None,
        )

    def _normal_forms(self, contents: Sequence[str]) -> list[str]:
        """Return the normalised forms of added tokens. Raises Unsupported if nothing is left of one."""
        folded = self.fold(normalisation.clean(tf.constant(contents), has_marks=False))
        forms = [form.decode() for form in folded.numpy().tolist()]
        if empty := [content for content, form in zip(contents, forms, strict=True) if not form.strip()]:
            raise Unsupported(
                f"The added token {empty[0]!r} is to be found in normalised texts, which hold none of its characters. "
                "Remove the token, or set its `normalized` to false."
            )
        return forms

    def normalise(self, text: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the texts as the words and spaces that FastWordpiece reads, (B,) strings in and out.

        For each search there is one more tensor: the ids of the tokens that it found. See `pieces`.
        """
        text = normalisation.mark(normalisation.valid(text), self.kept_whole)
        ids = []
        if self.given:
            found = self.given.find(normalisation.without_marks(text))
            text = found.marked()
            ids.append(found.ids())
        text = self.fold(self.clean(text))
        if self.normalised:
            found = self.normalised.find(text)
            text = found.marked()
            ids.append(found.ids())
        return self.space(text), *ids

    def clean(self, text: tf.Tensor) -> tf.Tensor:
        """Return `normalisation.clean`; marks stay."""
        return normalisation.clean(text, has_marks=bool(self.kept_whole or self.given))

    def fold(self, text: tf.Tensor) -> tf.Tensor:
        """Return the texts in lower case and without accents, as far as the rules say so."""
        if self.rules.lower_case:
            text = normalisation.lower(text)
        if self.rules.strip_accents:
            text = normalisation.strip_accents(normalisation.decompose(text))
        return text

    def space(self, text: tf.Tensor) -> tf.Tensor:
        """Return `normalisation.space` for the marks of this tokenizer."""
        own_marks = f"[{FOUND_AS_GIVEN}{FOUND_NORMALISED}]" if self.searches else f"{MARK}[0-9]+{MARK}"
        has_marks = self.kept_whole or self.searches
        return normalisation.space(text, own_marks if has_marks else "", self.chinese_words)

    def is_plain(self, text: tf.Tensor) -> tf.Tensor:
        """Return whether a text needs no other rule than lower-casing, and holds no added token."""
        is_plain = self._is_plain(text)
        for pattern in self._in_plain_texts:
            is_plain &= tf.logical_not(tf.strings.regex_full_match(text, pattern))
        return is_plain

    def _patterns_in_plain_texts(self) -> Iterator[str]:
        """Yield patterns of the texts that look plain, but hold an added token."""
        for search in self.searches:
            # A text that holds a token of other characters does not look plain.
            looks_plain = self._is_plain(tf.constant([*search.tokens])).numpy()
            if contents := [*itertools.compress(search.tokens, looks_plain)]:
                any_case = "i" if self.rules.lower_case and search is self.normalised else ""
                yield f"(?s{any_case}:.*(?:{any_of(contents)}).*)"

    def _is_plain(self, text: tf.Tensor) -> tf.Tensor:
        return normalisation.is_plain(text, self.kept_whole, self.chinese_words)

    def pieces(self, prepared: tf.Tensor, *found: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of each text that `normalise` gave: (B, (pieces)) int32. Marks become the ids in `found`."""
        read, regroup = self.read(prepared)
        return regroup(self.with_found(self._model.tokenize(read), found))

    def read(self, prepared: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.RaggedTensor], tf.RaggedTensor]]:
        """Return the strings that the model reads, and a function that regroups their pieces by text.

        The model reads whole texts. Only where Chinese characters stay in words, words are split off before.
        """
        if not self.chinese_words:
            return prepared, lambda pieces: pieces
        words = tf.strings.split(prepared)
        return words.values, lambda pieces: by_text(words.with_values(pieces))

    def pieces_with_offsets(
        self, read: tf.Tensor, found: Sequence[tf.Tensor]
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Return ids, starts and limits, (R, (pieces)) each, of R strings. Starts and limits are bytes of a string."""
        pieces, starts, limits = self._model.tokenize_with_offsets(read)
        return self.with_found(pieces, found), starts, limits

    def with_found(self, pieces: tf.RaggedTensor, found: Sequence[tf.Tensor]) -> tf.RaggedTensor:
        """Return the pieces with the k-th mark of a search replaced by the k-th id that the search found."""
        values = pieces.values
        for search, ids in zip(self.searches, found, strict=True):
            mark = self._size + ADDED_MARKS.index(search.mark)
            values = tf.tensor_scatter_nd_update(values, tf.where(values == mark), ids)
        return pieces.with_values(values) if found else pieces
