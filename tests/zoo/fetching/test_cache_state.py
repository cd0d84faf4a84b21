"""A cache whose files are not what they should be: repaired by the next fetch, or named with the next move."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.localserver import LocalServer, Reply
from tests.zoo.small import SmallZoo, fetch
from zoo.command import main
from zoo.contract import CARD_FILE
from zoo.errors import CannotWrite, ZooError
from zoo.fetching.cache import damage, kept, leftovers
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.fetching.url_records import record_of

Change = Callable[[Path], object]


def file_in_place(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(b"")


def directory_in_place(path: Path) -> None:
    path.unlink(missing_ok=True)
    (path / "x").mkdir(parents=True)


def link_to_nothing(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to(path.with_name("nothing"))


def part(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


# what is there in place of a whole directory D; the next fetch makes D whole
REPAIRED: dict[str, Change] = {
    "D is a file": file_in_place,
    "D is a link to nothing": link_to_nothing,
    "D has a directory as card": lambda place: directory_in_place(place / CARD_FILE),
    "D has an empty card": lambda place: (place / CARD_FILE).write_bytes(b""),
    "D has a file for assets.extra": lambda place: file_in_place(place / "assets.extra"),
    "D has a directory as graph": lambda place: directory_in_place(place / "saved_model.pb"),
    ".D.part is a file": lambda place: (shutil.rmtree(place), file_in_place(part(place))),
    ".D.part is a link": lambda place: (shutil.rmtree(place), part(place).symlink_to(place.with_name("nothing"))),
    ".D.part holds a directory": lambda place: (
        shutil.rmtree(place),
        directory_in_place(part(place) / "small.tar.gz"),
    ),
}


@pytest.mark.parametrize("what", REPAIRED)
def test_the_next_fetch_repairs(what: str, small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    registry = read_registry(small_zoo.registry)
    place = fetch("small", registry)
    REPAIRED[what](place)
    assert main(["cache", "list"]) == 0 and main(["cache", "list", "--json"]) == 0
    assert fetch("small", registry) == place
    assert damage(place, thorough=True) is None and not place.is_symlink()
    assert [path.name for path in cache_directory().iterdir() if not path.name.endswith(".lock")] == [place.name]


@pytest.mark.parametrize("what", ["D is a file", "D is a link to nothing"])
def test_what_is_no_directory_is_a_leftover(what: str, small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    place = fetch("small", read_registry(small_zoo.registry))
    REPAIRED[what](place)
    assert not kept(cache_directory()) and leftovers(cache_directory()) == [place]
    assert main(["cache", "clean"]) == 0 and f"removed leftover, 0 B: {place}" in capsys.readouterr().out
    assert not os.path.lexists(place)


def test_a_link_in_the_cache_is_removed_and_what_it_leads_to_is_not(small_zoo: SmallZoo, tmp_path: Path) -> None:
    place = fetch("small", read_registry(small_zoo.registry))
    shutil.move(place, tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert main(["cache", "clean", "--all"]) == 0
    assert not os.path.lexists(place) and damage(tmp_path / "elsewhere") is None
    assert not [path for path in cache_directory().iterdir() if path.name.endswith("tmp")]


def test_the_lock_is_a_directory(small_zoo: SmallZoo) -> None:
    place = cache_directory() / small_zoo.digest.sha256
    (lock := place.with_name(f".{place.name}.lock")).mkdir(parents=True)
    with pytest.raises(CannotWrite, match=rf"\.{place.name}\.lock.*: remove it or choose another place"):
        fetch("small", read_registry(small_zoo.registry))
    assert lock.is_dir() and not place.exists()


# -- ZOO_CACHE --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "below"])
def test_the_cache_is_a_file(
    below: str,
    small_zoo: SmallZoo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / below))
    for words in (
        ["cache", "list"],
        ["cache", "list", "--json"],
        ["cache", "verify"],
        ["cache", "clean", "--all"],
        ["fetch", "small", "--registry", str(small_zoo.registry)],
        ["fetch", str(small_zoo.archive)],
    ):
        assert main(words) == 2, words
        err = capsys.readouterr().err
        assert f"{tmp_path / 'file'} is a file" in err and "ZOO_CACHE" in err and "zoo: CannotWrite: " in err, err
    assert (tmp_path / "file").read_text() == "mine"


def test_the_home_of_nobody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZOO_CACHE", "~nobody-of-that-name/cache")
    assert main(["cache", "list"]) == 2
    assert "ZOO_CACHE=~nobody-of-that-name/cache: there is no such home directory" in capsys.readouterr().err


# -- what a URL gave ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.write_bytes(b""),
        lambda record: record.write_bytes(b"[]"),
        lambda record: record.write_bytes(b"[" * 100_000),
        lambda record: record.write_bytes(record.read_bytes()[:-9]),
        lambda record: record.write_bytes(b"\xff\xfe"),
        lambda record: _rewrite(record, sha256="../../x"),
        lambda record: _rewrite(record, sha256=".."),
        lambda record: _rewrite(record, sha256=""),
        lambda record: _rewrite(record, sha256="/etc"),
        lambda record: _rewrite(record, sha256="a\0b"),
        lambda record: _rewrite(record, sha256="0" * 64),
        lambda record: _rewrite(record, sha256=["x"]),
        lambda record: _rewrite(record, etag=3),
        lambda record: _rewrite(record, etag='"x"\r\nHost: other'),
        lambda record: _rewrite(record, modified="你好"),
    ],
)
def test_an_odd_record_of_a_url_is_none(change: Change, server: LocalServer, small_zoo: SmallZoo) -> None:
    url = server.serve("/small.tar.gz", *[Reply(small_zoo.archive.read_bytes(), headers={"ETag": '"1"'})] * 3)
    place = resolve(url)
    record = record_of(url, cache_directory())
    right = record.read_bytes()
    change(record)
    assert leftovers(cache_directory()) in ([], [record])  # and nothing is raised
    assert resolve(url) == place and record.read_bytes() == right
    change(record)
    shutil.rmtree(place)
    assert resolve(url) == place and damage(place) is None


def _rewrite(record: Path, **changes: object) -> None:
    record.write_text(json.dumps({**json.loads(record.read_bytes()), **changes}))


def test_a_record_that_is_a_directory(server: LocalServer, small_zoo: SmallZoo) -> None:
    url = server.serve("/small.tar.gz", *[Reply(small_zoo.archive.read_bytes())] * 2)
    record = record_of(url, cache_directory())
    record.mkdir(parents=True)
    with pytest.raises(CannotWrite, match=rf"{record.name}.* A directory is where a file should be: remove it"):
        resolve(url)
    assert leftovers(cache_directory()) == [record] and main(["cache", "clean"]) == 0
    assert damage(resolve(url)) is None


def test_errors_are_ours(small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the cache may not be read."""

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    place = fetch("small", read_registry(small_zoo.registry))
    monkeypatch.setattr("zoo.archive.card.read_small", refuse)
    assert isinstance(damage(place), ZooError) and "Permission denied" in str(damage(place))
