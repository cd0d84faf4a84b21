"""Writes checkpoints with seeded random weights in the layouts that upstream publishes.

For trying an export at true size where the real weights cannot be downloaded, and for tests. Names and shapes are typed
by hand from genuine files; nothing here reads the exporter's tables, which would agree with their own mistakes.

    python scripts/random_checkpoint.py bert /somewhere/bert [--slots] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.quiet import import_tensorflow_quietly

Shapes = dict[str, tuple[int, ...]]

# name -> (layers, hidden size, heads, intermediate size, vocabulary)
SIZES = {
    "bert": (12, 768, 12, 3072, 21128),
    "rbt3": (3, 768, 12, 3072, 21128),
    "tiny": (4, 312, 12, 1248, 21128),  # the measures of albert_tiny in BERT's layout
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--slots", action="store_true", help="with Adam slots and global_step, as a training run saves")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.size, options.directory, options.seed, options.slots)


def write(size: str, directory: Path, seed: int = 1, slots: bool = False) -> None:
    """Write checkpoint, config and vocabulary of one of SIZES."""
    layers, hidden, heads, intermediate, vocab = SIZES[size]
    config = bert_config(layers, hidden, heads, intermediate, vocab)
    write_tf1(directory, config, bert_shapes(config), seed=seed, slots=slots)
    write_vocabulary(directory / "vocab.txt", chinese_vocabulary(vocab))


def bert_config(
    layers: int, hidden: int, heads: int, intermediate: int, vocab: int, positions: int = 512
) -> dict[str, Any]:
    """Return a bert_config.json as google-research/bert writes it."""
    return {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": intermediate,
        "max_position_embeddings": positions,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "type_vocab_size": 2,
        "vocab_size": vocab,
    }


def bert_shapes(config: Mapping[str, Any]) -> Shapes:
    """Return names and shapes of a TF1 release of BERT, pre-training heads included."""
    h, i, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes: Shapes = {
        "bert/embeddings/word_embeddings": (v, h),
        "bert/embeddings/position_embeddings": (config["max_position_embeddings"], h),
        "bert/embeddings/token_type_embeddings": (config["type_vocab_size"], h),
        "bert/embeddings/LayerNorm/gamma": (h,),
        "bert/embeddings/LayerNorm/beta": (h,),
        "bert/pooler/dense/kernel": (h, h),
        "bert/pooler/dense/bias": (h,),
        "cls/predictions/transform/dense/kernel": (h, h),
        "cls/predictions/transform/dense/bias": (h,),
        "cls/predictions/transform/LayerNorm/gamma": (h,),
        "cls/predictions/transform/LayerNorm/beta": (h,),
        "cls/predictions/output_bias": (v,),
        "cls/seq_relationship/output_weights": (2, h),
        "cls/seq_relationship/output_bias": (2,),
    }
    for layer in range(config["num_hidden_layers"]):
        scope = f"bert/encoder/layer_{layer}"
        for part in ("attention/self/query", "attention/self/key", "attention/self/value", "attention/output/dense"):
            shapes |= {f"{scope}/{part}/kernel": (h, h), f"{scope}/{part}/bias": (h,)}
        shapes |= {f"{scope}/intermediate/dense/kernel": (h, i), f"{scope}/intermediate/dense/bias": (i,)}
        shapes |= {f"{scope}/output/dense/kernel": (i, h), f"{scope}/output/dense/bias": (h,)}
        for part in ("attention/output", "output"):
            shapes |= {f"{scope}/{part}/LayerNorm/gamma": (h,), f"{scope}/{part}/LayerNorm/beta": (h,)}
    return shapes


def transformers_arrays(
    arrays: Mapping[str, np.ndarray], bare: bool = False, old_norms: bool = False
) -> dict[str, np.ndarray]:
    """Return the same BERT weights under transformers' names: kernels transposed, `bare` without the `bert.` prefix."""
    converted = {}
    for name, array in arrays.items():
        name = name.replace("/layer_", "/layer/").replace("output_weights", "weight").replace("/", ".")
        name = name.replace("cls.predictions.output_bias", "cls.predictions.bias").replace("output_bias", "bias")
        if name.endswith(".kernel"):
            name, array = name.removesuffix("kernel") + "weight", np.ascontiguousarray(array.T)
        elif name.endswith("_embeddings"):
            name += ".weight"
        elif not old_norms:
            name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if bare and name.startswith("cls."):
            continue
        converted[name.removeprefix("bert.") if bare else name] = array
    return converted


def random_arrays(shapes: Shapes, seed: int = 1, scale: float = 0.02) -> dict[str, np.ndarray]:
    """Return fp32 values: normal with standard deviation `scale`, around 1 for gammas and around 0 for all others."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        values = generator.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        arrays[name] = values + np.float32(1) if name.endswith("gamma") else values
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
    import_tensorflow_quietly()
    import tensorflow as tf

    directory.mkdir(parents=True, exist_ok=True)
    arrays = random_arrays(shapes, seed, scale)
    saved: dict[str, np.ndarray] = dict(arrays)
    if slots:
        saved |= {f"{name}/adam_{slot}": np.zeros_like(array) for name, array in arrays.items() for slot in "mv"}
        saved["global_step"] = np.array(1000, np.int64)
    tf.raw_ops.SaveV2(
        prefix=str(directory / prefix),
        tensor_names=list(saved),
        shape_and_slices=[""] * len(saved),
        tensors=[tf.constant(array) for array in saved.values()],
    )
    (directory / "bert_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return arrays


def chinese_vocabulary(size: int) -> list[str]:
    """Return `size` entries in the order of the published Chinese vocabulary's kinds, not its ids."""
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
