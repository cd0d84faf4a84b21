"""How the outputs of an encoder become one vector of a text, as the files of sentence-transformers state it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from export.readers.protocol import Container
from zoo.archive.sentence import SentenceVectors
from zoo.contract import Pooling


@dataclass(frozen=True)
class DenseLayer:
    """A dense layer behind the pooling: y = activation(x · weightᵀ + bias), from `inputs` to `outputs` numbers."""

    folder: str  # 2_Dense
    inputs: int
    outputs: int
    activation: str  # "tanh", "identity"; a class of torch that is not in ACTIVATIONS stays a dotted name
    weights: Container  # linear.weight [outputs, inputs] and, if there is a bias, linear.bias [outputs]
    unit_inputs: bool = False  # x gets the length 1 first: a Normalize stands before the layer

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its variables in a checkpoint: ("2_Dense/linear.bias", "2_Dense/linear.weight")."""
        return tuple(f"{self.folder}/{name}" for name in self.weights.shapes)

    def __str__(self) -> str:
        return f"dense layer {self.inputs:,}→{self.outputs:,} with {self.activation} ({self.folder})"


@dataclass(frozen=True)
class SentenceModel:
    """How sentence-transformers makes the vector of a text with this checkpoint, read from the files beside it.

    The vector is pooled from the tokens' last outputs; several poolings give several vectors, put beside each other in
    this order. Then it goes through the dense layers, and `normalize` gives it the length 1. Texts are cut to
    `max_length` tokens.
    """

    root: Path  # the directory of modules.json
    pooling: tuple[Pooling, ...] = ()
    include_prompt: bool = True  # whether the tokens of a prompt are pooled too
    dense: tuple[DenseLayer, ...] = ()
    normalize: bool = False
    max_length: int = 0
    lower_case: bool = False  # texts are lower-cased before a tokenizer that keeps capitals
    prompts: Mapping[str, str] = field(default_factory=dict)  # name -> text put before a text: "query" -> "query: "
    default_prompt: str | None = None  # the name of the prompt that every text gets
    similarity: str | None = None  # "cosine", "dot", …
    unknown: tuple[str, ...] = ()  # modules and settings, in words, that this reader cannot follow
    facts: tuple[str, ...] = ()  # sentences for the card
    files: tuple[Path, ...] = ()

    @property
    def beyond_encoder(self) -> tuple[str, ...]:
        """Everything behind the pooling that an encoder archive does not compute, in words."""
        return (*map(str, self.dense), *self.unknown)

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Reason -> variables of dense layers, which an encoder archive leaves out."""
        names = tuple(name for layer in self.dense for name in layer.variables)
        return {"dense layer of sentence-transformers, not part of an encoder archive": names} if names else {}

    def named_files(self) -> dict[str, Path]:
        """Return the files by their paths in the directory: {"1_Pooling/config.json": …}."""
        return {file.relative_to(self.root).as_posix(): file for file in self.files}

    def on_card(self) -> SentenceVectors:
        """Return the model as the card of an archive states it; `restated` is the way back."""
        return SentenceVectors(
            pooling="+".join(self.pooling),
            include_prompt=self.include_prompt,
            normalize=self.normalize,
            max_length=self.max_length,
            lower_case=self.lower_case,
            prompts=dict(self.prompts),
            default_prompt=self.default_prompt,
            similarity=self.similarity,
            beyond_encoder=list(self.beyond_encoder),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the model for programs."""
        return {
            **self.on_card().model_dump(),
            "pooling": list(self.pooling),
            "files": sorted(self.named_files()),
        }

    def __str__(self) -> str:
        """The model in words: "pooling first, normalised, at most 512 tokens; dense layer …: not part of …"."""
        said = [f"pooling {'+'.join(self.pooling) or 'none'}", *(["normalised"] if self.normalize else [])]
        said.append(f"at most {self.max_length:,} tokens")
        said += ["texts are lower-cased"] if self.lower_case else []
        used = {name: text for name, text in self.prompts.items() if text}
        said += [f"prompts {', '.join(f'{name} {text!r}' for name, text in used.items())}"] if used else []
        said += [f"every text gets the prompt {self.default_prompt!r}"] if self.default_prompt in used else []
        words = [", ".join(said), *(f"{each}: not part of an encoder archive" for each in self.beyond_encoder)]
        return "\n".join(words)


def restated(stated: SentenceVectors, root: Path) -> SentenceModel:
    """Return the sentence model that the card of an archive states; for archives that are exported again."""
    said = stated.model_dump(exclude={"pooling", "beyond_encoder"})
    pooling = cast(tuple[Pooling, ...], tuple(stated.pooling.split("+")))
    return SentenceModel(root, pooling=pooling, unknown=tuple(stated.beyond_encoder), **said)
