"""The vocabulary of an encoder: does it fit the weights, which id is padding, and encoders without string tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import zoo
from export.convert.tokenizer_file import write_tokenizer
from export.options import NO_VOCABULARY, EncoderRequest
from export.pipeline import export_encoder
from export.planning import PlannedEncoder, plan_encoder
from export.readers.own_archive import settings_of
from export.release.add import _fitting
from export.vocabulary import choose_vocabulary
from scripts.random_checkpoint import write_vocabulary
from tests.export.conftest import VOCABULARY, save_and_load, write_odd
from tests.once import packed_only
from tests.zoo.small import make_tokenizer_card
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import BadArgument, BadConfig, BadVocabulary, Unsupported, VocabularyMismatch
from zoo.loading.load import check_pair
from zoo.loading.matching import EncoderWithTokenizer
from zoo.registry.entry import ArchiveRecord, Entry

NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def planned(directory: Path, **how: Any) -> PlannedEncoder:
    return plan_encoder(EncoderRequest(directory, "odd", directory / "out", **{"heads": (), **how}))


def with_vocabulary(directory: Path, entries: list[str], **files: Any) -> Path:
    """Write entries and JSON files into a folder; `tokenizer_config={…}` is tokenizer_config.json."""
    directory.mkdir(exist_ok=True)
    write_vocabulary(directory / "vocab.txt", entries)
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


# -- rows ---------------------------------------------------------------------------------------------------------


def test_spare_rows_are_noted(tmp_path: Path) -> None:
    chosen = choose_vocabulary(None, with_vocabulary(tmp_path, VOCABULARY[:92]), {}, 99)
    assert chosen.notes == ("spare rows: the ids from 92 to 98 have weights, but no text reaches them",)
    with pytest.raises(BadVocabulary, match=r"92 entries, but the model has 200 rows.*108 rows would have no token"):
        choose_vocabulary(None, tmp_path, {}, 200)


@pytest.mark.parametrize("rows", [90, 500])
def test_each_move_of_a_vocabulary_that_does_not_fit(tmp_path: Path, rows: int) -> None:
    folder = with_vocabulary(tmp_path / "model", VOCABULARY)
    with pytest.raises(BadVocabulary, match="--vocab FILE, or .* without string tokens: `--vocab none`"):
        choose_vocabulary(None, folder, {}, rows)
    write_vocabulary(tmp_path / "words.txt", (VOCABULARY + [f"x{n}" for n in range(500)])[:rows])
    assert choose_vocabulary(tmp_path / "words.txt", folder, {}, rows).notes == ()
    assert choose_vocabulary(NO_VOCABULARY, folder, {}, rows).vocabulary is None


def test_added_tokens_without_rows(tmp_path: Path) -> None:
    folder = with_vocabulary(tmp_path, VOCABULARY, added_tokens={"[ENT]": 99, "[Q]": 100})
    assert [file.name for file in choose_vocabulary(None, folder, {}, 101).files] == ["vocab.txt", "added_tokens.json"]
    with pytest.raises(
        BadVocabulary, match=r"The tokens \[ENT\], \[Q\] were added without rows. Leave .* by --vocab"
    ) as told:
        choose_vocabulary(None, folder, {}, 99)
    move = Path(str(told.value).partition("by --vocab ")[2].partition(", or")[0])
    chosen = choose_vocabulary(move, folder, {}, 99)
    assert chosen.vocabulary is not None and len(chosen.vocabulary) == 99


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({}, BadVocabulary, "holds no vocab.txt, no .model and no tokenizer.json"),
        ({"tokenizer": {"model": {"type": "BPE", "merges": [], "vocab": {}}}}, Unsupported, "the model 'BPE'"),
        ({"tokenizer": []}, BadConfig, "should hold a JSON object with a 'model'"),
    ],
)
def test_no_vocabulary_proposes_moves(
    tmp_path: Path, files: dict[str, Any], error: type[Exception], words: str
) -> None:
    folder = with_vocabulary(tmp_path, VOCABULARY, **files)
    (tmp_path / "vocab.txt").rename(tmp_path / "words")
    with pytest.raises(error, match=f"{words}.*--vocab FILE, or .*: `--vocab none`"):
        choose_vocabulary(None, folder, {}, 99)
    assert choose_vocabulary(tmp_path / "words", folder, {}, 99).vocabulary
    assert choose_vocabulary(NO_VOCABULARY, folder, {}, 99).notes == (
        "exported with --vocab none: the encoder takes ids alone, no string tokens",
    )


def test_a_head_for_masked_tokens_needs_a_mask(tmp_path: Path) -> None:
    write_odd(tmp_path)
    with_vocabulary(tmp_path, [*VOCABULARY[:4], "x", *VOCABULARY[5:]])
    with pytest.raises(BadVocabulary, match=r"The head mlm predicts masked tokens.*without it: --heads nsp\."):
        planned(tmp_path, heads=None)
    assert planned(tmp_path, heads=("nsp",)).heads == ("nsp",)
    assert planned(tmp_path, heads=None, vocab=NO_VOCABULARY).heads == ("mlm", "nsp")


def test_fewer_tokens_need_a_vocabulary(tmp_path: Path) -> None:
    write_odd(tmp_path)
    with pytest.raises(BadArgument, match="--keep-tokens needs the vocabulary"):
        planned(tmp_path, vocab=NO_VOCABULARY, keep_tokens=tmp_path / "vocab.txt")


# -- padding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "asked", "padding", "note"),
    [
        ({}, None, 4, r"the padding id is 4, that of \[PAD\]"),
        ({"pad_token_id": 4}, None, 4, "the padding id is 4"),
        ({"pad_token_id": 0}, None, 4, r"pad_token_id=0 in the config does not count: \[PAD\] is 4"),
        ({"pad_token_id": 7}, NO_VOCABULARY, 7, "no string tokens"),
        ({"pad_token_id": None}, NO_VOCABULARY, 0, "no string tokens"),
    ],
)
def test_padding_ids(tmp_path: Path, config: dict[str, Any], asked: Path | None, padding: int, note: str) -> None:
    folder = with_vocabulary(tmp_path, ["[MASK]", *NAMES[1:4], "[PAD]", *VOCABULARY[5:]])
    chosen = choose_vocabulary(asked, folder, config, 99)
    assert chosen.padding_id == padding
    assert re.search(note, "; ".join(chosen.notes))


@pytest.mark.parametrize("number", [99, -2, 1.5, True, "0"])
def test_a_padding_id_that_is_no_id(tmp_path: Path, number: Any) -> None:
    with pytest.raises(BadConfig, match=f"pad_token_id={number!r} in the config is no id: the model has 99 rows"):
        choose_vocabulary(None, with_vocabulary(tmp_path, VOCABULARY), {"pad_token_id": number}, 99)


# RoBERTa's names over a vocabulary whose padding is id 1.
SPELLINGS = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
SPELLED = [*SPELLINGS.values(), *VOCABULARY[5:]]


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An encoder whose padding id is 1, and whose special tokens have other names."""
    place = tmp_path_factory.mktemp("padded")
    write_odd(place / "ckpt")
    with_vocabulary(place / "ckpt", SPELLED, tokenizer_config=SPELLINGS)
    return save_and_load(place / "ckpt", place, heads=())


