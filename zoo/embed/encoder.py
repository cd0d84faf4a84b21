"""The encoder that turns texts into vectors, described so that it can be sent to every worker process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from zoo.loading.matching import EncoderWithTokenizer, FoundText, find_vectors
from zoo.loading.pooling import AskedVectors

if TYPE_CHECKING:
    from zoo.text_encoder import TextEncoder


@dataclass(frozen=True)
class EncoderSpec:
    """The arguments of `zoo.TextEncoder`, which can be pickled: `EncoderSpec("bge_small", prompt="query: ")`.

    If `handle` is a path or `registry` is a file, the path must exist on every worker.
    """

    handle: str
    tokenizer: str | None = None
    pooling: str | None = None
    max_length: int | None = None
    registry: str | None = None
    normalize: bool | None = None
    prompt: str | None = None
    batch_invariant: bool = False

    @property
    def asked(self) -> AskedVectors:
        """The arguments that decide how texts become vectors."""
        return AskedVectors(self.pooling, self.normalize, self.max_length, self.prompt)

    def find(self) -> EncoderWithTokenizer | FoundText:
        """Return the encoder with its tokenizer, or the text archive, fetched, not loaded. Raises as `find_vectors`."""
        return find_vectors(self.handle, self.tokenizer, self.registry)

    def load(self) -> TextEncoder:
        """Return the loaded encoder: the same object for equal specs in one process."""
        return _loaded(self)


@lru_cache(maxsize=1)
def _loaded(spec: EncoderSpec) -> TextEncoder:
    from zoo.basics.quiet import import_tensorflow_quietly
    from zoo.text_encoder import TextEncoder

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # level 2 would print an error where there is no GPU
    import_tensorflow_quietly()
    return TextEncoder(
        spec.handle,
        spec.tokenizer,
        batch_invariant=spec.batch_invariant,
        registry=spec.registry,
        **vars(spec.asked),
    )
