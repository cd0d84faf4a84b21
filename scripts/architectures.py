"""Writes what tests know of transformers' text encoders: names, shapes and configs of all, answers of the siblings.

    /path/to/python/with/torch -m scripts.architectures tests/export/data

`architectures.json.gz` holds each class at a tiny size, bare and with a masked-language-model head, as its difference
from BertModel. `siblings.npz` holds the outputs of those that are converted, for weights that `sibling_weights` gives
again without torch. Written with transformers 4.57.6 and torch 2.14.1.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Shapes = dict[str, list[int]]

_SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "max_position_embeddings": 40,
}
_ROBERTA = {"max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}
_OFFSET = {"max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}

# model type -> what its config has beyond the sizes
ARCHITECTURES: Mapping[str, dict[str, Any]] = {
    "bert": {},
    "albert": {"embedding_size": 20, "type_vocab_size": 2},
    "bert-generation": {},
    "big_bird": {"attention_type": "original_full"},
    "bros": {},
    "camembert": _ROBERTA,
    "canine": {"num_hash_buckets": 64, "local_transformer_stride": 8},
    "clip_text_model": {},
    "convbert": {"embedding_size": 20, "head_ratio": 2},
    "data2vec-text": {**_ROBERTA, "hidden_act": "relu"},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 56, "activation": "mish"},
    "dpr": {},
    "electra": {"embedding_size": 20, "hidden_act": "silu"},
    "ernie": {"type_vocab_size": 4, "use_task_id": True, "hidden_act": "relu"},
    "ernie_m": {},
    "esm": {"position_embedding_type": "absolute", "pad_token_id": 1, "mask_token_id": 4},
    "flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": 99},
    "fnet": {},
    "ibert": _ROBERTA,
    "layoutlm": {},
    "layoutlmv3": {**_OFFSET, "visual_embed": False, "coordinate_size": 5, "shape_size": 6},
    "lilt": {**_ROBERTA, "channel_shrink_ratio": 4},
    "longformer": {**_OFFSET, "attention_window": 8},
    "luke": {**_OFFSET, "entity_vocab_size": 10, "entity_emb_size": 8},
    "lxmert": {"l_layers": 2, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 16},
    "markuplm": {**_ROBERTA, "max_depth": 4, "xpath_unit_hidden_size": 4},
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 16, "true_hidden_size": 32, "intra_bottleneck_size": 32},
    "modernbert": {"pad_token_id": 0},
    "mpnet": {"max_position_embeddings": 42, "pad_token_id": 1},
    "mra": {"block_per_row": 1},
    "nezha": {"max_position_embeddings": 100},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 40},
    "rembert": {"input_embedding_size": 20, "output_embedding_size": 24},
    "roberta": _ROBERTA,
    "roberta-prelayernorm": _ROBERTA,
    "roc_bert": {"shape_vocab_size": 20, "pronunciation_vocab_size": 20},
    "roformer": {"embedding_size": 20},
    "splinter": {},
    "squeezebert": {"embedding_size": 32},
    "tapas": {},
    "vilt": {},
    "visual_bert": {"visual_embedding_dim": 16},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": 99},
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": _ROBERTA,
    "xmod": {**_ROBERTA, "languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": {},
}
ANSWERED = (
    *("bert", "albert", "bert-generation", "data2vec-text", "distilbert", "electra", "ernie", "roberta"),
    *("roformer", "nezha"),
)
LENGTHS = {"nezha": 80}  # tokens of the longest text; 9 otherwise
_UNTOLD = {"transformers_version", "dtype", "torch_dtype", "id2label", "label2id"}


def sibling_weights(shapes: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Return weights of the given names and shapes, always the same: norms around one, all else around zero."""
    generator = np.random.default_rng(7)
    centres = {name: float("norm" in name.lower() and name.endswith("weight")) for name in sorted(shapes)}
    found = {name: generator.normal(centre, 0.2, shapes[name]).astype(np.float32) for name, centre in centres.items()}
    return found | {name: sinusoids(*shapes[name]) for name in shapes if name.endswith("embed_positions.weight")}


def sinusoids(positions: int, width: int) -> np.ndarray:
    """Return the table that files of RoFormer hold: sines in the left half, cosines in the right one."""
    angles = np.arange(positions)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def sibling_inputs(padding: int, length: int = 9) -> dict[str, np.ndarray]:
    """Return three texts of 9 tokens and fewer, or of another length, padded at the end."""
    ids = np.random.default_rng(3).integers(5, 99, (3, length)).astype(np.int32)
    mask = (np.arange(length) < [[length], [length - 1], [5]]).astype(np.int32)
    return {"ids": np.where(mask == 1, ids, padding), "mask": mask, "types": (np.arange(length) > 3) * mask}


