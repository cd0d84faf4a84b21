"""The loaded steps from texts to vectors: those of an encoder with its tokenizer, and the one step of a text archive.

B texts of a batch, N texts of a window, T tokens, H numbers of a vector. Inputs are what `preprocess` makes of texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.contract import INPUT_KEYS, INPUT_MASK, ROOT, TEXT
from zoo.errors import BadArgument
from zoo.loading.load import load_checked
from zoo.loading.matching import EncoderWithTokenizer, FoundText
from zoo.loading.pooling import TextVectors, lowered

Array = NDArray[Any]
Inputs = Mapping[str, Array]


class VectorSteps(Protocol):
    """What `zoo.TextEncoder` calls. `how` says which prompt is put before texts."""

    @property
    def tokenizer(self) -> Any:
        """What `zoo.load` gives for the tokenizer."""

    def preprocess(self, texts: Any, how: TextVectors) -> dict[str, Any]:
        """Return the inputs, tensors whose first axis is N, of a string tensor (N,) or (N, 2)."""

    def lengths(self, inputs: Inputs) -> Array:
        """Return numbers (N,) by which texts are sorted, so that a batch has texts of one length."""

    def tokens(self, inputs: Inputs, how: TextVectors) -> Array:
        """Return the number of tokens that the encoder gets of each text, (N,)."""

    def batch(self, inputs: Inputs, chosen: Array) -> Inputs:
        """Return the inputs of the chosen texts."""

    def vectors(self, batch: Inputs, how: TextVectors) -> Array:
        """Return the vectors (B, H) of a batch."""

    def outputs(self, texts: Any, how: TextVectors) -> dict[str, Any]:
        """Return all outputs of the encoder for a string tensor, as numpy arrays padded to the longest text."""

    def keras_vectors(self, texts: Any, trainable: bool | str, how: TextVectors) -> Any:
        """Return the vectors (B, H) of symbolic texts of Keras 3."""


class PairSteps:
    """An encoder and its tokenizer: inputs are ids, mask and types, and numpy makes the vectors of the outputs."""

    def __init__(self, found: EncoderWithTokenizer) -> None:
        self._found = found
        self.tokenizer = load_checked(found.tokenizer_directory, found.tokenizer_card)
        self._encoder = load_checked(found.directory, found.card)

    def preprocess(self, texts: Any, how: TextVectors) -> dict[str, Any]:
        import tensorflow as tf

        texts = _prompted(texts, how.prompt)
        if how.lower_case:
            texts = lowered(texts)
        packed = self.tokenizer.preprocess(texts, tf.constant(how.max_length))
        return {key: packed[key] for key in INPUT_KEYS}

    def lengths(self, inputs: Inputs) -> Array:
        return inputs[INPUT_MASK].sum(axis=1)

    def tokens(self, inputs: Inputs, how: TextVectors) -> Array:
        return self.lengths(inputs)

    def batch(self, inputs: Inputs, chosen: Array) -> Inputs:
        """Return the inputs of the chosen texts, cut to the longest of them."""
        cut = int(self.lengths(inputs)[chosen].max(initial=1))
        return {key: inputs[key][chosen, :cut] for key in INPUT_KEYS}

    def vectors(self, batch: Inputs, how: TextVectors) -> Array:
        outputs = self._encode(batch)
        return np.asarray(how.compute({name: outputs[name].numpy() for name in how.outputs}, batch, np))

    def outputs(self, texts: Any, how: TextVectors) -> dict[str, Any]:
        import tensorflow as tf

        inputs = {key: tensor.numpy() for key, tensor in self.preprocess(texts, how).items()}
        outputs = self._encode(self.batch(inputs, np.arange(len(inputs[INPUT_MASK]))))
        return dict(tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs))

    def keras_vectors(self, texts: Any, trainable: bool | str, how: TextVectors) -> Any:
        if how.prompt:
            raise _no_prompt(how.prompt, "''")
        if how.lower_case:
            raise BadArgument(
                f"a Keras model cannot lower-case its texts, as {self._found.card.name} needs it: give TextEncoder a "
                "tokenizer that lower-cases (`zoo export-tokenizer` with --uncased)."
            )
        import keras

        from zoo.keras.layer import KerasLayer

        tokenizer, encoder = str(self._found.tokenizer_directory), str(self._found.directory)
        arguments = {"seq_length": how.max_length}
        inputs = KerasLayer(tokenizer, endpoint="preprocess", arguments=arguments, name="tokenizer")(texts)
        outputs = KerasLayer(encoder, trainable=trainable, name="encoder")(inputs)
        return how.compute(outputs, inputs, keras.ops)

    def _encode(self, batch: Inputs) -> Any:
        import tensorflow as tf

        return self._encoder({key: tf.constant(array) for key, array in batch.items()})


class ArchiveSteps:
    """A text archive: inputs are the texts themselves, and the archive answers with vectors."""

    def __init__(self, found: FoundText) -> None:
        self._found = found
        self._archive = load_checked(found.directory, found.card)

    @property
    def tokenizer(self) -> Any:
        return self._archive.tokenizer

    def preprocess(self, texts: Any, how: TextVectors) -> dict[str, Any]:
        """Return the texts, with what the archive's function does not put before them itself."""
        return {TEXT: _prompted(texts, self._called(how)[1])}

    def lengths(self, inputs: Inputs) -> Array:
        """Return the bytes of each text. Tokens would have to be counted by a tokenizer that the archive runs later."""
        rows = inputs[TEXT].reshape(len(inputs[TEXT]), -1)
        return np.array([sum(map(len, row)) for row in rows], np.int64)

    def tokens(self, inputs: Inputs, how: TextVectors) -> Array:
        """Return the numbers by the archive's own tokenizer, in a call of its own: no batch is wider than the limit."""
        import tensorflow as tf

        task = self._found.card.task
        texts = _prompted(tf.constant(inputs[TEXT], tf.string), task.functions[self._called(how)[0]])
        texts = lowered(texts) if task.lower_case else texts
        packed = self._archive.tokenizer.preprocess(texts, tf.constant(task.max_length))
        return packed[INPUT_MASK].numpy().sum(axis=1)

    def batch(self, inputs: Inputs, chosen: Array) -> Inputs:
        return {TEXT: inputs[TEXT][chosen]}

    def vectors(self, batch: Inputs, how: TextVectors) -> Array:
        import tensorflow as tf

        return np.asarray(getattr(self._archive, self._called(how)[0])(tf.constant(batch[TEXT], tf.string)))

    def outputs(self, texts: Any, how: TextVectors) -> dict[str, Any]:
        raise BadArgument(
            f"{self._found.card.name} is a text archive, which answers with vectors alone. Its encoder is an attribute "
            "of what zoo.load gives: `model.encoder(model.tokenizer(texts, special_tokens=True))`."
        )

    def keras_vectors(self, texts: Any, trainable: bool | str, how: TextVectors) -> Any:
        if how.prompt != (own := self._found.card.task.functions[ROOT]):
            raise _no_prompt(how.prompt, repr(own))
        from zoo.keras.layer import KerasLayer

        return KerasLayer(str(self._found.directory), trainable=trainable, name="text_archive")(texts)

    def _called(self, how: TextVectors) -> tuple[str, str]:
        called = self._found.card.task.calling(how.prompt)
        assert called is not None  # archive_vectors has refused other prompts
        return called


def steps_of(found: EncoderWithTokenizer | FoundText) -> VectorSteps:
    """Load what was found. Raises what `load_checked` does."""
    return ArchiveSteps(found) if isinstance(found, FoundText) else PairSteps(found)


def _prompted(texts: Any, prompt: str) -> Any:
    """Return a string tensor of texts, or of pairs, with a prompt before each text or before the first of a pair."""
    import tensorflow as tf

    texts = tf.convert_to_tensor(texts)
    return tf.constant(prompt if texts.shape.rank == 1 else [prompt, ""]) + texts if prompt else texts


def _no_prompt(prompt: str, instead: str) -> BadArgument:
    return BadArgument(
        f"a Keras model cannot put the prompt {prompt!r} before its texts: give TextEncoder prompt={instead}, and put "
        "the prompt before the texts yourself."
    )
