"""What 'last:2' means, for the genuine names of every family."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.layouts import LAYOUTS, bert_config
from zoo.errors import BadArgument
from zoo.keras.fine_tuning import choices, chosen, part_of


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
    assert {part_of(name) for name in names(layout, **extra)} == parts
    assert all("embed" in name for name in names(layout, **extra) if part_of(name) == "embeddings")


def test_an_electra_has_no_pooler() -> None:
    own = [name for name in names("electra", **ELECTRA) if name.startswith("electra/")]
    assert list(choices(own)) == ["last:1", "last:2", "last:3"]
    assert choices(own)["last:2"] == {1, 2}
    assert part_of("electra/embeddings_project/kernel") == "embeddings"
    assert part_of("discriminator_predictions/dense/kernel") == "head"


def test_last_layers_and_what_comes_after_them() -> None:
    found = chosen("last:2", names("bert", layers=12), 12, "bert")
    assert {part_of(name) for name in found} == {10, 11, "pooler", "head"}
    assert len(choices(names("bert", layers=12))) == 13
    dotted = [name.replace("/", ".") for name in names("bert")]
    assert {part_of(name) for name in chosen("pooler", dotted, 3, "bert")} == {"pooler", "head"}


def test_shared_weights_train_together_or_not() -> None:
    two_groups = names("albert", **ALBERT | {"num_hidden_groups": 2})
    assert set(choices(two_groups, 5)) == {"pooler", "last:2", "last:5"}  # the layers run groups 0 0 0 1 1
    assert choices(two_groups, 5)["last:2"] == {1, "pooler", "head"}
    with pytest.raises(BadArgument) as error:
        chosen("last:1", names("albert", **ALBERT), 4, "albert_tiny")
    assert str(error.value) == (
        "trainable='last:1' has no meaning for albert_tiny. Its 4 layers share 1 set(s) of weights. "
        "There is True, False, 'pooler', 'last:4'."
    )
