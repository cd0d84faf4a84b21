"""Files of a tokenizer that are missing or broken: each is one error that says what to correct."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tokenizer.directories import GENERIC, UNCASED, vocab_txt
from tokenizer.source import read_tokenizer_source
from zoo.errors import BadConfig, BadVocabulary, Unsupported, ZooError


def directory(path: Path, **settings: Any) -> Path:
    (path / "vocab.txt").write_text(vocab_txt(), encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadVocabulary, match=r"No file or directory .*nowhere. Give a vocab.txt"):
        read_tokenizer_source(tmp_path / "nowhere")
    with pytest.raises(BadVocabulary, match="No file or directory .*: File name too long"):
        read_tokenizer_source(Path("a" * 300))
    with pytest.raises(BadVocabulary, match=r"holds no vocab.txt, no .model and no tokenizer.json \(it holds nothing"):
        read_tokenizer_source(tmp_path)
    (tmp_path / "spiece.model").touch()
    with pytest.raises(ZooError, match=r"spiece.model cannot be used: it has 0 pieces.*--vocab none"):
        read_tokenizer_source(tmp_path)


def test_a_class_that_needs_tokenizer_json(tmp_path: Path) -> None:
    directory(tmp_path, **GENERIC)
    with pytest.raises(Unsupported, match=r"in tokenizer.json, which is not here.*--cased or --uncased"):
        read_tokenizer_source(tmp_path)
    assert read_tokenizer_source(tmp_path / "vocab.txt", cased=True).vocabulary.entries == tuple(UNCASED)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"do_lower_case": "yes"}, "should each be true, false or null, are"),
        ({"additional_special_tokens": 5}, "additional_special_tokens=5 should be a list"),
        ({"additional_special_tokens": [[]]}, r"has the token \[\]"),
        ({"added_tokens_decoder": ["[PAD]"]}, "should be ids and tokens"),
        ({"added_tokens_decoder": {"0": {"content": {}}}}, "has the token"),
        ({"added_tokens_decoder": {"0": {"content": "[PAD]", "lstrip": 5}}}, "has the token"),
        ({"pad_token": ["a" * 100_000]}, "pad_token=.* should be a token"),
        ({"cls_token": {"content": ""}}, "cls_token='' should be a token"),
    ],
)
def test_settings_of_another_type(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    directory(tmp_path, **settings)
    with pytest.raises(ZooError, match=words) as caught:
        read_tokenizer_source(tmp_path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Cannot read"),
        ("[]", "should hold a JSON object, but holds a list"),
        ("[" * 40_000, "Cannot read .*nested"),
        ('{"a": [' + "1," * 260_000 + "1]}", "Cannot read .*values; at most 200,000"),
    ],
)
def test_broken_files(tmp_path: Path, file: str, text: str, words: str) -> None:
    directory(tmp_path, do_lower_case=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(BadConfig, match=words):
        read_tokenizer_source(tmp_path)
