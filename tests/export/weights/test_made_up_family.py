"""A family whose names are none of ours: everything that is asked of a name comes from its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export import families
from export.families import FAMILIES
from export.families.bert import BERT, SCOPES, TF1 as BERT_TF1
from export.families.table import Family, Pooler
from export.heads import HEADS
from export.heads.planning import rows_of_tokens
from export.inspect import inspect_checkpoint
from export.options import EncoderRequest
from export.planning import plan_encoder
from export.readers import open_checkpoint
from export.weights.config import read_config
from export.weights.derived import DerivedCheckpoint
from export.weights.naming import archive_name
from export.weights.plan import variable_parts
from scripts.layouts import bert
from scripts.random_checkpoint import write_tf1, write_vocabulary
from tests.export.conftest import SCALE, VOCABULARY, odd_config, write_odd
from zoo.errors import BadCheckpoint
from zoo.keras.fine_tuning import parts_of

RENAMED = {
    "bert/": "new/",
    "word_embeddings": "lookup",
    "/embeddings": "/embeddings_of_all",
    "encoder/layer_": "trunk/transformer_",
    "self/query": "q",
    "self/key": "k",
    "self/value": "v",
    "cls/predictions": "cloze",
}


def renamed(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


LAYOUT = replace(
    BERT_TF1,
    family="new",
    prefix="new/",
    scopes={module: renamed(scope) for module, scope in SCOPES.items()},
    left_out={r"cls/seq_relationship/.*": "what nobody asks for"},
)
NEW = replace(BERT, name="new", layouts=(LAYOUT,), model_types=("new",))


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Family:
    mlm = HEADS["mlm"]
    scopes = {module: renamed(scope) for module, scope in mlm.scopes["bert", "tf1"].items()}
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, NEW))
    monkeypatch.setitem(HEADS, "mlm", replace(mlm, scopes={("new", "tf1"): scopes}))
    return NEW


@pytest.fixture
def checkpoint(family: Family, tmp_path: Path) -> Path:
    config = odd_config()
    write_tf1(tmp_path, config, {renamed(name): shape for name, shape in bert(config).items()}, scale=SCALE)
    write_vocabulary(tmp_path / "vocab.txt", VOCABULARY)
    return tmp_path


def test_plan_and_names_of_the_archive(checkpoint: Path) -> None:
    planned = plan_encoder(EncoderRequest(checkpoint, "new", checkpoint, layers=2, heads=("mlm",)))
    plan = planned.plan.checked("new")
    names = {variable.ours: variable.name for variable in plan.variables}
    assert names["embeddings/vectors"] == "new/embeddings_of_all/bias_and_LayerNorm"
    assert names["block_1/vectors"] == "new/trunk/transformer_1/bias_and_LayerNorm"
    assert names["block_0/attention/query_key_value/kernel"] == (
        "new/trunk/transformer_0/attention/query_key_value/kernel"
    )
    assert names["mlm/output/output_bias"] == "cloze/output_bias"
    assert len(plan.left_out["truncated from 3 layers"]) == 16


def test_a_head_looks_trained_whatever_its_variables_are_called(checkpoint: Path) -> None:
    assert inspect_checkpoint(checkpoint).head_states == {"mlm": "trained"}


def test_fewer_tokens_are_fewer_rows_of_its_word_table(checkpoint: Path) -> None:
    (checkpoint / "tokens.txt").write_text("你\n", encoding="utf-8")
    planned = plan_encoder(EncoderRequest(checkpoint, "new", checkpoint, keep_tokens=checkpoint / "tokens.txt"))
    derived = planned.checkpoint
    assert isinstance(derived, DerivedCheckpoint) and derived.word_table == "new/embeddings_of_all/lookup"
    shapes = {name: shape for name, shape in derived.shapes.items() if shape != derived.parent.shapes[name]}
    assert shapes == {"new/embeddings_of_all/lookup": (6, 32), "cloze/output_bias": (6,)}
    assert derived.read("cloze/output_bias").shape == (6,)
    planned.plan.checked("new")


def test_a_checkpoint_without_its_word_table(odd: Path) -> None:
    with pytest.raises(BadCheckpoint, match="has no word table: new/embeddings_of_all/lookup is missing"):
        rows_of_tokens(open_checkpoint(odd), LAYOUT)


def test_layouts_of_another_family_are_refused() -> None:
    with pytest.raises(ValueError, match="layouts of family 'newer' are of another family: tf1"):
        replace(NEW, name="newer")


FACTS: dict[str, Any] = {"embedding_size": 20, "num_hidden_groups": 3, "hidden_act": "relu"}


@pytest.mark.parametrize(
    ("family", "pooler"),
    [(each, pooler) for each in (*FAMILIES, NEW) for pooler in each.poolers],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_zoo_knows_the_part_of_every_variable(family: Family, pooler: Pooler) -> None:
    """It sees names alone, of archives: a family whose names say nothing would be refused by `trainable="last:2"`."""
    config = read_config(odd_config(**FACTS), family, family.layouts[0].format, pooler=pooler)
    parts = {archive_name(ours, family.canonical): ours.partition("/")[0] for ours in variable_parts(config)}
    expected = {name: int(part[6:]) if part.startswith("block_") else part for name, part in parts.items()}
    assert parts_of(parts, family.name, blocks=config.blocks) == expected


def test_the_names_of_bert_are_not_those(tmp_path: Path, family: Family) -> None:
    write_odd(tmp_path)
    assert plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path)).family.name == "bert"
