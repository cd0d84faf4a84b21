"""From an encoder (or any root) to a SavedModel directory: traces, signatures, and the same bytes every time."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.saved_model import save_context

from export.encoder.encoder import Encoded, Encoder
from export.encoder.training import Training
from export.heads import HEADS
from export.heads.table import Head
from export.saved_model.canonical import canonicalize
from tokenizer.vocabulary import SEP, UNK, Vocabulary
from zoo.contract import (
    ATTENTION_SCORES,
    INPUT_KEYS,
    INPUT_WORD_IDS,
    POOLED_OUTPUT,
    SEQUENCE_OUTPUT,
    SERVING_SIGNATURE,
    TOKENS_SIGNATURE,
)

_IDS = tf.TensorSpec([None, None], tf.int32)
_INTEGERS = (tf.int64, tf.int32)  # in the order of the forms: see _input_forms


@dataclass(frozen=True)
class _Graphs:
    """The graphs that every form calls. As a dict of the root itself they would be saved as its attributes."""

    of: Mapping[tuple[bool, bool], Callable[..., Encoded]]  # by `training` and `first_only`


class EncoderRoot(tf.train.Checkpoint):
    """What `hub.load` gives: a callable with every input form of the contract, and the lists hub.KerasLayer reads.

    Not a tf.Module, whose `variables` is a property and would not be saved. `heads` become attributes (`.mlm`, …).
    Without a vocabulary it takes no string tokens. Where no mask is given, ids other than `padding_id` are real tokens.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary | None,
        heads: Sequence[str] = (),
        recompute: bool = False,
        padding_id: int = 0,
    ) -> None:
        super().__init__()
        own = [name for name in encoder.weights if name.partition("/")[0] not in HEADS]
        self.variables = [encoder.weights[name] for name in own]  # in the order they are used
        self.trainable_variables = list(self.variables)
        self.regularization_losses: list[Callable[[], tf.Tensor]] = []
        self._padding_id = padding_id
        if vocabulary is not None:
            self._token_ids = _token_table(vocabulary, padding_id)
            self._separator = vocabulary.entries[vocabulary.special_tokens[SEP]]
        self._takes_strings = vocabulary is not None
        self._type_vocab_size = encoder.config.type_vocab_size
        # One graph for each, traced when it is first called; every input form below is a thin trace over one.
        both = {False: encoder, True: replace(encoder, forms=Training(recompute))}
        self._graphs = _Graphs({(key, only): _traced(both[key], only) for key in both for only in (False, True)})
        self.__call__ = tf.function(self._call, autograph=False)
        for form in _input_forms(self._takes_strings):
            for training in (False, True):
                self.__call__.get_concrete_function(form, training=training)
        self.attention = self._attention()
        for head in heads:
            setattr(self, head, _HeadRoot(HEADS[head], encoder, self))

    def _attention(self) -> Any:
        def attention(inputs: Any) -> dict[str, object]:
            return {ATTENTION_SCORES: self._graphs.of[False, False](*self.read_inputs(inputs)).scores}

        traced = tf.function(attention, autograph=False)
        for form in _main_forms(self._takes_strings):
            traced.get_concrete_function(form)
        return traced

    def _call(self, inputs: Any, training: bool = False) -> dict[str, object]:
        ids, mask, types = self.read_inputs(inputs)
        return self.encode(ids, mask, types, training)

    def encode(
        self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, training: bool, first_only: bool = False
    ) -> dict[str, object]:
        """Return what a plain call returns, of int32 [B, T]; `first_only` as in `Encoder.__call__`."""
        return self._graphs.of[training, first_only](ids, mask, types).named()

    def signatures(self) -> dict[str, Callable[..., Any]]:
        """Return the signatures: `serving_default` of ids, mask and types; with a vocabulary, `tokens` of strings."""
        outputs = (SEQUENCE_OUTPUT, POOLED_OUTPUT)

        def serving_default(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            encoded = self._call(inputs)
            return {name: encoded[name] for name in outputs}

        def tokens(args_0: tf.Tensor) -> dict[str, tf.Tensor]:
            encoded = self._call(args_0)
            return {name: encoded[name] for name in outputs}

        specs = {key: tf.TensorSpec([None, None], tf.int32, key) for key in INPUT_KEYS}
        signatures = {SERVING_SIGNATURE: tf.function(serving_default, autograph=False).get_concrete_function(**specs)}
        if self._takes_strings:
            strings = tf.TensorSpec([None, None], tf.string, "args_0")
            signatures[TOKENS_SIGNATURE] = tf.function(tokens, autograph=False).get_concrete_function(strings)
        return signatures

    def read_inputs(self, inputs: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return int32 ids, mask and types [B, T] from any input form."""
        if isinstance(inputs, Mapping):
            given = [inputs.get(key) for key in INPUT_KEYS]
        elif inputs.dtype == tf.string:
            return self._read_tokens(inputs)
        else:
            given = _unstacked(_as_int32(inputs), self._padding_id)
        ids = _as_int32(given[0])
        mask = tf.cast(tf.not_equal(ids, self._padding_id), tf.int32) if given[1] is None else _as_int32(given[1])
        types = tf.zeros_like(ids) if given[2] is None else _as_int32(given[2])
        return ids, mask, types

    def _read_tokens(self, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """'' is padding; a segment ends with its [SEP], so types count the separators before a token."""
        tokens = tf.pad(tokens, [[0, 0], [0, tf.maximum(1 - tf.shape(tokens)[1], 0)]])  # a batch of empty texts
        separators = tf.cast(tf.equal(tokens, self._separator), tf.int32)
        types = tf.cumsum(separators, axis=1, exclusive=True) % self._type_vocab_size
        # A table's values have no shape, and without one the embeddings' sum is not fused.
        ids = tf.reshape(self._token_ids.lookup(tokens), tf.shape(tokens))
        return ids, tf.cast(tf.not_equal(tokens, ""), tf.int32), types


class _HeadRoot(tf.train.Checkpoint):
    """A head with its encoder: callable, and with the lists hub.KerasLayer(encoder.mlm) reads."""

    def __init__(self, head: Head, encoder: Encoder, root: EncoderRoot) -> None:
        super().__init__()
        self.variables = [variable for name, variable in encoder.weights.items() if head.uses(name)]
        self.trainable_variables = list(self.variables)
        self.regularization_losses: list[Callable[[], tf.Tensor]] = []

        def call(inputs: Any, training: bool = False) -> dict[str, object]:
            encoded = root.read_inputs(inputs)
            outputs = root.encode(*encoded, training)
            own = {name: _as_int32(inputs[name]) for name in head.inputs}
            return {**head.compute(encoder, outputs, dict(zip(INPUT_KEYS, encoded, strict=True)) | own), **outputs}

        self.__call__ = tf.function(call, autograph=False)
        for form in _dict_forms(dict.fromkeys(INPUT_KEYS, "BT") | dict(head.inputs)):
            for training in (False, True):
                self.__call__.get_concrete_function(form, training=training)


def write_saved_model(make_root: Callable[[], Any], directory: Path) -> None:
    """Write the root that `make_root` builds as a SavedModel whose bytes depend on nothing but that root.

        write_saved_model(lambda: EncoderRoot(encoder, vocabulary), Path("build/bert"))

    The root has `signatures()`. Raises OSError when the disk is full or closed to us, which TensorFlow reports in
    classes of its own.
    """
    # Functions traced outside this context are all traced a second time by tf.saved_model.save.
    with save_context.save_context(tf.saved_model.SaveOptions()):
        root = make_root()
        signatures = root.signatures()
    try:
        tf.saved_model.save(root, str(directory), signatures=signatures)
    except tf.errors.ResourceExhaustedError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory)) from None
    except tf.errors.PermissionDeniedError:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(directory)) from None
    canonicalize(directory)


def _traced(encoder: Encoder, first_only: bool) -> Callable[..., Encoded]:
    def encode(ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> Encoded:
        return encoder(ids, mask, types, first_only)

    return tf.function(encode, input_signature=[_IDS, _IDS, _IDS], autograph=False)


def _input_forms(strings: bool) -> Iterator[Any]:
    """Every form of `inputs` in the contract: what is loaded with each of them is paid for at every load.

    A list or tuple of two or three has no form of its own: TensorFlow stacks it, and a tensor may have any rank here.
    The names are those TensorFlow would give; with any others it traces every form again when it saves. It makes a
    list the first form that it could be, so int64 comes first: as int32, numbers of int64 in it would lose a half.
    """
    for dtype in _INTEGERS:
        yield tf.TensorSpec(None, dtype, "inputs")
        for keys in (INPUT_KEYS, INPUT_KEYS[:2], (INPUT_WORD_IDS,)):
            yield {key: tf.TensorSpec([None, None], dtype, key) for key in keys}
    if strings:
        yield tf.TensorSpec([None, None], tf.string, "inputs")


def _as_int32(numbers: tf.Tensor) -> tf.Tensor:
    """Return int32 numbers. Wider ones that do not fit become the nearest that do, which no table has a row for.

    A cast alone keeps the lower half: 2**32 + 5 would be the id 5, and a mask of 2**32 would hide its token.
    """
    if numbers.dtype == tf.int32:
        return numbers
    return tf.cast(tf.maximum(tf.minimum(numbers, tf.int32.max), tf.int32.min), tf.int32)


def _unstacked(inputs: tf.Tensor, padding_id: int) -> list[tf.Tensor]:
    """Return ids, mask and types of ids alone, [B, T], or of what lies one above the other, [2, B, T] or [3, B, T]."""
    shape = tf.concat([[1, 1], tf.shape(inputs)], 0)  # so that even what has no rows yet has a shape to complain of
    count = tf.reduce_prod(shape[:-2])
    holds = tf.logical_and(tf.equal(tf.size(shape) - 2, tf.where(count > 1, 3, 2)), count <= 3)
    message = (
        "inputs are ids [B, T], or ids and mask, or ids, mask and types, one above the other: [2, B, T] or [3, B, T]. "
        "The shape of these inputs:"
    )
    with tf.control_dependencies([tf.debugging.Assert(holds, [message, shape[2:]])]):
        inputs = tf.reshape(inputs, tf.concat([[count], shape[-2:]], 0))
    inputs = tf.pad(inputs[:3], [[0, tf.maximum(3 - count, 0)], [0, 0], [0, 0]])
    ids, mask, types = tf.unstack(inputs, num=3)
    return [ids, tf.where(count > 1, mask, tf.cast(tf.not_equal(ids, padding_id), mask.dtype)), types]


def _main_forms(strings: bool) -> Iterator[Any]:
    """The forms of `.attention`: the whole dict, plain ids, string tokens. Heads take the dict alone."""
    yield from _dict_forms(dict.fromkeys(INPUT_KEYS, "BT"))
    for dtype in _INTEGERS:
        yield tf.TensorSpec(None, dtype, "inputs")
    if strings:
        yield tf.TensorSpec([None, None], tf.string, "inputs")


def _dict_forms(axes_of: Mapping[str, str]) -> Iterator[Any]:
    """Yield the dict of all these inputs, of each width of integers; an input has one letter an axis, "BT"."""
    for dtype in _INTEGERS:
        yield {key: tf.TensorSpec([None] * len(axes), dtype, key) for key, axes in axes_of.items()}


def _token_table(vocabulary: Vocabulary, padding_id: int) -> tf.lookup.StaticHashTable:
    """Kept as constants of the graph, not as an asset file: it survives re-saving after the directory is gone."""
    entries = [*vocabulary.entries, ""]
    ids = [*range(len(vocabulary)), padding_id]
    initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(entries), tf.constant(ids, tf.int32))
    return tf.lookup.StaticHashTable(initializer, default_value=vocabulary.special_tokens[UNK])
