"""The part of a text archive's card that says what it answers, and by which steps; see docs/text.md."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from zoo.archive.activation import Activation
from zoo.contract import LEAST_TOKENS, PROMPTED, ROOT, TASKS, VECTOR, Pooling, TaskName, prompt_of

# How a text, or a pair, over the limit is cut. "round_robin": one token each in turn, as google-research/bert.
# "longest_first": the same, but a token that is left over goes to the longer text, as transformers. "only_second": the
# first text stays whole.
Truncation = Literal["round_robin", "longest_first", "only_second"]
Scores = Literal["softmax", "sigmoid", "identity"]  # of logits
# How the labels of tokens say where an entity begins and ends; "plain" labels have no B- or I-.
Scheme = Literal["BIO", "BIOES", "BMES", "plain"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class DenseRecord(_Part):
    """A dense layer: y = activation(x · kernel + bias). Its variables are task/dense_0/kernel, task/dense_0/bias, …"""

    outputs: int = Field(gt=0)
    activation: Activation = "linear"
    bias: bool = True
    unit_inputs: bool = Field(default=False, description="whether x gets the length 1 first")


class TextTask(_Part):
    """Everything that decides an answer beyond the tokenizer and the encoder.

    `pooling` is a kind of `zoo.contract.Pooling`, or several joined by "+"; None: the outputs of every token go on.
    They go through `dense` and, if `normalize`, to the length 1.
    """

    name: TaskName
    pooling: str | None
    dense: list[DenseRecord] = []
    normalize: bool = False
    dropout: float = Field(default=0.0, description="rate before each dense layer, in training alone")
    max_length: int = Field(ge=LEAST_TOKENS, description="most tokens of a text or pair, [CLS] and [SEP] included")
    truncation: Truncation = "round_robin"
    lower_case: bool = Field(default=False, description="lower-case texts for a tokenizer that keeps capitals")
    prompts: dict[str, str] = Field(default={}, description="name -> text that is put before a text")
    default_prompt: str | None = Field(default=None, description="name of the prompt that every text gets")
    similarity: str | None = None
    labels: list[str] = []
    scores: Scores = "identity"
    scheme: Scheme | None = None
    crf: bool = False
    most_tokens: int | None = Field(default=None, description="of an answer span, or of candidates for a [MASK]")
    reasons: list[str] = Field(default=[], description="sentences: where each of these was read")

    @field_validator("name", mode="before")
    @classmethod
    def _is_known(cls, name: Any) -> Any:
        if isinstance(name, str) and name not in TASKS:
            raise ValueError(f"the task {name[:40]!r} is not known to this bert-zoo: update bert-zoo")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> TextTask:
        if odd := [kind for kind in (self.pooling or "").split("+") if self.pooling and kind not in get_args(Pooling)]:
            raise ValueError(f"the pooling {odd[0][:40]!r} is not known to this bert-zoo")
        if self.name == VECTOR and self.pooling is None:
            raise ValueError("a task vector has no pooling")
        if self.labels and (outputs := self.dense[-1].outputs if self.dense else 0) != len(self.labels):
            raise ValueError(f"{len(self.labels):,} labels for a head of {outputs:,} outputs")
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            raise ValueError(f"the default prompt {self.default_prompt[:40]!r} is not among the prompts")
        return self

    @property
    def prompt(self) -> str:
        """The prompt that every text gets; "" without one."""
        return self.prompts.get(self.default_prompt or "", "")

    @property
    def functions(self) -> dict[str, str]:
        """The functions that answer texts, each with the prompt that it puts before them: {"query": "query: "}."""
        functions = {ROOT: self.prompt}
        if self.name == VECTOR:
            functions |= {name: prompt_of(name, self.prompts) for name in PROMPTED}
        return functions

    def calling(self, prompt: str) -> tuple[str, str] | None:
        """Return the function that puts `prompt` before texts, and what is still to be put before them.

        None if every function puts something else before them.
        """
        fitting = [(name, own) for name, own in self.functions.items() if prompt.startswith(own)]
        if not fitting:
            return None
        name, own = max(fitting, key=lambda each: len(each[1]))
        return name, prompt.removeprefix(own)