def test_the_padding_id_decides_where_no_mask_is_given(padded: Any) -> None:
    ids = tf.constant([[0, 5, 6, 2, 1], [0, 9, 2, 1, 1]])
    mask = tf.cast(ids != 1, tf.int32)
    expected = padded([ids, mask, tf.zeros_like(ids)])["sequence_output"]
    for form in (ids, tf.cast(ids, tf.int64), {"input_word_ids": ids}, {"input_word_ids": ids, "input_mask": mask}):
        np.testing.assert_array_equal(padded(form)["sequence_output"], expected)
    assert not np.any(expected[1, 3:]) and np.all(np.any(expected[:, 0], axis=-1))  # id 0 is a token
    given = padded([ids, tf.ones_like(ids)])["sequence_output"]  # a mask that is given is taken as given
    assert np.any(given[1, 4])


def test_strings_of_other_spellings(padded: Any) -> None:
    tokens = tf.constant([["<s>", "你", "</s>", "好", "</s>", ""], ["<s>", "##好", "unheard", "</s>", "", ""]])
    ids = [[0, 5, 2, 6, 2, 1], [0, 7, 3, 2, 1, 1]]
    types = [[0, 0, 0, 1, 1, 0], [0] * 6]
    expected = padded([tf.constant(array, tf.int32) for array in (ids, np.not_equal(ids, 1), types)])
    np.testing.assert_array_equal(padded(tokens)["sequence_output"], expected["sequence_output"])


def test_an_empty_text_is_padding(padded: Any) -> None:
    """Its pooled output is that of one padding token, which only attention to itself is left to."""
    one = [tf.constant([[number]]) for number in (1, 0, 0)]
    found = padded(tf.constant([[""]]))["pooled_output"]
    np.testing.assert_array_equal(found, padded(one)["pooled_output"])
    assert np.any(found != padded([tf.constant([[0]]), *one[1:]])["pooled_output"])


