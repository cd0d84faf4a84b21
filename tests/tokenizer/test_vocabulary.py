"""Reading a vocab.txt, a Hugging Face directory, and what is said about bad ones."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tokenizer.source import read_tokenizer_source
from tokenizer.vocabulary import Vocabulary
from zoo.errors import BadConfig, BadVocabulary, Unsupported, ZooError

GOOD = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2028", "##\u2028", " ", "a", "##a", "中\u0085", "<S>")


def lines(*entries: str, end: str = "\n") -> bytes:
    return "".join(entry + end for entry in entries).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vocab.txt"


@pytest.mark.parametrize(
    "data", [lines(*GOOD), lines(*GOOD)[:-1], lines(*GOOD, end="\r\n"), lines(*GOOD, end="\r\n")[:-2]]
)
def test_lines_end_at_newlines_only(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    vocabulary = Vocabulary.read(path)
    assert vocabulary.entries == GOOD
    assert len(vocabulary) == len(GOOD)
    assert vocabulary.sha256 == hashlib.sha256(lines(*GOOD)).hexdigest()
    assert vocabulary.special_tokens == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lines(*GOOD, "a"), [r"line 13 repeats line 9 \('a'\)"]),
        (lines(*GOOD, "", "b"), ["line 13 is empty"]),
        (lines(*GOOD, "") + b"\n", ["line 13 is empty", "line 14 is empty"]),
        (lines("[PAD]", "a", "[MASK]"), [r"none of the 3 lines is \[UNK\], \[CLS\], \[SEP\]"]),
        (lines(*GOOD) + b"b\n\xff\xfe\n", [r"line 14 is not UTF-8 \(byte 0xff at position 0\)"]),
        (lines(*GOOD, "", "a") + b"c\xe4\n", ["line 13 is empty", "line 15 is not UTF-8", "line 14 repeats line 9"]),
        (b"\xef\xbb\xbf" + lines(*GOOD), ["byte order mark", r"none of the .* lines is \[PAD\]"]),
        (
            lines(*GOOD[:2]) + lines(*GOOD[2:], end="\r\n"),
            [r"none of the .* lines is \[CLS\]", "line 3 ends in .*mixes two kinds"],
        ),
        (b"", [r"none of the 0 lines is \[PAD\], \[UNK\]"]),
        (lines(*GOOD, *"a" * 25), ["line 13 repeats", "and 15 more"]),
    ],
)
def test_every_problem_is_named_with_its_line(path: Path, data: bytes, words: list[str]) -> None:
    path.write_bytes(data)
    for expected in words:
        with pytest.raises(BadVocabulary, match=f"(?s)vocab.txt is not a WordPiece vocabulary: .*{expected}"):
            Vocabulary.read(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lines(*GOOD, "a" * 1001), "line 13 has 1,001 characters; an entry has at most 1,000"),
        (b"\n" * 1_000_001, "it has 1,000,001 lines; at most 1,000,000 are read"),
        (b"a" * ((16 << 20) + 1), "it has more than 16,777,216 bytes"),
    ],
)
def test_what_costs_more_than_any_vocabulary(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(BadVocabulary, match=f"vocab.txt is not a WordPiece vocabulary: {words}"):
        Vocabulary.read(path)


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(BadVocabulary, match="it is a directory, a pipe or a device, not a file"):
        Vocabulary.read(path)
    with pytest.raises(BadVocabulary, match="No file or directory .*: File name too long"):
        read_tokenizer_source(Path("a" * 300))


def test_special_tokens_of_entries_made_by_hand() -> None:
    with pytest.raises(BadVocabulary, match=r"no \[PAD\], \[CLS\]"):
        _ = Vocabulary(("[UNK]", "[SEP]", "[MASK]")).special_tokens


# -- source -------------------------------------------------------------------------------------------------------


def directory(path: Path, entries: tuple[str, ...] = GOOD, name: str = "vocab.txt", **settings: Any) -> Path:
    (path / name).write_bytes(lines(*entries))
    if settings:
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


CAPITALS = (*GOOD, "Paris")


@pytest.mark.parametrize(
    ("entries", "cased", "settings", "lower_case", "reason"),
    [
        (GOOD, None, {}, True, "BERT's default"),
        (CAPITALS, None, {}, True, "BERT's default; 1 entries hold capitals"),
        (GOOD, True, {"do_lower_case": True}, False, "asked for: cased"),
        (GOOD, False, {"do_lower_case": False}, True, "asked for: uncased"),
        (
            GOOD,
            None,
            {"do_lower_case": True, "tokenizer_class": "BertTokenizer"},
            True,
            "do_lower_case in tokenizer_config",
        ),
        (GOOD, None, {"do_lower_case": False}, True, "do_lower_case=false, but the vocabulary holds no capitals"),
        (CAPITALS, None, {"do_lower_case": False}, False, "do_lower_case=false in"),
        (GOOD, None, {"strip_accents": None, "never_split": None}, True, "BERT's default"),
    ],
)
def test_case_and_its_reason(
    tmp_path: Path,
    entries: tuple[str, ...],
    cased: bool | None,
    settings: dict[str, Any],
    lower_case: bool,
    reason: str,
) -> None:
    config = read_tokenizer_source(directory(tmp_path, entries, **settings), cased=cased)
    assert config.lower_case == lower_case
    assert reason in config.lower_case_reason
    assert config.vocabulary.entries == entries
    names = ["vocab.txt", "tokenizer_config.json"][: 1 + bool(settings)]
    assert [file.name for file in config.files] == names


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    directory(tmp_path, CAPITALS, do_lower_case=False)
    config = read_tokenizer_source(tmp_path / "vocab.txt")
    assert (config.lower_case, config.files) == (True, (tmp_path / "vocab.txt",))


def test_the_only_vocabulary_of_another_name(tmp_path: Path) -> None:
    directory(tmp_path, name="vocab_chinese.txt")
    assert read_tokenizer_source(tmp_path).files == (tmp_path / "vocab_chinese.txt",)
    directory(tmp_path, name="vocab_small.txt")
    with pytest.raises(BadVocabulary, match=r"several vocabularies: vocab_chinese.txt, vocab_small.txt. Give the path"):
        read_tokenizer_source(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenize_chinese_chars": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"unk_token": "<unk>"},
        {"cls_token": {"content": "<s>", "lstrip": False}},
        {"tokenizer_class": "RoFormerTokenizer"},
        {"do_basic_tokenize": False},
        {"never_split": ["[X]"]},
        {"additional_special_tokens": ["<eop>"]},
        {"added_tokens_decoder": {"21128": {"content": "<eod>"}}},
    ],
)
def test_settings_that_would_change_ids_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    key = list(settings)[-1]
    with pytest.raises(Unsupported, match=f"{key}=.*Give the vocab.txt itself"):
        read_tokenizer_source(directory(tmp_path, CAPITALS, **settings))


def test_settings_that_change_nothing_are_accepted(tmp_path: Path) -> None:
    settings = {
        "tokenizer_class": "BertTokenizerFast",
        "strip_accents": True,
        "cls_token": "[CLS]",
        "unk_token": {"content": "[UNK]"},
        "added_tokens_decoder": {"0": {"content": "[PAD]"}},
        "model_max_length": 512,
    }
    assert read_tokenizer_source(directory(tmp_path, **settings)).lower_case


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadVocabulary, match=r"No file or directory .*nowhere. Give a vocab.txt"):
        read_tokenizer_source(tmp_path / "nowhere")
    with pytest.raises(BadVocabulary, match=r"holds no vocab.txt \(it holds nothing\)"):
        read_tokenizer_source(tmp_path)
    (tmp_path / "spiece.model").touch()
    with pytest.raises(ZooError, match=r"it holds spiece.model"):
        read_tokenizer_source(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_class": ["BertTokenizer"]},
        {"never_split": 5},
        {"never_split": [["a"]]},
        {"additional_special_tokens": [[]]},
        {"added_tokens_decoder": ["[PAD]"]},
        {"added_tokens_decoder": {"0": {"content": {}}}},
        {"pad_token": ["a" * 100_000]},
    ],
)
def test_settings_of_another_type_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    directory(tmp_path, **settings)
    with pytest.raises(Unsupported, match="has settings that the original BERT tokenizer lacks") as caught:
        read_tokenizer_source(tmp_path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Cannot read"),
        ("[]", "should hold a JSON object, but holds a list"),
        ("[" * 40_000, "Cannot read .*nested"),
        ('{"a": [' + "1," * 60_000 + "1]}", "Cannot read .*values; at most 50,000"),
    ],
)
def test_broken_settings(tmp_path: Path, text: str, words: str) -> None:
    directory(tmp_path, do_lower_case=True)
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(BadConfig, match=words):
        read_tokenizer_source(tmp_path)
