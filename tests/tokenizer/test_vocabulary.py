"""Reading a vocab.txt: every rule that files need, and the problems that are named."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tokenizer.source import read_tokenizer_source
from tokenizer.vocabulary import Vocabulary, ids_in_transformers
from zoo.errors import BadVocabulary

GOOD = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2028", "##\u2028", " ", "a", "##a", "中\u0085x", "<S>")


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
        (lines("[PAD]", "a", "[MASK]"), [r"none of the 3 entries is \[UNK\], \[CLS\], \[SEP\]"]),
        (lines(*GOOD) + b"b\n\xff\xfe\n", [r"line 14 is not UTF-8 \(byte 0xff at position 0\)"]),
        (lines(*GOOD) + b"a\xff\nc\xe4\n", ["line 13 is not UTF-8", "line 14 is not UTF-8"]),
        (b"", [r"none of the 0 entries is \[PAD\], \[UNK\]"]),
        (lines("<pad>", "<unk>", "a"), [r"is \[PAD\].*it has <pad>, <unk>; a tokenizer_config.json"]),
        (lines(*(f"{entry}\t7" for entry in GOOD)), [r"not the ids 0 to 11 \(the first is 7\).*cut -f1 FILE"]),
        (b"\xff\xfea", ["begins with the mark of UTF-16"]),
        (lines(*GOOD) + b"\xff\n" * 25, ["line 13 is not", "and 15 more"]),
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


# -- rules of a file, each with its note ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "entries", "note"),
    [
        (lines(*GOOD, "x", "a", "y"), {8: "[no token 8]", 13: "a"}, r"repeats 'a' \(8 and 13\): the last line counts"),
        (lines("[CLS]", *GOOD), {0: "[no token 0]", 3: "[CLS]"}, "no text reaches id 0"),
        (lines(*GOOD, "", "b"), {12: "[no token 12]", 13: "b"}, "no token for id 12"),
        (lines(*GOOD, "[no token 13]", ""), {12: "[no token 13]"}, "blank lines .* are left out: 1"),
        (lines(*GOOD, "[no token 13]", "", "b"), {13: "[no token 13] ", 14: "b"}, "no token for id 13"),
        (lines(*GOOD) + b"\n\n", {11: "<S>"}, "blank lines at the vocabulary's end are left out: 2"),
        (lines(*GOOD, "b ", "\tc\u2029"), {12: "b", 13: "c"}, "white space around 2 .*'b', 'c'"),
        (lines("[PAD] ", *GOOD[1:]), {0: "[PAD]"}, "as in the original BERT; transformers keeps it"),
        (b"\xef\xbb\xbf" + lines(*GOOD), {0: "[PAD]"}, "the byte order mark"),
        (lines(*GOOD).decode().encode("utf-16"), {0: "[PAD]", 11: "<S>"}, "stored in UTF-16"),
        (lines(*GOOD).decode().encode("utf-16-be").join([b"\xfe\xff", b""]), {11: "<S>"}, "stored in UTF-16"),
        (lines(*GOOD[:2]) + lines(*GOOD[2:], end="\r\n"), {2: "[CLS]", 11: "<S>"}, None),
        (lines(*(f"{entry}\t{n}" for n, entry in enumerate(GOOD))), {5: "\u2028", 11: "<S>"}, "states its id"),
        (lines(*(f"{entry}\t{n}" for n, entry in reversed([*enumerate(GOOD)]))), {0: "[PAD]"}, "states its id"),
        (lines(*GOOD, "b\t13"), {12: "b\t13"}, None),
        (lines(*GOOD[:4], *GOOD[5:]), {4: "\u2028"}, r"has no \[MASK\]"),
    ],
)
def test_rules_and_their_notes(path: Path, data: bytes, entries: dict[int, str], note: str | None) -> None:
    path.write_bytes(data)
    vocabulary = Vocabulary.read(path)
    assert {number: vocabulary.entries[number] for number in entries} == entries
    assert len(set(vocabulary.entries)) == len(vocabulary)
    if note is None:
        assert vocabulary.notes == ()
    else:
        assert re.search(note, "; ".join(vocabulary.notes))


def test_special_tokens_of_other_spellings(path: Path) -> None:
    path.write_bytes(lines("<s>", "<pad>", "</s>", "<unk>", "a"))
    names = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    vocabulary = Vocabulary.read(path, names)
    assert vocabulary.special_tokens == {"[PAD]": 1, "[UNK]": 3, "[CLS]": 0, "[SEP]": 2}
    assert not vocabulary.has_mask
    assert vocabulary.with_added({"<mask>": 6}).special_tokens["[MASK]"] == 6
    assert vocabulary.with_added({"<mask>": 6}).entries[4:] == ("a", "[no token 5]", "<mask>")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ({"a": 1, "b": 1}, "'a' and 'b' both have the id 1"),
        ({"a": -1, "b": "2", "c": 2_000_000}, "'a' has the id -1.*'b' has the id '2'.*'c' has the id 2000000"),
        ({"a": 5}, r"none of the 6 entries is \[PAD\]"),
    ],
)
def test_problems_of_ids(path: Path, ids: dict[str, Any], words: str) -> None:
    with pytest.raises(BadVocabulary, match=words):
        Vocabulary.of_ids(ids, path)


def test_ids_as_transformers_counts_them(path: Path) -> None:
    path.write_bytes(lines("a", "b ", "a", "", "c") + b"\n")
    assert ids_in_transformers(path) == {"a": 2, "b ": 1, "": 5, "c": 4}
