"""A tokenizer in core TensorFlow operations alone: all words, or all characters, of all texts at once.

Its ids are those of tokenizer/wordpiece.py, which needs tensorflow-text. A text takes one of two ways. ASCII text is
split into words by regular expressions, and a table of the vocabulary knows the ids of most words. Any other text is
decoded, and tokenizer/characters.py says what becomes of each character. On both ways, words that are no entries
themselves are split by a double array (tokenizer/trie.py).

Shapes: B texts, C characters of all texts together, W words, P pieces, T added tokens found in all texts together.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tokenizer import normalisation
from tokenizer.added import AddedTokens, any_of
from tokenizer.characters import ALONE, IGNORED, INSIDE, KIND, LETTER, PAGE, SIGMA, casing_table, character_table
from tokenizer.core_rules import checked_for_core
from tokenizer.graph import Graph, seldom_called
from tokenizer.ragged import owners, spread
from tokenizer.rules import TokenizerRules
from tokenizer.trie import make_trie
from tokenizer.vocabulary import CONTINUATION, UNK, Vocabulary
from zoo.archive.wordpiece_model import FOUND_AS_GIVEN, WORD_LIMIT

_FINAL_SIGMA = "\u03c2"
_LENGTH = 1 << 20  # what was matched is its length times _LENGTH plus its id + 1
_INTEGERS = tf.TensorSpec([None], tf.int32)


class Characters(NamedTuple):
    """The characters of all texts, (C,) each."""

    coded: tf.Tensor  # kind and symbol, int32
    text: tf.Tensor  # the number of the text, int64
    bytes: tuple[tf.Tensor, ...] = ()  # where offsets are wanted: first byte in the text, and the byte behind, int64

    def select(self, places: tf.Tensor) -> Characters:
        """Return the characters at a list of places."""
        return tf.nest.map_structure(lambda column: tf.gather(column, places), self)


class CoreGraph(Graph):
    """The inner functions of a tokenizer. Raises Unsupported for rules that core operations cannot follow yet."""

    def __init__(self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> None:
        super().__init__(vocabulary, rules)
        checked_for_core(vocabulary, rules, special_tokens_in_text)
        whole = rules.whole_tokens(vocabulary, special_tokens_in_text)
        self._added = AddedTokens({token.content: token for token in whole}, FOUND_AS_GIVEN) if whole else None
        self._lower_case, self._unknown = rules.lower_case, self.ids[UNK]
        self._split = seldom_called(self._split_words, _INTEGERS, _INTEGERS, _INTEGERS)

        unreachable = {token.id for token in whole if not token.in_vocabulary}
        ids = {
            entry: number
            for number, entry in enumerate(vocabulary.entries)
            if number not in unreachable and len(entry) <= WORD_LIMIT
        }
        begins = {entry: number for entry, number in ids.items() if not entry.startswith(CONTINUATION)}
        continues = {entry[len(CONTINUATION) :]: ids[entry] for entry in ids.keys() - begins.keys()}
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant([*begins]), tf.constant([*begins.values()], tf.int32)), -1
        )
        self.resources = {"whole_words": self._table}

        symbols = {char: number for number, char in enumerate(sorted(set("".join(vocabulary.entries))), start=1)}
        trie = make_trie(
            *(
                {tuple(map(symbols.__getitem__, entry)): number for entry, number in each.items()}
                for each in (begins, continues)
            )
        )
        self._parent, self._base, self._id = (tf.constant(column) for column in (trie.parent, trie.base, trie.id))
        self._begins, self._continues = trie.begins, trie.continues
        self._mark = len(symbols) + 1  # the symbol of a character that stands for an added token
        table = character_table(symbols, rules, self._mark if whole else None)
        alone = [self._unknown, *(begins.get(char, self._unknown) for char in symbols), self._unknown]
        self._id_of_symbol = tf.constant(alone, tf.int32)
        self._page_of, self._coded = tf.constant(table.page_of * PAGE), tf.constant(table.coded.reshape(-1))
        self._several, self._lengths = tf.constant(table.several), tf.constant(table.lengths)
        self._final_sigma = INSIDE * KIND + symbols.get(_FINAL_SIGMA, 0)
        self._casing = None
        if rules.lower_case and symbols.get(_FINAL_SIGMA) != symbols.get(_FINAL_SIGMA.upper().lower()):
            page_of, kinds = casing_table(bool(whole))
            self._casing = tf.constant(page_of * PAGE), tf.constant(kinds.reshape(-1))

    def pieces(self, text: tf.Tensor) -> tf.RaggedTensor:
        is_ascii = tf.strings.regex_full_match(text, r"[ -~]*")
        if self._added:
            holds_added = tf.strings.regex_full_match(text, f"(?s:.*(?:{any_of(self._added.tokens)}).*)")
            is_ascii &= tf.logical_not(holds_added)

        def mixed() -> tf.RaggedTensor:
            of_ascii, of_others = tf.where(is_ascii)[:, 0], tf.where(tf.logical_not(is_ascii))[:, 0]
            found = [self._pieces_of_ascii(tf.gather(text, of_ascii)), self._pieces_of_any(tf.gather(text, of_others))]
            order = tf.math.invert_permutation(tf.concat([of_ascii, of_others], 0))
            return tf.gather(tf.concat(found, 0), order)

        def not_all() -> tf.RaggedTensor:
            return tf.cond(tf.reduce_any(is_ascii), mixed, lambda: self._pieces_of_any(text))

        return tf.cond(tf.reduce_all(is_ascii), lambda: self._pieces_of_ascii(text), not_all)

    def with_offsets(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        rows = tf.size(text, tf.int64)
        codes, starts = tf.strings.unicode_decode_with_offsets(text, "UTF-8", errors="ignore")
        chars = tf.strings.unicode_encode(codes.values[:, tf.newaxis], "UTF-8", errors="ignore")
        begin, end = starts.values, starts.values + tf.cast(tf.strings.length(chars), tf.int64)
        found = tf.zeros([0], tf.int32)
        if self._added:
            tokens = self._added.find(normalisation.without_marks(tf.strings.reduce_join(codes.with_values(chars), -1)))
            marked, widths = tokens.swallowed()
            codes, found = _decoded(marked), tokens.ids()
            is_mark = tf.where(codes.values == ord(FOUND_AS_GIVEN))
            width = tf.tensor_scatter_nd_update(tf.ones_like(codes.values, tf.int64), is_mark, widths)
            behind = tf.cumsum(width)
            begin, end = tf.gather(begin, behind - width), tf.gather(end, behind - 1)
        characters = self._characters(codes.values, owners(codes.row_splits), (begin, end))
        ids, kept = self._match(characters, found)
        pieces = self._ragged(ids, kept, characters.text, rows)
        # Every character of a word belongs to the last piece that has begun.
        in_words = tf.where(characters.coded >= ALONE * KIND)[:, 0]
        piece = tf.gather(tf.cumsum(tf.cast(kept, tf.int64)) - 1, in_words)
        first, limit = characters.select(in_words).bytes
        return (
            pieces,
            pieces.with_values(tf.math.segment_min(first, piece)),
            pieces.with_values(tf.math.segment_max(limit, piece)),
        )

    # -- ASCII texts: words are strings -------------------------------------------------------------------------------

    def _pieces_of_ascii(self, text: tf.Tensor) -> tf.RaggedTensor:
        text = tf.strings.lower(text) if self._lower_case else text
        words = tf.strings.split(tf.strings.regex_replace(text, "[[:punct:]]", r" \0 "))
        ids = tf.reshape(self._table.lookup(words.values), [-1])  # (W,)

        def some_split() -> tf.RaggedTensor:
            missed = tf.where(ids < 0)[:, 0]
            codes = _decoded(tf.gather(words.values, missed))
            symbols = tf.gather(self._coded, _place(self._page_of, codes.values)) % KIND
            splits = tf.cast(codes.row_splits, tf.int32)
            found, kept = self._split(symbols, splits[:-1], splits[1:])
            before = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int32))], 0)
            counts = tf.gather(before, splits[1:]) - tf.gather(before, splits[:-1])
            counts = tf.tensor_scatter_nd_update(tf.ones_like(ids), missed[:, tf.newaxis], counts)
            ends = tf.cumsum(counts)
            word = spread(tf.range(tf.size(ids)), ends - counts, tf.reduce_sum(counts))  # (P,)
            pieces = tf.gather(ids, word)
            pieces = tf.tensor_scatter_nd_update(pieces, tf.where(pieces < 0), tf.boolean_mask(found, kept))
            row_splits = tf.gather(tf.concat([[0], ends], 0), words.row_splits)
            return tf.RaggedTensor.from_row_splits(pieces, tf.cast(row_splits, tf.int64), validate=False)

        return tf.cond(tf.reduce_any(ids < 0), some_split, lambda: words.with_values(ids))

    # -- any texts: words are ranges of characters --------------------------------------------------------------------

    def _pieces_of_any(self, text: tf.Tensor) -> tf.RaggedTensor:
        found = tf.zeros([0], tf.int32)
        if self._added:
            tokens = self._added.find(normalisation.without_marks(normalisation.valid(text)))
            text, found = tokens.marked(), tokens.ids()
        codes = _decoded(text)
        characters = self._characters(codes.values, owners(codes.row_splits))
        return self._ragged(*self._match(characters, found), characters.text, tf.size(text, tf.int64))

    def _characters(self, codes: tf.Tensor, text: tf.Tensor, bytes_: tuple[tf.Tensor, ...] = ()) -> Characters:
        """Return the characters of words and spaces that code points (C,) become, each with its kind and symbol."""
        coded = tf.gather(self._coded, _place(self._page_of, codes))
        if self._casing:
            has_sigma = tf.reduce_any(codes == SIGMA)
            coded = tf.cond(has_sigma, lambda: self._with_final_sigmas(codes, coded, text), lambda: coded)
        characters = Characters(coded, text, bytes_)
        usual = tf.reduce_all(coded >= KIND)  # no character is dropped, none becomes several
        return tf.cond(usual, lambda: characters, lambda: self._apart(characters.select(tf.where(coded != 0)[:, 0])))

    def _apart(self, characters: Characters) -> Characters:
        """Return the characters, those that become several in full."""
        row = tf.maximum(-characters.coded, 0)  # row 0 of both tables is of characters that stay one
        counts = tf.gather(self._lengths, row)
        begin, count = tf.cumsum(counts, exclusive=True), tf.reduce_sum(counts)
        source = spread(tf.range(tf.size(counts)), begin, count)
        found = characters.select(source)
        part = tf.gather_nd(
            self._several, tf.stack([tf.gather(row, source), tf.range(count) - tf.gather(begin, source)], 1)
        )
        return found._replace(coded=tf.where(found.coded < 0, part, found.coded))

    def _with_final_sigmas(self, codes: tf.Tensor, coded: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        """Return the coded characters, with U+03C2 for each capital sigma at the end of a word.

        Source: Final_Sigma in section 3.13 of the Unicode standard. A letter has to stand before the sigma and none
        behind it, not counting dropped characters and those that are ignored, such as an apostrophe.
        """
        assert self._casing is not None
        page_of, kinds = self._casing
        kind = tf.gather(kinds, _place(page_of, codes))
        places = tf.where(kind != IGNORED)[:, 0]
        is_letter, text = tf.gather(kind, places) == LETTER, tf.gather(text, places)
        joined = is_letter[:-1] & is_letter[1:] & (text[:-1] == text[1:])
        behind_letter, before_letter = tf.concat([[False], joined], 0), tf.concat([joined, [False]], 0)
        is_final = (tf.gather(codes, places) == SIGMA) & behind_letter & tf.logical_not(before_letter)
        places = tf.boolean_mask(places, is_final)[:, tf.newaxis]
        return tf.tensor_scatter_nd_update(coded, places, tf.fill(tf.shape(places)[:1], self._final_sigma))

    def _match(self, characters: Characters, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return an id for each character, (C,) int32, and whether a piece begins there, with that id.

        `found` (T,) holds the ids of the added tokens: the k-th is that of the k-th mark.
        """
        coded, text = characters.coded, characters.text
        is_part = coded >= INSIDE * KIND
        continues = is_part[:-1] & is_part[1:] & (text[:-1] == text[1:])
        begins_word = tf.concat([[True], tf.logical_not(continues)], 0)[: tf.size(coded)]
        is_solid = coded >= ALONE * KIND
        symbols = coded % KIND
        ids = tf.gather(self._id_of_symbol, symbols)
        if self._added:
            ids = tf.tensor_scatter_nd_update(ids, tf.where(symbols == self._mark), found)

        def with_long_words() -> tuple[tf.Tensor, tf.Tensor]:
            # Every character but the first and the last of a long word lies between two that it continues.
            ends_word = tf.concat([begins_word[1:], [True]], 0)
            begin = tf.cast(tf.where(begins_word & tf.logical_not(ends_word))[:, 0], tf.int32)
            end = tf.cast(tf.where(ends_word & tf.logical_not(begins_word))[:, 0], tf.int32) + 1
            split, kept = self._split(symbols, begin, end)
            return tf.where(begins_word & ends_word, ids, split), tf.where(begins_word & ends_word, is_solid, kept)

        return tf.cond(tf.reduce_any(continues), with_long_words, lambda: (ids, is_solid))

    def _ragged(self, ids: tf.Tensor, kept: tf.Tensor, text: tf.Tensor, rows: tf.Tensor) -> tf.RaggedTensor:
        places = tf.where(kept)[:, 0]
        return tf.RaggedTensor.from_value_rowids(tf.gather(ids, places), tf.gather(text, places), rows, validate=False)

    # -- words into pieces --------------------------------------------------------------------------------------------

    def _split_words(self, symbols: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return an id for each character, (C,) int32, and whether a piece begins there, with that id.

        The words reach from `begin` to `end`, (W,) int32 each, in order. Characters between words get no piece.
        """
        # Words are laid side by side with a symbol 0 behind each, at which every match ends.
        length = end - begin
        first = tf.cumsum(length + 1, exclusive=True)  # (W,)
        count = tf.reduce_sum(length + 1)
        places = tf.range(count) + spread(begin - first, first, count)  # of each symbol among all
        last = (first + length)[:, tf.newaxis]
        apart = tf.gather(tf.concat([symbols, [0]], 0), places)
        apart = tf.tensor_scatter_nd_update(apart, last, tf.zeros_like(begin))
        ids, unknown = self._walk(apart, first, length)
        # A word that cannot be split is one unknown piece.
        begin = tf.boolean_mask(begin, unknown)[:, tf.newaxis]
        ids = ids * (1 - tf.cast(in_ranges(first, tf.where(unknown, length, 0), count), tf.int32))
        ids = tf.scatter_nd(places[:, tf.newaxis], ids, [tf.size(symbols) + 1])[:-1]
        ids = tf.tensor_scatter_nd_update(ids, begin, tf.fill(tf.shape(begin)[:1], self._unknown + 1))
        return ids - 1, ids > 0

    def _walk(self, symbols: tf.Tensor, first: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return id + 1 where a piece begins and 0 elsewhere, (C,), and which words cannot be split, (W,).

        Each step takes one piece of every word that is not at its end, so WORD_LIMIT steps are enough.
        """
        found = self._longest(symbols, first)  # (C,)
        step_of, end = found // _LENGTH, first + length
        word = tf.cast(tf.where(length <= WORD_LIMIT)[:, 0], tf.int32)

        def some_left(step: tf.Tensor, at: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape((step < WORD_LIMIT) & (tf.size(at) > 0), [])  # see zoo.safety.loops

        def next_piece(step: tf.Tensor, at: tf.Tensor, word: tf.Tensor, begins: tf.Tensor) -> tuple[tf.Tensor, ...]:
            begins = tf.tensor_scatter_nd_update(begins, at[:, tf.newaxis], tf.ones_like(at))
            taken = tf.gather(step_of, at)
            live = tf.where((taken > 0) & (at + taken < tf.gather(end, word)))[:, 0]
            return step + 1, tf.gather(at + taken, live), tf.gather(word, live), begins

        state = [0, tf.gather(first, word), word, tf.zeros_like(symbols)]
        begins = tf.while_loop(some_left, next_piece, state)[-1]
        # A word cannot be split if it is too long, or if a piece should begin where no entry does.
        stuck_before = tf.cumsum(begins * tf.cast(found == 0, tf.int32), exclusive=True)
        is_stuck = tf.gather(stuck_before, end) > tf.gather(stuck_before, first)
        return begins * (found % _LENGTH), is_stuck | (length > WORD_LIMIT)

    def _longest(self, symbols: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        """Return length * _LENGTH + id + 1 of the longest entry from each place, (C,); 0 if there is none.

        Each step follows one more character, and no entry of the trie has more than WORD_LIMIT.
        """

        def some_left(step: tf.Tensor, at: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape((step < WORD_LIMIT) & (tf.size(at) > 0), [])  # see zoo.safety.loops

        def one_further(step: tf.Tensor, at: tf.Tensor, base: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, ...]:
            row = base + tf.gather(symbols, at + step)
            fits = tf.where(tf.gather(self._parent, row) == base)[:, 0]
            row, at = tf.gather(row, fits), tf.gather(at, fits)
            id_ = tf.gather(self._id, row)
            hits = tf.where(id_ > 0)[:, 0]
            better = tf.gather(id_, hits) + (step + 1) * _LENGTH
            found = tf.tensor_scatter_nd_update(found, tf.gather(at, hits)[:, tf.newaxis], better)
            return step + 1, at, tf.gather(self._base, row), found

        base = tf.fill(tf.shape(symbols), self._continues)
        base = tf.tensor_scatter_nd_update(base, first[:, tf.newaxis], tf.fill(tf.shape(first), self._begins))
        state = [0, tf.range(tf.size(symbols)), base, tf.zeros_like(symbols)]
        return tf.while_loop(some_left, one_further, state)[-1]


def in_ranges(begin: tf.Tensor, length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return `size` booleans, true in the ranges of `length` that start at `begin`; ranges do not overlap."""
    one = tf.cast(length > 0, tf.int32)
    steps = tf.scatter_nd(tf.concat([begin, begin + length], 0)[:, tf.newaxis], tf.concat([one, -one], 0), [size + 1])
    return tf.cumsum(steps)[:-1] > 0


def _decoded(text: tf.Tensor) -> tf.RaggedTensor:
    """Return the code points of texts (B,): (B, (characters)) int32. Bytes that are not UTF-8 are skipped."""
    return tf.strings.unicode_decode(text, "UTF-8", errors="ignore")


def _place(page_of: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    return tf.gather(page_of, codes // PAGE) + codes % PAGE
