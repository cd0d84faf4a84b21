"""Writes checkpoints with seeded random weights in the layouts that upstream publishes, at true size.

Use them in tests, or to try an export without downloading real weights.

    python -m scripts.random_checkpoint bert /somewhere/bert [--slots] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scripts.layouts import LAYOUTS, Shapes, bert_config
from zoo.basics.quiet import import_tensorflow_quietly

_FACTORS = ("gamma", "LayerNorm.weight", "layer_norm.weight")  # of norms
_ALBERT = {
    "embedding_size": 128,
    "num_hidden_groups": 1,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def _electra(embedding: int, generator: int) -> dict[str, int]:
    return {
        "embedding_size": embedding,
        "generator_hidden_size": generator,
        "generator_intermediate_size": 4 * generator,
    }


# model -> layout and config: layers, hidden size, heads, intermediate size, vocabulary
SIZES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", bert_config(12, 768, 12, 3072, 21128)),
    "roberta_wwm_large": ("bert", bert_config(24, 1024, 16, 4096, 21128)),
    "rbt3": ("bert", bert_config(3, 768, 12, 3072, 21128)),
    "albert_tiny": ("albert", bert_config(4, 312, 12, 1248, 21128, **_ALBERT)),
    "albert_small": ("albert", bert_config(6, 384, 12, 1536, 21128, **_ALBERT)),
    "albert_base": ("albert", bert_config(12, 768, 12, 3072, 21128, **_ALBERT, hidden_act="relu")),
    "albert_large": ("albert", bert_config(24, 1024, 16, 4096, 21128, **_ALBERT, hidden_act="relu")),
    "albert_xlarge": ("albert", bert_config(24, 2048, 16, 8192, 21128, **_ALBERT, hidden_act="relu")),
    "electra_small": ("electra", bert_config(12, 256, 4, 1024, 21128, **_electra(128, 64))),
    "electra_smallex": ("electra", bert_config(24, 256, 4, 1024, 21128, **_electra(256, 64))),
    "electra_base": ("electra", bert_config(12, 768, 12, 3072, 21128, **_electra(768, 192))),
    "electra_large": ("electra", bert_config(24, 1024, 16, 4096, 21128, **_electra(1024, 256))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--slots", action="store_true", help="with Adam slots, as a training run saves")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.size, options.directory, options.seed, options.slots)


def write(size: str, directory: Path, seed: int = 1, slots: bool = False) -> None:
    """Write checkpoint, config and vocabulary of one of SIZES."""
    layout, config = SIZES[size]
    write_tf1(directory, config, LAYOUTS[layout](config), seed=seed, slots=slots)
    write_vocabulary(directory / "vocab.txt", chinese_vocabulary(config["vocab_size"]))


def random_arrays(shapes: Shapes, seed: int = 1, scale: float = 0.02) -> dict[str, np.ndarray]:
    """Return fp32 values: normal with standard deviation `scale`, around 1 for norms' factors, else around 0.

    Names are those of TensorFlow's files or of transformers'.
    """
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        if name == "global_step":
            arrays[name] = np.array(1000, np.int64)
            continue
        values = generator.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        arrays[name] = values + np.float32(1) if name.endswith(_FACTORS) else values
    return arrays


def write_tf1(
    directory: Path,
    config: Mapping[str, Any],
    shapes: Shapes,
    seed: int = 1,
    scale: float = 0.02,
    slots: bool = False,
    prefix: str = "bert_model.ckpt",
) -> dict[str, np.ndarray]:
    """Write a TF1 name-based checkpoint and its config, and return the values (without the slots)."""
    arrays = random_arrays(shapes, seed, scale)
    saved: dict[str, np.ndarray] = dict(arrays)
    if slots:
        weights = {name: array for name, array in arrays.items() if name != "global_step"}
        saved |= {f"{name}/adam_{slot}": np.zeros_like(array) for name, array in weights.items() for slot in "mv"}
        saved["global_step"] = np.array(1000, np.int64)
    write_arrays(directory, config, saved, prefix)
    return arrays


def write_arrays(
    directory: Path, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], prefix: str = "bert_model.ckpt"
) -> None:
    """Write given values as a TF1 name-based checkpoint, with its config."""
    import_tensorflow_quietly()
    import tensorflow as tf

    directory.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(directory / prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )
    (directory / "bert_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def chinese_vocabulary(size: int) -> list[str]:
    """Return `size` entries: kinds and their order as in the published Chinese vocabulary, but other ids."""
    entries = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<S>", "<T>"]
    entries += [chr(code) for code in (*range(0x21, 0x41), *range(0x5B, 0x7F))]
    entries += list("，。、；：？！（）《》“”…—")
    entries += [f"##{chr(code)}" for code in range(0x61, 0x7B)]
    entries += [chr(code) for code in (*range(0x4E00, 0x9FA6), *range(0x3400, 0x4DB6))]
    return entries[:size]


def write_vocabulary(file: Path, entries: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
