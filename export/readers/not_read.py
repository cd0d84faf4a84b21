"""A directory without a checkpoint that is read: what lies there instead, and the next move for it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

_SHOWN = 8  # paths in a message

# Pattern for the names of files -> what they are, and what to do. The first pattern that fits a file counts.
_FILES: Mapping[str, str] = {
    "adapter_model.*": "an adapter of PEFT, which needs its base model. Load it with PEFT, call merge_and_unload() and "
    "give the directory that save_pretrained() then writes",
    "*.onnx": "a graph of ONNX, without the checkpoint's names. Give the checkpoint that it was made from",
    "*.tflite": "a model of TensorFlow Lite, without the checkpoint's names. Give the checkpoint it was made from",
    "*.pb": "a graph with its weights frozen, and without a config. Give the checkpoint that it was frozen from",
    "*.msgpack": "a file of Flax. transformers 4 makes a checkpoint of it that is read: "
    "from_pretrained(…, from_flax=True), then save_pretrained()",
    "*.pdparams": "a file of PaddlePaddle, with names and matrices of another form. Give the model's checkpoint for "
    "PyTorch or TensorFlow",
    "*.gguf": "a file of llama.cpp. Give the checkpoint that it was made from",
    "*.ot": "a file of rust-bert. Give the checkpoint that it was made from",
    "*.meta": "the graph of a checkpoint of TensorFlow 1. The .index and .data files of the same name are missing",
    "*.data-?????-of-?????": "the numbers of a checkpoint of TensorFlow. The .index file of the same name is missing",
    "*_optim_states.pt": "the state of an optimiser of DeepSpeed. Give the directory with mp_rank_00_model_states.pt, "
    "or the file that zero_to_fp32.py writes",
    "optimizer*.*": "the state of an optimiser. Give the directory of the weights",
}


def found_instead(folder: Path) -> str | None:
    """Return the sentences of an error for a directory that holds nothing but files which are not read, if any.

    found_instead(Path("saved"))  # "model.onnx is a graph of ONNX, …. Give the checkpoint that it was made from."
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    told = {pattern: [name for name in names if fnmatchcase(name, pattern)] for pattern in _FILES}
    sentences = [f"{those[0]} is {_FILES[pattern]}." for pattern, those in told.items() if those]
    return " ".join(sentences) or None


def paths_to_give(paths: Sequence[Path]) -> str:
    """Return the paths from which a person chooses one, each between backquotes, those with the highest number first.

    paths_to_give([Path("saved/checkpoint-500"), Path("saved/checkpoint-1000")])
    # "`saved/checkpoint-1000` or `saved/checkpoint-500`"
    """
    latest_first = sorted(paths, key=lambda path: [*map(int, re.findall(r"\d{1,18}", path.name))], reverse=True)
    return " or ".join(f"`{shlex.quote(str(path))}`" for path in latest_first[:_SHOWN])
