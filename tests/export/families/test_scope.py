"""The prefix of an encoder is found, several encoders are told, and heads are looked for beside the chosen one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from export.families import FAMILIES, detect
from export.families.scope import leading_parts, placed, placement, prefixes
from export.families.table import Family, Layout
from export.heads import HEADS
from export.heads.planning import plan_with_heads, with_heads
from export.weights.config import read_config
from export.weights.naming import archive_name
from export.weights.plan import WeightPlan
from scripts.layouts import LAYOUTS, Shapes, bert, transformers_arrays
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import odd_config
from tests.export.weights.test_plan import Listing
from zoo.errors import BadCheckpoint, Unsupported

BERT_TF1, BERT_HF = FAMILIES[0].layouts[:2]
EXTRA: Mapping[str, Any] = {"embedding_size": 20, "num_hidden_groups": 1, "ln_type": "postln"}


def torch_shapes(heads: bool = False) -> Shapes:
    """A bare BERT as transformers names it: embeddings.…, encoder.…, pooler.…, and cls.… with `heads`."""
    arrays = transformers_arrays(random_arrays(bert(odd_config())))
    shapes: Shapes = {name.removeprefix("bert."): array.shape for name, array in arrays.items()}
    return {name: shape for name, shape in shapes.items() if heads or not name.startswith("cls.")}


def under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def detected(shapes: Shapes, format: str = "huggingface", how: Any = (), **config: Any) -> tuple[Family, Layout]:
    return detect(Listing(shapes, odd_config(**config), format), *how)  # type: ignore[arg-type]


def plan_of(shapes: Shapes, format: str = "huggingface", how: Any = (), heads: Any = (), **config: Any) -> WeightPlan:
    listing = Listing(shapes, odd_config(**config), format)
    family, layout = detect(listing, *how)  # type: ignore[arg-type]
    read = read_config(listing.config, family, layout.format)
    return plan_with_heads(listing, read, family, layout, heads)  # type: ignore[arg-type]


# -- one encoder ------------------------------------------------------------------------------------------------------

WRAPPED = [
    "",
    "bert.",
    "module.",
    "module.bert.",
    "model.",
    "model.bert.",
    "encoder.",
    "encoder.bert.",
    "bert_model.",
    "text_encoder.",
    "0.auto_model.",
    "_orig_mod.bert.",
    "_orig_mod.module.model.bert.",
    "question_encoder.bert_model.",
    "roberta.",  # a RobertaFor… class around a Chinese BERT, whose config says bert
    "model.encoder.encoder.",
    "embeddings.",
    "net{0}.",
    "bert.bert.",
]


@pytest.mark.parametrize("prefix", WRAPPED)
def test_prefix_of_torch_s_wrappers(prefix: str) -> None:
    shapes = under(prefix, torch_shapes())
    family, layout = detected(shapes, model_type="bert")
    assert (family.name, layout.prefix) == ("bert", prefix)
    plan = plan_of(shapes, model_type="bert").checked("odd")
    assert {source for variable in plan.variables for source in variable.sources} == shapes.keys()
    names = {variable.name for variable in plan.variables}
    assert names == {variable.name for variable in plan_of(torch_shapes(), model_type="bert").variables}
    assert "bert/encoder/layer_0/attention/self/query_key_value/kernel" in names, "archives keep their names"
    usual = prefix in ("", "bert.")
    assert placement(family, layout) == (() if usual else (f"the encoder lies under {prefix!r} in the checkpoint",))


@pytest.mark.parametrize("written", ["bert", "albert", "albert_brightmart", "electra"])
@pytest.mark.parametrize("scope", ["module/", "model/", "tower_a/left/"])
def test_prefix_of_tensorflow_s_scopes(scope: str, written: str) -> None:
    """All variables, heads and generator too, lie under one more scope."""
    whole = LAYOUTS[written](odd_config(**EXTRA, generator_hidden_size=24, generator_intermediate_size=28))
    own = "electra/" if written == "electra" else "bert/"
    family, layout = detected(under(scope, whole), "tf1", **EXTRA)
    assert (family.name, layout.prefix) == (written, f"{scope}{own}")
    as_published = plan_of(whole, "tf1", **EXTRA).checked("odd")
    plan = plan_of(under(scope, whole), "tf1", **EXTRA).checked("odd")
    assert plan.left_out == {
        reason: tuple(scope + name for name in names) for reason, names in as_published.left_out.items()
    }
    assert [each.sources for each in plan.variables] == [
        tuple(scope + source for source in each.sources) for each in as_published.variables
    ]


def test_generator_of_electra_under_a_scope() -> None:
    config = {"embedding_size": 20, "hidden_size": 24, "intermediate_size": 28}
    shapes = under(
        "module/", LAYOUTS["electra"](odd_config(**EXTRA, generator_hidden_size=24, generator_intermediate_size=28))
    )
    plan = plan_of(shapes, "tf1", how=("electra_generator",), heads=("mlm",), **config).checked("odd")
    sources = {source for variable in plan.variables for source in variable.sources}
    assert {
        "module/electra/embeddings/word_embeddings",
        "module/generator/encoder/layer_2/output/dense/kernel",
        "module/generator_predictions/dense/kernel",
    } <= sources
    assert not any(name.startswith("module/electra/encoder") for name in sources)


@pytest.mark.parametrize("prefix", ["", "model/"])
def test_a_pooler_makes_a_bare_bert_of_tf1(prefix: str) -> None:
    """Without a scope of its own, and without a word in the config, only the pooler tells BERT from ELECTRA."""
    shapes = {
        name.removeprefix("bert/"): shape for name, shape in bert(odd_config()).items() if name.startswith("bert/")
    }
    assert detected(under(prefix, shapes), "tf1")[0].name == "bert"
    without = {name: shape for name, shape in shapes.items() if "pooler" not in name}
    with pytest.raises(BadCheckpoint, match="names of bert and electra. Choose one with") as error:
        detected(under(prefix, without), "tf1", embedding_size=32)
    for option in re.findall("`(.*?)`", str(error.value)):
        assert detected(under(prefix, without), "tf1", how=(option.split()[1],))[0].name == option.split()[1]
    assert detected(under(prefix, without), "tf1")[0].name == "bert", "every config of ELECTRA has an embedding size"
    projected = {**without, "embeddings_project/kernel": (20, 32), "embeddings_project/bias": (32,)}
    assert detected(under(prefix, projected), "tf1")[0].name == "electra"


@pytest.mark.parametrize(
    ("prefix", "model_type", "expected"),
    [
        ("encoder.", "bert", "bert"),
        ("encoder.", "electra", "electra"),
        ("question_encoder.bert_model.", "dpr", "bert"),
        ("electra.", "bert", "electra"),  # a prefix was written by the class that computes; a config may be borrowed
        ("module.electra.", "", "electra"),
        ("module.bert.", "joint_bert", "bert"),
    ],
)
def test_the_prefix_then_the_config_tell_the_family(prefix: str, model_type: str, expected: str) -> None:
    shapes = {name: shape for name, shape in torch_shapes().items() if "pooler" not in name}
    assert detected(under(prefix, shapes), model_type=model_type)[0].name == expected


@pytest.mark.parametrize("prefix", ["", "encoder.", "text_model."])
def test_names_of_bert_with_a_config_of_something_else(prefix: str) -> None:
    """Many architectures have BERT's names, bare or behind a prefix of their own, and another arithmetic."""
    shapes = under(prefix, torch_shapes())
    with pytest.raises(Unsupported, match="'model_type' 'my_model', not .*name it with --family"):
        detected(shapes, model_type="my_model")
    assert detected(shapes, how=("bert",), model_type="my_model")[0].name == "bert", (
        "the next move that the error names"
    )


