"""`zoo.KerasLayer`: a SavedModel of this zoo as a layer of Keras 3. Importing this imports Keras and TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common.symbolic_scope import in_symbolic_scope  # has no public name

from zoo.errors import BadArgument, WeightMismatch
from zoo.keras import models as models  # registers its classes, which a .keras file may name
from zoo.keras.config import layer_config, recorded
from zoo.keras.endpoint import BadInputs, endpoint_of
from zoo.keras.fine_tuning import Part, chosen, groups, parts_of
from zoo.keras.origin import Origin, fill_variables, opened, variables_of
from zoo.loading.calls import tensor_of, tensors_of

keras.saving.register_keras_serializable("zoo")(Origin)


@keras.saving.register_keras_serializable("zoo")
class KerasLayer(keras.layers.Layer):
    """A SavedModel of this zoo as a layer of Keras 3. The arguments mean the same as those of hub.KerasLayer.

        layer = zoo.KerasLayer("albert_tiny", trainable=True, output_key="pooled_output")
        ids = keras.Input([None], dtype="int32")
        model = keras.Model(ids, keras.layers.Dense(2)(layer(ids)))
        texts = keras.Input([], dtype="string")  # what a text archive takes; pairs: keras.Input([2], dtype="string")
        vectors = zoo.KerasLayer("bge_small_zh", trainable="last:2")(texts)

    `handle` is a name, `zoo://` name, URL, .tar.gz or unpacked directory, or a loaded object (Keras cannot save that
    layer). `endpoint` calls an attribute of the model, such as "mlm" or "preprocess". `signature` calls a signature;
    it needs `output_key` or `signature_outputs_as_dict=True`. `arguments` are passed to every call. `output_key` picks
    one of several outputs. `registry`, `sha256` and `allow_unverified` mean the same as for `zoo.load`.

    `trainable` is True, False, "pooler" (the pooler, and the head of an endpoint or text archive), or "last:2" (also
    the last two layers). It can be set again at any time; then compile the model again. All other weights are in
    `non_trainable_weights` and get no gradients. With `trainable=False` there is neither dropout nor a regularisation
    loss, even while the model trains. A signature cannot train.

    Weights have the checkpoint's names, '.' for '/'. The dtype policy does not change the precision of the model, which
    is that of its export, mostly float32; under mixed precision only its outputs are cast to the compute dtype.
    Keras does not compile this layer with XLA, even with jit_compile=True: XLA drops the checks of ids and lengths,
    ends the process at strings, and takes minutes for a training step. To predict with XLA all the same, set
    `layer.supports_jit = True` before compiling.

    A .keras file with this layer holds the graph: after `from zoo import KerasLayer` it loads without cache, archive or
    network. Such a file may come from anybody, so nothing in it causes a download or loosens a check: its graph is
    checked like that of an archive, and a config that this class would not write is refused. A config alone, as of
    `clone_model` or `model_from_json`, has no weights; they are read from the cache, or from the local archive or
    directory that the layer was made from: see `zoo.keras.origin.Origin`.

    Raises BadArgument, and the errors of `zoo.load`.
    """

    def __init__(
        self,
        handle: Any,
        trainable: bool | str = False,
        output_key: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        signature: str | None = None,
        signature_outputs_as_dict: bool | None = None,
        name: str | None = None,
        dtype: Any = None,
        *,
        registry: str | Path | None = None,
        sha256: str | None = None,
        allow_unverified: bool = False,
        **kwargs: Any,
    ) -> None:
        if (backend := keras.config.backend()) != "tensorflow":
            raise BadArgument(f"a SavedModel runs in TensorFlow, and Keras in {backend}: set KERAS_BACKEND=tensorflow.")
        if signature and (output_key is None) != bool(signature_outputs_as_dict):
            raise BadArgument(f"signature={signature!r} needs one of output_key and signature_outputs_as_dict=True.")
        if signature_outputs_as_dict and not signature:
            raise BadArgument("signature_outputs_as_dict needs a signature; without one, outputs are a dict already.")
        # autocast=False: Keras must not cast ids and strings to the layer's float dtype.
        super().__init__(trainable=bool(trainable), name=name, dtype=dtype, autocast=False, **kwargs)
        self.supports_jit = False
        self._opened = opened(handle, registry=registry, sha256=sha256, allow_unverified=allow_unverified)
        self._object = self._opened.object  # an attribute, so that model.export() finds its tables
        self._endpoint = endpoint_of(self._object, self._opened.name, endpoint, signature)
        self._variables = MappingProxyType(variables_of(self._object))
        self._has_values = self._opened.has_values
        self._settings: Mapping[str, Any] = MappingProxyType(  # Keras would wrap a plain dict to track it
            {
                "output_key": output_key,
                "arguments": dict(arguments or {}),
                "endpoint": endpoint,
                "signature": signature,
                "signature_outputs_as_dict": signature_outputs_as_dict,
            }
        )
        self._part: str | None = None
        self.build()
        self._train(trainable)  # TensorFlow would skip the assignment self.trainable = … of an equal value

    @property
    def resolved_object(self) -> Any:
        """What `hub.load` gives for the handle."""
        return self._object

    # -- weights --------------------------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Wrap the loaded variables for Keras. They exist already, so the shape of the inputs is not needed."""
        if self.built:
            return
        names = {id(variable): name for name, variable in self._variables.items()}
        trainable = {id(variable) for variable in getattr(self._endpoint.owner, "trainable_variables", ())}
        self._adopted = [
            keras.Variable(
                variable,
                dtype=variable.dtype.name,
                trainable=id(variable) in trainable,
                autocast=False,
                name=names[id(variable)],
            )
            for variable in getattr(self._endpoint.owner, "variables", ())
        ]
        self._of_head: frozenset[str] = frozenset()
        self._can_train = frozenset(variable.name for variable in self._adopted if variable.trainable)
        inner = getattr(self._object, "encoder", self._object)  # of a text archive
        if own := {names.get(id(variable)) for variable in getattr(inner, "variables", ())}:
            self._of_head = self._can_train - own  # a head lists the variables of its encoder too

    @property
    def trainable(self) -> bool | str:
        """Which weights train: True, False, "pooler" or "last:2", as it was set."""
        return self._part or bool(super().trainable)

    @trainable.setter
    def trainable(self, value: bool | str) -> None:
        self._train(value)

    def _train(self, value: bool | str) -> None:
        """Set which weights train. Raises BadArgument for a signature, which cannot train."""
        if value and self._endpoint.is_signature:
            raise BadArgument(f"{self._endpoint.name} cannot train: leave signature= away and set trainable={value!r}.")
        part = value if isinstance(value, str) else None
        names = self._names_of(part) if part else self._can_train
        super(KerasLayer, type(self)).trainable.fset(self, bool(value))
        for variable in self._adopted:
            variable.trainable = bool(value) and variable.name in names
        self._part = part

    def _names_of(self, word: str) -> frozenset[str]:
        """Return the names of the variables that train under "pooler" or "last:2"."""
        return chosen(word, *self._parts(), self._opened.name)

    def _parts(self) -> tuple[dict[str, Part], int | None]:
        """Return the part of the model that each weight which can train belongs to, and how many layers there are."""
        sizes = self._opened.sizes
        parts = parts_of(self._can_train, self._opened.name, self._of_head, sizes.blocks if sizes else None)
        return parts, sizes.layers if sizes else None

    def weights_by_layer(self) -> dict[str, list[Any]]:
        """Return the weights that can train in lists, from the texts' side to the answer's.

            layer.weights_by_layer()  # {"embeddings": […], "layer_0": […], …, "layer_11": […], "pooler": […]}

        It is for learning rates, regularisation or freezing by layer, with any optimizer: docs/use.md has an example.
        Layers that share one set of weights, as ALBERT's, are one list, "layers_0_to_3"; the head of an endpoint or
        text archive is "head". Raises BadArgument for a model whose weights do not say their layer.
        """
        return {
            group: [weight for weight in self._adopted if weight.name in members]
            for group, members in groups(*self._parts()).items()
        }

    def save_own_variables(self, store: Any) -> None:
        """Write every variable of the SavedModel by name, including those of heads that this layer does not call."""
        self._need_values()
        for name, variable in self._variables.items():
            store[name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote.

        Raises WeightMismatch with every variable that is missing, unknown, or of another shape or dtype. (`load_model`
        raises Keras' own ValueError instead, which contains that list.)
        """
        there = {name: store[name] for name in store.keys()}  # noqa: SIM118, Keras' stores are not mappings
        problems = [f"{name} is missing" for name in self._variables if name not in there]
        problems += [f"{name} does not belong to {self._opened.name}" for name in there if name not in self._variables]
        for name, variable in self._variables.items():
            if name in there and tuple(there[name].shape) != tuple(variable.shape):
                problems.append(f"{name} is {tuple(there[name].shape)}, should be {tuple(variable.shape)}")
            elif name in there and there[name].dtype.name != variable.dtype.name:
                problems.append(f"{name} is {there[name].dtype.name}, should be {variable.dtype.name}")
        if problems:
            raise WeightMismatch(f"{self.name} cannot load its weights: {'; '.join(problems)}.")
        for name, variable in self._variables.items():
            variable.assign(np.asarray(there[name]))
        self._has_values = True

    def _need_values(self) -> None:
        """Read the values of the variables if this layer was made from a config alone and Keras has loaded none."""
        if self._has_values or in_symbolic_scope():
            return
        assert self._opened.origin is not None
        fill_variables(self._variables, self._opened.origin)
        self._has_values = True

    # -- calls ----------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer, also with nested lists of numbers or texts, which Keras would not convert."""
        tensors = tensors_of(inputs, _tensor)
        self._endpoint.check(tensors)
        return super().__call__(tensors, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs; float tensors have the compute dtype of the policy."""
        self._need_values()
        arguments = dict(self._settings["arguments"])
        if self._endpoint.takes_training:
            arguments["training"] = bool(training) and bool(self.trainable)
        outputs = self._endpoint(inputs, arguments)
        if self.trainable:
            for loss in getattr(self._endpoint.owner, "regularization_losses", ()):
                self.add_loss(loss())
        if (key := self._settings["output_key"]) is not None:
            if not isinstance(outputs, Mapping) or key not in outputs:
                there = ", ".join(map(repr, sorted(outputs))) if isinstance(outputs, Mapping) else "a single tensor"
                raise BadArgument(f"{self._endpoint.name} has no output {key!r}. There is {there}.")
            outputs = outputs[key]
        return tf.nest.map_structure(self._in_compute_dtype, outputs)

    def _in_compute_dtype(self, tensor: Any) -> Any:
        wanted = tf.as_dtype(self.compute_dtype)
        if tensor.dtype.is_floating and wanted.is_floating and tensor.dtype != wanted:
            return tf.cast(tensor, wanted)
        return tensor

    # -- config ---------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; under "handle" a record of handle, name, digest and graph."""
        if self._opened.origin is None:
            raise BadArgument(
                f"{self.name} was made from a loaded object, whose files are not known. To save or copy it, make the "
                "layer from a name, URL, archive or directory."
            )
        return {**super().get_config(), "handle": self._opened.origin, **self._settings}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> KerasLayer:
        """Return a layer from the config of another. Its weights are the archive's until others are loaded.

        Raises BadConfig for a config that `get_config` does not write, BadArchive for a graph that is refused.
        """
        arguments = layer_config(config, cls, KerasLayer)
        handle = arguments["handle"]
        if not isinstance(handle, Origin):  # in the process that called get_config it still is one
            handle = Origin.from_config(recorded(handle))
        return cls(**{**arguments, "handle": handle})


def _tensor(value: Any) -> Any:
    """Return a value as a tensor. A symbolic KerasTensor stays as it is."""
    if type(value).__module__.partition(".")[0] == "tf_keras":
        raise BadInputs(
            "this is a tensor of tf_keras (Keras 2), and zoo.KerasLayer a layer of Keras 3: use hub.KerasLayer there, "
            "hub.KerasLayer(str(zoo.path(name)))."
        )
    if isinstance(value, keras.KerasTensor):
        return value
    try:
        return tensor_of(value)
    except BadArgument as error:
        raise BadInputs(str(error)) from None
