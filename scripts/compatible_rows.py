"""Published checkpoints: the rows of compatible.json, and the files that each publisher offers, without the numbers.

A row has what no code can know: id, sizes, task, tokenizer, licence. `read` says where the facts were read: "families
8" is section 8 of this project's study of published families, "config.json" the publisher's file or a copy of it,
anything else a file of the named code base. A key that is missing is not known; nothing is guessed. Whether a
checkpoint converts stands in no row: scripts/compatible.py tries it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from scripts import layouts, transformers_layouts
from scripts.hollow import write_bundle, write_safetensors
from scripts.layouts import Shapes, bert_config
from zoo.registry.entry import Entry

FILE = Path(__file__).with_name("compatible.json")
USUAL_POSITIONS = 512
_HEADS = {"classification": ("labels",), "token_classification": ("labels of tokens",), "span": ("span",)}
_LABELS = {"id2label": {"0": "O", "1": "B-X"}}
# The first head of a checkpoint -> the class that its config names.
_CLASSES = {
    "labels": "SequenceClassification",
    "labels of tokens": "TokenClassification",
    "span": "QuestionAnswering",
    "discriminator": "PreTraining",
}
_MODELS = {"bert": "Bert", "ernie": "Ernie", "electra": "Electra", "albert": "Albert"}


@dataclass(frozen=True)
class Row:
    """One published checkpoint. `layout` and `heads` are names of scripts/layouts.py or transformers_layouts.py."""

    id: str
    names: Literal["TF1", "transformers", "Model Garden"]
    task: str
    read: str
    layout: str | None = None  # None: not known well enough to try; `why` says why
    sizes: tuple[int, ...] = ()  # layers, hidden size, heads, intermediate size, vocabulary, positions
    config: Mapping[str, Any] = field(default_factory=dict)  # the config's other keys, where they are not BERT's
    heads: tuple[str, ...] = ()
    bare: bool = False  # a model saved alone has no prefix "bert."
    tokenizer: Literal["WordPiece", "SentencePiece", "byte-pair", "words"] = "WordPiece"
    licence: str | None = None
    files: str | None = None  # those that the publisher offers
    published: int | None = None  # parameters of encoder and pooler, and of what `counted_besides` returns
    elements: int | None = None  # all numbers of the file but optimiser slots and counters
    pooler: str | None = None  # the pooler that `published` counts, if it is not the default
    pooling: tuple[str, ...] = ()  # of a directory of sentence-transformers: "mean" or "first", "Dense", "L2"
    dense: int | None = None  # width of the layer 2_Dense
    why: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the config file of a row with a layout."""
        layers, hidden, heads, intermediate, vocab, positions = self.sizes
        if self.layout == "distilbert":
            own = {"n_layers": layers, "dim": hidden, "n_heads": heads, "hidden_dim": intermediate}
            more = {"vocab_size": vocab, "max_position_embeddings": positions, "activation": "gelu"}
            return {"model_type": "distilbert", **own, **more, **self.config}
        config = bert_config(layers, hidden, heads, intermediate, vocab, positions)
        own = {"model_type": self.layout, "layer_norm_eps": 1e-12} if self.names == "transformers" else {}
        return {**config, **own, **self.config}

    def shapes(self) -> Shapes:
        """Return the names and shapes of the weights file of a row with a layout."""
        assert self.layout is not None, self.id
        config = self.settings()
        if self.names == "TF1":
            return layouts.LAYOUTS[self.layout](config)
        if self.names == "Model Garden":
            return transformers_layouts.model_garden(config)
        found = transformers_layouts.LAYOUTS[self.layout](config)
        if transformers_layouts.POOLERLESS & {*self.heads}:
            found = {name: shape for name, shape in found.items() if ".pooler." not in name}
        for head in self.heads:
            found |= transformers_layouts.HEADS[head](config)
        return {name.split(".", 1)[1]: shape for name, shape in found.items()} if self.bare else found

    def counted_besides(self) -> dict[str, int]:
        """Return what `published` counts and an encoder does not have: the name of each part and its parameters."""
        of_pooler = rf"{self.pooler}_predictions[./]dense[./].*" if self.pooler else "no pooler"
        scopes = {f"`--pooler {self.pooler}`": of_pooler, "task_type_embeddings": r".*task_type_embeddings\..*"}
        parts = {
            part: [s for n, s in self.shapes().items() if re.fullmatch(scope, n)] for part, scope in scopes.items()
        }
        parts["2_Dense"] = [*self._dense_shapes().values()]
        return {part: sum(map(prod, shapes)) for part, shapes in parts.items() if shapes}

    def write(self, folder: Path) -> None:
        """Write what the publisher offers: config and weights, and what sentence-transformers keeps beside them."""
        folder.mkdir(parents=True)
        if self.names != "transformers":
            _write_json(folder / "bert_config.json", self.settings())
            write_bundle(folder / "bert_model.ckpt", self.shapes())
            return
        _write_json(folder / "config.json", self.settings())
        write_safetensors(folder / "model.safetensors", self.shapes())
        if self.pooling:
            self._write_modules(folder)

    def _write_modules(self, folder: Path) -> None:
        kinds = {"mean": "Pooling", "first": "Pooling", "Dense": "Dense", "L2": "Normalize"}
        modules = ["Transformer", *(kinds[step] for step in self.pooling)]
        paths = ["" if number == 0 else f"{number}_{module}" for number, module in enumerate(modules)]
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{module}"}
            for i, (module, path) in enumerate(zip(modules, paths, strict=True))
        ]
        _write_json(folder / "modules.json", listed)
        _write_json(folder / "sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
        for path in paths[1:]:
            (folder / path).mkdir()
        mean, width = "mean" in self.pooling, self.sizes[1]
        modes = {"pooling_mode_cls_token": not mean, "pooling_mode_mean_tokens": mean}
        _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
        if self.dense:
            activation = "torch.nn.modules.linear.Identity"
            facts = {"in_features": width, "out_features": self.dense, "bias": True, "activation_function": activation}
            _write_json(folder / "2_Dense" / "config.json", facts)
            write_safetensors(folder / "2_Dense" / "model.safetensors", self._dense_shapes())

    def _dense_shapes(self) -> Shapes:
        return {"linear.weight": (self.dense, self.sizes[1]), "linear.bias": (self.dense,)} if self.dense else {}


def read_rows(file: Path = FILE) -> list[Row]:
    """Return all rows, in the order of the file."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [
        Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}) for row in rows
    ]


# -- rows of the registry ---------------------------------------------------------------------------------------------

KNOWN = {row.id: row for row in read_rows() if row.layout}


def hub_checkpoint(entry: Entry, repository: str) -> Row | None:
    """Return the checkpoint of a row of the hub, by the row's own sizes if no other are known; None without sizes."""
    if repository in KNOWN:
        return KNOWN[repository]
    layers, hidden, vocab = entry.layers, entry.hidden_size, entry.vocab_size
    if not (layers and hidden and vocab):
        return None
    return stated(entry, repository, (layers, hidden, hidden // 64, 4 * hidden, vocab, USUAL_POSITIONS))


def stated(entry: Entry, repository: str, sizes: tuple[int, ...]) -> Row:
    """Return a checkpoint of these sizes whose task is that of a row."""
    row = Row(repository, "transformers", "", "registry.json", "bert", sizes)
    if entry.task == "vector":
        return replace(row, bare=True, pooling=(entry.pooling or "mean", "L2"))
    return replace(row, heads=_HEADS[entry.task], config=_LABELS) if entry.task else row


def architecture(checkpoint: Row) -> str:
    """Return the class that the config of a checkpoint names."""
    assert checkpoint.layout is not None
    kind = _CLASSES.get(checkpoint.heads[0], "MaskedLM") if checkpoint.heads else ""
    return f"{_MODELS[checkpoint.layout]}{f'For{kind}' if kind else 'Model'}"


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")