def shapes_of(stored: Mapping[str, Any], kind: str, bert: Mapping[str, list[int]]) -> Shapes:
    """Return names and shapes of one class, from its difference to BertModel, as architectures.json.gz has it."""
    found = {name: shape for name, shape in bert.items() if name not in stored["less"]} | stored["more"]
    if kind == "bare":
        return found
    head = stored["mlm"]
    kept = {name: shape for name, shape in found.items() if name not in head["less"]}
    return {head["prefix"] + name: shape for name, shape in kept.items()} | head["more"]


def main(folder: Path) -> None:
    bert: Shapes = {}
    listed, answers = {}, {}
    for model_type, more in ARCHITECTURES.items():
        config, bare = _saved(model_type, more, "AutoModel")
        bert = bert or bare
        listed[model_type] = {"config": config, **_difference(bare, bert)}
        try:
            _, head = _saved(model_type, more, "AutoModelForMaskedLM")
        except ValueError:  # transformers has no such class
            continue
        found = Counter(name.removesuffix(each) for name in head for each in bare if name.endswith(each))
        prefix = found.most_common(1)[0][0]
        inside = {name.removeprefix(prefix): shape for name, shape in head.items() if name.startswith(prefix)}
        other = {name: shape for name, shape in head.items() if name.removeprefix(prefix) not in bare}
        listed[model_type]["mlm"] = {"prefix": prefix, "less": sorted(bare.keys() - inside.keys()), "more": other}
    for model_type in ANSWERED:
        answers |= _answers(model_type, listed[model_type], bert)
    (folder / "architectures.json.gz").write_bytes(gzip.compress(json.dumps(listed).encode(), mtime=0))
    np.savez_compressed(folder / "siblings.npz", **answers)


def _difference(shapes: Shapes, bert: Shapes) -> dict[str, Any]:
    more = {name: shape for name, shape in shapes.items() if bert.get(name) != shape}
    return {"less": sorted(bert.keys() - shapes.keys()), "more": more}


def _saved(model_type: str, more: Mapping[str, Any], auto: str) -> tuple[dict[str, Any], Shapes]:
    """Return config, and names and shapes of the variables, as save_pretrained writes them."""
    transformers, safetensors = import_module("transformers"), import_module("safetensors.numpy")
    config = transformers.CONFIG_MAPPING[model_type](**{**_SIZES, **more})
    model = getattr(transformers, auto).from_config(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        said = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
        arrays = safetensors.load_file(Path(folder, "model.safetensors"))
    settings = {key: value for key, value in said.items() if key not in _UNTOLD}
    return settings, {name: list(array.shape) for name, array in sorted(arrays.items())}


def _answers(model_type: str, stored: Mapping[str, Any], bert: Shapes) -> dict[str, np.ndarray]:
    """Return what transformers computes of one class with `sibling_weights`, by "roberta/sequence_output"."""
    torch, transformers = import_module("torch"), import_module("transformers")
    settings = {key: value for key, value in stored["config"].items() if key not in ("architectures", "model_type")}
    config = transformers.CONFIG_MAPPING[model_type](**settings)
    texts = sibling_inputs(config.pad_token_id or 0, LENGTHS.get(model_type, 9))
    given = {name: torch.tensor(array) for name, array in texts.items()}
    inputs = {"input_ids": given["ids"], "attention_mask": given["mask"]}
    if stored["config"].get("type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = given["types"]
    found = {}
    for kind, auto in (("bare", "AutoModel"), ("mlm", "AutoModelForMaskedLM")):
        if kind == "mlm" and "mlm" not in stored:
            continue
        model = getattr(transformers, auto).from_config(config).eval()
        weights = sibling_weights(shapes_of(stored, kind, bert))
        weights = {name: array for name, array in weights.items() if "embed_positions" not in name}  # torch's own
        lost = model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()}, strict=False)
        assert not lost.unexpected_keys, lost.unexpected_keys
        model.tie_weights()
        with torch.no_grad():
            answer = model(**inputs)
        names = {"logits": "mlm_logits", "last_hidden_state": "sequence_output", "pooler_output": "pooled_output"}
        for theirs, ours in names.items():
            value = getattr(answer, theirs, None)
            if value is not None:
                found[f"{model_type}/{ours}"] = (value[:, 1:2] if theirs == "logits" else value).numpy()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
