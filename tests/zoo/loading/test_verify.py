"""`zoo verify` and hub on tiny real SavedModels: what is right passes, what is wrong is named."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from tests.localserver import LocalServer
from tests.zoo.small import make_tokenizer_card
from zoo.archive.card import EncoderCard, EncoderCertificate, EncoderSizes, FileDigest, GoldenText, Source, write_card
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.command import main
from zoo.contract import INPUT_KEYS
from zoo.errors import BadArchive, VerificationFailed
from zoo.loading.verify import compare_encoder, verify
from zoo.loading.verify_text import differences
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import update_registry
from zoo.safety import used_ops

VOCABULARY, HIDDEN, LAYERS = 99, 5, 3
Arrays = dict[str, np.ndarray]


def weights() -> list[np.ndarray]:
    draw = np.random.default_rng(7)
    return [draw.normal(size=(VOCABULARY, HIDDEN)), *draw.normal(size=(LAYERS + 1, HIDDEN, HIDDEN))]


class TinyEncoder(tf.Module):
    """Embeds, multiplies once per layer: no attention, but the outputs of a real encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = [tf.Variable(array, dtype=tf.float32) for array in weights()]

    @tf.function(
        autograph=False, input_signature=[{key: tf.TensorSpec([None, None], tf.int32, key) for key in INPUT_KEYS}]
    )
    def __call__(self, inputs: dict[str, tf.Tensor]) -> dict[str, Any]:
        embeddings, *layers, pooler = self.kernels
        x, outputs = tf.gather(embeddings, inputs["input_word_ids"]), []  # (B, T, H)
        x += tf.cast(inputs["input_type_ids"], tf.float32)[..., None]
        for kernel in layers:
            x = tf.tanh(x @ kernel) * tf.cast(inputs["input_mask"], tf.float32)[..., None]
            outputs.append(x)
        return {"sequence_output": x, "pooled_output": tf.tanh(x[:, 0] @ pooler), "encoder_outputs": outputs}


def golden(batch: int, length: int) -> Arrays:
    """The same in numpy."""
    embeddings, *layers, pooler = weights()
    ids = np.arange(batch * length, dtype=np.int32).reshape(batch, length)
    mask = np.ones_like(ids)
    mask[-1, 4:] = 0
    types = ids % 2
    x, first = embeddings[ids] + types[..., None], []
    for kernel in layers:
        x = np.tanh(x @ kernel) * mask[..., None]
        first.append(x[:, 0])
    outputs = {"sequence_output": x, "pooled_output": np.tanh(x[:, 0] @ pooler), "first_token_outputs": np.stack(first)}
    inputs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}
    return inputs | {name: array.astype(np.float32) for name, array in outputs.items()}


@pytest.fixture(scope="module")
def saved_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("encoder") / "model"
    tf.saved_model.save(TinyEncoder(), str(directory))
    (directory / "fingerprint.pb").unlink()
    return directory


def finish_encoder(directory: Path, arrays: Arrays, ops: list[str] | None = None) -> None:
    """Write golden file and card; `ops` are those of the graph, if it can be read."""
    (directory / "assets.extra").mkdir(exist_ok=True)
    np.savez(directory / "assets.extra" / "golden.npz", **arrays)
    (directory / "assets.extra" / "card.json").unlink(missing_ok=True)
    said = {"layers": LAYERS, "activation": "gelu", "positions": "absolute"}
    sizes = dict.fromkeys(EncoderSizes.model_fields, 1) | said
    card = EncoderCard(
        name="tiny",
        family="bert",
        sizes=EncoderSizes.model_validate(sizes),
        activation_reason="made up",
        pooler="dense and tanh",
        heads={},
        parameters=1,
        left_out={},
        variables={},
        source=Source(format="none", files={"x": FileDigest(sha256="c" * 64, size=1)}),
        ops=used_ops(directory) if ops is None else ops,
        versions={},
        files=file_digests(directory),
        certificate=EncoderCertificate(shapes=[(2, 7)], tolerance=2e-5, max_difference={}),
    )
    write_card(card, directory)


