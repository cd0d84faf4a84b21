"""Finds the name that a checkpoint has for each of our modules, and the name that archives have for it.

Our names are `embeddings/…`, `block_3/attention/…`, `pooler`; a family's table says where a module lies in a
checkpoint, and the leaves (kernel, bias, gamma, beta, table) follow by the rule of the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count

from export.families.table import Layout, joined
from export.readers.protocol import Shape
from export.weights.config import EncoderConfig
from export.weights.vectors import VECTORS
from zoo.contract import HEADS

WORD_TABLE = "embeddings/word/table"
FUSED = ("query", "key", "value")  # joined into one kernel and one bias: one matrix product instead of three


def table_shapes(shapes: Mapping[str, Shape], layout: Layout) -> dict[str, Shape]:
    """Return the shapes of the embedding tables (word, position, type) that a checkpoint holds."""
    names = Names(shapes, layout)
    found = {table: names.find(f"embeddings/{table}/table")[0] for table in ("word", "position", "type")}
    return {table: shapes[name] for table, name in found.items() if name is not None}


def parts(name: str) -> Iterator[str]:
    """Yield the parts that a checkpoint stores of our variables: …/query/kernel, …/key/kernel, …/value/kernel."""
    if "/query_key_value/" in name:
        yield from (name.replace("query_key_value", part) for part in FUSED)
    else:
        yield name


def _scope(layout: Layout, module: str) -> str:
    """The checkpoint's scope of one of our modules: block_3/ffn/norm -> bert/encoder/layer_3/output/LayerNorm."""
    if block := re.match(r"block_(\d+)", module):
        return layout.scopes["block" + module[block.end() :]].replace("{i}", block[1])
    return layout.scopes[module]


def archive_name(ours: str, canonical: Layout) -> str:
    """Return the name that archives have for one of our variables.

    archive_name("block_0/attention/query_key_value/kernel", BERT.canonical)
    """
    module, leaf = next(parts(ours)).rsplit("/", 1)
    if leaf == VECTORS:  # a name that has both words which optimisers are told to spare from weight decay
        return _scope(canonical, module) + "/bias_and_LayerNorm"
    if module.partition("/")[0] in HEADS and module not in canonical.scopes:
        return f"{module}/{leaf}"  # a head that the canonical format keeps elsewhere
    scope = _scope(canonical, module)
    if "/query_key_value/" in ours:
        scope = scope.rpartition("/")[0] + "/query_key_value"
    return joined(scope, canonical.leaves[leaf].endings[0])


class Names:
    """Finds our modules among a checkpoint's names."""

    def __init__(self, shapes: Mapping[str, Shape], layout: Layout) -> None:
        self._shapes, self._layout = shapes, layout

    def find(self, ours: str) -> tuple[str | None, list[str]]:
        """Return the checkpoint's name of one of our variables, None where it is missing, and all names it may have."""
        module, _, leaf = ours.rpartition("/")
        scope = _scope(self._layout, module)
        candidates = [joined(scope, ending) for ending in self._layout.leaves[leaf].endings]
        return next((name for name in candidates if name in self._shapes), None), candidates

    def stores_whole(self, ours: str) -> bool:
        """Return whether the format stores one of our variables as it is; checkpoints keep parts of some apart."""
        module, _, leaf = ours.rpartition("/")
        return leaf in self._layout.leaves and re.sub(r"^block_\d+", "block", module) in self._layout.scopes

    def stored_layers(self, config: EncoderConfig) -> int:
        """Return how many layers a checkpoint holds; those of the config if layers share their weights."""
        if config.blocks < config.layers or "{i}" not in self._layout.scopes["block"]:
            return config.truncated_from or config.layers
        return next(i for i in count() if self.find(f"block_{i}/attention/query/kernel")[0] is None)

    def rules_for_dropped(self, config: EncoderConfig) -> dict[str, str]:
        """Return pattern -> reason for variables that the config does not use: cut layers, an unused pooler."""
        rules = {}
        block = self._layout.scopes["block"]
        if config.truncated_from is not None and "{i}" in block:
            rules[self._other_blocks(config)] = f"truncated from {config.truncated_from} layers"
        unused = {}
        if config.pooler == "first_token":
            unused["pooler"] = "pooler not asked for"
        if not config.projects:
            unused["embeddings/projection"] = (
                "stale: the config's embedding size is the hidden size, nothing is projected"
            )
        for module in unused.keys() & self._layout.scopes.keys():
            rules[re.escape(self._layout.scopes[module]) + r"[/.].*"] = unused[module]
        return rules

    def of_other_layers(self, config: EncoderConfig) -> set[str]:
        """Return the names within layers that the config does not have."""
        return {name for name in self._shapes if re.fullmatch(self._other_blocks(config), name)}

    def _other_blocks(self, config: EncoderConfig) -> str:
        """Return the pattern for names of all blocks that no layer of the config uses."""
        stem = re.escape(self._layout.scopes["block"].split("{i}")[0])
        kept = "|".join(str(block) for block in sorted(set(config.block_of_layer)))
        return rf"{stem}(?!({kept})\D)\d+\D.*"
