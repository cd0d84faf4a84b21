"""The packaged rows can be built: each is planned from files with the names, shapes and config of its checkpoint.

The files are those of scripts/compatible.json, at true size without the numbers. A row whose checkpoint is not there is
planned from its own sizes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from export.options import EncoderRequest
from export.planning import PlannedText, plan_export
from scripts.compatible_rows import architecture, hub_checkpoint
from tokenizer import source
from tokenizer.source import _read_ids as read_ids
from zoo.archive.kinds import KINDS
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry, HuggingFaceSource
from zoo.registry.recipes import stated_options
from zoo.registry.registry import PACKAGED

REGISTRY = read_registry(PACKAGED)
# What no public source says enough of: the files of the checkpoint decide. Each row says so in its facts.
UNKNOWN = {
    "dmeta_embedding_zh_small",
    "fin_retriever_base",
    "finbert2_base",
    "piccolo_large_zh",
    "simbert_small",
    "simbert_tiny",
}


def _hub(entry: Entry) -> HuggingFaceSource | None:
    return next((each for each in entry.sources if isinstance(each, HuggingFaceSource)), None)


ON_THE_HUB = {
    name: found for name, entry in REGISTRY.models.items() if KINDS[entry.kind].has_weights and (found := _hub(entry))
}


@cache
def _vocabulary(size: int, padding: int) -> str:
    special = {padding: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    return "".join(f"{special.get(number, f'word{number}')}\n" for number in range(size))


@pytest.fixture(autouse=True)
def _vocabularies_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes longer than the rest of a row. No other file of a tokenizer lies beside them."""
    monkeypatch.setattr(source, "_read_ids", lambda folder: _ids((folder / "vocab.txt").read_bytes(), folder))


_READ: dict[bytes, Any] = {}


def _ids(content: bytes, folder: Path) -> Any:
    if content not in _READ:
        _READ[content] = read_ids(folder)
    return _READ[content]


@pytest.mark.parametrize("name", sorted(ON_THE_HUB))
def test_a_row_can_be_planned(name: str, tmp_path: Path) -> None:
    entry, on_hub = REGISTRY.models[name], ON_THE_HUB[name]
    checkpoint = hub_checkpoint(entry, on_hub.repository)
    if checkpoint is None:
        assert name in UNKNOWN and any("not read, the files say" in fact for fact in entry.facts)
        return
    checkpoint.write(folder := tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_bytes())
    config["architectures"] = [architecture(checkpoint)]  # by which the task is found
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    padding = config.get("pad_token_id") or 0
    (folder / "vocab.txt").write_text(_vocabulary(config["vocab_size"], padding), encoding="utf-8")
    options = stated_options(name, on_hub, REGISTRY.models)
    planned = plan_export(EncoderRequest(folder, out=tmp_path, **{"kind": "encoder", **options}))
    planned.plan.checked(name)
    sizes = (planned.encoder if isinstance(planned, PlannedText) else planned).config.sizes()
    found = {**sizes.model_dump(), "family": planned.family.name}
    if isinstance(planned, PlannedText):
        task = planned.task
        found |= {"task": task.name, "pooling": task.pooling}
        assert entry.recipe is None or task.prompts == (entry.recipe.prompts or {})
    for fact in ("family", "task", "pooling", "layers", "hidden_size", "heads", "activation", "vocab_size"):
        if (stated := getattr(entry, fact)) is not None:
            assert found.get(fact) == stated, fact
    assert entry.parameters in (None, planned.plan.parameters)
