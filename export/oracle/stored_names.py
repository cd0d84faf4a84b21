"""For files whose names are neither TF1's nor transformers': the stored name of every published name.

Typed by hand from upstream's code and genuine files. The readers (export/readers) translate in the other direction,
from stored to published names. If one of the two confuses two variables, the outputs differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from export.oracle.names import Read

Turn = Callable[[np.ndarray], np.ndarray]
Spelling = tuple[str, str, Turn]  # published name, stored name, function from the stored to the published array


def as_published(read: Read, names: Collection[str]) -> tuple[Read, Collection[str]]:
    """Return a function that reads variables by their published names, and those names.

    Published names are TF1's for Model Garden's and bert4keras' files, and transformers' for its Keras files and UER's.
    For any other file both arguments are returned unchanged.
    """
    given = _given_names(read, names)
    spellings: Iterator[Spelling]
    if any("layer_._0/" in name or "layer_groups_._0/" in name for name in given.values()):
        spellings = (_dotted(name, stored) for stored, name in given.items())
    elif any(name.endswith("self_attention/query/kernel") for name in given.values()):
        spellings = _garden(given)
    elif any(name.endswith("/bias_and_LayerNorm") for name in (*given.values(), *names)):
        spellings = _archive(read, given or {name: name for name in names})
    elif any(name.endswith(_VALUE) for name in names):
        spellings = _model_garden(names)
    elif any("Embedding-Token/" in name for name in names):
        spellings = _bert4keras(names)
    elif any(name.endswith(":0") for name in names):
        spellings = _keras(names)
    elif any(name.startswith("embedding.word") for name in names):
        spellings = _uer(names)
    else:
        return read, names
    there = set(names)
    found = {published: (stored, turn) for published, stored, turn in spellings if stored in there}

    def read_published(name: str) -> np.ndarray:
        stored, turn = found[name]
        return turn(read(stored))

    return read_published, found.keys()


def garden_head(read: Read, names: Collection[str]) -> tuple[Read, Collection[str]] | None:
    """Return reader and names of the head of a Model Garden model: "logits/kernel", "pooler_dense/bias"; else None.

    Kernels are [in, out]. Every head calls its last layer …/logits, and nothing else is called so.
    """
    stored = {}
    for key, name in _given_names(read, names).items():
        for published in (f"{layer}/{leaf}" for layer in ("logits", "pooler_dense") for leaf in ("kernel", "bias")):
            if name.endswith(f"/{published}") and "OPTIMIZER_SLOT" not in key and not key.startswith("optimizer/"):
                stored[published] = key
    return (lambda name: read(stored[name]), stored.keys()) if "logits/kernel" in stored else None


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _numbers(names: Collection[str], before: str) -> range:
    """Return range(n) if names hold `before` followed by the numbers 0 to n - 1: "encoder.transformer.0."."""
    count = 0
    while any(f"{before}{count}{end}" in name for name in names for end in "./"):
        count += 1
    return range(count)


# -- UER: torch's names, [out, in] kernels ----------------------------------------------------------------------------


def _uer(names: Collection[str]) -> Iterator[Spelling]:
    def segments(table: np.ndarray) -> np.ndarray:
        return table[1:] if len(table) == 3 else table  # row 0 belongs to padding

    for old, new, published in (
        ("word_embedding", "word.embedding", "word_embeddings"),
        ("position_embedding", "pos.embedding", "position_embeddings"),
        ("segment_embedding", "seg.embedding", "token_type_embeddings"),
    ):
        for theirs in (old, new):
            turn = segments if published == "token_type_embeddings" else _same
            yield f"bert.embeddings.{published}.weight", f"embedding.{theirs}.weight", turn
    modules: dict[str, tuple[str, ...]] = {"bert.embeddings.LayerNorm": ("embedding.layer_norm",)}
    for i in _numbers(names, "encoder.transformer."):
        ours, theirs = f"bert.encoder.layer.{i}", f"encoder.transformer.{i}"
        modules |= {
            f"{ours}.attention.self.query": (f"{theirs}.self_attn.linear_layers.0",),
            f"{ours}.attention.self.key": (f"{theirs}.self_attn.linear_layers.1",),
            f"{ours}.attention.self.value": (f"{theirs}.self_attn.linear_layers.2",),
            f"{ours}.attention.output.dense": (f"{theirs}.self_attn.final_linear",),
            f"{ours}.attention.output.LayerNorm": (f"{theirs}.layer_norm_1",),
            f"{ours}.intermediate.dense": (f"{theirs}.feed_forward.linear_1",),
            f"{ours}.output.dense": (f"{theirs}.feed_forward.linear_2",),
            f"{ours}.output.LayerNorm": (f"{theirs}.layer_norm_2",),
        }
    modules |= {
        "bert.pooler.dense": ("target.nsp_linear_1", "target.sp_linear_1", "target.sp.linear_1"),
        "cls.seq_relationship": ("target.nsp_linear_2", "target.sp_linear_2", "target.sp.linear_2"),
        "cls.predictions.transform.dense": ("target.mlm_linear_1", "target.mlm.linear_1"),
        "cls.predictions.transform.LayerNorm": ("target.layer_norm", "target.mlm.layer_norm"),
        "cls.predictions.decoder": ("target.mlm_linear_2", "target.mlm.linear_2"),
    }
    for published, candidates in modules.items():
        for stored in candidates:
            bias = "cls.predictions.bias" if published == "cls.predictions.decoder" else f"{published}.bias"
            yield f"{published}.weight", f"{stored}.weight", _same
            yield bias, f"{stored}.bias", _same
            yield f"{published}.weight", f"{stored}.gamma", _same
            yield f"{published}.bias", f"{stored}.beta", _same


# -- transformers' tf_model.h5: group/model/layer_._0/dense/kernel:0, [in, out] kernels -------------------------------


def _keras(names: Collection[str]) -> Iterator[Spelling]:
    plain = {stored: stored.removeprefix("model_weights/") for stored in names if "optimizer_weights/" not in stored}
    in_groups = not any(name.split("/")[1:2] == ["embeddings"] for name in plain.values())  # shards have no groups
    for stored, name in plain.items():
        yield _dotted(name.split("/", 1)[1] if in_groups else name, stored)


def _dotted(name: str, stored: str) -> Spelling:
    """tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0 is bert.encoder.layer.0.output.dense.weight"""
    parts = name.removesuffix(":0").split("/")
    scope = [part.split("___")[-1].replace("_._", ".") for part in parts[parts[0].startswith("tf_") : -1]]
    leaf = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}.get(parts[-1], parts[-1])
    return ".".join([*scope, leaf]), stored, np.transpose if parts[-1] == "kernel" else _same


# -- bert4keras and keras-bert: layers of a Keras model, [in, out] kernels ---------------------------------------------


def _bert4keras(names: Collection[str]) -> Iterator[Spelling]:
    layers: dict[str, list[str]] = {}
    for stored in names:
        layers.setdefault(stored.removeprefix("model_weights/").split("/")[0], []).append(stored)
    for within in layers.values():  # Keras numbers: dense, dense_1, …, dense_10, in the order in which they were made
        within.sort(key=lambda stored: int("".join(filter(str.isdigit, stored.split("/")[-2].split("_")[-1])) or 0))

    def leaf(layer: str, ending: str) -> str:
        found = [
            stored
            for stored in layers.get(layer, ())
            if stored.split("/")[-1].startswith((ending, f"{layer}_{ending}"))
        ]
        return found[0] if found else ""

    def dense(layer: str, number: int, marks: tuple[str, str], ours: str) -> Iterator[Spelling]:
        """The dense layer of this number in bert4keras, or the one that keras-bert marks with a letter."""
        for ours_leaf, mark in zip(("kernel", "bias"), marks, strict=True):
            found = [stored for stored in layers.get(layer, ()) if stored.split("/")[-1].startswith(ours_leaf)]
            yield f"{ours}/{ours_leaf}", leaf(layer, mark) or (found[number] if number < len(found) else ""), _same

    for part, table in (("Token", "word"), ("Position", "position"), ("Segment", "token_type")):
        layer = f"Embedding-{part}"
        yield f"bert/embeddings/{table}_embeddings", leaf(layer, "embeddings") or leaf(layer, f"{layer}_"), _same
    blocks = [layer for layer in layers if layer.endswith("-FeedForward")]
    numbers = sorted(int(layer.split("-")[1]) for layer in blocks)
    norms = {"Embedding-Norm": "bert/embeddings/LayerNorm", "MLM-Norm": "cls/predictions/transform/LayerNorm"}
    for i, number in enumerate(numbers):
        ours, theirs = f"bert/encoder/layer_{i}", f"{blocks[0].split('-')[0]}-{number}"
        attention, feed_forward = f"{theirs}-MultiHeadSelfAttention", f"{theirs}-FeedForward"
        yield from dense(attention, 0, ("Wq", "bq"), f"{ours}/attention/self/query")
        yield from dense(attention, 1, ("Wk", "bk"), f"{ours}/attention/self/key")
        yield from dense(attention, 2, ("Wv", "bv"), f"{ours}/attention/self/value")
        yield from dense(attention, 3, ("Wo", "bo"), f"{ours}/attention/output/dense")
        yield from dense(feed_forward, 0, ("W1", "b1"), f"{ours}/intermediate/dense")
        yield from dense(feed_forward, 1, ("W2", "b2"), f"{ours}/output/dense")
        norms |= {
            f"{attention}-Norm": f"{ours}/attention/output/LayerNorm",
            f"{feed_forward}-Norm": f"{ours}/output/LayerNorm",
        }
    for layer, ours in norms.items():
        yield f"{ours}/gamma", leaf(layer, "gamma"), _same
        yield f"{ours}/beta", leaf(layer, "beta"), _same
    for layer, ours in (("Pooler-Dense", "bert/pooler/dense"), ("NSP-Dense", "bert/pooler/dense")):
        yield from dense(layer, 0, ("kernel", "bias"), ours)
    yield from dense("MLM-Dense", 0, ("kernel", "bias"), "cls/predictions/transform/dense")
    for layer in ("MLM-Bias", "MLM-Sim"):
        yield "cls/predictions/output_bias", leaf(layer, "b"), _same
    for layer in ("NSP-Proba", "NSP"):
        yield "cls/seq_relationship/output_weights", leaf(layer, "kernel"), np.transpose
        yield "cls/seq_relationship/output_bias", leaf(layer, "bias"), _same


# -- TF2 Model Garden: numbered layers, kernels per head --------------------------------------------------------------

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def _columns(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(len(kernel), -1)  # [hidden, heads, size]


def _rows(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(-1, kernel.shape[-1])  # [heads, size, hidden], or a matrix already


def _model_garden(names: Collection[str]) -> Iterator[Spelling]:
    word = next(name for name in names if name.endswith(f"layer_with_weights-0/embeddings{_VALUE}"))
    root = word[: word.index("layer_with_weights-0")]

    def at(number: int, path: str) -> str:
        return f"{root}layer_with_weights-{number}/{path}{_VALUE}"

    for number, table in enumerate(("word_embeddings", "position_embeddings", "token_type_embeddings")):
        yield f"bert/embeddings/{table}", at(number, "embeddings"), _same
    for leaf in ("gamma", "beta"):
        yield f"bert/embeddings/LayerNorm/{leaf}", at(3, leaf), _same
    blocks = sum(name.startswith(root) and name.endswith(f"_intermediate_dense/bias{_VALUE}") for name in names)
    for i in range(blocks):
        ours = f"bert/encoder/layer_{i}"
        for part in ("query", "key", "value"):
            theirs = f"_attention_layer/_{part}_dense"
            yield f"{ours}/attention/self/{part}/kernel", at(4 + i, f"{theirs}/kernel"), _columns
            yield f"{ours}/attention/self/{part}/bias", at(4 + i, f"{theirs}/bias"), np.ravel
        for theirs in ("_attention_layer/_output_dense", "_attention_output_dense"):
            yield f"{ours}/attention/output/dense/kernel", at(4 + i, f"{theirs}/kernel"), _rows
            yield f"{ours}/attention/output/dense/bias", at(4 + i, f"{theirs}/bias"), _same
        for leaf in ("kernel", "bias"):
            yield f"{ours}/intermediate/dense/{leaf}", at(4 + i, f"_intermediate_dense/{leaf}"), _same
            yield f"{ours}/output/dense/{leaf}", at(4 + i, f"_output_dense/{leaf}"), _same
        for leaf in ("gamma", "beta"):
            yield f"{ours}/attention/output/LayerNorm/{leaf}", at(4 + i, f"_attention_layer_norm/{leaf}"), _same
            yield f"{ours}/output/LayerNorm/{leaf}", at(4 + i, f"_output_layer_norm/{leaf}"), _same
    for leaf in ("kernel", "bias"):
        yield f"bert/pooler/dense/{leaf}", at(4 + blocks, leaf), _same
    for leaf in ("kernel", "bias"):
        yield f"cls/predictions/transform/dense/{leaf}", f"masked_lm/dense/{leaf}{_VALUE}", _same
    for leaf in ("gamma", "beta"):
        yield f"cls/predictions/transform/LayerNorm/{leaf}", f"masked_lm/layer_norm/{leaf}{_VALUE}", _same
    yield "cls/predictions/output_bias", f"masked_lm/bias{_VALUE}", _same


# -- the object graph of a TF2 checkpoint: the names that the code gave its variables ----------------------------------


def _given_names(read: Read, names: Collection[str]) -> dict[str, str]:
    """Return stored name -> given name: variables/3/.ATTRIBUTES/VARIABLE_VALUE -> bert_model/pooler_transform/bias."""
    if "_CHECKPOINTABLE_OBJECT_GRAPH" not in set(names):
        return {}
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph.FromString(read("_CHECKPOINTABLE_OBJECT_GRAPH").item())
    return {each.checkpoint_key: each.full_name for node in graph.nodes for each in node.attributes if each.full_name}


def _garden(given: dict[str, str]) -> Iterator[Spelling]:
    """Model Garden's BERT (layer_0, layer_1, …) and ALBERT, whose one block has no number."""
    stored = {name: key for key, name in given.items()}
    query = next(name for name in stored if name.endswith("self_attention/query/kernel"))
    root = query[: -len("self_attention/query/kernel")]  # bert_model/encoder/layer_7/, transformer/
    numbered = root.rstrip("/").split("/")[-1].startswith("layer_")
    blocks = root.rstrip("/").rsplit("/", 1)[0] if numbered else ""
    model = (blocks or root.replace("shared_layer/", "").rstrip("/")).rpartition("/")[0]
    model += "/" if model else ""

    def find(*spellings: str) -> str:
        return next((stored[model + each] for each in spellings if model + each in stored), "")

    old, ours = "embedding_postprocessor", "bert/embeddings"
    yield f"{ours}/word_embeddings", find("word_embeddings/embeddings"), _same
    yield f"{ours}/position_embeddings", find("position_embedding/embeddings", f"{old}/position_embeddings"), _same
    yield f"{ours}/token_type_embeddings", find("type_embeddings/embeddings", f"{old}/type_embeddings"), _same
    for leaf in ("gamma", "beta"):
        yield f"{ours}/LayerNorm/{leaf}", find(f"embeddings/layer_norm/{leaf}", f"{old}/layer_norm/{leaf}"), _same
    for leaf in ("kernel", "bias"):
        yield f"bert/pooler/dense/{leaf}", find(f"pooler_transform/{leaf}"), _same
        mapping = find(f"embedding_projection/{leaf}", f"{old}/embedding_hidden_mapping_in/{leaf}")
        yield f"bert/encoder/embedding_hidden_mapping_in/{leaf}", mapping, _same
    albert = "bert/encoder/transformer/group_0/inner_group_0"
    parts = {
        "self_attention/query": ("attention/self/query", "attention_1/self/query"),
        "self_attention/key": ("attention/self/key", "attention_1/self/key"),
        "self_attention/value": ("attention/self/value", "attention_1/self/value"),
        "self_attention/attention_output": ("attention/output/dense", "attention_1/output/dense"),
        "self_attention_output": ("attention/output/dense", "attention_1/output/dense"),
        "self_attention_layer_norm": ("attention/output/LayerNorm", "LayerNorm"),
        "intermediate": ("intermediate/dense", "ffn_1/intermediate/dense"),
        "output": ("output/dense", "ffn_1/intermediate/output/dense"),
        "output_layer_norm": ("output/LayerNorm", "LayerNorm_1"),
    }
    for i in _numbers(stored, f"{blocks}/layer_") if numbered else [0]:
        theirs = f"{blocks}/layer_{i}" if numbered else root.rstrip("/")
        for part, (in_bert, in_albert) in parts.items():
            scope = f"bert/encoder/layer_{i}/{in_bert}" if numbered else f"{albert}/{in_albert}"
            for leaf in ("kernel", "bias", "gamma", "beta"):
                turn: Turn = _same
                if part.startswith("self_attention/") or part == "self_attention_output":
                    turn = np.ravel if leaf == "bias" else (_rows if "output" in part else _columns)
                yield f"{scope}/{leaf}", stored.get(f"{theirs}/{part}/{leaf}", ""), turn


