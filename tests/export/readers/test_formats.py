"""The same weights from every format give the same variables of the archive, number for number."""

from __future__ import annotations

import gc
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from export.certificate import golden_arrays
from export.families import detect
from export.heads.planning import head_states, plan_with_heads
from export.options import EncoderRequest
from export.pipeline import export_encoder
from export.planning import plan_encoder
from export.readers import open_checkpoint
from export.readers.protocol import Checkpoint
from export.weights.config import read_config
from export.weights.plan import WeightPlan
from scripts import checkpoint_writers as writers
from scripts.layouts import bert as bert_shapes, transformers_arrays
from scripts.random_checkpoint import random_arrays, write_arrays, write_tf1, write_vocabulary
from tests.export.conftest import VOCABULARY, odd_config, write_odd
from tests.once import packed_only
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.unpack import unpack
from zoo.errors import BadCheckpoint, BadConfig, Unsupported, VerificationFailed

Arrays = dict[str, np.ndarray]
Write = Callable[[Path, Arrays], None]
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """BERT of three layers under TF1's names, pre-training heads included."""
    return random_arrays(bert_shapes(odd_config()), seed=3, scale=0.25)


def write_config(directory: Path, **changes: Any) -> None:
    (directory / "config.json").write_text(json.dumps(odd_config(model_type="bert", **changes)), encoding="utf-8")


def plan_of(checkpoint: Checkpoint, **how: Any) -> WeightPlan:
    family, layout = detect(checkpoint)
    config = read_config(checkpoint.config, family, checkpoint.format)
    config = config.truncated(how.get("layers", config.layers))
    return plan_with_heads(checkpoint, config, family, layout, ()).checked("odd")


def variables(checkpoint: Checkpoint, **how: Any) -> Arrays:
    """What the archive would hold: names and fp32 numbers of a complete plan."""
    plan = plan_of(checkpoint, **how)
    return {variable.name: plan.read(variable, checkpoint) for variable in plan.variables}


def expected(arrays: Arrays, layers: int = 3) -> Arrays:
    """The archive's variables, written down without any table."""
    found = {name: array for name, array in arrays.items() if name.startswith("bert/")}
    for i in range(layers):
        scope = f"bert/encoder/layer_{i}"
        heads = [f"{scope}/attention/self/{part}" for part in ("query", "key", "value")]
        kernels = [found.pop(f"{part}/kernel") for part in heads]
        found[f"{scope}/attention/self/query_key_value/kernel"] = np.concatenate(kernels, axis=-1)
        vectors = [f"{part}/bias" for part in heads]
        for dense, norm in (("attention/output", "attention/output"), ("intermediate", ""), ("output", "output")):
            vectors.append(f"{scope}/{dense}/dense/bias")
            vectors += [f"{scope}/{norm}/LayerNorm/{leaf}" for leaf in ("gamma", "beta") if norm]
        found[f"{scope}/bias_and_LayerNorm"] = np.concatenate([found.pop(name) for name in vectors])
    norm = [found.pop(f"bert/embeddings/LayerNorm/{leaf}") for leaf in ("gamma", "beta")]
    found["bert/embeddings/bias_and_LayerNorm"] = np.concatenate(norm)
    return found


