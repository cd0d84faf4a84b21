"""The Keras models that this package makes: they take lists, tuples, arrays and dicts, of ids and of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.contract import INPUT_KEYS
from zoo.errors import BadArgument
from zoo.loading.calls import tensors_of
from zoo.text_batches import checked_texts

FIRST, SECOND = "first", "second"  # names of the inputs of a model of two texts


@keras.saving.register_keras_serializable("zoo")
class Pair(keras.layers.Layer):
    """Two string tensors (B,) as pairs (B, 2)."""

    def call(self, inputs: Any) -> Any:
        """Return the pairs."""
        return tf.stack(inputs, axis=-1)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return shape and dtype of the pairs."""
        return keras.KerasTensor((inputs[0].shape[0], 2), dtype="string")


@keras.saving.register_keras_serializable("zoo")
class FormsModel(keras.Model):
    """A functional model that takes its inputs by name, or in a list or tuple, as Python's lists, arrays or tensors.

        model(["你好", "再见"]), model({"text": ["你好", "再见"]})  # of one input; pairs: model([("你好", "再见")])
        model([["你好"], ["再见"]]), model({"first": ["你好"], "second": ["再见"]})  # of two texts
        model([ids, mask, types]), model({"input_word_ids": ids, "input_mask": mask, "input_type_ids": types})

    A plain `keras.Model` takes texts as tensors alone, and takes a list for the inputs in alphabetical order: masks for
    ids. Keras keeps this class when it saves, loads and clones the model.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs of the model. Raises BadArgument for inputs in no form, with those there are."""
        return super().__call__(self._named(inputs), *args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.fit` does."""
        return super().fit(self._named(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.evaluate` does."""
        return super().evaluate(self._named(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.predict` does."""
        return super().predict(self._named(x), *args, **kwargs)

    def _named(self, given: Any) -> Any:
        """Return inputs as the model takes them; datasets and single tensors as they are."""
        there = [each.name for each in self.inputs]
        names = [name for name in INPUT_KEYS if name in there] or there
        if len(names) == 1:
            is_named = isinstance(given, Mapping) and set(given) == {*names}
            return _tensor(given[names[0]] if is_named else given)
        if isinstance(given, list | tuple) and len(given) == len(names):
            given = dict(zip(names, given, strict=True))
        if isinstance(given, Mapping) and set(given) == {*names}:
            return {name: _tensor(given[name]) for name in there}
        if isinstance(given, list | tuple | Mapping):
            raise BadArgument(_forms(names, given))
        return given


def _tensor(given: Any) -> Any:
    """Return texts or numbers of Python as a tensor; anything else as it is."""
    if isinstance(given, str | bytes) or _holds_texts(given):
        return tf.constant(checked_texts(given), tf.string)  # a single text is refused with the form that works
    return tensors_of(given) if isinstance(given, list | tuple) else given


def _holds_texts(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.dtype.kind in "UO"
    while isinstance(given, list | tuple) and given:
        given = given[0]
    return isinstance(given, str | bytes)


def _forms(names: Sequence[str], given: Any) -> str:
    found = f"a {type(given).__name__} of {len(given)}"
    if isinstance(given, Mapping):
        found = f"a dict of {', '.join(map(str, given)) or 'nothing'}"
    by_name = ", ".join(f"{name!r}: …" for name in names)
    return f"the model takes {{{by_name}}}, or [{', '.join(names)}] in this order, not {found}."
