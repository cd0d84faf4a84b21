"""Texts to vectors in onnxruntime: the text archive's own vectors, in a process without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from zoo.basics.side_by_side import MOST, cores
from zoo.contract import ONNX_FILE, ROOT, VECTOR, prompt_of
from zoo.errors import BadArchive, BadArgument, first_line
from zoo.lite.finding import find_converted
from zoo.lite.tokens import Row, Tokens, batch_of
from zoo.text_batches import Array, batches_of_a_length, checked_batch_size, checked_texts
from zoo.vector_encoder import MANY, VectorEncoder, Vectors

if TYPE_CHECKING:
    from zoo.registry.registry import Registry


class TextEncoder(VectorEncoder):
    """Turns texts, or pairs of texts, into the vectors that the text archive gives, within 1e-5.

        encode = zoo.lite.TextEncoder("bge_small_zh")
        vectors = encode(["你好", "再见"])  # numpy float32, (2, 512)
        encode([("你好吗", "你怎么样")])  # pairs: [CLS] a [SEP] b [SEP]
        encode.query(["好吗"]), encode.passage(["很好"])  # with the prompts that the model has for these

    `handle` is the name of a text archive whose conversion `zoo build NAME --with onnx` has published, as NAME_onnx; or
    that archive itself; or the directory that `zoo convert NAME --to onnx` wrote. `registry` is that of `zoo.load`.
    Prompts, lower case, limit and the way that pairs are cut are the archive's, as conversion.json says. `prompt` is
    put before each text of a call in place of the archive's own. `threads` compute: one for each core, if it is None.

    Raises BadArgument for a conversion that gives no vectors, BadArchive and DamagedArchive for one that cannot be
    read, NotBuilt for a name without a conversion, MissingExtra without onnxruntime or tokenizers, and what
    `zoo.path` does.
    """

    def __init__(
        self,
        handle: str | Path,
        *,
        prompt: str | None = None,
        threads: int | None = None,
        registry: Registry | str | Path | None = None,
    ) -> None:
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise BadArgument(f"threads={threads!r}: give a whole number, at least 1, or None for one for each core.")
        self.converted = converted = find_converted(handle, registry)
        self.name, self.max_length, self.digests = converted.name, converted.max_length, converted.digests
        self.prompt = converted.prompt if prompt is None else prompt
        self._tokens = Tokens(converted)
        self._threads = threads or cores()
        self._file = converted.directory / ONNX_FILE
        self._session = _session(self._file, threads or 0)
        self.hidden_size = _width(self._session, self._file)

    def preprocess(self, texts: Any) -> list[Row]:
        """Return what `embed` takes, of texts (N,) or pairs (N, 2): ids with [CLS] and [SEP], cut, the prompt before.

        Raises BadArgument as a call does.
        """
        return self._tokens.rows(checked_texts(texts), self.prompt)

    def embed(
        self, inputs: list[Row], batch_size: int = 32, advance: Callable[[int], object] = lambda count: None
    ) -> Vectors:
        """Return one vector for each row of what `preprocess` gives, (N, H) float32.

        `advance` is called with the number of rows that are done. Raises BadArgument for a batch of less than one row.
        """
        lengths = np.array([len(row.ids) for row in inputs])
        batches = [*batches_of_a_length(lengths, checked_batch_size(batch_size))]
        at_a_time = min(self._threads, MOST) if len(batches) >= MANY else 1
        session = self._session if at_a_time == 1 else self._session_of_many

        def compute(chosen: Array) -> Any:
            return session.run([VECTOR], batch_of([inputs[place] for place in chosen]))[0]

        return self._computed(len(inputs), batches, compute, at_a_time, advance)

    def _window(self, texts: Array, function: str, batch_size: int, advance: Callable[[int], object]) -> Vectors:
        prompt = self.prompt if function == ROOT else prompt_of(function, self.converted.prompts)
        return self.embed(self._tokens.rows(texts, prompt), batch_size, advance)

    @cached_property
    def _session_of_many(self) -> Any:
        """The model a second time, for up to 8 batches at once: a thread computes each, and cores beyond 8 help."""
        return _session(self._file, threads=1 + max(0, self._threads - MOST))


def _session(path: Path, threads: int) -> Any:
    """Return the model, computed by the caller's thread and further ones: `threads` in all, one for each core if 0."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are of the optimiser
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever onnxruntime raises about a model
        raise BadArchive(f"{path} does not load in onnxruntime: {first_line(error)}. Convert it again.") from error


def _width(session: Any, path: Path) -> int:
    """Return how many numbers a vector has."""
    widths = [output.shape[-1] for output in session.get_outputs() if output.name == VECTOR]
    if len(widths) != 1 or not isinstance(widths[0], int):
        raise BadArchive(
            f"{path} has no output {VECTOR!r} of a fixed size: no text archive of vectors. Convert it again."
        )
    return widths[0]
