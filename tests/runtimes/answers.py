"""What archives answer in the TensorFlow that runs this, old or not; imports nothing of ours.

    python answers.py QUESTIONS.json ANSWERS.npz

The questions are {"encoders": {name: directory}, "text_archives": {…}, "tokenizers": {…}, "preprocessors": {…},
"inputs": {"input_word_ids": [[…]], …}, "tokens": [["[CLS]", …]], "texts": ["…"], "pairs": [["…", "…"]], "operations":
["…"]}. The answers are arrays under "name/question/number of the part", of ragged ones the flat values and the row
splits; and, as JSON, the attributes of each operation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

Answers = dict[str, Any]


def main(questions_file: str, answers_file: str) -> None:
    questions = json.loads(Path(questions_file).read_text(encoding="utf-8"))
    found = {"version": np.array(tf.__version__)}
    for kind, ask in ASKED.items():
        if kind in ("tokenizers", "preprocessors"):
            import tensorflow_text  # noqa: F401  (registers operations; the others do without)
        for name, directory in questions[kind].items():
            answers = ask(tf.saved_model.load(directory), questions)
            found.update((f"{name}/{question}", array) for question, array in arrays(answers))
    known = {op: op_def_registry.get(op) for op in questions["operations"]}
    attributes = {op: sorted(attribute.name for attribute in of.attr) for op, of in known.items() if of}
    np.savez(answers_file, attributes=np.array(json.dumps(attributes)), **found)


def ask_encoder(encoder: Any, questions: Any) -> Answers:
    inputs = {key: tf.constant(rows, tf.int32) for key, rows in questions["inputs"].items()}
    tokens = tf.constant(questions["tokens"])
    heads = {name: getattr(encoder, name)(inputs) for name in ("nsp", "discriminator") if hasattr(encoder, name)}
    if hasattr(encoder, "mlm"):
        heads["mlm"] = encoder.mlm({**inputs, "masked_lm_positions": inputs["input_type_ids"]})
    return {
        **heads,
        "int32": encoder(inputs),
        "int64": encoder({key: tf.cast(value, tf.int64) for key, value in inputs.items()}),
        "ids": encoder(inputs["input_word_ids"]),
        "strings": encoder(tokens),
        "attention": encoder.attention(inputs),
        "serving_default": encoder.signatures["serving_default"](**inputs),
        "tokens": encoder.signatures["tokens"](args_0=tokens),
        "gradients": gradients(encoder, inputs, training=False),
        # With dropout, which every TensorFlow draws in its own way: only that there are gradients.
        "training": [tf.math.is_finite(tf.norm(one)) for one in gradients(encoder, inputs, training=True)],
    }


def gradients(encoder: Any, inputs: Any, training: bool) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(encoder(inputs, training=training)["pooled_output"]))
    found = tape.gradient(loss, encoder.trainable_variables)
    return [tf.cast(tf.convert_to_tensor(gradient), tf.float32) for gradient in found if gradient is not None]


def ask_text_archive(model: Any, questions: Any) -> Answers:
    assert "tensorflow_text" not in sys.modules
    serving = model.signatures["serving_default"]
    [spec] = serving.structured_input_signature[1].values()
    texts = tf.constant(questions["pairs"] if spec.shape.rank == 2 else questions["texts"])
    return {"call": model(texts), "signature": serving(text=texts)}


def ask_tokenizer(tokenizer: Any, questions: Any) -> Answers:
    texts, pairs = tf.constant(questions["texts"]), tf.constant(questions["pairs"])
    ids = tokenizer.tokenize(texts)
    segments = [tokenizer.tokenize(pairs[:, 0]), tokenizer.tokenize(pairs[:, 1])]
    return {
        "call": tokenizer(texts),
        "special_tokens": tokenizer(pairs, special_tokens=True),
        "tokenize": ids,
        "tokenize_with_offsets": tokenizer.tokenize_with_offsets(texts),
        "detokenize": tokenizer.detokenize(ids),
        "preprocess": [tokenizer.preprocess(given, seq_length=40) for given in (texts, pairs)],
        "bert_pack_inputs": tokenizer.bert_pack_inputs(segments, seq_length=40),
        "signature": tokenizer.signatures["serving_default"](text=texts),
    }


def ask_preprocessor(preprocessor: Any, questions: Any) -> Answers:
    texts, pairs = tf.constant(questions["texts"]), tf.constant(questions["pairs"])
    signature = preprocessor.signatures["serving_default"](text=texts)
    return {"call": [preprocessor(texts), preprocessor(pairs)], "signature": signature}


def arrays(answers: Answers) -> Iterator[tuple[str, np.ndarray]]:
    """Yield question/number -> array, strings as bytes, of every part of a nest."""
    for name, answer in answers.items():
        for number, part in enumerate(tf.nest.flatten(answer, expand_composites=True)):
            array = part.numpy()
            yield f"{name}/{number}", array.astype("S") if array.dtype == object else array


ASKED = {
    "encoders": ask_encoder,
    "text_archives": ask_text_archive,
    "tokenizers": ask_tokenizer,
    "preprocessors": ask_preprocessor,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
