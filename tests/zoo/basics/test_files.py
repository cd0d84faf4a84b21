"""Files that appear whole: their bytes are on the disk before their name is, wherever the project renames something."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.zoo.small import SmallZoo, fetch
from zoo.archive.pack import pack
from zoo.archive.unpack import unpack
from zoo.basics.files import move_into_place, sync_directory, written_directory, written_file
from zoo.errors import CannotWrite
from zoo.fetching.cache import keep
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.fetching.url_records import remember
from zoo.publishing.publish import publish
from zoo.registry.writing import update_registry
from zoo.transport.download import download
from zoo.transport.http import Version
from zoo.trust.minisign import write_keys

RENAMES = {"rename", "renames", "replace", "move"}


class Disk:
    """Which files were synced, and which names were given to bytes that were not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: set[int] = set()  # inodes
        self.given: list[Path] = []
        self.wrong: list[Path] = []
        self._fsync, self._replace = os.fsync, Path.replace
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(Path, "replace", lambda source, target: self.replace(source, Path(target)))

    def fsync(self, handle: int) -> None:
        self.synced.add(os.fstat(handle).st_ino)
        self._fsync(handle)

    def replace(self, source: Path, target: Path) -> Path:
        for path in [source, *source.rglob("*")]:
            if path.stat().st_ino not in self.synced:
                self.wrong.append(target / path.relative_to(source))
        self.given.append(target)
        self.synced.discard(target.parent.stat().st_ino)
        return self._replace(source, target)

    def check(self, *names: str) -> None:
        """All bytes were synced before their names were given, the names themselves after it; these are among them."""
        assert not self.wrong, self.wrong
        assert {path.name for path in self.given} >= {*names}
        folders = {path.parent for path in self.given if path.parent.is_dir()}
        unsynced = [str(folder) for folder in folders if folder.stat().st_ino not in self.synced]
        assert not unsynced, f"the new names in {unsynced} were not synced"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_file_and_a_directory(disk: Disk, tmp_path: Path) -> None:
    with written_file(tmp_path / "new" / "file") as temporary:
        temporary.write_text("x")
    with written_directory(tmp_path / "directory") as temporary:
        (temporary / "a" / "b").mkdir(parents=True)
        (temporary / "a" / "b" / "deep").write_text("x")
        (temporary / "top").write_text("x")
    disk.check("file", "directory")


WRITERS: dict[str, tuple[Callable[[SmallZoo, Path], object], tuple[str, ...]]] = {
    "an archive": (lambda zoo, out: pack(zoo.archive.parent, out / "x.tar.gz"), ("x.tar.gz",)),
    "an unpacked archive": (lambda zoo, out: unpack(zoo.archive, out / "x"), ("x",)),
    "a download": (lambda zoo, out: download([str(zoo.archive)], out / "x.tar.gz"), ("x.tar.gz",)),
    "the cache": (lambda zoo, out: fetch("small", read_registry(zoo.registry)), ("model",)),
    "the cache of an archive": (lambda zoo, out: resolve(zoo.archive), ("model",)),
    "a registry": (
        lambda zoo, out: update_registry(
            out / "registry.json", read_registry(zoo.registry).models, {Path(zoo.archive): out / "small.tar.gz"}
        ),
        ("registry.json", "registry.schema.json", "small.tar.gz"),
    ),
    "what a URL gave": (
        lambda zoo, out: remember(out / "url-0.json", "http://x/y", "a" * 64, Version()),
        ("url-0.json",),
    ),
    "a published zoo": (lambda zoo, out: publish(zoo.archive.parent, out), ("registry.json", "small.tar.gz")),
}


@pytest.mark.parametrize("what", WRITERS)
def test_whatever_is_renamed_is_on_the_disk(what: str, disk: Disk, small_zoo: SmallZoo, tmp_path: Path) -> None:
    write, names = WRITERS[what]
    (out := tmp_path / "out").mkdir()
    write(small_zoo, out)
    disk.check(*names)


def test_the_cache_replaces_what_is_damaged(disk: Disk, small_zoo: SmallZoo, tmp_path: Path) -> None:
    """A directory that cannot be read to its end is renamed all the same: nobody syncs it."""
    place = resolve(small_zoo.archive)
    (place / "saved_model.pb").write_bytes(b"")
    assert keep(place, "small", small_zoo.archive) == place
    disk.check(place.name)


def test_keys_are_on_the_disk(disk: Disk, tmp_path: Path) -> None:
    for path in write_keys(tmp_path / "release")[:2]:
        assert path.stat().st_ino in disk.synced and tmp_path.stat().st_ino in disk.synced


def test_a_disk_that_has_lost_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(number: int) -> Callable[[int], None]:
        def fsync(handle: int) -> None:
            raise OSError(number, os.strerror(number))

        return fsync

    (tmp_path / "file").write_text("before")
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(CannotWrite, match="Input/output error"), written_file(tmp_path / "file") as temporary:
        temporary.write_text("after")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "before"
    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))  # a file system that has no fsync
    with written_file(tmp_path / "file") as temporary:
        temporary.write_text("after")
    assert (tmp_path / "file").read_text() == "after"


def test_a_directory_that_may_not_be_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "as on Windows")

    monkeypatch.setattr(os, "open", refuse)
    sync_directory(tmp_path)


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    is_directory = pytest.raises(CannotWrite, match="A directory is where a file should be: remove it")
    with is_directory, written_file(tmp_path / "directory") as temporary:
        temporary.write_text("x")
    (tmp_path / "file").write_text("x")
    is_file = pytest.raises(CannotWrite, match=r"(Not a directory|File exists).*: remove it or choose another place")
    with is_file, written_file(tmp_path / "file" / "x" / "y") as temporary:
        temporary.write_text("x")


def renames(path: Path) -> list[str]:
    """Return the places where a file calls os.rename, Path.replace and the like."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RENAMES:
            is_text = node.func.attr == "replace" and len(node.args) in (2, 3) and not _is_os(node.func.value)
            if not is_text and node.args:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def _is_os(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("os", "shutil")


def test_nobody_else_renames() -> None:
    packages = ("zoo", "export", "tokenizer", "scripts", "benchmarks")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(renames(ROOT / "zoo" / "basics" / "files.py")) == 2, "move_into_place and set_aside"
    found = [place for path in paths if path != ROOT / "zoo" / "basics" / "files.py" for place in renames(path)]
    assert not found, "call zoo.basics.files.move_into_place, or set_aside for what is to be removed"


def test_a_move_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move_into_place(tmp_path / "nothing", tmp_path / "something")
