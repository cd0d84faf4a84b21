"""The work on one part of a corpus, from rows to files. All engines use this code, so their results are the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.basics.files import written_file
from zoo.embed.asked import Settings
from zoo.embed.corpus import OpenedCorpus
from zoo.embed.encoder import EncoderSpec
from zoo.embed.needs import parquet
from zoo.embed.output import Output
from zoo.embed.parts import CorpusPart
from zoo.embed.rows import Rows
from zoo.errors import DigestMismatch
from zoo.loading.pooling import TextVectors

if TYPE_CHECKING:
    from zoo.vector_encoder import VectorEncoder


@dataclass(frozen=True)
class EmbeddingJob:
    """Everything that decides the output, and the directory of the output. It is sent to every worker."""

    spec: EncoderSpec
    model: str
    tokenizer: str | None  # None: the model has its own inside
    digests: tuple[str, str | None]
    how: TextVectors
    hidden_size: int  # how many numbers a vector has
    source: OpenedCorpus
    limit: int | None
    settings: Settings
    output: Output

    def identity(self) -> dict[str, Any]:
        """Return the settings that must be equal for a run to continue an earlier one: `_job.json`."""
        model_sha256, tokenizer_sha256 = self.digests
        return {
            "format_version": 1,
            "model": self.model,
            "model_sha256": model_sha256,
            "tokenizer": self.tokenizer,
            "tokenizer_sha256": tokenizer_sha256,
            "pooling": self.how.pooling,
            "max_length": self.how.max_length,
            # None where nothing is done, as in the runs of versions that could do nothing of it.
            "normalize": self.how.normalize or None,
            "prompt": self.how.prompt or None,
            "lower_case": self.how.lower_case or None,
            "batch_invariant": self.spec.batch_invariant or None,
            "runtime": None if self.spec.runtime == "tensorflow" else self.spec.runtime,
            "limit": self.limit,
            **asdict(self.settings),
            "batch_size": self.batch_size,
            **asdict(self.source),
        }

    def load(self, threads: int | None = None) -> VectorEncoder:
        """Return the encoder. Raises DigestMismatch if this worker finds another model than the run was begun with."""
        encoder = self.spec.load(threads)
        if encoder.digests != self.digests:
            theirs, ours = (_short(digests) for digests in (encoder.digests, self.digests))
            raise DigestMismatch(
                f"on this worker {self.spec.handle} is {theirs}, but the run was begun with {ours}. Install the same "
                "models on every worker."
            )
        return encoder

    def vectors(self, encoder: VectorEncoder, rows: Rows) -> NDArray[np.float32]:
        """Return the vectors of the good rows of a part, (N, H)."""
        return encoder.embed(encoder.preprocess(self.texts(rows)), self.batch_size)

    @property
    def batch_size(self) -> int:
        """How many texts are computed together."""
        return self.spec.batch_size(self.settings.batch_size)

    def texts(self, rows: Rows) -> NDArray[Any]:
        """Return texts (N,) or pairs (N, 2), as an array of objects that TensorFlow accepts."""
        return np.array(rows.texts, object).reshape((-1,) if self.source.pair is None else (-1, 2))

    def write(self, part: CorpusPart, rows: Rows, vectors: NDArray[np.float32]) -> None:
        """Write the files of a part: bad rows first, because a part counts as done as soon as its vectors exist."""
        if not rows.bad:
            self.output.bad(part.number).unlink(missing_ok=True)  # an interrupted run may have left one
        else:
            with written_file(self.output.bad(part.number)) as temporary:
                temporary.write_bytes(b"".join(bad.to_json() for bad in rows.bad))
        texts = {}
        if self.settings.keep_text:
            columns = ["text"] if self.source.pair is None else ["text", "pair"]
            texts = dict(zip(columns, self.texts(rows).reshape(-1, len(columns)).T, strict=True))
        with written_file(self.output.part(part.number)) as temporary:
            parquet().write_vectors(
                temporary, rows.ids, self.source.id_type, vectors.astype(self.settings.dtype), texts, self.facts()
            )

    def facts(self) -> dict[str, str]:
        """Return the metadata for the Parquet schema of every part: {"zoo.model": "albert_tiny", …}."""
        named = {"model", "model_sha256", "tokenizer", "tokenizer_sha256", "batch_invariant", "runtime"}
        named |= {*vars(self.how)}
        return {f"zoo.{name}": str(value) for name, value in self.identity().items() if name in named and value}


def _short(digests: tuple[str, str | None]) -> str:
    model, tokenizer = digests
    return f"{model[:12]}…" + (f" with the tokenizer {tokenizer[:12]}…" if tokenizer else "")