# -- our archives: query, key and value in one matrix, all biases and norms of a block in one vector -------------------

# In the order in which they lie in a block's vector: BERT's name, ALBERT's, and the length in hidden sizes (0: inner).
_VECTORS = (
    ("attention/self/query/bias", "attention_1/self/query/bias", 1),
    ("attention/self/key/bias", "attention_1/self/key/bias", 1),
    ("attention/self/value/bias", "attention_1/self/value/bias", 1),
    ("attention/output/dense/bias", "attention_1/output/dense/bias", 1),
    ("attention/output/LayerNorm/gamma", "LayerNorm/gamma", 1),
    ("attention/output/LayerNorm/beta", "LayerNorm/beta", 1),
    ("intermediate/dense/bias", "ffn_1/intermediate/dense/bias", 0),
    ("output/dense/bias", "ffn_1/intermediate/output/dense/bias", 1),
    ("output/LayerNorm/gamma", "LayerNorm_1/gamma", 1),
    ("output/LayerNorm/beta", "LayerNorm_1/beta", 1),
)


def _archive(read: Read, given: dict[str, str]) -> Iterator[Spelling]:
    matrices = {name: stored for stored, name in given.items() if name.endswith("/query_key_value/kernel")}
    for name, stored in matrices.items():
        for i, part in enumerate(("query", "key", "value")):
            yield name.replace("query_key_value", part), stored, _part(i, 3)
    hidden = len(read(next(iter(matrices.values()))))
    for stored, name in given.items():
        scope, _, leaf = name.rpartition("/")
        if leaf != "bias_and_LayerNorm":
            yield name, stored, _same
        elif scope.endswith("/embeddings"):
            yield f"{scope}/LayerNorm/gamma", stored, _part(0, 2)
            yield f"{scope}/LayerNorm/beta", stored, _part(1, 2)
        else:
            start = 0
            for in_bert, in_albert, times in _VECTORS:
                length = hidden if times else len(read(stored)) - 9 * hidden
                which = in_albert if "/inner_group_" in scope else in_bert
                yield f"{scope}/{which}", stored, _between(start, start + length)
                start += length


def _part(number: int, of: int) -> Turn:
    return lambda array: np.split(array, of, axis=-1)[number]


def _between(start: int, end: int) -> Turn:
    return lambda array: array[start:end]
