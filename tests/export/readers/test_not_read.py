"""Directories without a checkpoint that is read: the error says what lies there and which step works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from export.readers import open_checkpoint
from tests.export.conftest import odd_config
from zoo.errors import BadCheckpoint, BadConfig


def steps(error: pytest.ExceptionInfo[Exception]) -> list[list[str]]:
    return [shlex.split(step) for step in re.findall("`(.*?)`", str(error.value))]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("adapter_model.safetensors", "adapter of PEFT.*merge_and_unload"),
        ("model.onnx", "graph of ONNX.*made from"),
        ("frozen_model.pb", "frozen.*frozen from"),
        ("flax_model.msgpack", "Flax.*from_flax=True"),
        ("model_state.pdparams", "PaddlePaddle.*for PyTorch or TensorFlow"),
        ("bert.gguf", "llama.cpp.*made from"),
        ("rust_model.ot", "rust-bert.*made from"),
        ("model.tflite", "TensorFlow Lite.*made from"),
        ("bert_model.ckpt.meta", ".index and .data files of the same name are missing"),
        ("bert_model.ckpt.data-00000-of-00001", ".index file of the same name is missing"),
        ("zero_pp_rank_0_mp_rank_00_optim_states.pt", "DeepSpeed.*zero_to_fp32.py"),
        ("optimizer.pt", "state of an optimiser.*directory of the weights"),
    ],
)
def test_files_that_are_not_read_have_a_next_move(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(odd_config()))
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadCheckpoint, match=rf"no checkpoint in .*: {name} is .*{words}.*\.$"):
        open_checkpoint(tmp_path)


def test_checkpoints_in_directories_below(odd: Path, tmp_path: Path) -> None:
    """As a Trainer leaves them, or the cache of the Hugging Face hub two levels down: the latest stands first."""
    for place in ("checkpoint-500", "checkpoint-1000", "snapshots/0123abcd"):
        shutil.copytree(odd, tmp_path / place)
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BadCheckpoint, match="one lies in a directory below. Give its path instead: `") as error:
        open_checkpoint(tmp_path)
    paths = [Path(path) for (path,) in steps(error)]
    assert [path.name for path in paths] == ["checkpoint-1000", "checkpoint-500", "0123abcd"]
    for path in paths:
        assert open_checkpoint(path).shapes


def test_a_config_in_the_directory_above(odd: Path, tmp_path: Path) -> None:
    inner = Path(shutil.copytree(odd, tmp_path / "it's all/global_step100"))
    (inner / "bert_config.json").rename(inner.parent / "config.json")
    with pytest.raises(BadConfig, match="One lies in the directory above: add `--config ") as error:
        open_checkpoint(inner)
    ((option, config),) = steps(error)
    assert option == "--config" and open_checkpoint(inner, Path(config)).config == odd_config()


def test_a_config_above_is_not_named_of_an_archive(odd: Path, tmp_path: Path) -> None:
    """The directory that an archive is unpacked to is gone when the error is read."""
    inner = Path(shutil.copytree(odd, tmp_path / "all/saved"))
    (inner / "bert_config.json").rename(inner.parent / "config.json")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", inner.parent)
    with pytest.raises(BadConfig, match=r"no config in .*Name the config file with --config\.$"):
        open_checkpoint(Path(archive))
