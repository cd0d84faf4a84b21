"""Every load notices files that were edited; unpacked models are read-only, and `zoo cache clean` removes them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.small import SmallZoo, fetch
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import EncoderCard, parse_card, read_card
from zoo.archive.permissions import make_writable
from zoo.command import main
from zoo.errors import BadArchive, DamagedArchive
from zoo.fetching.cache import remove
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.loading.load import find_model
from zoo.model import Model

FILES = ("saved_model.pb", "variables/variables.data-00000-of-00001")
IDS = {"input_word_ids": [[2, 5, 3]]}


def edit(path: Path) -> None:
    """Change a byte in the middle; size and time stay."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def unpacked(toy_zoo: ToyZoo, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_zoo.unpacked("toy"), tmp_path / "toy"))


def text_encoder(place: Path, toy_zoo: ToyZoo) -> Any:
    return zoo.TextEncoder(place, toy_zoo.unpacked("toy_tokenizer"))


WAYS: dict[str, Callable[[Path, ToyZoo], Any]] = {
    "load": lambda place, _: zoo.load(place),
    "load_model": lambda place, _: zoo.load_model(place),
    "KerasLayer": lambda place, _: zoo.KerasLayer(place),
    "TextEncoder": text_encoder,
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("way", WAYS)
def test_no_way_in_takes_a_file_that_was_edited(way: str, file: str, unpacked: Path, toy_zoo: ToyZoo) -> None:
    edit(unpacked / file)
    with pytest.raises(DamagedArchive, match=rf"toy in .*{file} is sha256 .{{12}}…, but the card says"):
        WAYS[way](unpacked, toy_zoo)


def test_what_is_not_weights_is_compared_before_tensorflow_sees_it(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("tensorflow.saved_model.load", refuse)
    edit(unpacked / "assets.extra" / "golden.npz")
    with pytest.raises(DamagedArchive, match=r"golden\.npz"):
        zoo.load(unpacked)


@pytest.mark.parametrize("file", FILES)
def test_an_edited_file_of_the_cache_is_fetched_again(
    file: str, toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ZOO_REGISTRY", str(toy_zoo.registry))
    expected = zoo.load("toy")(IDS)["pooled_output"].numpy()
    place = zoo.path("toy")
    whole = (place / file).read_bytes()
    edit(place / file)
    np.testing.assert_array_equal(zoo.load("toy")(IDS)["pooled_output"].numpy(), expected)
    assert (place / file).read_bytes() == whole
    assert f"{file} is sha256" in caplog.text and "Fetching toy again" in caplog.text


def test_an_edited_file_without_its_source_is_told(
    toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copy(toy_zoo.archive(), tmp_path / "toy.tar.gz"))
    place = resolve(copy)
    edit(place / FILES[0])
    with pytest.raises(BadArchive, match=r"saved_model\.pb is sha256"):
        zoo.load(place)
    assert zoo.load_model(copy).card.name == "toy"  # the archive mends it


def test_cards_of_the_first_exporters_are_read(toy_zoo: ToyZoo) -> None:
    """They named the parts of a variable without their widths, which were equal ones."""
    text = json.loads((toy_zoo.unpacked("toy") / "assets.extra" / "card.json").read_text(encoding="utf-8"))
    name = "bert/encoder/layer_0/attention/self/query_key_value/kernel"
    assert len(text["variables"][name]) == 3
    text["variables"] = {name: [part for part, _ in text["variables"][name]]}
    card = parse_card(json.dumps(text).encode(), "card.json")
    assert isinstance(card, EncoderCard) and [width for _, width in card.variables[name]] == [None] * 3

    class Variable:
        def __init__(self) -> None:
            self.name = f"{name}:0"

        def numpy(self) -> np.ndarray:
            return np.arange(12.0).reshape(2, 6)

    class Loaded:
        variables = (Variable(),)

    found = Model(card.model_copy(update={"exported_heads": []}), Path(), Loaded()).checkpoint_variables()
    np.testing.assert_array_equal(next(iter(found.values())), [[0, 1], [6, 7]])


# -- read-only --------------------------------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Give a directory of its own to somebody whom permissions stop; root writes where it wants."""
    with tempfile.TemporaryDirectory() as place:
        if os.geteuid() != 0:
            yield Path(place)
            return
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
        try:
            yield Path(place)
        finally:
            os.seteuid(0)


def writable(directory: Path) -> list[str]:
    paths = [directory, *directory.rglob("*")]
    return [str(path) for path in paths if path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)]


@pytest.mark.skipif(os.name == "nt", reason="rights of directories are POSIX")
def test_unpacked_models_are_read_only_and_can_be_replaced_and_removed(
    small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, archive = read_registry(small_zoo.registry), small_zoo.archive.read_bytes()
    with as_nobody() as place:
        (place / "small.tar.gz").write_bytes(archive)
        cache = place / "cache"
        monkeypatch.setenv("ZOO_CACHE", str(cache))
        entry = registry.models["small"]
        own = entry.archive.model_copy(update={"urls": [(place / "small.tar.gz").as_uri()]})  # type: ignore[union-attr]
        registry = registry.model_copy(update={"models": {"small": entry.model_copy(update={"archive": own})}})
        found = fetch("small", registry)
        assert writable(found) == []
        with pytest.raises(PermissionError):
            (found / "saved_model.pb").write_bytes(b"")
        with pytest.raises(PermissionError):
            (found / "new").touch()
        make_writable(found)
        (found / "saved_model.pb").unlink()
        assert fetch("small", registry) == found  # it was damaged: replaced
        assert (found / "saved_model.pb").is_file() and writable(found) == []
        assert remove(found) and not found.exists()
        assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


def test_zoo_cache_clean_removes_what_is_read_only(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fetch("small", read_registry(small_zoo.registry))
    assert writable(found) == [] and read_card(found).name == "small"
    assert main(["cache", "clean", "small"]) == 0
    assert "removed small" in capsys.readouterr().out and not found.exists()
    assert [path for path in cache_directory().iterdir() if path.is_dir()] == []


def test_a_directory_that_is_found_has_files_of_the_right_size(unpacked: Path) -> None:
    """Also for those who load nothing, such as a search for the tokenizer of an encoder."""
    assert find_model(unpacked)[0] == unpacked
    (unpacked / "saved_model.pb").chmod(0o644)
    with (unpacked / "saved_model.pb").open("ab") as file:
        file.write(b"!")
    with pytest.raises(DamagedArchive, match="saved_model.pb missing or of another size"):
        find_model(unpacked)
