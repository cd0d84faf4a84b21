"""The saved archives as things: signatures, Keras layers, tf.data, the bytes on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import saved_model_pb2

from tests.conftest import ROOT
from tests.tokenizer.test_tokenizer_contract import ROWS, TEXTS, strings
from tokenizer.module import Preprocessor
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.contract import INPUT_KEYS, INPUT_MASK, INPUT_WORD_IDS

tf_keras = pytest.importorskip("tf_keras")


def test_signatures(tokenizer: Any, preprocessor: Any) -> None:
    tokens = tokenizer.signatures["serving_default"](text=tf.constant(TEXTS))
    assert strings(tokens["tokens"]) == strings(tokenizer(TEXTS))
    packed = preprocessor.signatures["serving_default"](text=tf.constant(TEXTS))
    assert {key: value.shape for key, value in packed.items()} == dict.fromkeys(INPUT_KEYS, (3, 128))


def test_keras_layers(tokenizer: Any, preprocessor: Any) -> None:
    first, second = (tf_keras.layers.Input([], dtype=tf.string) for _ in range(2))
    split = hub.KerasLayer(tokenizer.tokenize)
    pack = hub.KerasLayer(tokenizer.bert_pack_inputs, arguments={"seq_length": 16})
    model = tf_keras.Model([first, second], pack([split(first), split(second)]))
    texts = [tf.constant(column) for column in np.array(ROWS).T]
    packed = model(texts)
    for key in INPUT_KEYS:
        np.testing.assert_array_equal(packed[key], tokenizer.preprocess(ROWS, seq_length=16)[key])

    alone = tf_keras.Model(first, pack([split(first)]))(texts[0])
    np.testing.assert_array_equal(alone[INPUT_WORD_IDS], tokenizer.preprocess(texts[0], seq_length=16)[INPUT_WORD_IDS])

    whole = hub.KerasLayer(preprocessor.saved_at)
    assert tf_keras.Model(first, whole(first)).output_shape == dict.fromkeys(INPUT_KEYS, (None, 128))
    np.testing.assert_array_equal(whole(tf.constant(TEXTS))[INPUT_MASK], preprocessor(TEXTS)[INPUT_MASK])
    assert strings(hub.KerasLayer(tokenizer.saved_at)(tf.constant(TEXTS))) == strings(tokenizer(TEXTS))
    assert int(whole.resolved_object.tokenize.get_special_tokens_dict()["padding_id"]) == 0


def test_inside_tf_data(tokenizer: Any) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(tokenizer.preprocess)
    assert [batch[INPUT_WORD_IDS].shape[0] for batch in dataset] == [2, 1]


def test_saved_again_from_a_directory_that_is_gone(tmp_path: Path, tokenizer: Any) -> None:
    shutil.copytree(tokenizer.saved_at, tmp_path / "first")
    loaded = tf.saved_model.load(str(tmp_path / "first"))
    shutil.rmtree(tmp_path / "first")
    tf.saved_model.save(loaded, str(tmp_path / "second"))
    assert strings(tf.saved_model.load(str(tmp_path / "second"))(["你好"])) == [["你", "好"]]


def test_needs_two_text_ops_and_tells_nothing_of_this_machine(tokenizer: Any) -> None:
    data = (Path(tokenizer.saved_at) / "saved_model.pb").read_bytes()
    assert not any(str(place).encode() in data for place in (Path.cwd(), Path(tokenizer.saved_at).parent, Path.home()))
    graph = saved_model_pb2.SavedModel.FromString(data).meta_graphs[0].graph_def
    ops = {node.op for nodes in (graph.node, *(part.node_def for part in graph.library.function)) for node in nodes}
    unknown_to_plain_tensorflow = {op for op in ops if not hasattr(tf.raw_ops, op)}
    assert unknown_to_plain_tensorflow == {"NormalizeUTF8", "FastWordpieceTokenizeWithOffsets"}
    assert not {op for op in ops if "Table" in op}


BUILD = """
import sys
from pathlib import Path
from export.saved_model.root import write_saved_model
from tokenizer.module import Tokenizer
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary
vocabulary = Vocabulary(tuple("[PAD] [UNK] [CLS] [SEP] [MASK] a ##b 你 \u2028".split(" ")))
write_saved_model(lambda: Tokenizer(vocabulary, TokenizerRules.original(lower_case=True)), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """This one, which has traced others before, and another one."""
    paths = [tmp_path / "a", tmp_path / "other place" / "b"]
    environment = os.environ | {"PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu"}
    subprocess.run([sys.executable, "-c", BUILD, str(paths[0])], env=environment, cwd=ROOT, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-c", str(paths[1])])
        exec(BUILD, {})
    assert (paths[0] / "saved_model.pb").read_bytes() == (paths[1] / "saved_model.pb").read_bytes()


def test_preprocessor_of_another_length(vocabularies: dict[str, Vocabulary]) -> None:
    vocabulary = Vocabulary(vocabularies["traps"].entries[:300])
    root = Preprocessor(vocabulary, TokenizerRules.original(lower_case=False), seq_length=11)
    assert root(["#"])[INPUT_MASK].shape == root.preprocess(["#"])[INPUT_MASK].shape == (1, 11)
