"""What a reader finds in a directory, and the one clear error for each thing that can be wrong with it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from export.readers import open_checkpoint
from scripts.checkpoint_writers import write_torch_zip
from scripts.layouts import transformers_arrays
from tests.export.conftest import odd_config, write_odd, write_transformers
from zoo.errors import BadCheckpoint, BadConfig, Unsupported


@pytest.fixture
def copy(odd: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(odd, tmp_path / "copy"))


def test_tf1_names_shapes_values(tmp_path: Path) -> None:
    arrays = write_odd(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.format == "tf1" and checkpoint.config == odd_config()
    assert checkpoint.shapes == {name: array.shape for name, array in sorted(arrays.items())}
    for name, array in arrays.items():
        np.testing.assert_array_equal(checkpoint.read(name), array)
    names = [file.name for file in checkpoint.files]
    assert names == ["bert_config.json", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"]


def test_hugging_face_names_shapes_values(tmp_path: Path) -> None:
    arrays = write_odd(tmp_path / "tf1")
    write_transformers(tmp_path / "hf", arrays)
    checkpoint = open_checkpoint(tmp_path / "hf")
    assert checkpoint.format == "huggingface"
    for name, array in transformers_arrays(arrays).items():
        assert checkpoint.shapes[name] == array.shape
        np.testing.assert_array_equal(checkpoint.read(name), array)


@pytest.mark.parametrize("given", ["", "bert_model.ckpt", "bert_model.ckpt.index"])
def test_a_directory_an_index_file_or_a_prefix(given: str, copy: Path) -> None:
    assert open_checkpoint(copy / given).shapes["bert/pooler/dense/bias"] == (32,)


def test_any_prefix_and_config_name(copy: Path) -> None:
    for file in list(copy.glob("bert_model.ckpt*")):
        file.rename(copy / file.name.replace("bert_model.ckpt", "model.ckpt-best"))
    (copy / "bert_config.json").rename(copy / "bert_config_rbt3.json")
    assert open_checkpoint(copy).config == odd_config()


def test_the_checkpoint_file_is_not_trusted(copy: Path) -> None:
    (copy / "checkpoint").write_text('model_checkpoint_path: "/somebody/elses/model.ckpt-best"\n')
    assert "bert/pooler/dense/bias" in open_checkpoint(copy).shapes


def test_a_directory_that_is_called_as_the_prefix(copy: Path) -> None:
    (copy / "bert_model.ckpt").mkdir()
    (copy / "bert_model.ckpt" / "checkpoint").write_text('model_checkpoint_path: "/somebody/elses/model.ckpt-best"\n')
    checkpoint = open_checkpoint(copy)
    assert checkpoint.read("bert/pooler/dense/bias").shape == (32,)


def test_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(
        BadCheckpoint, match=r"no checkpoint in .*looked for \*.index, model.safetensors, .*, found an empty"
    ):
        open_checkpoint(tmp_path)


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="neither a directory, nor a file, nor the prefix"):
        open_checkpoint(tmp_path / "missing")


def test_several_checkpoints(copy: Path) -> None:
    shutil.copy(copy / "bert_model.ckpt.index", copy / "other.ckpt.index")
    with pytest.raises(
        BadCheckpoint, match=r"several checkpoints.*bert_model.ckpt.index, other.ckpt.index.*Give the path of one"
    ):
        open_checkpoint(copy)


def test_no_config_and_several(copy: Path) -> None:
    shutil.copy(copy / "bert_config.json", copy / "other_config.json")
    with pytest.raises(BadConfig, match=r"several configs.*bert_config.json, other_config.json.*--config"):
        open_checkpoint(copy)
    assert open_checkpoint(copy, copy / "other_config.json").config == odd_config()
    for file in list(copy.glob("*.json")):
        file.unlink()
    with pytest.raises(BadConfig, match="no config in .*'hidden_size'"):
        open_checkpoint(copy)


def test_other_json_files_are_no_config(copy: Path) -> None:
    (copy / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    (copy / "list.json").write_text("[1]")
    assert open_checkpoint(copy).config == odd_config()


def test_a_config_that_is_not_json(copy: Path) -> None:
    (copy / "bert_config.json").write_text("{'hidden_size': 32}")
    with pytest.raises(BadConfig, match=r"bert_config.json is not JSON"):
        open_checkpoint(copy)


def test_data_file_missing_or_cut_short(copy: Path) -> None:
    data = copy / "bert_model.ckpt.data-00000-of-00001"
    size = data.stat().st_size
    with data.open("r+b") as file:
        file.truncate(size // 2)
    with pytest.raises(BadCheckpoint, match=rf"cut short: its index promises [\d,]+ bytes, but it has {size // 2:,}"):
        open_checkpoint(copy)
    data.unlink()
    with pytest.raises(BadCheckpoint, match="no data file beside it"):
        open_checkpoint(copy)


def test_a_name_with_a_flipped_bit_is_noticed_at_once(copy: Path) -> None:
    """The index would be read as that of another model: only its checksum tells."""
    index = copy / "bert_model.ckpt.index"
    content = index.read_bytes()
    assert content.count(b"pooler") == 1
    index.write_bytes(content.replace(b"pooler", b"qooler"))
    with pytest.raises(BadCheckpoint, match=r"the checksum of a block at 0 is wrong\. Fetch it again"):
        open_checkpoint(copy)


def test_flipped_bits_are_noticed_when_read(copy: Path) -> None:
    data = copy / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[10] ^= 1
    data.write_bytes(content)
    checkpoint = open_checkpoint(copy)
    with pytest.raises(BadCheckpoint, match="is damaged: its checksum is wrong"):
        for name in checkpoint.shapes:
            checkpoint.read(name)


def test_damaged_index(copy: Path) -> None:
    index = copy / "bert_model.ckpt.index"
    index.write_bytes(index.read_bytes()[:-30])
    with pytest.raises(BadCheckpoint, match=r"bert_model.ckpt.index cannot be read"):
        open_checkpoint(copy)


def test_damaged_safetensors(tmp_path: Path) -> None:
    write_transformers(tmp_path, write_odd(tmp_path / "tf1"))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BadCheckpoint, match=r"model.safetensors cannot be read"):
        open_checkpoint(tmp_path)


def test_object_based_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "ckpt"))
    (tmp_path / "config.json").write_text(json.dumps(odd_config()))
    with pytest.raises(Unsupported, match="TF2 object-based"):
        open_checkpoint(tmp_path)


# -- which file -------------------------------------------------------------------------------------------------------


def with_weights(folder: Path, *names: str) -> Path:
    """Write a directory with the same small safetensors file under every name."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(odd_config(model_type="bert")))
    for name in names:
        save_file({"bert.pooler.dense.bias": np.zeros(3, np.float32)}, folder / name)
    return folder


