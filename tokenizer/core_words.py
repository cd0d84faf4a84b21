"""Words into pieces in core operations: a table knows whole words, and the few others of a call are split.

A word that is no entry is split greedily: its longest beginning that is an entry, then the longest `##` entry that goes
on there, to its end. Few words are split by looking up every part of each, and what was found is read as a text: one
regular expression goes from piece to piece, one finds the words that cannot be split. That takes no loop and a few
operations, and the time of a call with one text is the number of its operations. Many words are split by a double array
(tokenizer/trie.py), which looks at each character a few times only.

Shapes: U units, of which M are words that are no entries; P pieces of all units together, C characters or bytes of the
M words together.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import numpy as np
import tensorflow as tf

from tokenizer.characters import looked_up, paged
from tokenizer.graph import seldom_called
from tokenizer.trie import make_trie
from zoo.archive.wordpiece_model import WORD_LIMIT

BEGIN, BORDER = "\x02", "\x03"  # before a word, and between two; no text holds them
MISSED = (1 << 20) - 1  # the id of a word that is no entry
_BORDER = MISSED - 1  # the id of BORDER
_LENGTH = 1 << 20  # what was matched is its length times _LENGTH plus its id
_FEW = 4096  # parts that are looked up at once
_ID, _SIZE = 0xE000, 0x100  # ids and lengths are written as characters, counted from these two
_IDS = tf.TensorSpec([None], tf.int32)
_WORDS = tf.TensorSpec([None], tf.string)


class WordSplitter:
    """Plain Python around ops. `begins` and `continues` map the entries of a vocabulary, without "##", to ids.

    The two tables are what TensorFlow has to save: attributes of the root. One has whole words, so that the many words
    of a call are looked up as they are; the other has parts of words, which say how long they are, too.
    """

    def __init__(self, begins: Mapping[str, int], continues: Mapping[str, int], unknown: int) -> None:
        self._unknown = unknown
        parts = {BORDER: _BORDER, **continues, **{BEGIN + entry: number for entry, number in begins.items()}}
        sizes = {part: len(part.encode()) for part in parts}
        self.whole = _table(begins)
        self.parts = _table({part: sizes[part] * _LENGTH + number for part, number in parts.items()})
        # Behind the id of a piece stands its length; that and the ids of its other places are left out.
        most = min(max(sizes.values()), isqrt(_FEW))
        others = [rf"{chr(_SIZE + size)}.{{{2 * size - 2}}}" for size in range(1, most + 1)]
        self._behind_ids = "|".join([chr(_SIZE), *others])

        symbols = {char: number for number, char in enumerate(sorted(set().union(*begins, *continues)), start=1)}
        self._trie = make_trie(
            *(
                {tuple(map(symbols.__getitem__, entry)): number for entry, number in each.items()}
                for each in (begins, continues)
            )
        )
        of_code = np.zeros(0x110000, np.int64)
        of_code[[ord(char) for char in symbols]] = [*symbols.values()]
        self._symbols = paged(of_code)
        self._split_many = seldom_called(self._by_trie, _IDS, _WORDS)

    def ids(self, words: tf.Tensor) -> tf.Tensor:
        """Return the ids of words that are entries, (M,) int32; MISSED for others."""
        return self.whole.lookup(words)

    def split(self, ids: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the pieces of units, (P,) int32, and their row splits, (U + 1,) int64.

        Units that have an id in `ids` (U,) are one piece. The others, which are MISSED there, are `words` (M,), at
        least one, and no word is an entry. A word that cannot be split is one unknown piece.
        """
        marked = tf.strings.join([BEGIN, words])
        text = tf.strings.reduce_join(marked, separator=BORDER)
        size, longest = tf.strings.length(text), tf.reduce_max(tf.strings.length(marked))
        return tf.cond(
            size <= _FEW // longest,  # their product may be too large for int32
            lambda: self._by_table(ids, text, size, longest),
            lambda: self._split_many(ids, words),
        )

    # -- few words: every part of them is looked up -------------------------------------------------------------------

    def _by_table(
        self, ids: tf.Tensor, text: tf.Tensor, size: tf.Tensor, longest: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # A part begins at a byte of the text, its place, and is shorter than the longest word. Behind the last byte
        # there is nothing, and parts with an end there are the same.
        part = tf.range(size * longest)
        place = part // longest
        found = self.parts.lookup(tf.strings.substr(text, place, part % longest))
        match = tf.math.segment_max(found, place)  # (C,) the longest entry at each place

        # For each place its id and the length of the entry, in characters. Where no entry fits, the length is 0.
        chars = tf.stack([match % _LENGTH, match // _LENGTH], 1) + tf.constant([_ID, _SIZE])  # (C, 2)
        written = tf.raw_ops.UnicodeEncode(
            input_values=tf.reshape(chars, [-1]), input_splits=tf.stack([0, 2 * size]), output_encoding="UTF-8"
        )
        pieces = tf.strings.regex_replace(written, self._behind_ids, "")
        missed, border, unknown = (chr(_ID + number) for number in (MISSED, _BORDER, self._unknown))
        pieces = tf.strings.regex_replace(pieces, f"[^{border}]*{missed}[^{border}]*", unknown)
        of_words = tf.raw_ops.StringSplitV2(input=pieces, sep=border).values  # (M,)

        units = tf.raw_ops.UnicodeEncode(
            input_values=ids + _ID, input_splits=tf.range(tf.size(ids) + 1), output_encoding="UTF-8"
        )
        units = tf.tensor_scatter_nd_update(units, tf.where(ids == MISSED), of_words)
        codes = tf.raw_ops.UnicodeDecode(input=units, input_encoding="UTF-8")
        return codes.char_values - _ID, codes.row_splits

    # -- many words: the double array ---------------------------------------------------------------------------------

    def _by_trie(self, ids: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A space, which has the symbol 0, ends every match.
        codes = tf.strings.unicode_decode(tf.strings.join([words, " "]), "UTF-8")
        symbols = looked_up(self._symbols, codes.values)  # (C,)
        splits = tf.cast(codes.row_splits, tf.int32)
        first, length = splits[:-1], splits[1:] - splits[:-1] - 1
        found = self._longest(symbols, first)  # (C,)
        begins, unsplit = self._walk(found // _LENGTH, first, length)

        # A word that cannot be split is one piece.
        word = tf.where(unsplit)
        begin, length = tf.gather_nd(first, word)[:, tf.newaxis], tf.gather_nd(length, word)
        begins *= 1 - tf.cast(in_ranges(begin[:, 0], length, tf.size(symbols)), tf.int32)
        begins = tf.tensor_scatter_nd_update(begins, begin, tf.ones_like(length))
        found = tf.tensor_scatter_nd_update(found % _LENGTH, begin, tf.fill(tf.shape(length), self._unknown))
        before = tf.gather(tf.concat([[0], tf.cumsum(begins)], 0), splits)
        of_words = tf.gather_nd(found, tf.where(begins > 0))

        is_missed = ids == MISSED
        counts = tf.tensor_scatter_nd_update(tf.ones_like(ids), tf.where(is_missed), before[1:] - before[:-1])
        ends = tf.cumsum(counts)
        # Every unit writes its id, plus 1, to the place of its last piece; the others have the places left.
        pieces = tf.scatter_nd((ends - 1)[:, tf.newaxis], tf.where(is_missed, 0, ids + 1), ends[-1:])
        pieces = tf.tensor_scatter_nd_update(pieces - 1, tf.where(pieces == 0), of_words)
        return pieces, tf.cast(tf.concat([[0], ends], 0), tf.int64)

    def _walk(self, step: tf.Tensor, first: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return 1 where a piece begins and 0 elsewhere, (C,), and which words cannot be split, (M,).

        Each turn takes one piece of every word that is not at its end, so WORD_LIMIT turns are enough.
        """
        end = first + length
        word = tf.cast(tf.where(length <= WORD_LIMIT)[:, 0], tf.int32)

        def some_left(turn: tf.Tensor, at: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape((turn < WORD_LIMIT) & (tf.size(at) > 0), [])  # see zoo.safety.loops

        def next_piece(turn: tf.Tensor, at: tf.Tensor, word: tf.Tensor, begins: tf.Tensor) -> tuple[tf.Tensor, ...]:
            begins = tf.tensor_scatter_nd_update(begins, at[:, tf.newaxis], tf.ones_like(at))
            taken = tf.gather(step, at)
            live = tf.where((taken > 0) & (at + taken < tf.gather(end, word)))[:, 0]
            return turn + 1, tf.gather(at + taken, live), tf.gather(word, live), begins

        state = [0, tf.gather(first, word), word, tf.zeros_like(step)]
        begins = tf.while_loop(some_left, next_piece, state)[-1]
        # A word cannot be split if it is too long, or if a piece should begin where no entry does.
        stuck_before = tf.cumsum(begins * tf.cast(step == 0, tf.int32), exclusive=True)
        is_stuck = tf.gather(stuck_before, end) > tf.gather(stuck_before, first)
        return begins, is_stuck | (length > WORD_LIMIT)

    def _longest(self, symbols: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        """Return length * _LENGTH + id of the longest entry from each place, (C,); 0 if there is none.

        Each turn follows one more character, and no entry of the trie has more than WORD_LIMIT.
        """
        trie = self._trie

        def some_left(turn: tf.Tensor, at: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape((turn < WORD_LIMIT) & (tf.size(at) > 0), [])  # see zoo.safety.loops

        def one_further(turn: tf.Tensor, at: tf.Tensor, base: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, ...]:
            row = base + tf.gather(symbols, at + turn)
            fits = tf.where(tf.gather(trie.parent, row) == base)[:, 0]
            row, at = tf.gather(row, fits), tf.gather(at, fits)
            id_ = tf.gather(trie.id, row)
            hits = tf.where(id_ > 0)[:, 0]
            better = tf.gather(id_, hits) - 1 + (turn + 1) * _LENGTH
            found = tf.tensor_scatter_nd_update(found, tf.gather(at, hits)[:, tf.newaxis], better)
            return turn + 1, at, tf.gather(trie.base, row), found

        base = tf.fill(tf.shape(symbols), trie.continues)
        base = tf.tensor_scatter_nd_update(base, first[:, tf.newaxis], tf.fill(tf.shape(first), trie.begins))
        state = [0, tf.range(tf.size(symbols)), base, tf.zeros_like(symbols)]
        return tf.while_loop(some_left, one_further, state)[-1]


def _table(numbers: Mapping[str, int]) -> tf.lookup.StaticHashTable:
    """Return a table that gives MISSED for other strings."""
    known = tf.lookup.KeyValueTensorInitializer(tf.constant([*numbers]), tf.constant([*numbers.values()], tf.int32))
    return tf.lookup.StaticHashTable(known, MISSED)


def in_ranges(begin: tf.Tensor, length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return `size` booleans, true in the ranges of `length` that start at `begin`; ranges do not overlap."""
    one = tf.ones_like(length)
    steps = tf.scatter_nd(tf.concat([begin, begin + length], 0)[:, tf.newaxis], tf.concat([one, -one], 0), [size + 1])
    return tf.cumsum(steps)[:-1] > 0
