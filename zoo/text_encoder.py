"""Texts to vectors: a text archive, or an encoder and the tokenizer of its vocabulary, in one object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zoo.basics.processor import has_onednn_for_avx512
from zoo.basics.side_by_side import MOST, cores
from zoo.contract import ROOT, prompt_of, reads_first_only
from zoo.errors import BadArgument
from zoo.loading.matching import find_vectors
from zoo.loading.pooling import AskedVectors, TextVectors
from zoo.offsets import Piece, pieces_of
from zoo.registry.registry import Registry
from zoo.text_batches import Array, Texts, batches_of_a_length, checked_batch_size, checked_texts
from zoo.vector_encoder import MANY, VectorEncoder, Vectors
from zoo.vector_steps import steps_of

INTRAOP, INTEROP = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"  # TensorFlow reads them when it is imported
_Inputs = Mapping[str, NDArray[Any]]


class TextEncoder(VectorEncoder):
    """Turns texts, or pairs of texts, into vectors.

        encode = zoo.TextEncoder("albert_tiny", pooling="mean")
        vectors = encode(["你好", "再见"])  # numpy float32, (2, 312)
        encode([("你好吗", "你怎么样")])  # pairs: [CLS] a [SEP] b [SEP]
        encode.query(["好吗"]), encode.passage(["很好"])  # with the prompts that the model has for these
        encode.similarity(["你好"], ["您好", "再见"])  # cosines, (1, 2)
        encode.search("好吗", corpus, k=3)  # the nearest texts
        encode.outputs(["你好"])["sequence_output"]  # everything the encoder gives, one batch

    `handle` and `tokenizer` are what `zoo.load` takes: names, URLs, archives, directories. The tokenizer of a name is
    the one its registry names; that of a bundle lies in it; for anything else it has to be given. `max_length` is in
    tokens, [CLS] and [SEP] included; longer texts are cut, pairs round robin.

    A text archive of vectors needs the handle alone: tokenizer, pooling and limit are inside, so an argument that says
    something else than its card is an error, `prompt` excepted. The vectors are those that the archive gives if called.

    `pooling` says how the outputs for a text become its vector: the "mean" of its tokens' last outputs, [CLS] and [SEP]
    among them; the output of the "first" token; "pooled", the encoder's `pooled_output`; or one of
    sentence-transformers' poolings "max", "mean_sqrt_len", "weightedmean", "lasttoken". "first+max" puts the vectors of
    both beside each other. `normalize` gives each vector the length 1. `prompt`, such as "query: ", is put before each
    text, or before the first of a pair.

    With `batch_invariant` the vector of a text has the same bits whatever the other texts of a call are, and however
    many: only texts with the same number of tokens go through the model together, or, on a CPU without AVX512-VNNI,
    each alone. docs/embed.md says what that costs and where it ends.

    A setting that is None is taken from the model's card (`encode.card.sentence`), where the exporter writes what the
    files of sentence-transformers beside the checkpoint say. If the card states nothing: "mean", not normalised, 128
    tokens, no prompt.

    A call of 8 batches or more computes two at once on a CPU of several cores. The vectors are the same.

    `runtime="onnx"` gives a `zoo.lite.TextEncoder`, which runs the conversion of a text archive in ONNX Runtime:
    the calls are the same, and it is faster, most of all in int8. `handle` and `prompt` are what that class takes.

        zoo.TextEncoder("bge_small_zh-onnx", runtime="onnx")("你好")  # the directory of `zoo convert … --to onnx`

    Raises BadArgument, VocabularyMismatch when the two do not belong together, and what `zoo.load` does.
    """

    def __new__(cls, handle: str | Path = "", *args: Any, runtime: str = "tensorflow", **settings: Any) -> Any:
        if runtime == "tensorflow":
            return super().__new__(cls)
        if runtime != "onnx":
            raise BadArgument(f"runtime={runtime!r}: give 'tensorflow' or 'onnx'.")
        own = {name: settings.pop(name, None) for name in ("prompt", "registry")}
        given = (["a tokenizer"] if args else []) + sorted(key for key in settings if settings[key] is not None)
        if given:
            raise BadArgument(
                f"runtime='onnx' takes the conversion as it is, without {', '.join(given)}: tokenizer, pooling and "
                "limit are inside."
            )
        from zoo.lite import TextEncoder as Lite

        return Lite(handle, **own)

    def __init__(
        self,
        handle: str | Path,
        tokenizer: str | Path | None = None,
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        batch_invariant: bool = False,
        registry: Registry | str | Path | None = None,
        runtime: Literal["tensorflow", "onnx"] = "tensorflow",
    ) -> None:
        self.batch_invariant = batch_invariant
        self._asked = AskedVectors(pooling, normalize, max_length, prompt)
        self._found = found = find_vectors(handle, tokenizer, registry)
        self.how = found.text_vectors(self._asked)
        self.card, self.pooling, self.max_length = found.card, self.how.pooling, self.how.max_length
        self.hidden_size, self.digests = found.width(self.how), found.digests()
        self._steps = steps_of(found)

    def preprocess(self, texts: Any) -> dict[str, Any]:
        """Return the inputs that `embed` takes, of a string tensor [B], or [B, 2]: three, int32 [B, max_length].

        dataset.batch(1024).map(encode.preprocess).prefetch(1)  # in a tf.data pipeline too
        dataset.map(encode.preprocess).batch(32)  # a single text [] gives [max_length]; whole batches are faster

        A text archive tokenizes by itself: for it they are the texts, under the one key "text".
        """
        import tensorflow as tf

        texts = tf.convert_to_tensor(texts, tf.string)
        if texts.shape.rank == 0:
            return {key: tensor[0] for key, tensor in self._steps.preprocess(texts[tf.newaxis], self.how).items()}
        return self._steps.preprocess(texts, self.how)

    def embed(
        self, inputs: _Inputs, batch_size: int = 32, advance: Callable[[int], object] = lambda count: None
    ) -> NDArray[np.float32]:
        """Return one vector for each row of what `preprocess` gives, tensors or numpy arrays, (N, H) float32.

        Rows of similar length go through the encoder together; `advance` is called with the number of rows that are
        done. Raises BadArgument for a batch of less than one row.
        """
        return self._embedded(inputs, self.how, batch_size, advance)

    def pieces(self, texts: Texts) -> list[list[Piece]]:
        """Return the pieces of each text with their ids and the places of their characters, not cut, without prompt.

        encode.pieces(["你好"])  # [[Piece(id=872, start=0, limit=1), Piece(id=1962, start=1, limit=2)]]
        Raises BadArgument for pairs, and for a model that lower-cases texts before they reach its tokenizer.
        """
        if self.how.lower_case:
            raise BadArgument(
                f"{self.card.name} lower-cases texts first, which moves bytes. Lower-case them, and call "
                "zoo.pieces_of(tokenizer, texts)."
            )
        return pieces_of(self._steps.tokenizer, texts)

    def outputs(self, texts: Texts) -> dict[str, Any]:
        """Return all outputs of the encoder for one batch of texts, as numpy arrays padded to the longest.

        Raises BadArgument for a text archive, which gives vectors alone.
        """
        import tensorflow as tf

        return self._steps.outputs(tf.constant(checked_texts(texts), tf.string), self.how)

    def keras_model(self, trainable: bool | str = False, pairs: bool | Literal["apart"] = False) -> Any:
        """Return a Keras 3 model from texts, strings [B] (or pairs [B, 2]), to vectors (B, H).

            vectors = encode.keras_model(trainable=True)
            vectors(["你好", "再见"])  # a list, a tuple, an array, a tensor, or {"text": …}
            model = type(vectors)(vectors.inputs, keras.layers.Dense(2)(vectors.output))  # takes lists too
            apart = encode.keras_model(pairs="apart")  # two inputs, strings [B] each
            apart({"first": ["你好"], "second": ["您好"]}), apart([["你好"], ["您好"]])

        A plain `keras.Model` around it takes tensors alone: tf.constant(texts). `zoo.export` makes an archive of the
        fitted model. `trainable` is that of `zoo.KerasLayer`. Raises BadArgument if the encoder puts a prompt before
        texts or lower-cases them, which no layer of the model could do; a text archive does both itself.
        """
        import keras

        from zoo.keras.models import FIRST, SECOND, FormsModel, Pair

        if pairs == "apart":
            inputs = [keras.Input([], dtype="string", name=name) for name in (FIRST, SECOND)]
            texts = Pair(name="pair")(inputs)
        else:
            inputs = texts = keras.Input([2] if pairs else [], dtype="string", name="text")
        return FormsModel(inputs, self._steps.keras_vectors(texts, trainable, self.how), name="text_encoder")

    def _window(self, texts: Array, function: str, batch_size: int, advance: Callable[[int], object]) -> Vectors:
        import tensorflow as tf

        how = self.how if function == ROOT else self._prompting(function)
        tensors = self._steps.preprocess(tf.constant(texts, tf.string), how)
        return self._embedded(tensors, how, batch_size, advance)

    def _prompting(self, function: str) -> TextVectors:
        """Return the settings with the prompt of "query" or "passage"."""
        return self._found.text_vectors(replace(self._asked, prompt=prompt_of(function, self._found.prompts)))

    def _embedded(
        self, inputs: _Inputs, how: TextVectors, batch_size: int, advance: Callable[[int], object]
    ) -> NDArray[np.float32]:
        batch_size = checked_batch_size(batch_size)
        inputs = {key: np.asarray(tensor) for key, tensor in inputs.items()}
        batches = self._batches(inputs, how, batch_size)

        def compute(chosen: Array) -> Vectors:
            return self._steps.vectors(self._steps.batch(inputs, chosen), how)

        count = len(next(iter(inputs.values())))
        return self._computed(count, batches, compute, _at_a_time(len(batches)), advance)

    def _batches(self, inputs: _Inputs, how: TextVectors, batch_size: int) -> list[Array]:
        """Return the places of the texts that go through the model together."""
        if not self.batch_invariant:
            return [*batches_of_a_length(self._steps.lengths(inputs), batch_size)]
        if not has_onednn_for_avx512():  # nothing else is known to give a text the same bits in another batch
            return [*batches_of_a_length(self._steps.lengths(inputs), 1)]
        lengths = self._steps.tokens(inputs, how)
        return [*batches_of_a_length(lengths, batch_size, equal=True, of_texts=reads_first_only(how.pooling))]


def _at_a_time(batches: int) -> int:
    """Return how many batches are computed at once on a CPU: two of many, or one by each thread where each has its own.

    With other devices it is one: threads do not take over a `tf.device` of their caller, and one batch may fill the
    memory of a GPU.
    """
    import tensorflow as tf

    if batches == 1 or cores() == 1 or len(tf.config.list_logical_devices()) > 1:
        return 1
    if os.environ.get(INTRAOP) == "1":
        threads = os.environ.get(INTEROP, "")
        return max(1, min(int(threads) if threads.isdecimal() else 1, MOST))  # 0 lets TensorFlow choose
    return 2 if batches >= MANY else 1
