"""The part of an encoder's card that says how sentence-transformers makes vectors of its outputs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SentenceVectors(BaseModel):
    """How sentence-transformers makes the vector of a text from the outputs of this encoder; `zoo.TextEncoder` obeys.

    `pooling` is a kind of `zoo.contract.Pooling`, or several joined by "+", whose vectors are put beside each other.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    pooling: str
    include_prompt: bool = Field(default=True, description="whether the tokens of a prompt are pooled too")
    normalize: bool
    max_length: int
    lower_case: bool = Field(default=False, description="lower-case texts for a tokenizer that keeps capitals")
    prompts: dict[str, str] = Field(default={}, description="name -> text that is put before a text")
    default_prompt: str | None = Field(default=None, description="name of the prompt that every text gets")
    similarity: str | None = None
    beyond_encoder: list[str] = Field(
        default=[], description="everything behind the pooling that the archive does not compute, such as dense layers"
    )

    @property
    def prompt(self) -> str:
        """The prompt that every text gets; "" without one."""
        return self.prompts.get(self.default_prompt or "", "")