@pytest.fixture
def encoder(saved_encoder: Path, tmp_path: Path) -> Path:
    import shutil

    directory = Path(shutil.copytree(saved_encoder, tmp_path / "tiny"))
    cases = {"0": golden(2, 7), "1": golden(3, 11)}
    finish_encoder(directory, {f"{n}/{key}": array for n, case in cases.items() for key, array in case.items()})
    return directory


def test_a_right_encoder_passes(encoder: Path) -> None:
    report = verify(encoder)
    assert (report.name, report.kind, report.compared, report.tolerance) == ("tiny", "encoder", 5, 2e-5)
    assert list(report.differences) == [
        *(f"encoder_outputs[{n}]" for n in range(3)),
        "sequence_output",
        "pooled_output",
    ]
    assert max(report.differences.values()) < 1e-6
    assert "5 golden rows agree" in str(report) and "LARGEST DIFFERENCE" in str(report)
    assert list(report.ops) == used_ops(encoder) and "ResourceGather" in report.ops
    assert f"{len(report.ops)} operations, all of them allowed: AddV2, AssignVariableOp, " in str(report)
    assert json.loads(json.dumps(report.to_dict()))["differences"] == report.differences


@pytest.mark.parametrize(
    ("key", "place", "amount", "words"),
    [
        (
            "first_token_outputs",
            (1, 0, 0),
            0.5,
            r"first wrong layer is encoder_outputs\[1\]\. Different: .*\[1\] by 0\.5\.",
        ),
        (
            "first_token_outputs",
            (2, 1, 4),
            3e-5,
            r"first wrong layer is encoder_outputs\[2\]\. .* by (3|2\.99)e-05",
        ),
        ("pooled_output", (1, 2), math.nan, r"first token of every layer is right\. Different: pooled_output by inf"),
        ("sequence_output", (0, 6, 0), 1.0, r"Different: sequence_output by 1\."),
    ],
)
def test_a_wrong_output_is_named_with_its_amount(
    encoder: Path, key: str, place: tuple[int, ...], amount: float, words: str
) -> None:
    case = golden(2, 7)
    case[key][place] += amount
    finish_encoder(encoder, case)
    with pytest.raises(VerificationFailed, match=rf"^tiny differs .* more than 2e-05; .*{words}"):
        verify(encoder)


class Vectors(tf.Module):
    """Gives zeros for every text."""

    def __init__(self, variable: tf.Variable) -> None:
        super().__init__()
        self.variable = variable

    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"vector": tf.zeros([len(texts), 2])}


