"""Texts to vectors: an encoder and the tokenizer of its vocabulary in one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.basics.progress import progress
from zoo.contract import INPUT_KEYS, INPUT_MASK
from zoo.errors import BadArgument
from zoo.loading.load import load_checked
from zoo.loading.matching import find_pair
from zoo.loading.pooling import AskedVectors, lowered
from zoo.registry.registry import Registry

_Inputs = Mapping[str, NDArray[np.int32]]
Texts = Sequence[str] | Sequence[tuple[str, str]] | NDArray[Any]

_WINDOW = 1024  # texts that are tokenized together and sorted by length


class TextEncoder:
    """Turns texts, or pairs of texts, into vectors.

        encode = zoo.TextEncoder("albert_tiny", pooling="mean")
        vectors = encode(["你好", "再见"])  # numpy float32, (2, 312)
        encode([("你好吗", "你怎么样")])  # pairs: [CLS] a [SEP] b [SEP]
        encode.outputs(["你好"])["sequence_output"]  # everything the encoder gives, one batch

    `handle` and `tokenizer` are what `zoo.load` takes: names, URLs, archives, directories. The tokenizer of a name is
    the one its registry names; that of a bundle lies in it; for anything else it has to be given. `max_length` is in
    tokens, [CLS] and [SEP] included; longer texts are cut, pairs round robin.

    `pooling` says how the outputs for a text become its vector: the "mean" of its tokens' last outputs, [CLS] and [SEP]
    among them; the output of the "first" token; "pooled", the encoder's `pooled_output`; or one of
    sentence-transformers' poolings "max", "mean_sqrt_len", "weightedmean", "lasttoken". "first+max" puts the vectors of
    both beside each other. `normalize` gives each vector the length 1. `prompt`, such as "query: ", is put before each
    text, or before the first of a pair.

    A setting that is None is taken from the model's card (`encode.card.sentence`), where the exporter writes what the
    files of sentence-transformers beside the checkpoint say. If the card states nothing: "mean", not normalised, 128
    tokens, no prompt.

    Raises BadArgument, VocabularyMismatch when the two do not belong together, and what `zoo.load` does.
    """

    def __init__(
        self,
        handle: str | Path,
        tokenizer: str | Path | None = None,
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        registry: Registry | str | Path | None = None,
    ) -> None:
        asked = AskedVectors(pooling, normalize, max_length, prompt)
        pair = find_pair(handle, tokenizer, registry)
        self.how = pair.text_vectors(asked)
        self.card, self.pooling, self.max_length = pair.card, self.how.pooling, self.how.max_length
        self.hidden_size, self.digests = self.how.width(pair.card.sizes.hidden_size), pair.digests()
        self._directories = (pair.tokenizer_directory, pair.directory)
        self._tokenizer = load_checked(pair.tokenizer_directory, pair.tokenizer_card)
        self._encoder = load_checked(pair.directory, pair.card)

    def __call__(self, texts: Texts, batch_size: int = 32, show_progress: bool = True) -> NDArray[np.float32]:
        """Return one vector for each text or pair, (N, H) float32, in their order.

        Texts of similar length go through the encoder together, `batch_size` at a time. A bar shows on a terminal when
        it takes more than a second. Raises BadArgument for anything that is not a list of texts or of pairs, and for a
        batch of less than one text.
        """
        rows, batch_size = _checked(texts), _batch_size(batch_size)
        vectors = np.zeros((len(rows), self.hidden_size), np.float32)
        with progress("encoding", len(rows), unit="texts", shown=show_progress) as advance:
            for start in range(0, len(rows), _WINDOW):
                inputs = self._tokenized(rows[start : start + _WINDOW])
                vectors[start : start + _WINDOW] = self.embed(inputs, batch_size, advance)
        return vectors

    def preprocess(self, texts: Any) -> dict[str, Any]:
        """Return the three inputs of the encoder, int32 tensors [B, max_length], of a string tensor [B], or [B, 2].

        dataset.batch(1024).map(encode.preprocess).prefetch(1)  # in a tf.data pipeline too
        """
        import tensorflow as tf

        texts = tf.convert_to_tensor(texts)
        if self.how.prompt:
            texts = tf.constant(self.how.prompt if texts.shape.rank == 1 else [self.how.prompt, ""]) + texts
        if self.how.lower_case:
            texts = lowered(texts)
        packed = self._tokenizer.preprocess(texts, tf.constant(self.max_length))
        return {key: packed[key] for key in INPUT_KEYS}

    def embed(
        self, inputs: _Inputs, batch_size: int = 32, advance: Callable[[int], object] = lambda count: None
    ) -> NDArray[np.float32]:
        """Return one vector for each row of numpy inputs (N, T), (N, H) float32.

        Rows of similar length go through the encoder together, cut to the longest of them; `advance` is called with the
        number of rows that are done. Raises BadArgument for a batch of less than one row.
        """
        batch_size = _batch_size(batch_size)
        vectors = np.zeros((len(inputs[INPUT_MASK]), self.hidden_size), np.float32)
        for places, batch in _by_length(inputs, batch_size):
            outputs = self._encode(batch)
            vectors[places] = self.how.compute({name: outputs[name].numpy() for name in self.how.outputs}, batch, np)
            advance(len(places))
        return vectors

    def outputs(self, texts: Texts) -> dict[str, Any]:
        """Return all outputs of the encoder for one batch of texts, as numpy arrays padded to the longest."""
        import tensorflow as tf

        inputs = self._tokenized(_checked(texts))
        longest = int(inputs[INPUT_MASK].sum(axis=1).max(initial=1))
        outputs = self._encode({key: inputs[key][:, :longest] for key in INPUT_KEYS})
        return dict(tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs))

    def keras_model(self, trainable: bool | str = False, pairs: bool = False) -> Any:
        """Return a Keras 3 model from texts, strings [B] (or pairs [B, 2]), to vectors (B, H).

            vectors = encode.keras_model(trainable=True)
            model = keras.Model(vectors.input, keras.layers.Dense(2)(vectors.output))

        `trainable` is that of `zoo.KerasLayer`. Raises BadArgument if the encoder puts a prompt before texts or
        lower-cases them, which no layer of the model could do.
        """
        if self.how.prompt:
            raise BadArgument(
                f"a Keras model cannot put the prompt {self.how.prompt!r} before its texts: give TextEncoder "
                "prompt='', and put the prompt before the texts yourself."
            )
        if self.how.lower_case:
            raise BadArgument(
                f"a Keras model cannot lower-case its texts, as {self.card.name} needs it: give TextEncoder a "
                "tokenizer that lower-cases (`zoo export-tokenizer` with --uncased)."
            )
        import keras

        from zoo.keras.layer import KerasLayer

        tokenizer, encoder = map(str, self._directories)
        texts = keras.Input([2] if pairs else [], dtype="string", name="text")
        arguments = {"seq_length": self.max_length}
        inputs = KerasLayer(tokenizer, endpoint="preprocess", arguments=arguments, name="tokenizer")(texts)
        outputs = KerasLayer(encoder, trainable=trainable, name="encoder")(inputs)
        return keras.Model(texts, self.how.compute(outputs, inputs, keras.ops), name="text_encoder")

    def _encode(self, inputs: _Inputs) -> Any:
        import tensorflow as tf

        return self._encoder({key: tf.constant(array) for key, array in inputs.items()})

    def _tokenized(self, rows: NDArray[Any]) -> _Inputs:
        import tensorflow as tf

        packed = self.preprocess(tf.constant(rows, tf.string))
        return {key: tensor.numpy() for key, tensor in packed.items()}


def _batch_size(asked: Any) -> int:
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 1:
        raise BadArgument(f"batch_size={asked!r}: give a whole number of texts, at least 1.")
    return int(asked)


def _by_length(inputs: _Inputs, batch_size: int) -> Iterator[tuple[NDArray[np.intp], _Inputs]]:
    """Yield the places of rows of similar length and their inputs, cut to the longest of them."""
    lengths = inputs[INPUT_MASK].sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        cut = int(lengths[chosen].max())
        yield chosen, {key: inputs[key][chosen, :cut] for key in INPUT_KEYS}


def _checked(texts: Any) -> NDArray[Any]:
    """Return texts (N,) or pairs (N, 2) as an array of objects."""
    if isinstance(texts, str | bytes):
        raise BadArgument("give a list of texts, not a single one: encode([text])[0].")
    rows = list(texts)
    pairs = [tuple(row) if isinstance(row, list | tuple | np.ndarray) else None for row in rows]
    is_text = [isinstance(row, str) for row in rows]
    is_pair = [pair is not None and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in pairs]
    if all(is_text):
        return np.array(rows, object)
    if all(is_pair):
        return np.array(pairs, object).reshape(-1, 2)
    wrong = [place for place in range(len(rows)) if not (is_text[place] or is_pair[place])]
    what = "neither texts nor pairs" if wrong else "texts and pairs together"
    wrong = wrong or [place for place in range(len(rows)) if is_pair[place]]
    some = ", ".join(f"{place}: {rows[place]!r:.40}" for place in wrong[:5])
    raise BadArgument(f"{what}: {len(wrong)} of {len(rows)} rows ({some}). Give str, or pairs of str, throughout.")
