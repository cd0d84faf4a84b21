"""What a config says and leaves out: the words of others, numbers as they are meant, defaults, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from export.families import ALBERT, BERT, DISTILBERT, ELECTRA, FAMILIES, ROBERTA
from export.heads.planning import plan_with_heads
from export.options import EncoderRequest
from export.planning import plan_encoder
from export.weights.config import in_usual_words, read_config
from export.weights.plan import WeightPlan
from scripts.layouts import bert
from tests.export.conftest import odd_config, write_odd
from tests.export.weights.test_plan import Listing
from zoo.archive.activation import Activation
from zoo.errors import BadConfig, Unsupported, WeightMismatch


def test_sizes_as_whole_floats_and_rates_as_none() -> None:
    config = read_config(odd_config(hidden_size=32.0, vocab_size=99.0, hidden_dropout_prob=None), BERT, "huggingface")
    assert (config.hidden_size, config.vocab_size, config.hidden_dropout) == (32, 99, 0.0)
    assert all(isinstance(size, int) for size in (config.hidden_size, config.vocab_size))
    with pytest.raises(BadConfig, match="'hidden_size' is 32.5, not a positive whole number"):
        read_config(odd_config(hidden_size=32.5), BERT, "huggingface")


def test_what_a_config_leaves_out_is_the_default_of_the_class_and_noted() -> None:
    said = {"hidden_act": "gelu", "layer_norm_eps": 1e-12}
    left_out = {key: value for key, value in odd_config(embedding_size=20).items() if key not in said}
    for family, act in ((BERT, "gelu"), (ELECTRA, "gelu"), (ALBERT, "gelu_new")):
        config = read_config(left_out, family, "huggingface")
        assert config.notes == (
            f"hidden_act is not in the config; {act!r} is the default of the family's code",
            "layer_norm_eps is not in the config; 1e-12 is the default of the family's code",
        )
        assert (config.activation, config.activation_word) == ("gelu_tanh" if act == "gelu_new" else "gelu", act)
    assert read_config(left_out, ALBERT, "tf1").activation_word == "gelu"
    assert read_config(odd_config(), BERT, "tf1").notes == (), "configs of TF1 never state layer_norm_eps"


def test_an_embedding_size_is_read_from_the_word_table() -> None:
    config = read_config(odd_config(), ELECTRA, "tf1", tables={"word": (99, 20)})
    assert config.embedding_size == 20
    assert config.notes == ("embedding_size 20 is not in the config; it was read from the shapes",)


def test_words_of_another_family() -> None:
    words = {"dim": 32.0, "n_layers": 3, "n_heads": 4, "hidden_dim": 56, "activation": "relu", "dropout": None}
    found = in_usual_words(words, DISTILBERT)
    usual = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act")
    assert [found[key] for key in (*usual, "hidden_dropout_prob")] == [32, 3, 4, 56, "relu", 0.0]
    with pytest.raises(BadConfig, match="'dim' is 32.0 and 'hidden_size' is 64.*Remove the wrong one"):
        in_usual_words({**words, "hidden_size": 64}, DISTILBERT)


def test_the_model_type_of_another_family_is_noted() -> None:
    note = "the config says model_type 'roberta'; names and sizes are those of family bert"
    assert note in read_config(odd_config(model_type="roberta"), BERT, "huggingface").notes
    for family in (BERT, ROBERTA):
        config = odd_config(model_type=family.model_types[0], layer_norm_eps=1e-12, pad_token_id=1)
        assert read_config(config, family, "huggingface").notes == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pruned_heads": {"0": [1]}}, "'pruned_heads' is .*Export the checkpoint from before the pruning"),
        ({"position_embedding_type": "relative_key"}, "only absolute positions are converted: relative ones"),
        ({"attention_type": "block_sparse"}, "'attention_type' is 'block_sparse'"),
        ({"is_decoder": True}, "describes a decoder"),
    ],
    ids=str,
)
def test_what_is_refused_with_its_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        read_config(odd_config(**changes), BERT, "huggingface")
    harmless = {"pruned_heads": {}, "attention_type": "original_full", "is_decoder": False}
    read_config(odd_config(**harmless), BERT, "huggingface")


def test_every_format_of_a_family_knows_the_same_words() -> None:
    tables = {(family.name, format): words for family in FAMILIES for format, words in family.activations.items()}
    of_archives = {key: tables.pop(key) for key in [*tables] if key[1] == "archive"}
    words = {word for meanings in tables.values() for word in meanings}
    for key, meanings in tables.items():
        assert meanings.keys() == words, key
    for key, meanings in of_archives.items():
        assert meanings.keys() == {*get_args(Activation)}, key
    with pytest.raises(BadConfig, match="'prelu'; known here: gelu, gelu_new, .*linear"):
        read_config(odd_config(hidden_act="prelu"), BERT, "huggingface")


# -- another number of layers than is stored --------------------------------------------------------------------------


def plan_of(stored: int, said: int) -> WeightPlan:
    listing: Any = Listing(bert(odd_config(num_hidden_layers=stored)), odd_config(num_hidden_layers=said))
    config = read_config(listing.config, BERT, "tf1")
    return plan_with_heads(listing, config, BERT, BERT.layouts[0], ())


def test_a_config_with_more_layers_than_are_stored() -> None:
    plan = plan_of(stored=3, said=4)
    assert plan.remedy is None
    with pytest.raises(WeightMismatch, match="16 missing.*says 4 layers, the checkpoint has 3.*Name .*--config"):
        plan.checked("odd")


def test_a_config_with_fewer_layers_than_are_stored_names_the_option(tmp_path: Any) -> None:
    plan = plan_of(stored=3, said=2)
    assert plan.remedy == ("--layers", "2")
    with pytest.raises(WeightMismatch, match="says 2 layers, the checkpoint has 3 layers.*add `--layers 2`"):
        plan.checked("odd")
    write_odd(tmp_path)
    text = (tmp_path / "bert_config.json").read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 2')
    (tmp_path / "bert_config.json").write_text(text)
    request = EncoderRequest(tmp_path, "odd", tmp_path)
    assert plan_encoder(request).plan.remedy == ("--layers", "2")
    planned = plan_encoder(replace(request, layers=2))  # the step that the message names
    assert planned.plan.checked("odd") and planned.config.truncated_from == 3
    assert len(planned.plan.left_out["truncated from 3 layers"]) == 16
    assert plan_encoder(replace(request, layers=1)).plan.checked("odd")
