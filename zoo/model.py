"""`zoo.load_model`: a loaded model with its card, and the Keras 3 model that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.archive.card import ModelCard, TextCard
from zoo.archive.kinds import KINDS
from zoo.basics.urls import offline
from zoo.contract import INPUT_KEYS, TASKS
from zoo.loading.load import Loaded, load_found


def load_model(handle: str | Path, *, name: str | None = None) -> Model:
    """Return a model from this machine alone: no socket is opened, whatever is missing is an error.

        model = zoo.load_model("albert_tiny.tar.gz")
        model([[101, 872, 102]])["pooled_output"]  # every input form of `hub.load`'s object, and its attributes
        model.keras_model(trainable=True)  # a Keras 3 model of three int32 inputs [None, None]

    A handle is a .tar.gz, an unpacked directory, a bundle, or a name that was fetched or installed before; `name`
    chooses a model of a bundle, which else has to have one encoder. Raises what `load` does.
    """
    with offline():
        return Model(**vars(load_found(handle, name=name)))


@dataclass(frozen=True, eq=False)
class Model(Loaded):
    """What `zoo.load_model` gives: the object that `hub.load` gives, its card and the directory it was loaded from.

        model = zoo.load_model("albert_tiny.tar.gz")
        model({"input_word_ids": ids})["sequence_output"]  # (B, T, H); called as the loaded object is
        model.mlm, model.variables  # and with its attributes
        model.card.sizes.hidden_size  # 312

    It goes on working when the directory is gone; only `keras_model` looks there once more.
    """

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

    def checkpoint_variables(self) -> dict[str, np.ndarray]:
        """Return the weights of an encoder or text archive as they are now, by the names of its checkpoint.

            model.checkpoint_variables()["bert/encoder/layer_0/output/LayerNorm/gamma"]  # (H,)

        A variable of an archive may hold several of the checkpoint's beside each other, as `card.variables` says; here
        each is apart, heads included. Matrices are [in, out] whatever the checkpoint's format, and as precise as they
        are stored. A tokenizer has none.
        """
        if not isinstance(self.card, ModelCard):
            return {}
        encoder = getattr(self.loaded, "encoder", self.loaded)  # of a text archive
        roots = [self.loaded, encoder, *(getattr(encoder, head) for head in self.card.exported_heads)]
        found: dict[str, np.ndarray] = {}
        for variable in (variable for root in roots for variable in root.variables):
            names, widths = zip(*self.card.variables[variable.name.partition(":")[0]], strict=True)
            borders = len(names) if None in widths else np.cumsum(widths)[:-1]
            found |= dict(zip(names, np.split(variable.numpy(), borders, axis=-1), strict=True))
        return found

    def keras_model(self, trainable: bool | str = False, **arguments: Any) -> Any:
        """Return a ready Keras 3 functional model around a `zoo.KerasLayer`, whose further arguments may be given.

            model.keras_model().predict({"input_word_ids": ids, "input_mask": mask, "input_type_ids": types})

        An encoder's takes three int32 inputs [B, T], by name or as [ids, mask, types], and gives its dict of outputs;
        that of any other archive takes texts, strings [B], or pairs [B, 2] if it takes only these, and gives what its
        root does. Its weights are this model's own: what trains there trains here. Raises what `zoo.KerasLayer` does.
        """
        import keras

        from zoo.keras.layer import KerasLayer  # which imports Keras
        from zoo.keras.models import FormsModel

        if KINDS[self.card.kind].takes == "ids":
            inputs: Any = {key: keras.Input([None], dtype="int32", name=key) for key in INPUT_KEYS}
        else:
            only_pairs = isinstance(self.card, TextCard) and TASKS[self.card.task.name].takes == "pairs"
            inputs = keras.Input([2] if only_pairs else [], dtype="string", name="text")
        layer = KerasLayer(self, trainable=trainable, **arguments)
        return FormsModel(inputs, layer(inputs), name=_layer_name(self.card.name))


def _layer_name(name: str) -> str:
    """Return a name that Keras and TensorFlow's scopes both take."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)
