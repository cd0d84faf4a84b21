"""The verdict on every listing of ../shared/layouts: a complete plan, or a refusal that names the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from export.families import detect
from export.heads.planning import plan_with_heads
from export.weights.config import read_config
from scripts.layouts import Shapes
from tests.export.weights.test_plan import Listing
from zoo.errors import WeightMismatch

NO_POOLER = "--pooler first_token"

# listing -> the family it gets a complete plan of, or the words of the refusal
VERDICTS = {
    "derived/albert_base_brightmart_tf1": "albert_brightmart",
    "derived/albert_large_google_zh_tf1": "albert",
    "derived/albert_xlarge_brightmart_tf1": "albert_brightmart",
    "derived/albert_xlarge_google_zh_tf1": "albert",
    "derived/albert_xxlarge_google_zh_tf1": "albert",
    "derived/bert_wwm_tf1__chinese_wwm_ext_L-12_H-768_A-12": "bert",
    "derived/electra_base_zh_tf1": "electra",
    "derived/electra_large_zh_tf1": "electra",
    "derived/electra_smallex_zh_tf1": "electra",
    "derived/finbert_tf1": "bert",
    "derived/hf_albert_base_zh_google": "albert",
    "derived/hf_albert_tiny_zh_google": "albert",
    "derived/hf_albert_xlarge_zh_google": "albert",
    "derived/hf_bert_base_chinese_old_gamma_beta": "bert",
    "derived/hf_bert_base_zh": "bert",
    "derived/hf_bert_base_zh_bare": "bert",
    "derived/hf_electra_base_disc": "electra",
    "derived/hf_electra_base_gen": "electra",
    "derived/hf_electra_small_disc": "electra",
    "derived/hf_electra_small_gen": "electra",
    "derived/hf_electra_smallex_disc": "electra",
    "derived/hf_rbt3": "bert",
    "derived/hf_roberta_wwm_large": "bert",
    "derived/rbt3_tf1": "bert",
    "derived/rbt4_tf1": "bert",
    "derived/rbt6_tf1": "bert",
    "derived/rbtl3_tf1": "bert",
    "derived/roberta_wwm_large_tf1__chinese_roberta_wwm_large_ext_L-24_H-1024_A-16": "bert",
    "derived/roberta_wwm_tf1__chinese_roberta_wwm_ext_L-12_H-768_A-12": "bert",
    "genuine/albert_base_en": "albert",
    "genuine/albert_base_google_zh": "albert",
    "genuine/albert_large_brightmart": "albert_brightmart",
    "genuine/albert_large_en": "albert",
    "genuine/albert_small_zh_google": "albert",
    "genuine/albert_tiny_brightmart": "albert_brightmart",
    "genuine/albert_tiny_zh_google": "albert",
    "genuine/albert_tiny_zh_google_finetuned_lcqmc": "albert",
    "genuine/albert_tiny_zh_google_tf1savedmodel": "albert",
    "genuine/bert_en_pretraining_adam": "bert",
    "genuine/bert_google_en_cased_L24": "bert",
    "genuine/bert_google_en_uncased_L24": "bert",
    "genuine/bert_google_en_uncased_L2_H128_2020": "bert",
    "genuine/bert_google_zh_L12": "bert",
    "genuine/bert_mlm_nopooler_vocab5981": NO_POOLER,
    "genuine/bert_multi_squad_finetuned": "bert",
    "genuine/bert_zh_finetuned_classifier_adam": "bert",
    "genuine/electra_180g_small_zh": "electra",
    "genuine/electra_small_zh": "electra",
    "genuine/tiny_bert_real_data_keras_bert_test": "bert",
}

# object-based listings, which a reader shows under other names; their verdicts are in readers/test_formats.py
OBJECT_BASED = {"genuine/bert_tf2_bertfortf2_style_objectgraph", "genuine/modelgarden_tf2_bert_base_zh"}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str, shared: Path) -> None:
    text = (shared / "layouts" / f"{name}.json").read_text(encoding="utf-8")
    shapes = {variable: tuple(facts["shape"]) for variable, facts in json.loads(text)["variables"].items()}
    listing = Listing(shapes, config_of(shapes), "huggingface" if "/hf_" in name else "tf1")
    family, layout = detect(listing)  # type: ignore[arg-type]
    config = read_config(listing.config, family, layout.format)
    if VERDICTS[name] == NO_POOLER:
        with pytest.raises(WeightMismatch, match=NO_POOLER):
            plan_with_heads(listing, config, family, layout, ()).checked(name)  # type: ignore[arg-type]
        config = read_config(listing.config, family, layout.format, pooler="first_token")
    else:
        assert family.name == VERDICTS[name]
    plan = plan_with_heads(listing, config, family, layout, ()).checked(name)  # type: ignore[arg-type]
    used = [source for variable in plan.variables for source in variable.sources]
    left = [left for names in plan.left_out.values() for left in names]
    assert sorted(used + left) == sorted(shapes)


def test_every_listing_has_a_verdict(shared: Path) -> None:
    listings = {str(file.relative_to(shared / "layouts").with_suffix("")) for file in shared.glob("layouts/*/*.json")}
    assert listings == VERDICTS.keys() | OBJECT_BASED


def config_of(shapes: Shapes) -> dict[str, Any]:
    """A config from the shapes, for listings that have none beside them; head counts do not matter to a plan."""
    dotted = {
        re.sub(r"(layer|group)_(\d+)", r"\1.\2", name).replace("/", "."): shape
        for name, shape in shapes.items()
        if not name.startswith("generator/")
    }

    def shape(pattern: str) -> tuple[int, ...]:
        return next(shape for name, shape in dotted.items() if re.search(pattern, name))

    def count(pattern: str) -> int:
        return 1 + max((int(found) for name in dotted for found in re.findall(pattern, f".{name}")), default=11)

    vocab, embedding = shape(r"word_embeddings(\.weight)?$")
    return {
        "model_type": "electra" if any(name.startswith("electra") for name in dotted) else "bert",
        "vocab_size": vocab,
        "embedding_size": embedding,
        "hidden_size": shape(r"query\.bias$")[0],
        "num_hidden_layers": count(r"\.layer\.(\d+)\."),
        "num_hidden_groups": 1,
        "num_attention_heads": 1,
        "intermediate_size": shape(r"(intermediate\.dense|\.ffn)\.bias$")[0],
        "hidden_act": "gelu",
        "max_position_embeddings": shape(r"position_embeddings(\.weight)?$")[0],
        "type_vocab_size": shape(r"token_type_embeddings(\.weight)?$")[0],
    }