def test_what_training_and_other_runtimes_leave_is_no_checkpoint(tmp_path: Path) -> None:
    others = "optimizer.pt optimizer_0.bin scheduler.pt scaler.pt rng_state.pth rng_state_1.pth training_args.bin "
    others += "zero_pp_rank_0_mp_rank_00_optim_states.pt openvino_model.bin"
    folder = with_weights(tmp_path, "my-bert.safetensors", *others.split())
    assert open_checkpoint(folder).files[1].name == "my-bert.safetensors"


def test_several_files_are_listed_with_the_path_of_each(tmp_path: Path) -> None:
    folder = with_weights(tmp_path / "two runs", "last.safetensors", "best.safetensors")
    with pytest.raises(BadCheckpoint, match="several checkpoints in .*: best.safetensors, last.safetensors") as caught:
        open_checkpoint(folder)
    paths = [Path(*shlex.split(step)) for step in re.findall("`(.*?)`", str(caught.value))]
    assert paths == [folder / "best.safetensors", folder / "last.safetensors"]
    for path in paths:
        assert open_checkpoint(path).shapes


def test_shards_are_no_checkpoints_beside_their_index(tmp_path: Path) -> None:
    folder = with_weights(tmp_path, "mine-00001-of-00001.safetensors")
    with pytest.raises(BadCheckpoint, match="no checkpoint in"):
        open_checkpoint(folder)
    index = {"weight_map": {"bert.pooler.dense.bias": "mine-00001-of-00001.safetensors"}}
    (folder / "mine.safetensors.index.json").write_text(json.dumps(index))
    assert open_checkpoint(folder).files[1].name == "mine.safetensors.index.json"


def test_a_directory_below_a_checkpoint_is_part_of_it(tmp_path: Path) -> None:
    """sentence-transformers keeps the weights of a dense layer in a directory of its own."""
    folder = with_weights(tmp_path / "made", "model.safetensors")
    with_weights(folder / "2_Dense", "model.safetensors")
    (folder / "2_Dense/config.json").unlink()
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    assert open_checkpoint(tmp_path / "made.zip").shapes


@pytest.mark.parametrize("name", ["best.pt", "best.pth", "best.ckpt"])
def test_torch_files_come_out_of_archives(name: str, tmp_path: Path) -> None:
    folder = with_weights(tmp_path / "made")
    write_torch_zip(folder / name, {"bert.pooler.dense.bias": np.zeros(3, np.float32)})
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    assert [*open_checkpoint(tmp_path / "made.zip").shapes] == ["bert.pooler.dense.bias"]


def test_eight_bits_in_safetensors(tmp_path: Path) -> None:
    folder = with_weights(tmp_path)
    save_file({"w": np.ones((2, 2), np.int8), "b": np.ones(2, np.int8)}, folder / "model.safetensors")
    with pytest.raises(Unsupported, match="stores matrices in 8 bits: w. Quantised weights are not converted"):
        open_checkpoint(folder)
    save_file({"w": np.ones((2, 2), bool), "n": np.ones((2, 2), np.int64)}, folder / "model.safetensors")
    assert open_checkpoint(folder).shapes
