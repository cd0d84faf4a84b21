"""The encoder that turns texts into vectors, described so that it can be sent to every worker process."""

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
    """The arguments of `zoo.TextEncoder`, which can be pickled: `EncoderSpec("albert_tiny", pooling="first")`.

    If `handle` is a path or `registry` is a file, the path must exist on every worker.
    """

    handle: str
    tokenizer: str | None = None
    pooling: Pooling = "mean"
    max_length: int | None = None
    registry: str | None = None

    def find(self) -> EncoderWithTokenizer:
        """Return the encoder and its tokenizer, fetched but not loaded. Raises the errors of `find_pair`."""
        return find_pair(self.handle, self.tokenizer, self.registry)

    def load(self) -> TextEncoder:
        """Return the loaded encoder: the same object for equal specs in one process."""
        return _loaded(self)


@lru_cache(maxsize=1)
def _loaded(spec: EncoderSpec) -> TextEncoder:
    from zoo.basics.quiet import import_tensorflow_quietly
    from zoo.text_encoder import TextEncoder

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # level 2 would print an error where there is no GPU
    import_tensorflow_quietly()
    how = {"pooling": spec.pooling, "max_length": spec.max_length, "registry": spec.registry}
    return TextEncoder(spec.handle, spec.tokenizer, **how)  # type: ignore[arg-type]
