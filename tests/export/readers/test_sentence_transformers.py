"""The files of sentence-transformers beside a checkpoint, as its versions 2 and 5 write them; damaged; in archives."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.inspect import inspect_checkpoint
from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import export_encoder
from export.planning import plan_encoder, plan_tokenizer
from export.readers import open_checkpoint
from export.readers.beside import beside_notes, files_beside
from export.readers.sentence_model import SentenceModel
from export.readers.sentence_transformers import read_sentence_model, transformer_folder
from tests.export.conftest import write_odd, write_transformers
from tests.once import packed_only
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.digests import sha256_of
from zoo.archive.unpack import unpack
from zoo.errors import BadCheckpoint, BadConfig

# As version 2 names its classes, and as version 5.7 does.
OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Normalize": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
}


def write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def write_modules(folder: Path, *kinds: str, old: bool = False, transformer: str = "") -> None:
    """Write modules.json: the Transformer first, then these kinds, each with a folder of its own: 1_Pooling."""
    names = {"": transformer, **{kind: f"{number}_{kind}" for number, kind in enumerate(kinds, 1)}}
    types = {"": "Transformer", **dict(zip(kinds, kinds, strict=True))}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": OLD + types[kind] if old else NEW[types[kind]]}
        for number, (kind, path) in enumerate(names.items())
    ]
    write_json(folder / "modules.json", modules)


def write_pooling(folder: Path, **settings: Any) -> None:
    write_json(folder / "1_Pooling/config.json", settings)


def write_dense(folder: Path, inputs: int = 32, outputs: int = 16, number: int = 2, **settings: Any) -> None:
    place = folder / f"{number}_Dense"
    stated = {"in_features": inputs, "out_features": outputs, "bias": True}
    write_json(place / "config.json", {**stated, "activation_function": "torch.nn.modules.activation.Tanh", **settings})
    arrays = {"linear.weight": np.ones((16, 32), np.float32), "linear.bias": np.ones(16, np.float32)}
    save_file(arrays, place / "model.safetensors")


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of hidden size 32 and 40 positions, as transformers writes it."""
    folder = tmp_path_factory.mktemp("genuine")
    write_transformers(folder, write_odd(tmp_path_factory.mktemp("odd")))
    return folder


@pytest.fixture
def folder(genuine: Path, tmp_path: Path) -> Path:
    """A copy of it with mean pooling, as version 5.7 writes it."""
    folder = Path(shutil.copytree(genuine, tmp_path / "model"))
    write_modules(folder, "Pooling")
    write_pooling(folder, embedding_dimension=32, pooling_mode="mean", include_prompt=True)
    return folder


def read(folder: Path) -> SentenceModel:
    found = read_sentence_model(folder, 32, 40)
    assert found is not None
    return found


def test_a_directory_without_these_files(genuine: Path) -> None:
    assert read_sentence_model(genuine, 32, 40) is None and transformer_folder(genuine) == genuine


def test_the_files_of_version_2(genuine: Path, tmp_path: Path) -> None:
    """The Transformer in a folder of its own, and a key for every way of pooling."""
    root = tmp_path / "old"
    shutil.copytree(genuine, root / "0_BERT")
    write_modules(root, "Pooling", "Normalize", old=True, transformer="0_BERT")
    flags = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    write_pooling(root, word_embedding_dimension=32, **{f"pooling_mode_{key}": flag for key, flag in flags.items()})
    write_json(root / "0_BERT/sentence_bert_config.json", {"max_seq_length": 17, "do_lower_case": True})
    write_json(root / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}})
    for path in (root, root / "0_BERT"):
        checkpoint = open_checkpoint(path)
        assert checkpoint.path == root / "0_BERT"
        found = read(checkpoint.path)
        assert (found.pooling, found.normalize, found.max_length, found.lower_case) == (("mean",), True, 17, True)
        assert found.beyond_encoder == () and found.root == root
        names = ["0_BERT/sentence_bert_config.json", "1_Pooling/config.json", "config_sentence_transformers.json"]
        assert sorted(found.named_files()) == [*names, "modules.json"]
    assert plan_tokenizer(TokenizerRequest(root, "t", tmp_path)).vocabulary.entries[5] == "你"


