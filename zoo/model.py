"""A loaded model with its card, and the Keras 3 model that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.card import EncoderCard, TokenizerCard
from zoo.contract import INPUT_KEYS


@dataclass(frozen=True, eq=False)
class Model:
    """What `zoo.load_model` gives: the object that `hub.load` gives, its card and the directory it was loaded from.

        model = zoo.load_model("albert_tiny.tar.gz")
        model({"input_word_ids": ids})["sequence_output"]  # (B, T, H); called as the loaded object is
        model.mlm, model.variables  # and with its attributes
        model.card.sizes.hidden_size  # 312

    It goes on working when the directory is gone; only `keras_model` looks there once more.
    """

    card: EncoderCard | TokenizerCard
    path: Path
    loaded: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the loaded object. An encoder takes `(inputs, training=False)`, a tokenizer texts."""
        return self.loaded(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Model.__dataclass_fields__:  # asked by copy and pickle before they are set
            raise AttributeError(name)
        try:
            return getattr(self.loaded, name)
        except AttributeError:
            heads = ", ".join(getattr(self.card, "exported_heads", [])) or "none"
            raise AttributeError(f"{self.card.name} has no {name!r}; its exported heads: {heads}.") from None

    def keras_model(self, trainable: bool | str = False, **arguments: Any) -> Any:
        """Return a ready Keras 3 functional model around a `zoo.KerasLayer`, whose further arguments may be given.

            model.keras_model().predict({"input_word_ids": ids, "input_mask": mask, "input_type_ids": types})

        An encoder's takes three int32 inputs [B, T] by name and gives its dict of outputs; a preprocess or tokenizer
        archive's takes texts, strings [B], and gives what its root does. Its weights are this model's own: what trains
        there trains here. Raises what `zoo.KerasLayer` does.
        """
        import keras

        from zoo.keras_layer import KerasLayer

        if isinstance(self.card, EncoderCard):
            inputs: Any = {key: keras.Input([None], dtype="int32", name=key) for key in INPUT_KEYS}
        else:
            inputs = keras.Input([], dtype="string", name="text")
        layer = KerasLayer(self, trainable=trainable, **arguments)
        return keras.Model(inputs, layer(inputs), name=_layer_name(self.card.name))


def _layer_name(name: str) -> str:
    """Return a name that Keras and TensorFlow's scopes both take."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)
