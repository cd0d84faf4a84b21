"""From a path to a Checkpoint. One file beside this one reads one format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from export.readers.huggingface import SafetensorsCheckpoint
from export.readers.protocol import Checkpoint
from export.readers.tf1 import TF1Checkpoint
from zoo.errors import BadCheckpoint, BadConfig, ZooError

# How a format is recognised: the file that stands for it -> its reader.
_READERS: Mapping[str, Callable[[Path, Mapping[str, Any], Path], Checkpoint]] = {
    "*.index": TF1Checkpoint,
    "model.safetensors": SafetensorsCheckpoint,
}


def open_checkpoint(path: Path, config: Path | None = None) -> Checkpoint:
    """Return the checkpoint in a directory (or named by its main file or TF prefix), nothing but names read so far.

        checkpoint = open_checkpoint(Path("chinese_L-12_H-768_A-12"))
        checkpoint.shapes["bert/pooler/dense/kernel"]  # (768, 768)

    The `checkpoint` file that TensorFlow writes is never trusted: archives ship it with paths of other machines.
    Raises BadCheckpoint (nothing there, several there, damaged) or BadConfig.
    """
    if path.is_dir():
        folder, patterns = path, {pattern: pattern for pattern in _READERS}
    else:
        folder = path.parent
        main = path.name if path.is_file() else f"{path.name}.index"
        if not (folder / main).is_file():
            raise BadCheckpoint(
                f"no checkpoint at {path}: neither a directory, nor a file, nor the prefix of an .index file."
            )
        patterns = {pattern: main for pattern in _READERS if Path(main).match(pattern)}
        if not patterns:
            raise BadCheckpoint(f"{path} is not the main file of a checkpoint; expected {' or '.join(_READERS)}.")
    found = [(pattern, file) for pattern, name in patterns.items() for file in sorted(folder.glob(name))]
    if not found:
        raise BadCheckpoint(
            f"no checkpoint in {folder}: looked for {' and '.join(_READERS)}, found {_listing(folder)}."
        )
    if len(found) > 1:
        raise BadCheckpoint(
            f"several checkpoints in {folder}: {', '.join(file.name for _, file in found)}. Name the one that is meant."
        )
    pattern, main_file = found[0]
    config_file = config or _find_config(folder)
    return _READERS[pattern](main_file, _read_json(config_file), config_file)


def find_vocabulary(folder: Path) -> Path:
    """Return the one vocabulary file (vocab.txt, vocab_chinese.txt, …) of a checkpoint's directory.

    Raises BadCheckpoint when there is none or more than one.
    """
    found = sorted(folder.glob("vocab*.txt"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(file.name for file in found) or _listing(folder)
    raise BadCheckpoint(f"{'several' if found else 'no'} vocab*.txt in {folder} (found {names}); name it with --vocab.")


def _find_config(folder: Path) -> Path:
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            if {"hidden_size", "num_hidden_layers"} & _read_json(file).keys():
                found.append(file)
        except ZooError:
            if file.name == "config.json" or file.stem.endswith("bert_config"):
                raise
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadConfig(
            f"no config in {folder}: no .json file there has 'hidden_size' or 'num_hidden_layers' "
            f"(found {_listing(folder)}). Name it with --config."
        )
    raise BadConfig(
        f"several configs in {folder}: {', '.join(f.name for f in found)}. Name the one that is meant with --config."
    )


def _read_json(file: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise BadConfig(f"no config at {file}.") from None
    except ValueError as error:
        raise BadConfig(f"{file} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadConfig(f"{file} holds a {type(value).__name__}, not an object of settings.")
    return value


def _listing(folder: Path) -> str:
    names = sorted(file.name for file in folder.iterdir())
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return shown or "an empty directory"
