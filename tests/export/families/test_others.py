"""What is refused by name: models of several parts, and layers that training added something to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.families.others import added_to_layers
from export.inspect import inspect_checkpoint
from export.options import EncoderRequest
from export.planning import plan_encoder
from tests.export.conftest import odd_config
from tests.export.test_proposals import SMALL, bare, torch_bert, torch_folder, under
from zoo.errors import Unsupported, WeightMismatch, ZooError

Arrays = dict[str, np.ndarray]
QUERY = "encoder.layer.0.attention.self.query."


def error_of(path: Path) -> ZooError:
    """The error of `zoo export`; `zoo inspect` has to refuse the same path."""
    with pytest.raises((Unsupported, WeightMismatch)) as error:
        plan_encoder(EncoderRequest(path, "m", path)).plan.checked("m")
    try:
        assert inspect_checkpoint(path).export_command is None
    except Unsupported as refused:
        assert str(refused) == str(error.value)
    return error.value


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "encoder-decoder", "encoder": {}, "decoder": {}}, "model.encoder.save_pretrained"),
        ({"model_type": "vision-text-dual-encoder", "text_config": {}}, "model.text_model.save_pretrained"),
        ({"model_type": "chinese_clip", "text_config": {}, "vision_config": {}}, "text and images"),
    ],
)
def test_a_config_of_several_parts_is_refused_by_name(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = torch_folder(tmp_path / "saved", under("encoder.", bare()))
    parts = {key: odd_config(**SMALL) if value == {} else value for key, value in config.items()}
    (path / "config.json").write_text(json.dumps(parts))
    error = error_of(path)
    assert isinstance(error, Unsupported) and words in str(error) and "no config" not in str(error)


def test_positions_that_no_table_holds_are_refused_by_the_word_of_the_config(tmp_path: Path) -> None:
    """JinaBERT calls itself "bert" and has no position table; neither RoFormer nor NEZHA is proposed for it."""
    arrays = {name: array for name, array in torch_bert().items() if "position_embeddings" not in name}
    error = error_of(torch_folder(tmp_path / "saved", arrays, position_embedding_type="alibi"))
    assert isinstance(error, Unsupported) and "'position_embedding_type' is 'alibi'" in str(error)
    assert "--family" not in str(error)


def with_peft() -> Arrays:
    """PEFT's names before merge_and_unload(): the matrix itself is called base_layer."""
    inner = {name.replace(".query.", ".query.base_layer."): array for name, array in torch_bert().items()}
    lora = {f"bert.{QUERY}lora_{one}.default.weight": np.ones((2, 2), np.float32) for one in "AB"}
    return under("base_model.model.", {**inner, **lora})


def with_added(name: str) -> Arrays:
    return {**torch_bert(), f"bert.{name}": np.ones((2, 32), np.float32)}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (with_peft, "LoRA matrices, .*merge_and_unload"),
        (lambda: with_added(f"{QUERY}lora_A"), "LoRA matrices, .*loralib by eval"),
        (lambda: with_added("encoder.layer.1.output.adapters.x.adapter_down.0.weight"), "adapters, which every layer"),
        (lambda: with_added("encoder.layer.1.adapter.down_project.weight"), "adapters, which every layer"),
    ],
)
def test_what_training_added_to_the_layers_is_not_to_be_left_out(
    arrays: Callable[[], Arrays], words: str, tmp_path: Path
) -> None:
    error = error_of(torch_folder(tmp_path / "saved", arrays()))
    assert "--leave-out" not in str(error) and "Families converted" not in str(error)
    assert re.search(words, str(error))


def test_other_names_are_nothing_that_was_added() -> None:
    assert added_to_layers([*torch_bert(), "lora.weight_x", "exploration", "base_layers.0.weight"]) is None
