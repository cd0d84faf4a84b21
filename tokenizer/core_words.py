"""Words into pieces in core operations: a table of all entries knows whole words, and splits the few others of a call.

A word that is no entry is split greedily: its longest beginning that is an entry, then the longest `##` entry that goes
on there, to its end. Few words are split by looking up every part of each; that takes no loop, and the time of a call
with one text is the number of its operations. Many words are split by a double array (tokenizer/trie.py), which looks
at each character a few times only.

Shapes: M words, P pieces of all words together, C characters of all words together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tokenizer.characters import looked_up, paged
from tokenizer.graph import seldom_called
from tokenizer.trie import make_trie
from zoo.archive.wordpiece_model import WORD_LIMIT

_LENGTH = 1 << 20  # what was matched is its length times _LENGTH plus its id
_FEW = 4096  # parts that are looked up at once
_SHORT = 31  # characters of the longest word that is split so; a power of 2 less 1
_GOES_ON = " "  # before an entry that goes on with a word, where a vocab.txt has "##"; no word holds a space
_NOTHING = " " * 2 * (_SHORT + 1)  # behind a word, so that every part of equal size exists
_WORDS = tf.TensorSpec([None], tf.string)


class Split(NamedTuple):
    """The pieces of words, in order."""

    ids: tf.Tensor  # (P,) int32
    lengths: tf.Tensor  # (P,) int32, characters
    counts: tf.Tensor  # (M,) int32, pieces of each word


class WordSplitter:
    """Plain Python around ops. `begins` and `continues` map the entries of a vocabulary, without "##", to ids.

    `table` is what TensorFlow has to save: an attribute of the root.
    """

    def __init__(self, begins: Mapping[str, int], continues: Mapping[str, int], unknown: int) -> None:
        self._unknown = unknown
        entries = {**begins, **{_GOES_ON + entry: number for entry, number in continues.items()}}
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant([*entries]), tf.constant([*entries.values()], tf.int32)), -1
        )
        self._longest_entry = max(map(len, entries))

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
        self._split_many = seldom_called(self._by_trie, _WORDS)

    def ids(self, words: tf.Tensor) -> tf.Tensor:
        """Return the ids of words that are entries, (M,) int32; -1 for others."""
        return self.table.lookup(words)

    def split(self, words: tf.Tensor) -> Split:
        """Return the pieces of one word or more, (M,) strings. A word that cannot be split is one unknown piece."""
        lengths = tf.strings.length(words, "UTF8_CHAR")
        longest = tf.reduce_max(lengths)
        parts = tf.size(words) * longest * longest
        few = (longest <= _SHORT) & (parts <= _FEW)
        return tf.cond(few, lambda: self._by_table(words, lengths, longest), lambda: self._split_many(words))

    # -- few words: every part of them is looked up -------------------------------------------------------------------

    def _by_table(self, words: tf.Tensor, lengths: tf.Tensor, longest: tf.Tensor) -> Split:
        # Parts that begin at one place of a word are the beginnings of a window there: N places, S sizes.
        places = tf.range(longest + 1)  # (N,)
        sizes = tf.range(1, tf.minimum(longest, self._longest_entry) + 2)  # (S,)
        goes_on = tf.cast(places > 0, tf.int32)
        padded = tf.strings.join([words, _NOTHING])[:, tf.newaxis]
        size = tf.fill([1, longest + 1], tf.reduce_max(sizes))
        windows = tf.strings.substr(padded, places[tf.newaxis], size, "UTF8_CHAR")  # (M, N)
        windows = tf.where(places > 0, tf.strings.join([_GOES_ON, windows]), windows)
        sizes = sizes[tf.newaxis]
        parts = tf.strings.substr(tf.reshape(windows, [-1, 1]), tf.zeros_like(sizes), sizes, "UTF8_CHAR")  # (M * N, S)
        ids = self.table.lookup(parts)
        match = tf.reduce_max(tf.where(ids < 0, 0, sizes * _LENGTH + ids), axis=1)  # (M * N,) the longest entry
        step = tf.reshape(match // _LENGTH, tf.shape(windows)) - goes_on
        step = tf.reshape(tf.maximum(step, 0), [-1])

        # From piece to piece: the places after 0 to _SHORT steps. At the end of a word, or if no entry fits, they stay.
        first = (tf.range(tf.size(words)) * (longest + 1))[:, tf.newaxis]
        at, next_ = first, tf.range(tf.size(step)) + step
        while at.shape[1] <= _SHORT:
            at = tf.concat([at, tf.gather(next_, at)], 1)
            next_ = tf.gather(next_, next_)
        lengths = lengths[:, tf.newaxis]
        is_split = at[:, -1:] == first + lengths  # (M, 1)
        steps = tf.where(is_split, tf.gather(step, at), tf.concat([lengths, tf.zeros_like(at[:, 1:])], 1))
        pieces = tf.where(steps > 0)
        found = tf.where(is_split, tf.gather(match, at) % _LENGTH, self._unknown)
        counts = tf.reduce_sum(tf.cast(steps > 0, tf.int32), axis=1)
        return Split(tf.gather_nd(found, pieces), tf.gather_nd(steps, pieces), counts)

    # -- many words: the double array ---------------------------------------------------------------------------------

    def _by_trie(self, words: tf.Tensor) -> Split:
        # A space, which has the symbol 0, ends every match.
        codes = tf.strings.unicode_decode(tf.strings.join([words, " "]), "UTF-8")
        symbols = looked_up(self._symbols, codes.values)  # (C,)
        splits = tf.cast(codes.row_splits, tf.int32)
        first, length = splits[:-1], splits[1:] - splits[:-1] - 1
        found = self._longest(symbols, first)  # (C,)
        step = found // _LENGTH
        begins, unsplit = self._walk(step, first, length)

        # A word that cannot be split is one piece.
        word = tf.where(unsplit)
        begin, length = tf.gather_nd(first, word)[:, tf.newaxis], tf.gather_nd(length, word)
        begins *= 1 - tf.cast(in_ranges(begin[:, 0], length, tf.size(symbols)), tf.int32)
        begins = tf.tensor_scatter_nd_update(begins, begin, tf.ones_like(length))
        step = tf.tensor_scatter_nd_update(step, begin, length)
        found = tf.tensor_scatter_nd_update(found % _LENGTH, begin, tf.fill(tf.shape(length), self._unknown))
        pieces = tf.where(begins > 0)
        before = tf.gather(tf.concat([[0], tf.cumsum(begins)], 0), splits)
        return Split(tf.gather_nd(found, pieces), tf.gather_nd(step, pieces), before[1:] - before[:-1])

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


def in_ranges(begin: tf.Tensor, length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return `size` booleans, true in the ranges of `length` that start at `begin`; ranges do not overlap."""
    one = tf.ones_like(length)
    steps = tf.scatter_nd(tf.concat([begin, begin + length], 0)[:, tf.newaxis], tf.concat([one, -one], 0), [size + 1])
    return tf.cumsum(steps)[:-1] > 0