def test_prefix_of_an_architecture_that_is_not_converted() -> None:
    with pytest.raises(Unsupported, match="names under 'model.yoso.', and its config has no 'model_type'.*YOSO"):
        detected(under("model.yoso.", torch_shapes()))


def test_what_is_no_prefix() -> None:
    shapes = torch_shapes()
    assert prefixes(BERT_HF, under("x", shapes)) == [], "a prefix ends with a separator"
    assert prefixes(BERT_HF, under("{i}.", shapes)) == [], "the mark of a block in a stranger's file"
    assert prefixes(BERT_HF, under("a." * 17, shapes)) == [], "nobody wraps that deep"
    assert prefixes(BERT_HF, {"lonely.embeddings.word_embeddings.weight": (99, 32)}) == []
    assert prefixes(BERT_TF1, under("bert.", shapes)) == []
    assert leading_parts("module.bert.", ".") == ["module.bert.", "module.", ""] and leading_parts("", ".") == [""]


# -- several encoders -------------------------------------------------------------------------------------------------

TOWERS = [
    ("query_encoder.", "doc_encoder."),
    ("bert.", "bert_teacher."),
    ("model.student.bert.", "model.teacher.bert."),
    ("student.", "teacher.bert."),
    ("bert.", ""),
    ("bert.", "bert.teacher."),
    ("encoder_q.", "encoder_k."),
]


