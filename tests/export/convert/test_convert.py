"""`zoo convert`: what is written runs in its runtime and agrees with the archive, or nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import ParseDict

from export.convert import formats, subject
from export.convert.check import TOLERANCE, Batch, answers, batches, compare
from export.convert.conversion import Conversion, ready
from export.convert.formats import FORMATS
from export.convert.to_transformers import check_ready
from tests.conftest import ROOT
from tests.export.conftest import VOCABULARY
from tests.zoo.small import make_tokenizer_card
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import Derivation, EncoderCard, read_card, write_card
from zoo.archive.digests import check_files, sha256_of
from zoo.command import main
from zoo.contract import INPUT_KEYS
from zoo.errors import Unsupported, VerificationFailed
from zoo.loading.matching import EncoderWithTokenizer

NODE = ROOT / "examples" / "node"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a tokenizer of the odd vocabulary; nothing here loads its model."""
    directory = tmp_path_factory.mktemp("words")
    sha256 = Vocabulary(tuple(VOCABULARY)).sha256
    golden = [{"text": ["你好", "w7 你"], "ids": [2, 5, 6, 3, 15, 5, 3]}]
    changes = {"vocab_size": 99, "vocabulary_sha256": sha256, "certificate": golden}
    write_card(make_tokenizer_card(directory, "words", **changes), directory)
    return directory