def test_the_files_of_version_5(folder: Path) -> None:
    """The limit lies in the tokenizer's config; prompts have names."""
    text = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    expected = {"transformer_task": "feature-extraction", "modality_config": text}
    write_json(folder / "sentence_bert_config.json", {**expected, "module_output_name": "token_embeddings"})
    write_json(folder / "tokenizer_config.json", {"model_max_length": 21, "do_lower_case": True})
    prompts = {"prompts": {"query": "找：", "document": ""}, "default_prompt_name": "query"}
    write_json(folder / "config_sentence_transformers.json", {**prompts, "similarity_fn_name": "cosine"})
    found = read(folder)
    assert (found.pooling, found.normalize, found.max_length) == (("mean",), False, 21)
    assert (found.prompts, found.default_prompt, found.similarity) == (prompts["prompts"], "query", "cosine")
    assert found.unknown == ()
    assert str(found) == "pooling mean, at most 21 tokens, prompts query '找：', every text gets the prompt 'query'"
    write_json(folder / "tokenizer_config.json", {"model_max_length": 1e30})  # transformers' word for "no limit"
    assert read(folder).max_length == 40


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode": "cls"}, ("first",)),
        ({"pooling_mode": ["max", "cls"]}, ("max", "first")),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, ("mean_sqrt_len",)),
        ({"pooling_mode": "weightedmean"}, ("weightedmean",)),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, ("lasttoken",)),
        # Two flags: put beside each other in the order of `forward`, not of the file.
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("first", "mean")),
        ({}, ("mean",)),
    ],
)
def test_every_way_of_pooling(settings: dict[str, Any], pooling: tuple[str, ...], folder: Path) -> None:
    write_pooling(folder, word_embedding_dimension=32, **settings)
    assert read(folder).pooling == pooling


def test_a_limit_beyond_the_positions_is_said(folder: Path) -> None:
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 512})
    found = read(folder)
    assert found.max_length == 40
    assert found.facts == ("sentence_bert_config.json says 'max_seq_length' 512; the model has 40 positions",)


def test_a_dense_layer(folder: Path) -> None:
    write_modules(folder, "Pooling", "Dense", "Normalize")
    write_dense(folder)
    found = read(folder)
    (layer,) = found.dense
    assert (layer.inputs, layer.outputs, layer.activation) == (32, 16, "tanh")
    assert layer.weights.read("linear.weight").shape == (16, 32)
    assert found.beyond_encoder == ("dense layer 32→16 with tanh (2_Dense)",)
    planned = plan_encoder(EncoderRequest(folder, "m", folder))
    (reason,) = (reason for reason in planned.plan.left_out if "dense layer" in reason)
    assert planned.plan.left_out[reason] == ("2_Dense/linear.bias", "2_Dense/linear.weight")
    assert (
        not planned.plan.problems and {"2_Dense/config.json", "2_Dense/model.safetensors"} <= found.named_files().keys()
    )