@pytest.mark.parametrize("towers", [*TOWERS, *(pair[::-1] for pair in TOWERS)], ids=str)
def test_several_encoders_are_listed_and_one_is_chosen(towers: tuple[str, str]) -> None:
    shapes = {name: shape for prefix in towers for name, shape in under(prefix, torch_shapes()).items()}
    with pytest.raises(BadCheckpoint, match="holds 2 encoders. Choose one with") as error:
        detected(shapes, model_type="bert")
    options = [shlex.split(option) for option in re.findall("`(.*?)`", str(error.value))]
    assert sorted(options) == sorted(["--prefix", prefix] for prefix in towers)
    ours, other = towers
    plan = plan_of(shapes, how=(None, ours), model_type="bert").checked("odd")
    assert {source for variable in plan.variables for source in variable.sources} == under(ours, torch_shapes()).keys()
    reason = f"another encoder under {other!r}" if other else "another encoder, without a prefix"
    assert plan.left_out == {reason: tuple(sorted(under(other, torch_shapes())))}


def test_heads_and_extras_of_another_encoder_are_left_out_with_it() -> None:
    shapes = {
        **under("student.bert.", torch_shapes()),
        **under("teacher.bert.", torch_shapes()),
        "teacher.cls.predictions.bias": (99,),
        "teacher.fc.weight": (2, 32),
        "student.classifier.weight": (2, 32),
        "projection.weight": (32, 32),
    }
    plan = plan_of(shapes, how=(None, "student.bert."), model_type="bert")
    left = plan.left_out["another encoder under 'teacher.bert.'"]
    assert {"teacher.cls.predictions.bias", "teacher.fc.weight"} <= {*left} and len(left) == len(torch_shapes()) + 2
    assert plan.left_out["head of a fine-tuned task"] == ("student.classifier.weight",)
    assert plan.unused == ("projection.weight",), "nothing says that it is the teacher's"


def test_a_prefix_that_is_not_there() -> None:
    with pytest.raises(BadCheckpoint, match="no encoder under 'bert'. It has one with `--prefix bert.`"):
        detected(under("bert.", torch_shapes()), how=(None, "bert"), model_type="bert")


def test_many_encoders_are_not_all_listed() -> None:
    shapes = {name: shape for n in range(30) for name, shape in under(f"layer_{n}.", torch_shapes()).items()}
    with pytest.raises(BadCheckpoint, match=r"holds 30 encoders.*\(and 22 more\)"):
        detected(shapes, model_type="bert")
    fewest = {name: shape for name, shape in torch_shapes().items() if re.search("word|0.*query", name)}
    thousands = {f"p{n}.{name}": shape for n in range(9000) for name, shape in fewest.items()}
    with pytest.raises(BadCheckpoint, match="holds 9,000 encoders; up to 64"):
        detected(thousands, model_type="bert")


# -- heads beside the encoder -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "place"),
    [
        ("bert.", ""),
        ("module.bert.", "module."),
        ("model.module.bert.", "model.module."),
        ("model.bert.", ""),
        ("encoder.", "encoder."),
        ("0.auto_model.", "0."),
    ],
)
def test_heads_lie_under_the_prefix_a_part_of_it_or_at_the_root(prefix: str, place: str) -> None:
    shapes = torch_shapes(heads=True)
    heads = {name: shape for name, shape in shapes.items() if name.startswith("cls.")}
    shapes = {**under(prefix, torch_shapes()), **under(place, heads)}
    plan = plan_of(shapes, heads=("mlm",), model_type="bert").checked("odd")
    by_name = {variable.name: variable.sources for variable in plan.variables}
    assert by_name["cls/predictions/transform/dense/kernel"] == (f"{place}cls.predictions.transform.dense.weight",)
    assert by_name["cls/predictions/output_bias"] == (f"{place}cls.predictions.bias",)
    assert len(plan.left_out["next-sentence head"]) == 2
    assert "masked-language-model head" not in plan_of(shapes, heads=("mlm", "nsp"), model_type="bert").left_out


def test_the_nearest_head_is_the_encoder_s() -> None:
    shapes = torch_shapes(heads=True)
    heads = {name: shape for name, shape in shapes.items() if name.startswith("cls.")}
    shapes = {**under("module.bert.", torch_shapes()), **under("module.", heads), **heads}
    plan = plan_of(shapes, heads=("mlm", "nsp"), model_type="bert").checked("odd")
    assert {source for each in plan.variables for source in each.sources if "cls." in source} == {
        *under("module.", heads)
    }
    assert {*plan.left_out["next-sentence head"]} == {name for name in heads if "seq_relationship" in name}