def assert_same(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# -- one test for every format ----------------------------------------------------------------------------------------


def hugging_face(write: Callable[[Path, Arrays], Any], file: str, **how: bool) -> Write:
    return lambda directory, arrays: write(directory / file, transformers_arrays(arrays, **how))


def safetensors(file: Path, arrays: Arrays) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def in_shards(write: Callable[[Path, Arrays], Any], ending: str, index: str) -> Write:
    def write_shards(directory: Path, arrays: Arrays) -> None:
        items = sorted(transformers_arrays(arrays).items())
        shards = {f"part-{i}-of-3{ending}": dict(items[i::3]) for i in range(3)}
        writers.write_sharded(directory, shards, index, write)

    return write_shards


def uer(write: Callable[[Path, Arrays], Any], newer: bool) -> Write:
    return lambda directory, arrays: write(directory / "google_zh_model.bin", writers.uer_arrays(arrays, 3, newer))


def keras(directory: Path, arrays: Arrays) -> None:
    writers.write_h5(directory / "tf_model.h5", arrays)


def bare_keras(directory: Path, arrays: Arrays) -> None:
    bert = {name: array for name, array in arrays.items() if name.startswith("bert/")}
    writers.write_h5(directory / "tf_model.h5", bert, "tf_bert_model_1")


def model_garden(root: str, older: bool) -> Write:
    def write(directory: Path, arrays: Arrays) -> None:
        named = writers.model_garden_arrays(arrays, 3, 4, root, older)
        writers.write_object_based(directory, named, odd_config())
        (directory / "config.json").unlink(missing_ok=True)

    return write


def nested(directory: Path, arrays: Arrays) -> None:
    shown = transformers_arrays(arrays)
    pickled = writers.training_pickle(shown, ("run", "state_dict"), epoch=3, best=0.5, classes=["a", "b"])
    writers.write_torch_zip(directory / "best.pt", shown, pickled)


def named_h5(shown: Callable[[Arrays, int], Arrays]) -> Write:
    return lambda directory, arrays: writers.write_named_h5(directory / "best_model.weights.h5", shown(arrays, 3))


def own_keras_model(directory: Path, arrays: Arrays) -> None:
    """As model.save("best.h5") writes a model around TFBertModel, with its optimiser."""
    names = writers.given_names_of_transformers({name: array for name, array in arrays.items() if "bert/" in name})
    named = {f"model_weights/tf_bert_model_1/{given}:0": arrays[name] for name, given in names.items()}
    named |= {f"optimizer_weights/Adam/m/{given}:0": arrays[name] * 9 for name, given in names.items()}
    writers.write_named_h5(directory / "best.h5", named)


def keras_objects(place: str) -> Write:
    def write(directory: Path, arrays: Arrays) -> None:
        names = writers.given_names_of_transformers(arrays, "tf_bert_for_pre_training")
        rows = {"cls/seq_relationship/output_weights": arrays["cls/seq_relationship/output_weights"].T}
        writers.write_given_names(directory / place, {**arrays, **rows}, names)
        if "variables/" in place:
            (directory / "saved_model.pb").touch()  # which is not read

    return write


def hub(older: bool) -> Write:
    def write(directory: Path, arrays: Arrays) -> None:
        names = writers.given_names_of_model_garden(arrays, older)
        writers.write_given_names(directory / "variables/variables", writers.per_head(arrays, 4), names)
        (directory / "saved_model.pb").touch()

    return write


FORMATS: dict[str, tuple[str, Write]] = {
    "pt, two levels down": ("huggingface", nested),
    "pth": ("huggingface", hugging_face(writers.write_torch_legacy, "last.pth")),
    "safetensors of another name": ("huggingface", hugging_face(safetensors, "bert-finetuned.safetensors")),
    "shards of another name": ("huggingface", in_shards(safetensors, ".safetensors", "mine.safetensors.index.json")),
    "h5 in shards": ("huggingface", writers.write_sharded_h5),
    "h5, bare, of one's own model": ("huggingface", own_keras_model),
    "bert4keras": ("tf1", named_h5(writers.bert4keras_arrays)),
    "keras-bert": ("tf1", named_h5(writers.keras_bert_arrays)),
    "Keras checkpoint": ("huggingface", keras_objects("best.ckpt")),
    "SavedModel of transformers": ("huggingface", keras_objects("variables/variables")),
    "Model Garden, bare, of TF-Hub": ("tf2", hub(older=False)),
    "Model Garden, bare, of TF-Hub, older": ("tf2", hub(older=True)),
    "safetensors": ("huggingface", hugging_face(safetensors, "model.safetensors")),
    "safetensors in shards": ("huggingface", in_shards(safetensors, ".safetensors", "model.safetensors.index.json")),
    "bin": ("huggingface", hugging_face(writers.write_torch_zip, "pytorch_model.bin")),
    "bin, bare": ("huggingface", hugging_face(writers.write_torch_zip, "pytorch_model.bin", bare=True)),
    "bin before 1.6": ("huggingface", hugging_face(writers.write_torch_legacy, "pytorch_model.bin", old_norms=True)),
    "bin in shards": ("huggingface", in_shards(writers.write_torch_zip, ".bin", "pytorch_model.bin.index.json")),
    "old bin in shards": ("huggingface", in_shards(writers.write_torch_legacy, ".bin", "pytorch_model.bin.index.json")),
    "h5": ("huggingface", keras),
    "h5, bare": ("huggingface", bare_keras),
    "UER": ("uer", uer(writers.write_torch_zip, newer=True)),
    "UER, older": ("uer", uer(writers.write_torch_legacy, newer=False)),
    "Model Garden": ("tf2", model_garden("encoder/", older=False)),
    "Model Garden, older": ("tf2", model_garden("model/", older=True)),
    "Model Garden, bare": ("tf2", model_garden("", older=False)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_variables(name: str, arrays: Arrays, tmp_path: Path) -> None:
    format, write = FORMATS[name]
    write_config(tmp_path)
    write(tmp_path, arrays)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.format == format
    assert all(file.is_file() for file in checkpoint.files)
    assert list(checkpoint.shapes) == sorted(checkpoint.shapes)
    for variable, shape in checkpoint.shapes.items():
        assert checkpoint.read(variable).shape == shape
    assert_same(variables(checkpoint), expected(arrays))
    assert len(variables(checkpoint, layers=1)) == 4 + 5 + 2


def card_of(archive: Path, scratch: Path) -> EncoderCard:
    unpack(archive, scratch / "unpacked")
    card = read_card(scratch / "unpacked")
    assert isinstance(card, EncoderCard)
    return card


def published_heads(checkpoint: Checkpoint) -> list[str]:
    _, layout = detect(checkpoint)
    return [head for head, state in head_states(checkpoint, layout).items() if state != "absent"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_oracle_finds_the_weights_of_every_format_by_itself(name: str, arrays: Arrays, tmp_path: Path) -> None:
    write_odd(tmp_path / "tf1")
    write_arrays(tmp_path / "tf1", odd_config(), arrays)
    (tmp_path / "other").mkdir()
    write_config(tmp_path / "other")
    FORMATS[name][1](tmp_path / "other", arrays)
    goldens = {}
    heads = published_heads(open_checkpoint(tmp_path / "other"))
    for directory in ("tf1", "other"):
        checkpoint = open_checkpoint(tmp_path / directory)
        family, _ = detect(checkpoint)
        config = read_config(checkpoint.config, family, checkpoint.format, activation="gelu")
        goldens[directory] = golden_arrays(checkpoint, config, heads)
    assert ("bare" in name or "Garden" in name) == (not heads)
    assert goldens["other"].keys() == goldens["tf1"].keys()
    for key, golden in goldens["tf1"].items():
        np.testing.assert_allclose(goldens["other"][key], golden, atol=1e-6, err_msg=key)


@pytest.mark.parametrize(
    ("name", "table", "one", "other"),
    [
        ("UER", "uer._NAMES", r"layer_norm_1\.", r"layer_norm_2\."),
        ("Model Garden", "model_garden._BLOCK", "_attention_layer_norm", "_output_layer_norm"),
    ],
)
def test_a_reader_that_swaps_two_norms_is_found_out(
    name: str, table: str, one: str, other: str, arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path)
    FORMATS[name][1](tmp_path, arrays)
    write_vocabulary(tmp_path / "vocab.txt", VOCABULARY)
    module, _, attribute = f"export.readers.{table}".rpartition(".")
    rows = dict(getattr(sys.modules[module], attribute))
    first, second = (next(key for key in rows if key.endswith(end)) for end in (one, other))
    rows[first], rows[second] = rows[second], rows[first]
    monkeypatch.setattr(f"export.readers.{table}", rows)
    with pytest.raises(VerificationFailed, match=r"the first wrong layer is encoder_outputs\[0\]"):
        export_encoder(EncoderRequest(tmp_path, "odd", tmp_path / "out", heads=()))


# -- torch ------------------------------------------------------------------------------------------------------------

# What torch 2.13 saved as tests/export/data/torch_2_13_*.bin, from
#   base = torch.arange(24.).reshape(4, 6); torch.save(OrderedDict(plain=base / 8, transposed=base.t(), row=base[2],
#   column=base[:, 1], half=…, brain=…, position_ids=torch.arange(5).expand((1, -1)), flag=torch.tensor(True),
#   double=…, empty=torch.zeros(0, 3), parameter=torch.nn.Parameter(…)), file, _use_new_zipfile_serialization=…)
BASE = np.arange(24, dtype=np.float32).reshape(4, 6)
SAVED_BY_TORCH = {
    "plain": BASE / 8,
    "transposed": BASE.T,
    "row": BASE[2],
    "column": BASE[:, 1],
    "half": np.array([1.5, -2.0, 65504.0], np.float16),
    "brain": np.array([[1.5, -3.0]], ml_dtypes.bfloat16),
    "position_ids": np.arange(5)[None],
    "flag": np.array(True),
    "double": np.array([1e-300]),
    "empty": np.zeros((0, 3), np.float32),
    "parameter": np.array([0.25, 0.5], np.float32),
}


@pytest.mark.parametrize("file", ["torch_2_13_zip.bin", "torch_2_13_legacy.bin"])
def test_genuine_files_of_torch(file: str, tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes((DATA / file).read_bytes())
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.shapes == {name: array.shape for name, array in sorted(SAVED_BY_TORCH.items())}
    for name, array in SAVED_BY_TORCH.items():
        found = checkpoint.read(name)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_other_kinds_of_numbers_become_fp32(kind: Any, file: str, arrays: Arrays, tmp_path: Path) -> None:
    rounded = {name: array.astype(kind) for name, array in arrays.items()}
    write_config(tmp_path)
    write = safetensors if file.endswith(".safetensors") else writers.write_torch_zip
    write(tmp_path / file, transformers_arrays(rounded))
    found = variables(open_checkpoint(tmp_path))
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    assert_same(found, {name: array.astype(np.float32) for name, array in expected(rounded).items()})


# -- what readers state -----------------------------------------------------------------------------------------------


def test_of_several_formats_one_is_read_and_that_is_said(arrays: Arrays, tmp_path: Path) -> None:
    write_config(tmp_path)
    for name in ("safetensors", "bin", "h5"):
        FORMATS[name][1](tmp_path, arrays)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.facts == ("model.safetensors was read, not pytorch_model.bin and tf_model.h5 beside it",)
    (tmp_path / "model.safetensors").unlink()
    assert [file.name for file in open_checkpoint(tmp_path).files] == ["config.json", "pytorch_model.bin"]
    assert open_checkpoint(tmp_path / "tf_model.h5").facts == ()


def test_tf1_beside_hugging_face_is_no_guess(arrays: Arrays, tmp_path: Path) -> None:
    write_odd(tmp_path)
    FORMATS["bin"][1](tmp_path, arrays)
    with pytest.raises(BadCheckpoint, match=r"several.*bert_model.ckpt.index, pytorch_model.bin. Give the path of one"):
        open_checkpoint(tmp_path)
    assert open_checkpoint(tmp_path / "bert_model.ckpt").format == "tf1"


def test_what_a_trainer_leaves_is_no_checkpoint(arrays: Arrays, tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "training_args.bin").touch()
    FORMATS["UER"][1](tmp_path, arrays)
    assert open_checkpoint(tmp_path).files[1].name == "google_zh_model.bin"
    (tmp_path / "other.bin").touch()
    with pytest.raises(BadCheckpoint, match=r"several checkpoints.*google_zh_model.bin, other.bin"):
        open_checkpoint(tmp_path)


# -- UER --------------------------------------------------------------------------------------------------------------


def test_uer_in_its_own_words(arrays: Arrays, tmp_path: Path) -> None:
    FORMATS["UER"][1](tmp_path, arrays)
    (tmp_path / "base_config.json").write_text(json.dumps(writers.UER_CONFIG))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.shapes["bert.embeddings.token_type_embeddings.weight"] == (2, 32)
    assert any("3 rows; the first, UER's padding, was dropped" in fact for fact in checkpoint.facts)
    wanted = {"num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 56, "max_position_embeddings": 40}
    assert wanted.items() <= checkpoint.config.items()


@pytest.mark.parametrize(("word", "activation"), [("gelu", "gelu"), ("gelu_fast", "gelu_tanh"), ("relu", "relu")])
def test_uer_writes_gelu_with_erf_and_gelu_fast_with_tanh(
    word: str, activation: str, arrays: Arrays, tmp_path: Path
) -> None:
    FORMATS["UER"][1](tmp_path, arrays)
    (tmp_path / "base_config.json").write_text(json.dumps(writers.UER_CONFIG | {"hidden_act": word}))
    checkpoint = open_checkpoint(tmp_path)
    family, layout = detect(checkpoint)
    tables = {"word": (99, 32), "type": (2, 32)}  # UER's config does not say them
    assert read_config(checkpoint.config, family, layout.format, tables=tables).activation == activation


def test_uer_of_two_segments_keeps_both(arrays: Arrays, tmp_path: Path) -> None:
    write_config(tmp_path)
    named = writers.uer_arrays(arrays, 3)
    named["embedding.segment_embedding.weight"] = named["embedding.segment_embedding.weight"][1:]
    writers.write_torch_zip(tmp_path / "model.bin", named)
    checkpoint = open_checkpoint(tmp_path)
    assert not any("dropped" in fact for fact in checkpoint.facts)
    assert_same(variables(checkpoint), expected(arrays))


def test_uer_of_another_architecture(arrays: Arrays, tmp_path: Path) -> None:
    FORMATS["UER"][1](tmp_path, arrays)
    config = writers.UER_CONFIG | {"mask": "causal", "layernorm_positioning": "pre"}
    (tmp_path / "gpt2_config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported, match="UER model other than BERT: 'mask' is 'causal', 'layernorm_positioning' is"):
        open_checkpoint(tmp_path)


@pytest.mark.slow
def test_uer_computes_with_a_decoder_of_its_own(arrays: Arrays, tmp_path: Path) -> None:
    write_config(tmp_path)
    write_vocabulary(tmp_path / "vocab.txt", VOCABULARY)
    named = writers.uer_arrays(arrays, 3)
    writers.write_torch_zip(tmp_path / "model.bin", named)
    tied = plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path))
    assert tied.heads == ("mlm", "nsp") and not any("decoder" in each.ours for each in tied.plan.variables)
    named["target.mlm_linear_2.weight"] = named["target.mlm_linear_2.weight"][::-1].copy()
    writers.write_torch_zip(tmp_path / "model.bin", named)
    export_encoder(EncoderRequest(tmp_path, "odd", tmp_path / "out"))
    card = card_of(tmp_path / "out/odd.tar.gz", tmp_path)
    assert card.variables["mlm/decoder/rows"] == [("cls.predictions.decoder.weight", 32)]
    assert max(card.certificate.max_difference[f"{head}_logits"] for head in ("mlm", "nsp")) < 2e-5


# -- TF2 Model Garden -------------------------------------------------------------------------------------------------


def test_ten_layers_and_more_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    config = odd_config(num_hidden_layers=12)
    arrays = random_arrays(bert_shapes(config), seed=4)
    writers.write_object_based(tmp_path, writers.model_garden_arrays(arrays, 12, 4), config)
    assert_same(variables(open_checkpoint(tmp_path)), expected(arrays, 12))


def test_model_garden_leaves_out_by_name_and_tells_the_heads(arrays: Arrays, tmp_path: Path) -> None:
    model_garden_directory(tmp_path, arrays)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.heads == 4 and "4 attention heads, from the shapes" in checkpoint.facts
    left_out = plan_of(checkpoint).left_out
    assert left_out["description of the objects that were saved"] == ("_CHECKPOINTABLE_OBJECT_GRAPH",)
    assert left_out["training counter"] == (
        "optimizer/learning_rate/.ATTRIBUTES/VARIABLE_VALUE",
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
    )
    assert len(left_out["optimiser slot"]) == 2 * (5 + 3 * 16 + 2)


def test_a_config_that_contradicts_the_heads(arrays: Arrays, tmp_path: Path) -> None:
    model_garden_directory(tmp_path, arrays, num_attention_heads=8)
    with pytest.raises(BadConfig, match=r"'num_attention_heads' 8, but its kernels have 4 heads of size 8"):
        open_checkpoint(tmp_path)


def test_model_garden_computes_gelu_with_tanh(arrays: Arrays, tmp_path: Path) -> None:
    model_garden_directory(tmp_path, arrays)
    checkpoint = open_checkpoint(tmp_path)
    family, _ = detect(checkpoint)
    assert read_config(checkpoint.config, family, checkpoint.format).activation == "gelu_tanh"


@pytest.mark.slow
def test_model_garden_s_masked_language_model(arrays: Arrays, tmp_path: Path) -> None:
    named = writers.model_garden_arrays(arrays, 3, 4) | writers.masked_lm_arrays(arrays)
    writers.write_object_based(tmp_path, named, odd_config())
    write_vocabulary(tmp_path / "vocab.txt", VOCABULARY)
    export_encoder(EncoderRequest(tmp_path, "odd", tmp_path / "out"))
    card = card_of(tmp_path / "out/odd.tar.gz", tmp_path)
    assert card.heads == {"mlm": "trained"} and card.exported_heads == ["mlm"]
    assert card.certificate.max_difference["mlm_logits"] < 2e-5


def model_garden_directory(directory: Path, arrays: Arrays, **changes: Any) -> None:
    writers.write_object_based(directory, writers.model_garden_arrays(arrays, 3, 4), odd_config(**changes))


@pytest.mark.parametrize("name", ["modelgarden_tf2_bert_base_zh", "bert_tf2_bertfortf2_style_objectgraph"])
def test_genuine_object_based_listings(name: str, shared: Path, tmp_path: Path) -> None:
    listing = json.loads((shared / "layouts" / "genuine" / f"{name}.json").read_text(encoding="utf-8"))["variables"]
    sizes = {21128: 99, 51647: 99, 768: 24, 512: 40, 3072: 28, 64: 2}  # the same layout, small
    named = {
        variable: np.zeros([sizes.get(size, size) for size in facts["shape"]], np.float32)
        for variable, facts in listing.items()
        if variable != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    config = odd_config(num_hidden_layers=12, hidden_size=24, num_attention_heads=12, intermediate_size=28)
    writers.write_object_based(tmp_path, named, config, slots=False)
    if "bertfortf2" in name:
        with pytest.raises(
            Unsupported, match="bert-for-tf2's layer: .* cannot be recognised by name, so it cannot be converted"
        ):
            open_checkpoint(tmp_path)
    else:
        plan = plan_of(open_checkpoint(tmp_path))
        assert sum(len(variable.sources) for variable in plan.variables) == 199
        assert {*plan.left_out} == {"description of the objects that were saved"}


# -- archives ---------------------------------------------------------------------------------------------------------


def pack(archive: Path, folder: Path, top: str = "") -> None:
    """Pack a directory as upstream does: files under a top folder, for which there is no member."""
    files = sorted(folder.rglob("*"))
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for file in files:
                opened.write(file, f"{top}{file.relative_to(folder)}")
    else:
        with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            for file in files:
                tar.add(file, f"./{top}{file.relative_to(folder)}")


@pytest.mark.parametrize("name", ["chinese_L-12_H-768_A-12.zip", "albert_base_zh.tar.gz", "flat.tgz"])
def test_straight_from_an_archive(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, scratch = tmp_path / "made", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    arrays = write_odd(made)
    (made / "bert_model.ckpt.meta").write_bytes(b"a graph that nobody needs")
    (made / "checkpoint").write_text('model_checkpoint_path: "/cns/yo-d/home/somebody/model.ckpt-best"\n')
    (made / "._bert_model.ckpt.index").write_bytes(b"what macOS adds")
    pack(tmp_path / name, made, "" if "flat" in name else f"{name.split('.')[0]}/")

    checkpoint = open_checkpoint(tmp_path / name)
    assert checkpoint.files[0] == tmp_path / name and name in str(checkpoint.path)
    assert sorted(file.name for file in checkpoint.path.iterdir()) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "vocab.txt",
    ]
    assert_same(variables(checkpoint), expected(arrays))
    del checkpoint
    gc.collect()
    assert not any(scratch.iterdir()), "the unpacked files went with the checkpoint"


def test_export_straight_from_an_archive(tmp_path: Path) -> None:
    write_odd(tmp_path / "made", family="albert")
    (tmp_path / "made" / "checkpoint").write_text('model_checkpoint_path: "/cns/nowhere"\n')
    pack(tmp_path / "albert_base_zh.tar.gz", tmp_path / "made", "albert_base/")
    with packed_only():
        entries = export_encoder(EncoderRequest(tmp_path / "albert_base_zh.tar.gz", "odd", tmp_path / "out"))
    assert entries["odd"].family == "albert"


def test_archives_of_several_checkpoints_and_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    write_odd(tmp_path / "made" / "a")
    write_odd(tmp_path / "made" / "b")
    pack(tmp_path / "two.zip", tmp_path / "made")
    with pytest.raises(BadCheckpoint, match=r"several checkpoints in .*two.zip: a, b\. Unpack it"):
        open_checkpoint(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as opened:
        opened.writestr("readme.txt", "nothing")
    with pytest.raises(BadCheckpoint, match=r"no checkpoint in .*none.zip: looked for \*.index.*found readme.txt"):
        open_checkpoint(tmp_path / "none.zip")
    assert not any(scratch.iterdir()), "nothing stays behind"


def test_tf1_reads_as_before(tmp_path: Path) -> None:
    config = odd_config()
    arrays = write_tf1(tmp_path, config, bert_shapes(config))
    checkpoint = open_checkpoint(tmp_path)
    assert (checkpoint.format, checkpoint.facts, checkpoint.heads) == ("tf1", (), None)
    assert_same(variables(checkpoint), expected(arrays))


def test_names_that_would_collide(tmp_path: Path, arrays: Arrays) -> None:
    write_config(tmp_path)
    named = writers.uer_arrays(arrays, 3)
    named["bert.pooler.dense.bias"] = named["target.nsp_linear_1.bias"]
    writers.write_torch_zip(tmp_path / "model.bin", named)
    with pytest.raises(
        BadCheckpoint, match=re.escape("'bert.pooler.dense.bias' twice: as 'bert.pooler.dense.bias' and")
    ):
        open_checkpoint(tmp_path)
