"""--leave-out: patterns for whole names, and the patterns that are proposed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest

from export.families import detect
from export.heads.planning import plan_with_heads
from export.weights.config import read_config
from export.weights.leave_out import matched, proposed_patterns
from export.weights.plan import WeightPlan
from scripts.layouts import Shapes, bert, transformers_arrays
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import odd_config
from tests.export.weights.test_plan import Listing
from zoo.errors import BadConfig, WeightMismatch

ENCODER = {name for name in bert(odd_config()) if name.startswith("bert/")}


def planned(extra: Any, *patterns: str, bare: bool = False, heads: Any = ()) -> WeightPlan:
    """The plan of a transformers BERT with further variables."""
    arrays = transformers_arrays(random_arrays(bert(odd_config())), bare=bare)
    shapes: Shapes = {name: array.shape for name, array in arrays.items()} | dict.fromkeys(extra, (1,))
    listing = Listing(shapes, odd_config(model_type="bert"), "huggingface")
    family, layout = detect(listing)  # type: ignore[arg-type]
    config = read_config(listing.config, family, layout.format)
    return plan_with_heads(listing, config, family, layout, heads, matched(patterns, shapes))  # type: ignore[arg-type]


def test_patterns_are_for_whole_names() -> None:
    names = ["bert.fc.weight", "fc.bias", "fc.weight", "fc2.weight", "FC.weight", "a/b/c", "x[0].w"]
    assert matched(["fc.*"], names) == {"fc.bias", "fc.weight"}
    assert matched(["fc?.*", "a/*"], names) == {"fc2.weight", "a/b/c"}
    assert matched(["*fc.weight"], names) == {"bert.fc.weight", "fc.weight"}
    assert matched(["[fF]C.weight"], names) == {"FC.weight"}
    assert matched([], names) == frozenset()


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(
        BadConfig, match=r"like 'fc' or 'crf\*'. The names begin with 'bert.', 'fc.', 'scale'. .*'fc' does not"
    ):
        matched(["fc", "fc.*", "crf*"], ["fc.weight", "bert.pooler.dense.bias", "scale"])


@pytest.mark.parametrize(
    ("unused", "kept", "expected"),
    [
        (["fc.weight", "fc.bias", "lstm.a.b", "scale"], ["bert.x"], ["fc.*", "lstm.*", "scale"]),
        (["module.fc.weight", "module.crf.t"], ["module.bert.x"], ["module.crf.*", "module.fc.*"]),
        (["a.b.c.d"], ["a.b.x", "a.y"], ["a.b.c.*"]),
        (["fc.weight"], ["fc.dense.bert.x"], ["fc.weight"]),
        (["fc.a*b"], ["fc.ab"], ["fc.a[*]b"]),
        (["heads[0].w", "a,b", "-x"], ["bert.x"], ["?x", "a?b", "heads[[]0].*"]),
        (["none", "one"], ["bert.x"], ["?one", "one"]),  # "none" alone stands for no pattern
        ([], ["bert.x"], []),
    ],
)
def test_proposed_patterns(unused: list[str], kept: list[str], expected: list[str]) -> None:
    patterns = proposed_patterns(unused, kept, ".")
    assert patterns == expected
    for name in unused:
        assert any(fnmatchcase(name, pattern) for pattern in patterns)
    for name in kept:
        assert not any(fnmatchcase(name, pattern) for pattern in patterns)


def test_what_is_left_out_by_request_is_on_the_plan() -> None:
    extra = ["fc.bias", "fc.weight", "crf.transitions"]
    assert planned(extra).unused == ("crf.transitions", "fc.bias", "fc.weight")
    plan = planned(extra, "fc.*", "crf.*").checked("odd")
    assert plan.left_out["left out by request"] == ("crf.transitions", "fc.bias", "fc.weight")
    plan = planned(extra, "fc.*", "crf.*", "cls.*").checked("odd")
    assert "masked-language-model head" not in plan.left_out, "what would be left out anyway may be named too"


def test_the_proposal_is_for_everything_that_is_not_used() -> None:
    plan = planned(["fc.bias", "fc.weight", "module", "crf.transitions"])
    assert plan.remedy == ("--leave-out", "crf.*", "--leave-out", "fc.*", "--leave-out", "module")
    with pytest.raises(WeightMismatch, match=r"complete without them: add `--leave-out 'crf.\*' --leave-out 'fc"):
        plan.checked("odd")
    assert planned([]).remedy == ()


@pytest.mark.parametrize(
    ("extra", "bare"),
    [
        ("bert.encoder.layer.0.adapter.down.weight", False),
        ("bert.embeddings.task_type_embeddings.weight", False),
        ("bert.rel_pos_bias.weight", False),
        ("encoder.rel_pos_bias.weight", True),
        ("embeddings.pinyin.weight", True),
    ],
)
def test_nothing_is_proposed_for_variables_within_the_encoder(extra: str, bare: bool) -> None:
    """They may be part of another arithmetic: an adapter, task types, relative positions."""
    plan = planned([extra, "fc.weight"], bare=bare)
    assert plan.remedy is None and plan.inside == (extra,)
    with pytest.raises(WeightMismatch, match=f"lie within the encoder.*{extra}") as error:
        plan.checked("odd")
    assert "`" not in str(error.value)
    planned([extra, "fc.weight"], extra, "fc.*", bare=bare).checked("odd")


def test_nothing_is_proposed_for_an_incomplete_encoder() -> None:
    shapes = {name: shape for name, shape in bert(odd_config()).items() if "layer_1/output/dense" not in name}
    listing = Listing({**shapes, "fc/kernel": (1,)}, odd_config())
    family, layout = detect(listing)  # type: ignore[arg-type]
    config = read_config(listing.config, family, layout.format)
    plan = plan_with_heads(listing, config, family, layout, ())  # type: ignore[arg-type]
    assert plan.unused and plan.remedy is None


def test_what_the_encoder_needs_is_not_left_out() -> None:
    plan = planned([], "bert.encoder.layer.0.output.*")
    with pytest.raises(WeightMismatch, match="4 left out by request but needed: bert.encoder.*Narrow the patterns.$"):
        plan.checked("odd")
    with pytest.raises(WeightMismatch, match="needed: bert.pooler.*or add `--pooler first_token`"):
        planned([], "*pooler*").checked("odd")
    with pytest.raises(WeightMismatch, match="needed: cls.*or add `--heads nsp`"):
        planned([], "cls.predictions.*", heads=("mlm", "nsp")).checked("odd")
    with pytest.raises(WeightMismatch, match="needed: cls.*or add `--heads none`"):
        planned([], "cls.*", heads=("mlm", "nsp")).checked("odd")
    assert planned([], "cls.*").checked("odd").left_out.keys() == {"left out by request"}