def test_a_head_that_several_encoders_may_own_is_nobody_s() -> None:
    heads = {name: shape for name, shape in torch_shapes(heads=True).items() if name.startswith("cls.")}
    shapes = {**under("bert.", torch_shapes()), **under("bert_teacher.", torch_shapes()), **heads}
    _, layout = detected(shapes, how=(None, "bert_teacher."), model_type="bert")
    assert not with_heads(layout, shapes).has("nsp", shapes)
    plan = plan_of(shapes, how=(None, "bert_teacher."), model_type="bert").checked("odd")
    assert len(plan.left_out["next-sentence head"]) == 2, "and is left out by name"


@pytest.mark.parametrize("scope", ["", "module/"])
def test_a_head_at_the_root_has_an_empty_scope(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TF1 classifiers of google-research/bert: output_weights and output_bias, without any scope."""
    row = replace(
        HEADS["nsp"],
        title="made-up head",
        variables={"nsp/rows": (3, "hidden_size"), "nsp/output_bias": (3,)},
        scopes={("bert", "tf1"): {"nsp": ""}},
    )
    monkeypatch.setitem(HEADS, "nsp", row)
    shapes = {name: shape for name, shape in bert(odd_config()).items() if name.startswith("bert/")}
    shapes = {**under(scope, shapes), "output_weights": (3, 32), "output_bias": (3,)}
    plan = plan_of(shapes, "tf1", heads=("nsp",)).checked("odd")
    found = {variable.ours: (variable.name, variable.sources) for variable in plan.variables}
    assert found["nsp/rows"] == ("output_weights", ("output_weights",))
    assert found["nsp/output_bias"] == ("output_bias", ("output_bias",))
    assert not plan.left_out
    _, layout = detected(shapes, "tf1")
    assert set(plan_of({**shapes, "cls/squad/output_bias": (2,)}, "tf1").left_out) == {"head of a fine-tuned task"}
    bare = replace(layout, left_out={})
    made = with_heads(bare, shapes).left_out
    assert [name for name in shapes if any(re.fullmatch(pattern, name) for pattern in made)] == [
        "output_weights",
        "output_bias",
    ]


# -- columns of the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["bert/", "module/bert/", ""])
def test_norms_of_old_tf1_code_have_another_name(prefix: str) -> None:
    shapes = {
        prefix + name.removeprefix("bert/").replace("LayerNorm", "layer_norm"): shape
        for name, shape in bert(odd_config()).items()
        if name.startswith("bert/")
    }
    plan = plan_of(shapes, "tf1").checked("odd")
    sources = {source for variable in plan.variables for source in variable.sources}
    assert f"{prefix}encoder/layer_2/attention/output/layer_norm/gamma" in sources and sources == shapes.keys()
    assert archive_name("embeddings/norm/gamma", FAMILIES[0].layouts[0]) == "bert/embeddings/LayerNorm/gamma"


def test_a_missing_norm_is_missing_by_its_usual_name() -> None:
    shapes = {name: shape for name, shape in bert(odd_config()).items() if "LayerNorm" not in name or "cls/" in name}
    assert plan_of(shapes, "tf1").missing[:1] == ("bert/embeddings/LayerNorm/gamma",)


def test_a_family_may_have_endings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in which norms are called scale and offset, and matrices w, cost a column."""
    endings = {"gamma": "/scale", "beta": "/offset", "kernel": "/w"}
    leaves = {
        name: leaf._replace(endings=(endings[name],)) if name in endings else leaf
        for name, leaf in BERT_TF1.leaves.items()
    }
    new = replace(FAMILIES[0], name="new", layouts=(replace(BERT_TF1, family="new", leaves=leaves),))
    monkeypatch.setattr("export.families.FAMILIES", (*FAMILIES, new))
    shapes = {}
    for name, shape in bert(odd_config()).items():
        if not name.startswith("bert/"):
            continue
        scope, _, leaf = name.rpartition("/")
        shapes[scope + endings.get(leaf, f"/{leaf}")] = shape
    assert detected(shapes, "tf1")[0].name == "new"
    plan = plan_of(shapes, "tf1").checked("odd")
    assert "bert/embeddings/LayerNorm/scale" in plan.variables[3].sources
    assert placed(BERT_TF1, "bert/", shapes).has("embeddings/word", shapes)