def test_the_card_and_the_sheet_say_what_was_found(folder: Path, tmp_path: Path) -> None:
    write_modules(folder, "Pooling", "Dense", "Normalize")
    write_dense(folder)
    (folder / "adapter_config.json").write_text("{}")
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "找："}})
    with packed_only():
        export_encoder(EncoderRequest(folder, "m", tmp_path / "out"))
    unpack(tmp_path / "out/m.tar.gz", tmp_path / "m")
    card = read_card(tmp_path / "m")
    assert isinstance(card, EncoderCard) and card.sentence is not None
    assert (card.sentence.pooling, card.sentence.normalize, card.sentence.max_length) == ("mean", True, 40)
    assert card.sentence.prompts == {"query": "找："}
    assert card.sentence.beyond_encoder == ["dense layer 32→16 with tanh (2_Dense)"]
    assert ["2_Dense/linear.bias", "2_Dense/linear.weight"] in card.left_out.values()
    own = {"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors", "modules.json"}
    assert {*own, "config.json", "model.safetensors", "vocab.txt"} < card.source.files.keys()
    assert card.source.files["2_Dense/model.safetensors"].sha256 == sha256_of(folder / "2_Dense/model.safetensors")
    assert any(note.startswith("adapter_config.json beside the weights was not read") for note in card.notes)
    again = plan_encoder(EncoderRequest(tmp_path / "m", "again", tmp_path, dtype="bfloat16")).sentence
    assert again is not None and (again.pooling, again.normalize, again.max_length) == (("mean",), True, 40)
    assert (again.prompts, list(again.beyond_encoder)) == (card.sentence.prompts, card.sentence.beyond_encoder)
    sheet = str(inspect_checkpoint(folder))
    assert "pooling mean, normalised, at most 40 tokens, prompts query '找：'" in sheet
    assert "dense layer 32→16 with tanh (2_Dense): not part of an encoder archive" in sheet
    assert "not read: adapter_config.json (a PEFT adapter, which transformers adds to the weights)" in sheet


def test_several_poolings_make_the_vector_longer(folder: Path) -> None:
    write_modules(folder, "Pooling", "Dense")
    write_pooling(folder, embedding_dimension=32, pooling_mode=["cls", "mean"])
    write_dense(folder)
    with pytest.raises(BadConfig, match=r"2_Dense/config\.json: 'in_features' is 32, but the vector has 64 numbers"):
        read(folder)