def test_the_card_states_the_padding_id(tmp_path: Path) -> None:
    write_odd(tmp_path)
    with_vocabulary(tmp_path, SPELLED, tokenizer_config=SPELLINGS)
    plan = planned(tmp_path)
    assert plan.padding_id == 1
    assert [file.name for file in plan.vocabulary_files] == ["vocab.txt", "tokenizer_config.json"]
    kept = tmp_path / "kept.txt"
    kept.write_text("好\n", encoding="utf-8")
    fewer = planned(tmp_path, keep_tokens=kept)
    assert fewer.vocabulary is not None
    assert fewer.vocabulary.entries[fewer.padding_id] == "<pad>" and len(fewer.vocabulary) == 6


@pytest.mark.slow
def test_an_archive_is_a_source_with_its_padding_id(bare: Path) -> None:
    card = read_card(bare)
    assert isinstance(card, EncoderCard)
    config = settings_of(card.model_copy(update={"padding_id": 1}))
    assert choose_vocabulary(NO_VOCABULARY, bare, config, 99).padding_id == 1


# -- no string tokens ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked encoder that was exported with --vocab none; its checkpoint has no vocabulary."""
    place = tmp_path_factory.mktemp("bare")
    write_odd(place / "ckpt")
    (place / "ckpt/vocab.txt").unlink()
    with pytest.raises(BadVocabulary, match="--vocab none"):
        export_encoder(EncoderRequest(place / "ckpt", "bare", place))
    with packed_only():
        assert main(["export", str(place / "ckpt"), "--name", "bare", "--out", str(place), "--vocab", "none"]) == 0
    unpack(place / "bare.tar.gz", place / "bare")
    return place / "bare"


def test_an_encoder_without_string_tokens(bare: Path) -> None:
    card, encoder = read_card(bare), zoo.load(bare)
    assert isinstance(card, EncoderCard)
    assert (card.vocabulary_sha256, card.string_tokens, card.padding_id) == (None, False, 0)
    assert any("--vocab none" in note for note in card.notes)
    assert "LookupTableFindV2" not in card.ops and [*encoder.signatures] == ["serving_default"]
    ids = tf.constant([[2, 5, 3, 0]])
    expected = encoder([ids, tf.constant([[1, 1, 1, 0]]), tf.zeros_like(ids)])["pooled_output"]
    np.testing.assert_array_equal(encoder(ids)["pooled_output"], expected)
    np.testing.assert_allclose(zoo.KerasLayer(encoder)(ids)["pooled_output"], expected, atol=1e-6)
    assert main(["verify", str(bare)]) == 0


def test_no_tokenizer_fits_an_encoder_without_a_vocabulary() -> None:
    archive = ArchiveRecord(urls=["words.tar.gz"])
    rows = {"words": Entry(kind="tokenizer", archive=archive), "others": Entry(kind="tokenizer", archive=archive)}
    rows["others"] = rows["others"].model_copy(update={"vocabulary_sha256": "a" * 64})
    assert _fitting(rows, Entry(kind="encoder"), None) is None
    assert _fitting(rows, Entry(kind="encoder", vocabulary_sha256="a" * 64), None) == "others"


def test_strings_are_refused_in_words(bare: Path) -> None:
    encoder = zoo.load(bare)
    for call in (encoder, encoder.attention, encoder.mlm, zoo.load_model(bare)):
        with pytest.raises(BadArgument, match="these inputs are strings, and this function takes ids alone"):
            call([["你", "好"]])
    with pytest.raises(BadArgument, match="no signature 'tokens'. There is 'serving_default'"):
        zoo.KerasLayer(bare, signature="tokens", output_key="pooled_output")
    with pytest.raises(BadArgument, match="no form for a tensor: string of rank 2"):
        zoo.KerasLayer(bare)(tf.constant([["你"]]))
    with pytest.raises(BadArgument, match="no tokenizer is known for bare: give one as tokenizer="):
        zoo.TextEncoder(bare)


def test_a_tokenizer_may_be_given(bare: Path, tmp_path: Path) -> None:
    encoder, tokenizer = read_card(bare), make_tokenizer_card(tmp_path)
    assert isinstance(encoder, EncoderCard)
    check_pair(encoder, tokenizer)
    pair = EncoderWithTokenizer(bare, encoder, tmp_path, tokenizer)
    with pytest.raises(VocabularyMismatch, match="bare holds no vocabulary that .*--tokenizer none"):
        write_tokenizer(None, pair, tmp_path)
