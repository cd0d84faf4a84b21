"""Small files that cost more than they say: cards, and whatever else is JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.zoo.small import make_tokenizer_card
from zoo.archive.card import parse_card, read_card, write_card
from zoo.basics.untrusted import BadInput, check_cost, parse_json, read_small
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive


def test_a_small_file_is_read_and_a_large_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_small(file, 5) == b"12345"
    with pytest.raises(BadInput, match="it has more than 4 bytes, too many for a file of this kind"):
        read_small(file, 4)
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "none", 4)
    (tmp_path / "link").symlink_to(file)
    assert read_small(tmp_path / "link", 5) == b"12345"


def test_pipes_devices_and_directories_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(BadInput, match="it is a directory, a pipe or a device, not a file"):
            read_small(path, 10)


@pytest.mark.parametrize("text", ['{"a": [1, 2, {"b": null}]}', "[]", "3", '"a,b:c[d{e"'])
def test_json_is_what_json_says(text: str) -> None:
    assert parse_json(text.encode(), 20) == json.loads(text)


@pytest.mark.parametrize("value", [[1] * 50, [[]] * 50, {str(i): i for i in range(50)}, [[[1] * 10] * 10]])
def test_values_are_counted_before_anything_is_parsed(value: object) -> None:
    text = json.dumps(value).encode()
    with pytest.raises(BadInput, match="it may hold [0-9]+ values; at most 40 are read"):
        check_cost(text, 40)
    with pytest.raises(BadInput):
        parse_json(text[:-1] + b"?", 40)


@pytest.mark.parametrize("text", ["[" * 33 + "]" * 33, '{"a":' * 40 + "1" + "}" * 40, "[" * 100_000])
def test_lists_within_lists(text: str) -> None:
    with pytest.raises(BadInput, match="nested"):
        parse_json(text.encode(), 1_000_000)
    assert parse_json(b"[" * 32 + b"]" * 32, 1000)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"9" * 5000, b"{'a': 1}"])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text, 1000)


@pytest.mark.parametrize("text", [r'{"\ud800": 1}', r'["\uDFFF"]', r'["\ude00\ud83d"]'])
def test_half_of_a_character_is_refused_where_it_is_read(text: str) -> None:
    """Nothing can be written with it: the error would come when the card of a finished export is written."""
    with pytest.raises(BadInput, match="half of a character"):
        parse_json(text.encode(), 1000)
    assert parse_json(rb'["\ud83d\ude00", "\\ud800"]', 1000) == ["\U0001f600", "\\ud800"]


# -- cards ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_card(make_tokenizer_card(tmp_path), tmp_path)
    return tmp_path


def change(archive: Path, **values: object) -> None:
    file = archive / CARD_FILE
    file.write_text(json.dumps(json.loads(file.read_bytes()) | values), encoding="utf-8")


def test_a_card_of_many_megabytes(archive: Path) -> None:
    """Packed it has 472 KiB; as objects of pydantic it takes 2.5 GiB."""
    assert read_card(archive).name == "small"
    change(archive, files={f"{i:x}": {"sha256": "a" * 64, "size": 1} for i in range(100_000)})
    with pytest.raises(BadArchive, match=r"card.json does not follow .*: it has more than 2,097,152 bytes"):
        read_card(archive)
    with pytest.raises(BadArchive, match=r"given does not follow the card format: it has [\d,]+ bytes, more than"):
        parse_card((archive / CARD_FILE).read_bytes(), "given")


@pytest.mark.parametrize("many", [[0] * 200_000, [[]] * 200_000, {f"{i:x}": 1 for i in range(60_000)}])
def test_a_card_of_many_values(many: object, archive: Path) -> None:
    change(archive, certificate=many)
    with pytest.raises(BadArchive, match=r"it may hold [\d,]+ values; at most 100,000 are read"):
        read_card(archive)


def test_of_many_problems_some_are_told(archive: Path) -> None:
    change(archive, certificate=[0] * 50_000, name=3)
    with pytest.raises(BadArchive, match=r": name: Input should be .*; and 49996 more") as caught:
        read_card(archive)
    assert len(str(caught.value)) < 1000


def test_a_card_that_is_no_file(archive: Path) -> None:
    (archive / CARD_FILE).unlink()
    os.mkfifo(archive / CARD_FILE)
    with pytest.raises(BadArchive, match="it is a directory, a pipe or a device"):
        read_card(archive)
    (archive / CARD_FILE).unlink()
    (archive / CARD_FILE).mkdir()
    with pytest.raises(BadArchive, match="it is a directory, a pipe or a device"):
        read_card(archive)
    (archive / CARD_FILE).rmdir()
    (archive / CARD_FILE).parent.rmdir()
    (archive / CARD_FILE).parent.write_text("a file in place of the directory")
    with pytest.raises(BadArchive, match="has no assets.extra/card.json: not an archive of this zoo"):
        read_card(archive)