def test_modules_and_settings_that_are_not_known_are_named(folder: Path) -> None:
    """The encoder is exported all the same; its vectors of texts are not promised."""
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_LSTM", "type": OLD + "LSTM"})
    modules.append({"idx": 3, "name": "3", "path": "", "type": "custom_st.Pooling"})
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 9, "model_args": {"rotary": 1}})
    write_json(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder"})
    assert read(folder).unknown == (
        "'model_args' in sentence_bert_config.json",
        f"module {OLD}LSTM (2_LSTM)",
        "module custom_st.Pooling (no folder of its own)",
        "a model of the kind 'SparseEncoder'",
    )
    assert not plan_encoder(EncoderRequest(folder, "m", folder)).plan.problems
    write_json(folder / "modules.json", modules[:1])
    assert read(folder).unknown[0] == "0 poolings, not 1, in modules.json"


DAMAGED: dict[str, Callable[[Path], object]] = {
    r"1_Pooling/config\.json cannot be read: No such file": lambda f: (f / "1_Pooling/config.json").unlink(),
    r"1_Pooling/config\.json holds a list": lambda f: write_json(f / "1_Pooling/config.json", []),
    r"'embedding_dimension' is 33, the encoder's outputs have 32": lambda f: write_pooling(f, embedding_dimension=33),
    r"'pooling_mode' is 'mean', but max is set beside it": lambda f: write_pooling(
        f, pooling_mode="mean", pooling_mode_max_tokens=True
    ),
    r"'pooling_mode' is 'median'; known: cls, max": lambda f: write_pooling(f, pooling_mode="median"),
    r"'pooling_mode' is 7, not one or several words": lambda f: write_pooling(f, pooling_mode=7),
    r"'max_seq_length' is '512', not a whole number": lambda f: write_json(
        f / "sentence_bert_config.json", {"max_seq_length": "512"}
    ),
    r"the limit of 2 tokens leaves no room": lambda f: write_json(
        f / "sentence_bert_config.json", {"max_seq_length": 2}
    ),
    r"'prompts' 'query' are not texts": lambda f: write_json(
        f / "config_sentence_transformers.json", {"prompts": {"query": 1}}
    ),
    r"'default_prompt_name' is 'search', which 'prompts' does not have": lambda f: write_json(
        f / "config_sentence_transformers.json", {"default_prompt_name": "search"}
    ),
    r"2_Dense holds no weights": lambda f: (
        write_modules(f, "Pooling", "Dense"),
        write_dense(f),
        (f / "2_Dense/model.safetensors").unlink(),
    ),
    r"2_Dense/model\.safetensors holds .*; its config\.json means": lambda f: (
        write_modules(f, "Pooling", "Dense"),
        write_dense(f, outputs=8),
    ),
    r"modules\.json cannot be read: ": lambda f: (f / "modules.json").write_text("[{"),
    r"modules\.json should hold a list": lambda f: write_json(f / "modules.json", {}),
    r"'path' of module 0 is '\.\./x', not the name of a folder": lambda f: write_modules(f, transformer="../x"),
    r"'type' of module 0 is None": lambda f: write_json(f / "modules.json", [{"path": ""}]),
}


@pytest.mark.parametrize("words", DAMAGED)
def test_damaged_files_are_named_and_the_next_move_works(words: str, folder: Path) -> None:
    DAMAGED[words](folder)
    with pytest.raises(BadConfig, match=rf"{words}.*remove modules\.json"):
        plan_encoder(EncoderRequest(folder, "m", folder))
    (folder / "modules.json").unlink()
    assert plan_encoder(EncoderRequest(folder, "m", folder)).sentence is None


def test_all_problems_are_listed_at_once(folder: Path) -> None:
    write_pooling(folder, embedding_dimension=33, pooling_mode="median")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": True})
    with pytest.raises(BadConfig, match=r"'max_seq_length' is True.*'embedding_dimension' is 33.*'median'"):
        read(folder)


def test_a_modules_json_of_another_program_in_the_directory_above(genuine: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(genuine, tmp_path / "model"))
    for above in ({"modules": []}, [{"type": OLD + "Transformer", "path": "other"}]):
        write_json(tmp_path / "modules.json", above)
        assert read_sentence_model(folder, 32, 40) is None


@pytest.mark.parametrize("transformer", ["", "0_Transformer"])
def test_in_a_zip_the_dense_layer_is_not_a_second_checkpoint(transformer: str, genuine: Path, tmp_path: Path) -> None:
    root = tmp_path / "model"
    shutil.copytree(genuine, root / transformer)
    write_modules(root, "Pooling", "Dense", transformer=transformer)
    write_pooling(root, embedding_dimension=32, pooling_mode="mean")
    write_dense(root)
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        for file in sorted(file for file in root.rglob("*") if file.is_file()):
            packed.write(file, file.relative_to(tmp_path))
    checkpoint = open_checkpoint(tmp_path / "m.zip")
    assert checkpoint.path.name == (transformer or "model") and len(read(checkpoint.path).dense) == 1
    if not transformer:
        return
    (root / "modules.json").unlink()
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as packed:
        for file in sorted(file for file in root.rglob("*") if file.is_file()):
            packed.write(file, file.relative_to(tmp_path))
    with pytest.raises(BadCheckpoint, match="several checkpoints in .*2_Dense"):
        open_checkpoint(tmp_path / "n.zip")


# -- other files ------------------------------------------------------------------------------------------------------


def test_files_that_could_change_the_numbers_are_named(genuine: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(genuine, tmp_path / "model"))
    for name in ("README.md", "training_args.bin", "generation_config.json", ".gitattributes", "eval_results.json"):
        (folder / name).write_text("")
    assert str(files_beside(folder)) == ""
    for name in ("adapter_config.json", "modeling_mine.py", "colbert_linear.pt", "strange.dat"):
        (folder / name).write_text("")
    found = files_beside(folder)
    assert [*found.could_change] == ["adapter_config.json", "colbert_linear.pt", "modeling_mine.py"]
    assert found.unknown == ("strange.dat",)
    assert beside_notes(folder)[0].startswith("adapter_config.json beside the weights was not read: a PEFT adapter")
