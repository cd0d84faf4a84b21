"""The config file beside a checkpoint: finds and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.basics.untrusted import BadInput, parse_json, read_small
from zoo.errors import BadConfig, ZooError

# A .json file with none of them is not a config. DistilBERT and others that are refused by name have the last three.
_MARKS = {"hidden_size", "num_hidden_layers", "n_layers", "n_layer", "d_model"}
_MOST_BYTES = 4 << 20  # a config has a kilobyte, or up to a megabyte if it names the classes of a task
_MOST_VALUES = 200_000


def find_config(folder: Path) -> Path:
    """Return the config in a checkpoint's directory; its name does not matter. Raises BadConfig for none or several."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            if _MARKS & read_json(file).keys():
                found.append(file)
        except ZooError:
            if file.name == "config.json" or file.stem.endswith("bert_config"):
                raise
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadConfig(
            f"no config in {folder}: no .json file there has 'hidden_size' or 'num_hidden_layers' "
            f"(found {listing(folder)}). Name the config file with --config."
        )
    raise BadConfig(f"several configs in {folder}: {', '.join(f.name for f in found)}. Name one with --config.")


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
