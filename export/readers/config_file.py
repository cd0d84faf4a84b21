"""The config file beside a checkpoint: finds and reads it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.basics.untrusted import BadInput, parse_json, read_small
from zoo.errors import BadConfig, ZooError

# A .json file with none of them is not a config. DistilBERT and others that are refused by name have the last three.
_MARKS = {"hidden_size", "num_hidden_layers", "n_layers", "n_layer", "d_model"}
_MOST_BYTES = 4 << 20  # a config has a kilobyte, or up to a megabyte if it names the classes of a task
_MOST_VALUES = 200_000


def find_config(folder: Path, above: bool = True) -> Path:
    """Return the config in a checkpoint's directory; its name does not matter. Raises BadConfig for none or several.

    The error names a config in the directory above, unless `above` is false: for a directory that will be removed.
    """
    found, of_parts = [], []
    for file in sorted(folder.glob("*.json")):
        try:
            settings = read_json(file)
        except ZooError:
            if file.name == "config.json" or file.stem.endswith("bert_config"):
                raise
            continue
        if _MARKS & settings.keys():
            found.append(file)
        elif file.name == "config.json" and any(isinstance(p, dict) and _MARKS & p.keys() for p in settings.values()):
            of_parts.append(file)  # of several models in one, which is refused by its name
    found = found or of_parts
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadConfig(
            f"no config in {folder}: no .json file there has 'hidden_size' or 'num_hidden_layers' "
            f"(found {listing(folder)}). {_next_move(folder, above)}"
        )
    raise BadConfig(f"several configs in {folder}: {', '.join(f.name for f in found)}. Name one with --config.")


def _next_move(folder: Path, above: bool) -> str:
    """Return which config to name. Trainers save the weights in a directory below the one with the config."""
    usual = [folder.parent / name for name in ("config.json", "bert_config.json")]
    if there := [file for file in usual if above and file.is_file()]:
        return (
            f"One lies in the directory above: add {' or '.join(f'`--config {shlex.quote(str(f))}`' for f in there)}."
        )
    return "Name the config file with --config."


def read_json(file: Path) -> Mapping[str, Any]:
    """Return the settings of a config file, unchanged. Raises BadConfig when the file is not a JSON object."""
    try:
        value = parse_json(read_small(file, _MOST_BYTES), _MOST_VALUES)
    except FileNotFoundError:
        raise BadConfig(f"no config at {file}.") from None
    except (BadInput, OSError) as error:
        raise BadConfig(f"{file} is not a config: {error}. Name the right file with --config.") from None
    except ValueError as error:
        raise BadConfig(f"{file} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadConfig(f"{file} should hold a JSON object of settings, but holds a {type(value).__name__}.")
    return value


def listing(folder: Path) -> str:
    """Return the first eight names in a directory, for messages: 'config.json, vocab.txt'."""
    names = sorted(file.name for file in folder.iterdir())
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return shown or "an empty directory"