@pytest.fixture
def run(out: Path, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """run("onnx", …) converts the odd encoder in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda to, *more: main(["convert", str(out / "odd"), "--to", to, "--tokenizer", str(words), *more])


def need(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"no {package}: pip install 'bert-zoo[onnx]'")


def report(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "conversion.json").read_text(encoding="utf-8"))
    for name, digest in content["files"].items():
        assert digest["sha256"] == sha256_of(directory / name), name
    return content


# -- the formats ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tflite(run: Callable[..., int], out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tflite") == 0
    made = Path("odd-tflite").absolute()
    said = capsys.readouterr().out
    assert "6 batches compared, 2e-05 from the original allowed" in said and str(made) in said
    found = report(made)
    assert sorted(found["files"]) == ["model.tflite", "tokenizer.json"]
    assert found["comparison"]["batches"][:2] == [[2, 9], [3, 17]] and len(found["comparison"]["batches"]) == 6
    for distances in ("differences", "from_original", "archive_from_original"):
        assert 0 < found["comparison"][distances]["sequence_output"] < 2e-5
    assert found["archive_sha256"] == sha256_of(out / "odd/assets.extra/card.json")
    assert "head .mlm" in found["left_out"] and "longer than 40 tokens" in found["notes"][0]
    vocabulary = json.loads((made / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert list(vocabulary) == VOCABULARY

    used = {op["op_name"] for op in formats.to_tflite.interpreter(made / "model.tflite")._get_ops_details()}
    assert not any(name.startswith("Flex") or name == "CUSTOM" for name in used)


@pytest.mark.slow
def test_tflite_in_int8(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tflite", "--quantize", "int8", "--json", "--tokenizer", "none") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == report(Path("odd-tflite"))
    assert found["quantized"] == "int8" and found["comparison"]["tolerance"] is None and found["tokenizer"] is None
    assert 1e-4 < found["comparison"]["differences"]["pooled_output"] < 0.3
    assert 0.99 < found["comparison"]["cosine"]["sequence_output"] < 0.99999


@pytest.mark.parametrize("quantize", [(), ("--quantize", "int8", "--calibrate", "texts.txt")], ids=["float32", "int8"])
def test_onnx(run: Callable[..., int], encoder: Any, quantize: tuple[str, ...]) -> None:
    need("tf2onnx", "onnxruntime")
    import onnxruntime

    chosen = np.random.default_rng(2).integers(0, 91, (40, 9))
    Path("texts.txt").write_text("".join(f"{' '.join(f'w{id}' for id in row[: row[0] % 9])}\n" for row in chosen))
    assert run("onnx", *quantize) == 0
    found = report(Path("odd-onnx"))
    assert (found["comparison"]["tolerance"] is None) == bool(quantize) == (found["int8"] is not None)
    assert {"tf2onnx", "onnxruntime", "tensorflow"} <= found["versions"].keys()
    session = onnxruntime.InferenceSession("odd-onnx/model.onnx")
    assert {(each.name, each.type, *each.shape) for each in session.get_inputs()} == {
        (key, "tensor(int32)", "batch", "length") for key in ("input_word_ids", "input_mask", "input_type_ids")
    }
    assert {(each.name, each.type, *each.shape) for each in session.get_outputs()} == {
        ("sequence_output", "tensor(float)", "batch", "length", 32),
        ("pooled_output", "tensor(float)", "batch", 32),
    }
    if quantize:
        in_int8(Path("odd-onnx/model.onnx"), found["int8"])
    else:
        without_padding(Path("odd-onnx/model.onnx"), encoder)
        one_form(Path("odd-onnx/model.onnx"))


def test_onnx_in_openvino(run: Callable[..., int], encoder: Any) -> None:
    """Batches of many shapes, with and without masked keys, with rows that texts share, holes, texts without tokens."""
    need("tf2onnx", "onnxruntime")
    openvino = pytest.importorskip("openvino", reason="no openvino, which no extra has: pip install openvino")

    assert run("onnx") == 0
    model = openvino.Core().compile_model("odd-onnx/model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    generator = np.random.default_rng(6)
    for number in range(60):
        texts, length = generator.integers(1, 41, 2)
        lengths = generator.integers(0, length + 1, texts)
        if number % 4 == 0:
            lengths[:] = generator.choice([0, 1, length])
        if number % 4 == 2:
            lengths = np.array([length // 2, length, length // 2])  # two rows, and no place in them is free
        mask = np.arange(length) < lengths[:, None]
        mask &= generator.random(mask.shape) < (0.7 if number % 4 == 1 else 1.0)
        values = generator.integers(0, 91, mask.shape, np.int32), np.array(mask, np.int32), np.array(mask, np.int32)
        inputs = dict(zip(INPUT_KEYS, values, strict=True))
        found = model(inputs)
        for name, expected in answers(encoder, [inputs])[0].items():
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-5, err_msg=str(mask.shape))


def in_int8(file: Path, drift: dict[str, Any]) -> None:
    """Every product with a matrix is in int8, and the vectors are near those of float32."""
    import onnx

    model = onnx.load(file)
    kinds = [node.op_type for node in model.graph.node]
    products = 3 * 4 + 1  # of three layers; the pooler
    assert kinds.count("MatMulInteger") == products == kinds.count("DynamicQuantizeLinear")
    assert not (drift["kept"] or drift["by_row"] or drift["costs"]), "one scale is enough"
    large = {each.name for each in model.graph.initializer if len(each.dims) == 2 and each.data_type == 1}
    assert not any(name.endswith("kernel") or name.endswith("word.table") for name in large)
    assert 30 < drift["texts"] < 40 and 0.995 <= drift["cosine"] < 1 and 0.995 <= drift["spearman"] < 1
    matrices = {node.input[1] for node in model.graph.node if node.op_type == "MatMulInteger"}
    for each in model.graph.initializer:
        if each.name in matrices:
            saturates_nowhere(onnx.numpy_helper.to_array(each))


def saturates_nowhere(steps: Any) -> None:
    """The largest activations, of either sign of the matrix, do not leave 16 bits when CPUs without VNNI add two."""
    wide = np.pad(steps.astype(np.int32), ((0, len(steps) % 2), (0, 0)))
    for one_sign in (np.maximum(wide, 0), np.minimum(wide, 0)):
        sums = 255 * (one_sign[::2] + one_sign[1::2])
        assert sums.min() >= -(2**15) and sums.max() < 2**15


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 385])
def test_int8_saturates_on_no_cpu(rows: int) -> None:
    """Steps are the nearest ones, and products with the largest activations are those of whole numbers."""
    from export.convert.onnx_int8 import _int8

    generator = np.random.default_rng(rows)
    matrix = (generator.normal(size=(rows, 9)) * generator.uniform(0.1, 10, (rows, 1))).astype(np.float32)
    matrix[:, 0], matrix[:, 1], matrix[:, 2] = 3.0, -3.0, 0.0
    steps, scale = _int8(matrix)
    assert steps.dtype == np.int8 and np.abs(steps).max() <= 127
    assert (np.abs(matrix - steps * scale) <= scale * 0.5001).all()
    saturates_nowhere(steps)
    need("onnx", "onnxruntime")
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "steps"], ["sums"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", rows])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["batch", 9])],
        [numpy_helper.from_array(steps, "steps")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (1, 5, 32):
        x = np.concatenate([np.full((1, rows), 255), generator.choice([0, 254, 255], (batch - 1, rows))])
        (found,) = session.run(None, {"x": x.astype(np.uint8)})
        np.testing.assert_array_equal(found, x @ steps.astype(np.int64))


def test_the_worst_products_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four matrices one has the wrong sign in int8; then all have."""
    need("onnx", "onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    from export.convert import int8_choice, onnx_int8

    generator = np.random.default_rng(3)
    matrices = {name: generator.normal(size=(8, 8)).astype(np.float32) for name in ("good", "bad", "fine", "well")}
    nodes = [helper.make_node("Cast", ["input_mask"], ["x"], to=1)]
    nodes += [helper.make_node("MatMul", ["x", name], [name + "_out"]) for name in matrices]
    nodes += [helper.make_node("Concat", [name + "_out" for name in matrices], ["vector"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "four",
        [helper.make_tensor_value_info("input_mask", TensorProto.INT32, ["batch", 8])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(array, name) for name, array in matrices.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [{"input_mask": generator.integers(1, 256, (9, 8), np.int32)}]
    made, drift = int8_choice.quantized_model(model, samples)
    assert drift.is_small and not (drift.kept or drift.by_row or drift.costs)

    exact, asked = onnx_int8._int8, matrices["bad"]

    def bad(matrix: Any) -> Any:
        steps, scale = exact(matrix)
        return (-steps if np.array_equal(matrix, asked) else steps), scale

    monkeypatch.setattr(onnx_int8, "_FACTORS", ())  # a factor would give another matrix
    monkeypatch.setattr(onnx_int8, "_int8", bad)
    made, drift = int8_choice.quantized_model(model, samples)
    assert (
        drift.kept == ["bad"] == [*drift.costs][:1]
        and not drift.by_row
        and [each.op_type for each in made.graph.node].count("MatMul") == 1
    )
    monkeypatch.setattr(onnx_int8, "_int8", lambda matrix: (-exact(matrix)[0], exact(matrix)[1]))
    with pytest.raises(VerificationFailed, match=r"int8 is too far from float32: .* least cosine.*cost most.*bad"):
        int8_choice.quantized_model(model, samples)

    monkeypatch.undo()
    samples[0]["input_mask"][0] *= 5000  # the other rows would be a step or two of its scale
    made, drift = int8_choice.quantized_model(model, samples)
    assert drift.is_small and {*drift.by_row} == matrices.keys() and not drift.kept
    assert [each.op_type for each in made.graph.node].count("ReduceMin") == 4


def test_the_price_of_drift() -> None:
    """The form of a product that is worth most for its time comes first; half of all numbers stay in int8."""
    from export.convert import int8_choice, onnx_int8

    form = onnx_int8._Form(None, 0.0)
    sizes = {"stood_out": (300, 100), "small": (100, 100), "wrong": (100, 300), "rest": (300, 300)}
    products = {name: onnx_int8.Product(np.zeros(size, np.float32), form, form) for name, size in sizes.items()}
    drifts = {"stood_out": (0.1, 0.001), "small": (0.001, 0.0009), "wrong": (0.2, 0.3), "rest": (1e-7, 1e-7)}
    choices = int8_choice._choices(products, drifts)
    assert [(each.by_row, each.kept) for each in choices] == [
        ((), ()),
        (("stood_out",), ()),
        (("stood_out",), ("wrong",)),
        (("stood_out",), ("small", "wrong")),
        ((), ("stood_out", "small", "wrong")),
    ]


def without_padding(file: Path, encoder: Any) -> None:
    """In any batch the outputs are those of the archive, and products have a row for each real token alone."""
    import onnx
    import onnxruntime

    model, generator = onnx.load(file), np.random.default_rng(5)
    [product] = [node.output[0] for node in model.graph.node if "block_2.ffn.expand.kernel" in node.input]
    model.graph.output.append(onnx.helper.make_tensor_value_info(product, onnx.TensorProto.FLOAT, ["kept", 56]))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    lengths = generator.choice([0, 1, 2, 3, 5, 9, 10, 11, 20, 21, 40], 24)
    masks: list[Any] = [np.arange(40) < lengths[:, None], generator.random((6, 33)) < 0.6]
    masks += [np.zeros((0, 9)), np.zeros((3, 9)), np.zeros((1, 1)), [[1], [0], [1]], np.ones((1, 16)), np.ones((5, 31))]
    masks.append(np.arange(20) >= generator.integers(0, 20, 7)[:, None])  # padding before the text
    for mask in (np.array(mask, np.int32) for mask in masks):
        ids = generator.integers(0, 99, mask.shape, np.int32)
        inputs = dict(zip(INPUT_KEYS, (ids, mask, ids % 2), strict=True))
        *found, kept = session.run(["sequence_output", "pooled_output", product], inputs)
        for ours, expected in zip(found, answers(encoder, [inputs])[0].values(), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
        first_of_text = np.arange(mask.shape[1]) == 0
        assert len(kept) == (mask.astype(bool) | first_of_text).sum()


def one_form(file: Path) -> None:
    """The same graph in another order, with other names and with a constant twice, becomes the same bytes again."""
    import onnx

    from export.convert.onnx_canonical import canonical

    model, generator = onnx.load(file), np.random.default_rng(4)
    weights = [each.name for each in model.graph.initializer if not each.name.startswith("constant_")]
    assert canonical(model, weights).SerializeToString() == file.read_bytes() and "block_0.vectors" in weights
    graph = model.graph
    fixed = {*weights, *(each.name for each in (*graph.input, *graph.output))}
    made = {each.name for each in graph.initializer} | {name for node in graph.node for name in node.output}
    names = {name: f"value__{generator.integers(1 << 40)}" for name in sorted(made - fixed)}
    [twice] = [each for each in graph.initializer if each.name == "constant_1"]
    graph.initializer.add().CopyFrom(twice)
    graph.initializer[-1].name = "twice"
    for each in graph.initializer:
        each.name = names.get(each.name, each.name)
    for number, node in enumerate(graph.node):
        node.input[:] = [
            "twice" if name == "constant_1" and number % 2 else names.get(name, name) for name in node.input
        ]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = f"node__{generator.integers(1 << 40)}"
    nodes, known = [*graph.node], {each.name for each in (*graph.input, *graph.initializer)}
    del graph.node[:]
    while nodes:
        ready = [place for place, node in enumerate(nodes) if known.issuperset(filter(None, node.input))]
        node = nodes.pop(generator.choice(ready))
        known.update(node.output)
        graph.node.append(node)
    onnx.checker.check_model(model)
    assert model.SerializeToString() != file.read_bytes()
    assert canonical(model, weights).SerializeToString() == file.read_bytes()


@pytest.mark.slow
def test_another_process_writes_the_same_onnx(out: Path, tmp_path: Path) -> None:
    need("tf2onnx", "onnxruntime")
    program = (
        "import sys; from zoo.command import main\n"
        "for to in ('f32', 'int8'):\n"
        "    more = ['--quantize', 'int8'] if to == 'int8' else []\n"
        "    main(['convert', sys.argv[1], '--to', 'onnx', '--tokenizer', 'none', '--out', to, *more])"
    )
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", program, str(out / "odd")],
            cwd=tmp_path / seed,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
    for to in ("f32", "int8"):
        first, second = ((tmp_path / seed / to / "model.onnx").read_bytes() for seed in ("1", "2"))
        assert first == second, to


def test_transformers(run: Callable[..., int], out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("transformers", "--dry-run") == 0 and not list(Path.cwd().iterdir())
    assert run("transformers", "--quantize", "int8") == 2
    assert "--quantize int8 goes with --to onnx, tflite" in capsys.readouterr().err
    assert run("transformers") == 0
    said, made = capsys.readouterr().out, Path("odd-transformers")
    assert "loads as BertForPreTraining" in said and "split_special_tokens=False" in said
    found = report(made)
    assert found["comparison"]["differences"].keys() == {"sequence_output", "pooled_output", "mlm_logits", "nsp_logits"}
    assert (made / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1] == VOCABULARY
    settings = json.loads((made / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast" and settings["split_special_tokens"]
    assert settings["cls_token"] == "[CLS]" and settings["model_max_length"] == 40
    assert run("transformers", "--tokenizer", "none", "--force") == 0
    assert "vocab.txt alone says nothing of capitals" in capsys.readouterr().out
    assert sorted(report(made)["files"]) == ["config.json", "model.safetensors", "vocab.txt"]


def test_tfjs_without_node_says_that_nobody_looked(
    run: Callable[..., int],
    encoder: Any,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(formats.to_tfjs.shutil, "which", lambda name: None)
    monkeypatch.setattr(formats.to_tfjs, "_SHARD", 50_000)
    assert run("tfjs") == 0
    assert "not verified: `node` is not installed" in capsys.readouterr().out
    assert report(Path("odd-tfjs"))["comparison"] is None
    # Read as tfjs reads it, and run in TensorFlow.
    graph, signature = read_graph_model(Path("odd-tfjs"))
    asked = batches(out / "odd", odd_card(out))
    feeds = [f"{key}:0" for key in asked[0]]
    fetches = {key: signature["outputs"][key]["name"] for key in ("sequence_output", "pooled_output")}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph, name="")
        found = [session.run(fetches, dict(zip(feeds, batch.values(), strict=True))) for batch in asked]
    assert compare(asked, answers(encoder, asked), found, TOLERANCE).differences["pooled_output"] > 0


def read_graph_model(directory: Path) -> tuple[Any, dict[str, Any]]:
    model = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    [group] = model["weightsManifest"]
    assert len(group["paths"]) == 3
    data, place = b"".join((directory / name).read_bytes() for name in group["paths"]), 0
    values = {}
    for weight in group["weights"]:
        count = int(np.prod(weight["shape"]))
        array = np.frombuffer(data, weight["dtype"], count, place)
        values[weight["name"]], place = array.reshape(weight["shape"]), place + array.nbytes
    assert place == len(data)
    graph = ParseDict(model["modelTopology"], tf.compat.v1.GraphDef())
    for node in graph.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values[node.name]))
    return graph, model["signature"]


def test_tfjs_in_node(run: Callable[..., int], words: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("node") or not (NODE / "node_modules/@tensorflow/tfjs").is_dir():
        pytest.skip("no node with @tensorflow/tfjs: `npm ci` in examples/node")
    made = Path("odd-tfjs").absolute()
    monkeypatch.chdir(NODE)
    assert run("tfjs", "--out", str(made)) == 0
    assert report(made)["comparison"]["differences"]["sequence_output"] < 1e-4


def test_serving(run: Callable[..., int], out: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_serving", reason="no tensorflow-serving-api: pip install 'bert-zoo[serving]'")
    from export.convert.serving import WARMUP_FILE, read_warmup

    place = tmp_path / "odd-serving"
    assert run("serving", "--tokenizer", "none") == 0 and run("serving", "--tokenizer", "none") == 0
    assert sorted(path.name for path in (place / "odd").iterdir()) == ["1", "2"]
    assert 'name: "odd"' in (place / "models.config").read_text() and report(place)["comparison"]["tolerance"]
    requests = list(read_warmup(place / "odd/2" / WARMUP_FILE))
    assert {signature for signature, _ in requests} == {"serving_default", "tokens"}
    served = tf.saved_model.load(str(place / "odd/2"), tags=["serve"])
    for signature, inputs in requests:
        outputs = served.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
        assert outputs["pooled_output"].shape == (len(next(iter(inputs.values()))), 32)
    check_files(place / "odd/2", read_card(place / "odd/2"))  # the card knows the warm-up file
    assert not list((out / "odd").rglob("tf_serving*")), "the archive itself is left alone"


# -- what must not pass -----------------------------------------------------------------------------------------------


def off_by_a_little(answer: dict[str, Any]) -> None:
    answer["sequence_output"] = answer["sequence_output"] + np.float32(1e-3)


def without_a_name(answer: dict[str, Any]) -> None:
    answer["output_0"] = answer.pop("pooled_output")


def of_another_type(answer: dict[str, Any]) -> None:
    answer["pooled_output"] = answer["pooled_output"].astype(np.float64)


def without_a_row(answer: dict[str, Any]) -> None:
    answer["sequence_output"] = answer["sequence_output"][:-1]


def not_a_number(answer: dict[str, Any]) -> None:
    answer["pooled_output"] = answer["pooled_output"] * np.float32(np.nan)


@pytest.mark.parametrize(
    ("change", "words_of_the_error"),
    [
        (off_by_a_little, "computes other numbers than the archive: sequence_output by 0.001, allowed 1e-05"),
        (without_a_name, "no pooled_output (it gives output_0, sequence_output)"),
        (of_another_type, "pooled_output is float64 (2, 32), should be float32 (2, 32)"),
        (without_a_row, "sequence_output is float32 (1, 9, 32), should be float32 (2, 9, 32)"),
        (not_a_number, "pooled_output by inf"),
    ],
)
def test_what_disagrees_is_refused(change: Change, words_of_the_error: str, encoder: Any, out: Path) -> None:
    asked = batches(out / "odd", odd_card(out))
    expected = answers(encoder, asked)
    found = [dict(answer) for answer in expected]
    compare(asked, expected, found, TOLERANCE)
    change(found[0])
    with pytest.raises(VerificationFailed) as error:
        compare(asked, expected, found, TOLERANCE)
    assert words_of_the_error in str(error.value)
    if change is not off_by_a_little:  # the drift of int8 is stated, not judged
        with pytest.raises(VerificationFailed):
            compare(asked, expected, found, None)


def test_the_original_is_the_judge(encoder: Any, out: Path) -> None:
    """A model may be further from the archive than from the original, which lies between: both distances are stated."""
    asked = batches(out / "odd", odd_card(out))
    archive = answers(encoder, asked)
    apart = {"pooled_output": np.float32(1.5e-5), "sequence_output": np.float32(0)}
    original, found = (
        [{key: sign * apart[key] + array for key, array in batch.items()} for batch in archive] for sign in (1, 2)
    )
    compared = compare(asked, archive, found, 2e-5, original)
    assert 1.4e-5 < compared.from_original["pooled_output"] < 1.6e-5 < 2.9e-5 < compared.differences["pooled_output"]
    assert 1.4e-5 < compared.archive_from_original["pooled_output"] < 1.6e-5
    with pytest.raises(
        VerificationFailed, match=r"than the original: pooled_output by 3\.*\d*e-05 \(the archive by 0\)"
    ):
        compare(asked, archive, found, 2e-5, archive)
    logits = [{**batch, "nsp_logits": 100 * batch["pooled_output"]} for batch in archive]
    shifted = [{**batch, "nsp_logits": batch["nsp_logits"] * np.float32(1 + 1e-6)} for batch in logits]
    compare(asked, logits, shifted, 2e-5, logits, ["nsp_logits"])
    with pytest.raises(VerificationFailed, match="nsp_logits"):
        compare(asked, logits, shifted, 2e-5, logits)


def test_a_conversion_that_disagrees_leaves_nothing(
    run: Callable[..., int],
    encoder: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake(monkeypatch, encoder, off_by_a_little)
    assert run("tflite") == 2
    assert "VerificationFailed: the converted model computes other numbers" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_not_overwritten_unawares(
    run: Callable[..., int],
    encoder: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake(monkeypatch, encoder, lambda answer: None)
    place = tmp_path / "odd-tflite"
    place.mkdir()
    (place / "mine").touch()
    assert run("tflite") == 2 and "give --force" in capsys.readouterr().err
    assert run("tflite", "--force") == 2 and "did not write it and does not replace it" in capsys.readouterr().err
    (place / "mine").unlink()
    assert run("tflite") == 0 and report(place)["quantized"] is None
    assert run("tflite", "--quantize", "int8") == 2
    assert run("tflite", "--quantize", "int8", "--force") == 0 and report(place)["quantized"] == "int8"
    fake(monkeypatch, encoder, off_by_a_little)
    assert run("tflite", "--force") == 2 and report(place)["quantized"] == "int8", "the earlier one stays"
    assert [path.name for path in tmp_path.iterdir()] == ["odd-tflite"]


def fake(monkeypatch: pytest.MonkeyPatch, encoder: Any, change: Change) -> None:
    """Have TFLite's place taken by a format that answers as the archive does, but for one change."""

    def run(directory: Path, asked: Sequence[Batch]) -> Sequence[Mapping[str, Any]]:
        found = [dict(answer) for answer in answers(encoder, asked)]
        change(found[0])
        return found

    def write(root: Any, directory: Path, quantized: bool) -> None:
        (directory / "model.tflite").write_bytes(b"no model")

    monkeypatch.setattr(subject, "load_checked", lambda *_: encoder)
    monkeypatch.setitem(FORMATS, "tflite", replace(FORMATS["tflite"], write=write, run=run))


def test_says_what_it_needs(
    run: Callable[..., int], out: Path, words: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(package: str) -> str:
        raise PackageNotFoundError(package)

    with monkeypatch.context() as patch:
        patch.setattr("zoo.basics.extras.version", absent)
        assert run("onnx") == 2
        said = capsys.readouterr().err
        assert "`zoo convert --to onnx` needs the extra 'onnx': `pip install 'bert-zoo[onnx]'`" in said
        assert "(not installed: tf2onnx, onnx, onnxruntime)." in said
        assert run("serving") == 2
        assert "pip install 'bert-zoo[serving]'" in capsys.readouterr().err
    assert main(["convert", str(words), "--to", "onnx"]) == 2
    assert "is a tokenizer: give the encoder first" in capsys.readouterr().err
    assert main(["convert", str(out / "odd"), "--to", "onnx"]) == 2
    assert "--tokenizer NAME_OR_PATH, or --tokenizer none" in capsys.readouterr().err
    assert run("onnx", "--calibrate", "texts.txt") == 2
    assert "--calibrate FILE goes with --to onnx --quantize int8" in capsys.readouterr().err
    assert run("tfjs", "--quantize", "int8") == 2
    assert "--quantize int8 goes with --to onnx, tflite" in capsys.readouterr().err
    assert run("tflite", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tokenizer"] == "words"
    assert not list(Path.cwd().iterdir())


def test_a_sentencepiece_model_is_refused_before_the_work(out: Path, tmp_path: Path) -> None:
    facts = {"model_sha256": "a" * 64, "pieces": 9, "numbering": "own", "prepares": True, "remove_space": True}
    tokenizer = make_tokenizer_card(tmp_path, "pieces", sentencepiece={**facts, "separators": 1})
    model = EncoderWithTokenizer(out / "odd", odd_card(out), tmp_path, tokenizer)
    for to, check in (("onnx", ready), ("transformers", check_ready)):
        with pytest.raises(Unsupported, match="odd has a SentencePiece model.*--tokenizer none"):
            check(Conversion(model, to, tmp_path / "made"))


def test_half_precision_is_told(out: Path) -> None:
    card = odd_card(out)
    half = Derivation(parent_sha256="a" * 64, stored_in="bfloat16", computed_in="bfloat16", drift={})
    card = card.model_copy(update={"derivation": half})
    assert "stores matrices in bfloat16" in subject.notes(card)[1]


def odd_card(out: Path) -> EncoderCard:
    card = read_card(out / "odd")
    assert isinstance(card, EncoderCard)
    return card
