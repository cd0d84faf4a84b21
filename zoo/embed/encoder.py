"""Which encoder turns the texts into vectors, as every process that does the work is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from zoo.contract import Pooling
from zoo.loading.matching import EncoderWithTokenizer, find_pair

if TYPE_CHECKING:
    from zoo.text_encoder import TextEncoder


@dataclass(frozen=True)
class EncoderSpec:
    """The arguments of `zoo.TextEncoder`, in a form that travels: `EncoderSpec("albert_tiny", pooling="first")`.

    A handle that is a path, and a registry that is a file, are looked for by every worker.
    """

    handle: str
    tokenizer: str | None = None
    pooling: Pooling = "mean"
    max_length: int | None = None
    registry: str | None = None

    def find(self) -> EncoderWithTokenizer:
        """Return the models, fetched if need be and not loaded; raises what `find_pair` does."""
        return find_pair(self.handle, self.tokenizer, self.registry)

    def load(self) -> TextEncoder:
        """Return the encoder, the same one for the same spec in the same process."""
        return _loaded(self)


@lru_cache(maxsize=1)
def _loaded(spec: EncoderSpec) -> TextEncoder:
    from zoo.basics.quiet import import_tensorflow_quietly
    from zoo.text_encoder import TextEncoder

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a machine without a GPU is an error at level 2
    import_tensorflow_quietly()
    how = {"pooling": spec.pooling, "max_length": spec.max_length, "registry": spec.registry}
    return TextEncoder(spec.handle, spec.tokenizer, **how)  # type: ignore[arg-type]
