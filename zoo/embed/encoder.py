"""The encoder that turns texts into vectors, described so that it can be sent to every worker process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, get_args

from zoo.embed.asked import BATCH_SIZES, Runtime
from zoo.errors import BadArgument
from zoo.loading.matching import EncoderWithTokenizer, FoundText, find_vectors
from zoo.loading.pooling import AskedVectors, TextVectors, check_own

if TYPE_CHECKING:
    from zoo.lite.encoder import TextEncoder as LiteEncoder
    from zoo.vector_encoder import VectorEncoder


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
    runtime: Runtime = "tensorflow"

    def __post_init__(self) -> None:
        if self.runtime not in get_args(Runtime):
            raise BadArgument(f"runtime={self.runtime!r}: choose one of {', '.join(get_args(Runtime))}.")

    def batch_size(self, asked: int | None) -> int:
        """Return how many texts are computed together: as asked for, else 64, and 32 through ONNX Runtime."""
        return BATCH_SIZES[self.runtime] if asked is None else asked

    @property
    def asked(self) -> AskedVectors:
        """The arguments that decide how texts become vectors."""
        return AskedVectors(self.pooling, self.normalize, self.max_length, self.prompt)

    def find(self) -> EncoderWithTokenizer | FoundText | FoundConversion:
        """Return what makes the vectors, fetched. Raises as `find_vectors` or, for ONNX, `zoo.lite.TextEncoder` does.

        TensorFlow's is not loaded. The conversion is, since its file alone says how many numbers a vector has.
        """
        if self.runtime == "tensorflow":
            return find_vectors(self.handle, self.tokenizer, self.registry)
        wrong = [f"tokenizer={self.tokenizer!r}: the conversion has its own"] if self.tokenizer else []
        if self.batch_invariant:
            wrong.append("batch_invariant: ONNX Runtime's last bits depend on the batch, so take TensorFlow for this")
        if wrong:
            raise BadArgument(f"runtime='onnx' does not go with {'; '.join(wrong)}.")
        return FoundConversion(_loaded_onnx(self, None))

    def load(self, threads: int | None = None) -> VectorEncoder:
        """Return the loaded encoder: the same object for equal specs in one process.

        It computes with so many `threads`, None: one for each core. In TensorFlow that counts until the process has
        computed something, and TF_NUM_INTRAOP_THREADS of the environment counts more.
        """
        return _loaded(self, threads) if self.runtime == "tensorflow" else _loaded_onnx(self, threads)


@dataclass(frozen=True)
class FoundConversion:
    """A text archive's conversion to ONNX, with the methods of `FoundText`. A prompt may be any text."""

    encoder: LiteEncoder
    tokenizer = None

    @property
    def name(self) -> str:
        return self.encoder.name

    def text_vectors(self, asked: AskedVectors) -> TextVectors:
        own = self.encoder.converted
        check_own(asked, AskedVectors(own.pooling, own.normalize, own.max_length), own.name)
        return TextVectors(own.pooling, own.normalize, own.max_length, self.encoder.prompt, own.lower_case)

    def width(self, how: TextVectors) -> int:
        return self.encoder.hidden_size

    def digests(self) -> tuple[str, str | None]:
        return self.encoder.digests


@lru_cache(maxsize=1)
def _loaded(spec: EncoderSpec, threads: int | None) -> VectorEncoder:
    from zoo.basics.processor import ONEDNN
    from zoo.basics.quiet import import_tensorflow_quietly
    from zoo.text_encoder import INTEROP, INTRAOP, TextEncoder

    os.environ.setdefault(ONEDNN, "1")
    if threads is not None:
        for name in (INTRAOP, INTEROP):
            os.environ.setdefault(name, str(threads))
    import_tensorflow_quietly()
    return TextEncoder(
        spec.handle,
        spec.tokenizer,
        batch_invariant=spec.batch_invariant,
        registry=spec.registry,
        **vars(spec.asked),
    )


@lru_cache(maxsize=1)
def _loaded_onnx(spec: EncoderSpec, threads: int | None) -> LiteEncoder:
    from zoo.lite import TextEncoder

    return TextEncoder(spec.handle, prompt=spec.prompt, threads=threads, registry=spec.registry)
