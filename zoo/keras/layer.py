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
from zoo.keras.config import layer_config, recorded
from zoo.keras.endpoint import BadInputs, endpoint_of
from zoo.keras.fine_tuning import chosen, parts_of
from zoo.keras.origin import Origin, fill_variables, opened, variables_of
from zoo.loading.calls import tensor_of, tensors_of

keras.saving.register_keras_serializable("zoo")(Origin)


@keras.saving.register_keras_serializable("zoo")
class KerasLayer(keras.layers.Layer):
    """A SavedModel of this zoo as a layer of Keras 3, with hub.KerasLayer's arguments and their meanings.

        layer = zoo.KerasLayer("albert_tiny", trainable=True, output_key="pooled_output")
        ids = keras.Input([None], dtype="int32")
        model = keras.Model(ids, keras.layers.Dense(2)(layer(ids)))

    `handle` is a name, `zoo://` name, URL, .tar.gz or unpacked directory, or an object that is loaded already (which
    Keras cannot save). `endpoint` calls an attribute of it, "mlm", "preprocess", …, and `signature` one of its
    signatures; that needs `output_key` or `signature_outputs_as_dict=True`. `arguments` go to the callable as they
    are. `output_key` picks one of several outputs. `registry`, `sha256` and `allow_unverified` are `zoo.load`'s.

    `trainable` is True, False, "pooler" (what comes after the last layer: the pooler, and the head of an endpoint), or
    "last:2" (the last two layers and that). It can be set again at any time; compile again after it. All other weights
    are in `non_trainable_weights` and get no gradients. There is dropout while the model trains, and regularisation
    losses, only where the layer is trainable too. A signature cannot train.

    Weights have the checkpoint's names, '.' for '/'. The model computes in the precision it was exported for, float32
    as a rule, whatever the dtype policy says; under mixed precision its outputs are cast to the policy's compute dtype.
    XLA is not let in, whatever jit_compile says: it drops the checks of ids and lengths, ends the process at strings,
    and compiles a training step for minutes. `layer.supports_jit = True` before compiling admits it, for predicting.

    A .keras file with such a layer is complete: it holds the graph, and after `from zoo import KerasLayer` it loads
    without cache, archive or network. Nothing that such a file says is asked of the network or loosens a check, for
    anybody may have written it: its graph is looked at as an archive's is, and a config that is not as this class
    writes it is refused. A config alone, as of `clone_model` or `model_from_json`, has its weights from the cache, or
    from the local archive or directory it was made of: see `zoo.keras.origin.Origin`.

    Raises BadArgument, and whatever `zoo.load` raises.
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
            raise BadArgument("signature_outputs_as_dict needs a signature; other outputs come as the dict they are.")
        # Ids and strings are not to be cast to the layer's float dtype.
        super().__init__(trainable=bool(trainable), name=name, dtype=dtype, autocast=False, **kwargs)
        self.supports_jit = False
        self._opened = opened(handle, registry=registry, sha256=sha256, allow_unverified=allow_unverified)
        self._object = self._opened.object  # an attribute of its own, so that its tables go along with model.export()
        self._endpoint = endpoint_of(self._object, self._opened.name, endpoint, signature)
        self._variables = MappingProxyType(variables_of(self._object))
        self._has_values = self._opened.has_values
        self._settings: Mapping[str, Any] = MappingProxyType(  # Keras would watch a plain dict
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
        self._train(trainable)  # not by assignment, which TensorFlow skips where the value is the same

    @property
    def resolved_object(self) -> Any:
        """What `hub.load` gives for the handle."""
        return self._object

    # -- weights --------------------------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Adopt the variables. They are all there: the shape of the inputs decides nothing."""
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
        if root := {names.get(id(variable)) for variable in getattr(self._object, "variables", ())}:
            self._of_head = self._can_train - root  # the lists of a head hold its encoder's variables too

    @property
    def trainable(self) -> bool | str:
        """What trains: True, False, "pooler" or "last:2". Reading gives what was set."""
        return self._part or bool(super().trainable)

    @trainable.setter
    def trainable(self, value: bool | str) -> None:
        self._train(value)

    def _train(self, value: bool | str) -> None:
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
        model, sizes = self._opened.name, self._opened.sizes
        parts = parts_of(self._can_train, model, self._of_head, sizes.blocks if sizes else None)
        return chosen(word, parts, sizes.layers if sizes else None, model)

    def save_own_variables(self, store: Any) -> None:
        """Write every variable of the SavedModel, by name: also those of heads that this layer does not call."""
        self._need_values()
        for name, variable in self._variables.items():
            store[name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote.

        Raises WeightMismatch, which lists all that is missing, misshapen or of another dtype. (`load_model` collects
        the errors of all layers and raises Keras' own ValueError, in which that list stands.)
        """
        there = {name: store[name] for name in store.keys()}  # noqa: SIM118, Keras' stores are no mappings
        problems = [f"{name} is missing" for name in self._variables if name not in there]
        problems += [f"{name} is not of {self._opened.name}" for name in there if name not in self._variables]
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
        """See to it that there are values, whatever became of the place that they were first read from."""
        if self._has_values or in_symbolic_scope():
            return
        assert self._opened.origin is not None
        fill_variables(self._variables, self._opened.origin)
        self._has_values = True

    # -- calls ----------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Also take what Keras would not convert: nested lists of numbers or texts."""
        tensors = tensors_of(inputs, _tensor)
        self._endpoint.check(tensors)
        return super().__call__(tensors, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the callable's outputs; floats of them in the compute dtype of the policy."""
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
                f"{self.name} was made from a loaded object, and nobody knows its files any more: to save or copy it, "
                "give KerasLayer the name, URL, archive or directory."
            )
        return {**super().get_config(), "handle": self._opened.origin, **self._settings}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> KerasLayer:
        """Return a layer like the one whose config this is; its weights are the archive's until others are loaded.

        Raises BadConfig for a config that `get_config` does not write, BadArchive for a graph that is refused.
        """
        arguments = layer_config(config, cls, KerasLayer)
        handle = arguments["handle"]
        if not isinstance(handle, Origin):  # which it is in the process that called get_config
            handle = Origin.from_config(recorded(handle))
        return cls(**{**arguments, "handle": handle})


def _tensor(value: Any) -> Any:
    """Return a value as a tensor; those of Keras 3 are left as they are."""
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
