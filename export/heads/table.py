"""What a head's row may say. The rows are in the files beside this one, a head each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from export.families.table import Layout
from export.oracle.forward import Case, ReferenceOutputs
from export.oracle.heads import HeadOracle
from export.readers.protocol import Format, Shape
from export.weights.config import EncoderConfig
from zoo.contract import HEADS as CALLS

if TYPE_CHECKING:
    import tensorflow as tf

    from export.encoder.encoder import Encoder

Tensors = Mapping[str, "tf.Tensor"]
Arrays = Mapping[str, np.ndarray]
Sizes = tuple[int | str, ...]  # a shape: each size is a number, or an attribute of EncoderConfig such as "hidden_size"


@dataclass(frozen=True)
class Head:
    """One head of an encoder. What goes in and comes out stands in `zoo.contract.HEADS` under the same name.

    `variables` are all that a whole head has, by our names, `mlm/dense/kernel`: the head's name, a module, a leaf of
    the layout's `leaves`. `tied` are variables that some files store, mostly copies of the word table; one is exported
    only where it is another matrix. `scopes` has, for each family and format whose checkpoints may hold the
    head, our module -> its scope there.

    `compute(encoder, outputs, inputs)` gives the outputs of the head, from those of the encoder and from all inputs as
    int32 tensors. `oracle(source, answer, inputs)` gives the same outputs from the checkpoint, in numpy alone.
    At padded positions the encoder's outputs are zero and those in `answer` are not: both functions have to set the
    head's outputs to zero there. `golden_inputs` are the head's own inputs on the certificate, made from the encoder's.
    """

    name: str
    title: str  # what the card calls variables of the head that are not exported
    variables: Mapping[str, Sizes]
    scopes: Mapping[tuple[str, Format], Mapping[str, str]]
    compute: Callable[[Encoder, Tensors, Tensors], Tensors]  # imports TensorFlow, which planning does without
    oracle: Callable[[HeadOracle, ReferenceOutputs, Arrays], Arrays]
    reads: Literal["sequence_output", "pooled_output"] = "sequence_output"
    tied: Mapping[str, Sizes] = field(default_factory=dict)
    golden_inputs: Callable[[Case], Arrays] = lambda case: {}

    @property
    def outputs(self) -> Mapping[str, str]:
        """The head's outputs and their axes, of `zoo.contract.HEADS`."""
        return CALLS[self.name].outputs

    @property
    def inputs(self) -> Mapping[str, str]:
        """The head's inputs beside the encoder's and their axes, of `zoo.contract.HEADS`."""
        return CALLS[self.name].inputs

    def scopes_in(self, layout: Layout) -> Mapping[str, str]:
        """Return our module -> its scope in a layout; nothing where checkpoints of the layout have no such head.

        An archive has TF1's names, and ours for a module that TF1's layout of the family does not have.
        """
        if not layout.is_archive:
            return self.scopes.get((layout.family, layout.format), {})
        known = {scope for (family, _), scopes in self.scopes.items() if family == layout.family for scope in scopes}
        return {module: self.scopes.get((layout.family, "tf1"), {}).get(module, module) for module in sorted(known)}

    def refusal(self, config: EncoderConfig) -> str | None:
        """Return why the head cannot go with an encoder, None where it can."""
        if self.reads == "pooled_output" and config.pooler == "first_token":
            return "reads the pooler's output; it cannot go with --pooler first_token"
        return None

    def uses(self, name: str) -> bool:
        """Return whether a call of the head computes with a variable of ours, and so trains it."""
        part = name.partition("/")[0]
        return self.reads == "pooled_output" if part == "pooler" else part == self.name or part not in CALLS


def shape_of(sizes: Sizes, config: EncoderConfig) -> Shape:
    """Return the shape that sizes mean for one encoder: shape_of((2, "hidden_size"), config) is (2, 768)."""
    return tuple(size if isinstance(size, int) else getattr(config, size) for size in sizes)
