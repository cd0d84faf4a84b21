"""What 'last:2' means, for the genuine names of every family."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.layouts import LAYOUTS, bert_config
from zoo.errors import BadArgument
from zoo.keras.fine_tuning import Part, choices, chosen, groups, parts_of


def names(layout: str, layers: int = 3, **extra: Any) -> list[str]:
    config = bert_config(layers, 32, 4, 56, 99, positions=40) | extra
    return [name for name in LAYOUTS[layout](config) if not name.startswith("global_step")]


ALBERT = {"embedding_size": 20, "num_hidden_groups": 1}
ELECTRA = {"embedding_size": 20, "generator_hidden_size": 24, "generator_intermediate_size": 28}


@pytest.mark.parametrize(
    "layout, extra, parts",
    [
        ("bert", {}, {"embeddings", 0, 1, 2, "pooler", "head"}),
        ("albert", ALBERT, {"embeddings", 0, "pooler", "head"}),
        ("albert", ALBERT | {"num_hidden_groups": 2}, {"embeddings", 0, 1, "pooler", "head"}),
        ("albert_brightmart", ALBERT | {"ln_type": "postln"}, {"embeddings", 0, "pooler", "head"}),
    ],
)
def test_parts_of_a_family(layout: str, extra: dict[str, Any], parts: set[int | str]) -> None:
    blocks = len({part for part in parts if isinstance(part, int)})
    for stated in (blocks, None):  # with a card, and of an object that was loaded by somebody else
        found = parts_of_layout(names(layout, **extra), stated)
        assert set(found.values()) == parts
        assert all("embed" in name for name, part in found.items() if part == "embeddings")


def parts_of_layout(found: list[str], blocks: int | None = None) -> dict[str, Part]:
    return parts_of(found, "it", [name for name in found if name.startswith(("cls/", "cls."))], blocks)


def test_an_electra_has_no_pooler() -> None:
    own = [name for name in names("electra", **ELECTRA) if name.startswith("electra/")]
    parts = parts_of(own, "electra")
    assert list(choices(parts.values())) == ["last:1", "last:2", "last:3"]
    assert choices(parts.values())["last:2"] == {1, 2}
    assert parts["electra/embeddings_project/kernel"] == "embeddings"
    dense = "discriminator_predictions/dense/kernel"
    assert parts_of([*own, dense], "electra", [dense])[dense] == "head"
    assert parts_of([*own, dense], "electra")[dense] == "pooler", "exported with --pooler discriminator"


def test_last_layers_and_what_comes_after_them() -> None:
    parts = parts_of_layout(names("bert", layers=12), 12)
    found = chosen("last:2", parts, 12, "bert")
    assert {parts[name] for name in found} == {10, 11, "pooler", "head"}
    assert len(choices(parts.values())) == 13
    dotted = parts_of_layout([name.replace("/", ".") for name in names("bert")])
    assert {dotted[name] for name in chosen("pooler", dotted, 3, "bert")} == {"pooler", "head"}


def test_shared_weights_train_together_or_not() -> None:
    two_groups = parts_of_layout(names("albert", **ALBERT | {"num_hidden_groups": 2}), 2)
    assert set(choices(two_groups.values(), 5)) == {"pooler", "last:2", "last:5"}  # the layers run groups 0 0 0 1 1
    assert choices(two_groups.values(), 5)["last:2"] == {1, "pooler", "head"}
    with pytest.raises(BadArgument) as error:
        chosen("last:1", parts_of_layout(names("albert", **ALBERT), 1), 4, "albert_tiny")
    assert str(error.value) == (
        "trainable='last:1' has no meaning for albert_tiny. Its 4 layers share one set of weights, so that no "
        "layer can train by itself: take True and a small learning rate, or 'pooler'. "
        "There is True, False, 'pooler', 'last:4'."
    )


def test_groups_by_layer() -> None:
    """Every variable is in one group, in the order in which they compute."""
    parts = parts_of_layout(names("bert", layers=3), 3)
    found = groups(parts, 3)
    assert [*found] == ["embeddings", "layer_0", "layer_1", "layer_2", "pooler", "head"]
    assert sorted(name for members in found.values() for name in members) == sorted(parts)
    assert all("/layer_1/" in name for name in found["layer_1"]) and len(found["layer_1"]) == 16
    albert = parts_of_layout(names("albert", **ALBERT | {"num_hidden_groups": 2}), 2)
    shared = [*groups(albert, 5)]
    assert shared == ["embeddings", "layers_0_to_2", "layers_3_to_4", "pooler", "head"]


def made_up(block: str) -> list[str]:
    """A family that nobody has written yet: other words than ours, and a number that is no block's."""
    return ["x/embedding/table", *(f"x/{block.format(i=i)}/dense_1/kernel" for i in range(3)), "x/pooler/kernel"]


@pytest.mark.parametrize("blocks", [3, None])
def test_blocks_of_another_word_are_found_by_their_numbers(blocks: int | None) -> None:
    parts = parts_of(made_up("transformer_{i}"), "new", blocks=blocks)
    assert list(parts.values()) == ["embeddings", 0, 1, 2, "pooler"]
    assert chosen("last:1", parts, 3, "new") == {"x/transformer_2/dense_1/kernel", "x/pooler/kernel"}


@pytest.mark.parametrize(
    ("block", "blocks", "words"),
    [
        ("transformer{i}", 3, r"new has 3 variables of no known part.*: x/transformer0/dense_1.*the card states 3"),
        ("transformer_{i}", 4, r"new has 3 variables of no known part.*the card states 4"),
        ("transformer{i}", None, r"only trainable=True and trainable=False have a meaning: x/transformer0/dense_1/"),
    ],
)
def test_a_variable_of_no_known_part_is_an_error(block: str, blocks: int | None, words: str) -> None:
    """They counted as the head: "pooler" trained the whole encoder."""
    with pytest.raises(BadArgument, match=words):
        parts_of(made_up(block), "new", blocks=blocks)


def test_a_number_without_an_end_costs_nothing() -> None:
    with pytest.raises(BadArgument, match="no known part"):
        parts_of([f"x/layer_{10**15}/kernel", f"x/layer_{'9' * 5000}/kernel"], "odd", blocks=10**15)