@pytest.mark.parametrize(("stored", "multiplies"), [("bfloat16", False), ("bfloat16", True), ("float16", False)])
def test_bfloat16_on_a_cpu_without_it_is_named(
    stored: str, multiplies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.loading.verify_text.multiplies_bfloat16", lambda: multiplies)
    root, encoder = tf.__internal__.tracking.AutoTrackable(), TinyEncoder()
    root.__call__, root.variables = encoder.__call__, [*encoder.kernels, tf.Variable(0, dtype=stored)]
    tf.saved_model.save(root, str(tmp_path))
    case = golden(2, 7)
    with pytest.raises(VerificationFailed) as raised:
        compare_encoder(tmp_path, case | {"pooled_output": case["pooled_output"] + 0.01}, 2e-5, "half")
    of_texts = Vectors(tf.Variable(0, dtype=stored))
    with pytest.raises(VerificationFailed) as raised_too:
        differences(of_texts, [("a",)], {"0/vector": np.ones(2, np.float32)}, 2e-5, "half")
    for error in (raised.value, raised_too.value):
        assert ("Its bfloat16 may be the reason" in str(error)) == (stored == "bfloat16" and not multiplies)


def test_other_shapes_layers_and_inputs_are_told(encoder: Path) -> None:
    case = golden(2, 7)
    with pytest.raises(VerificationFailed, match="sequence_output by inf"):
        compare_encoder(encoder, case | {"sequence_output": case["sequence_output"][:, :6]}, 2e-5, "small")
    with pytest.raises(VerificationFailed, match="has 3 layers, its golden outputs 2"):
        compare_encoder(encoder, case | {"first_token_outputs": case["first_token_outputs"][:2]}, 2e-5, "small")
    with pytest.raises(VerificationFailed, match="cannot be called with its golden inputs"):
        compare_encoder(encoder, case | {"input_word_ids": case["input_word_ids"] + VOCABULARY}, 2e-5, "small")
    finish_encoder(encoder, {key: array for key, array in case.items() if key != "pooled_output"})
    with pytest.raises(BadArchive, match=r"golden\.npz lacks pooled_output"):
        verify(encoder)


def test_damaged_files_are_told_before_anything_is_loaded(encoder: Path) -> None:
    (encoder / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(BadArchive, match=r"saved_model\.pb has 11 bytes"):
        verify(encoder)
    finish_encoder(encoder, golden(2, 7), ops=[])  # a card that fits
    with pytest.raises(BadArchive, match=r"saved_model\.pb cannot be read"):
        verify(encoder)
    (encoder / "assets.extra" / "golden.npz").write_bytes(b"PK")
    (encoder / "assets.extra" / "card.json").unlink()
    with pytest.raises(BadArchive, match=r"no assets\.extra/card\.json"):
        verify(encoder)


def refused(*_: object) -> None:
    raise AssertionError("what is damaged is used")


def test_damaged_weights_are_told_before_anything_is_computed(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether TensorFlow notices (a bit, a cut) or not (other weights altogether)."""
    monkeypatch.setattr("zoo.loading.verify._pairs", refused)
    path = encoder / "variables" / "variables.data-00000-of-00001"
    whole = path.read_bytes()
    flipped = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    for content, words in ((flipped, "is sha256"), (whole[:-9], f"has {len(whole) - 9} bytes"), (None, "is missing")):
        path.write_bytes(content) if content is not None else path.unlink()
        with pytest.raises(BadArchive, match=rf"^tiny in .* is damaged: variables/variables\.data\S+ {words}"):
            verify(encoder)
        assert "zoo-background" not in {thread.name for thread in threading.enumerate()}
    path.write_bytes(flipped)
    monkeypatch.setattr("zoo.loading.verify.load_directory", lambda *_: None)
    with pytest.raises(BadArchive, match=r"variables\.data\S+ is sha256"):
        verify(encoder)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "assets.extra/golden.npz", "extra"])
def test_all_that_is_damaged_is_told_at_once(encoder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    used: list[object] = []
    monkeypatch.setattr("zoo.loading.verify.prepare", lambda *given: used.append(given))
    monkeypatch.setattr("zoo.loading.verify.load_directory", lambda *given: used.append(given))
    data = encoder / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[::-1])
    (encoder / name).write_bytes(b"damage")
    with pytest.raises(BadArchive, match=r"is damaged: .*variables\.data\S+ is sha256") as caught:
        verify(encoder)
    assert f"{name} " in str(caught.value)
    assert not used


def test_a_card_cannot_have_anything_imported(encoder: Path) -> None:
    path = encoder / "assets.extra" / "card.json"
    card = json.loads(path.read_text()) | {"needs": ["antigravity"]}
    path.write_text(json.dumps(card))
    with pytest.raises(BadArchive, match="asks for antigravity; only tensorflow_text"):
        verify(encoder)


# -- tokenizers ---------------------------------------------------------------------------------------------------


class TinyTokenizer(tf.Module):
    """One id per character."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(None, tf.string), tf.TensorSpec([], tf.int32)])
    def preprocess(self, text: tf.Tensor, seq_length: tf.Tensor) -> dict[str, tf.Tensor]:
        segments = tf.reshape(text, [tf.shape(text)[0], -1])
        codes = tf.strings.unicode_decode(tf.strings.reduce_join(segments, 1, separator="|"), "UTF-8")
        ids = tf.where(codes == ord("|"), 3, codes % 90 + 9)
        edge = tf.ones([tf.shape(text)[0], 1], tf.int32)
        ids = tf.concat([edge * 2, ids, edge * 3], 1).to_tensor(shape=[None, None])[:, :seq_length]
        ids = tf.pad(ids, [[0, 0], [0, seq_length - tf.shape(ids)[1]]])
        mask = tf.cast(ids != 0, tf.int32)
        return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": mask * 0}


def ids_of(*text: str) -> list[int]:
    return [2, *(3 if character == "|" else ord(character) % 90 + 9 for character in "|".join(text)), 3]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    directory = tmp_path / "tokenizer"
    tf.saved_model.save(TinyTokenizer(), str(directory))
    (directory / "fingerprint.pb").unlink()
    return directory


def test_golden_texts_of_a_tokenizer(tokenizer: Path) -> None:
    texts = [("你好",), ("一个，句子", "另一个"), ("",)]
    right = [GoldenText(text=list(text), ids=ids_of(*text)) for text in texts]
    ops = used_ops(tokenizer)
    write_card(make_tokenizer_card(tokenizer, certificate=right, ops=ops), tokenizer)
    report = verify(tokenizer)
    assert (report.kind, report.compared, report.differences) == ("tokenizer", 3, {"input_word_ids": 0.0})

    shorter = GoldenText(text=["你好"], ids=ids_of("你好")[:-1])  # what trimming to its length would hide
    other = GoldenText(text=["a", "b"], ids=[2, 1, 3, 1, 3])
    (tokenizer / "assets.extra" / "card.json").unlink()
    write_card(make_tokenizer_card(tokenizer, certificate=[*right, shorter, other], ops=ops), tokenizer)
    with pytest.raises(VerificationFailed, match="other ids for 2 of 5 golden texts") as caught:
        verify(tokenizer)
    assert "['你好'] gives" in str(caught.value) and "['a', 'b'] gives" in str(caught.value)


# -- hub and the command ------------------------------------------------------------------------------------------


def test_hub_loads_the_archive_from_a_server(encoder: Path, tmp_path: Path, server: LocalServer) -> None:
    pack(encoder, tmp_path / "dist" / "tiny.tar.gz")
    loaded = hub.load(server.serve_directory(tmp_path / "dist") + "tiny.tar.gz")
    case = golden(2, 7)
    outputs = loaded({key: tf.constant(case[key]) for key in INPUT_KEYS})
    np.testing.assert_allclose(outputs["sequence_output"], case["sequence_output"], atol=1e-6)
    (unpacked,) = (path for path in Path(os.environ["TFHUB_CACHE_DIR"]).iterdir() if path.is_dir())
    assert file_digests(unpacked) == file_digests(encoder)


def test_verify_command_takes_names_directories_and_archives(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, registry = tmp_path / "dist" / "tiny.tar.gz", tmp_path / "dist" / "registry.json"
    digest = pack(encoder, archive)
    record = ArchiveRecord(urls=[archive.name], sha256=digest.sha256, size=digest.size)
    update_registry(registry, {"tiny": Entry(kind="encoder", archive=record)})
    for model in ("tiny", str(encoder), str(archive)):
        assert main(["verify", model, "--registry", str(registry)]) == 0
        assert capsys.readouterr().out.startswith("tiny (encoder): ")
    assert main(["verify", str(encoder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tolerance"] == 2e-5 and "MatMul" in told["ops"]
    case = golden(2, 7)
    case["pooled_output"] += 1
    finish_encoder(encoder, case)
    assert main(["verify", str(encoder)]) == 2
    assert capsys.readouterr().err.startswith("zoo: VerificationFailed: tiny differs from its golden outputs")
