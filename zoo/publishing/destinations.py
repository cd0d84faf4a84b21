"""Where a zoo is published: a place that fsspec reaches, or a local directory. Knows files by name, and no registries.

A directory does not go through fsspec, for two reasons. It has to work where the extra `publish` is not installed. And
fsspec renames a file before its bytes are on the disk: after a power cut, the name could stand for an empty file.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from zoo.basics.extras import imported
from zoo.basics.files import real_path, unique_beside, written_file
from zoo.basics.urls import local_path, shown
from zoo.errors import CannotWrite, ZooError, first_line

Advance = Callable[[int], object]

_CHUNK = 1 << 20
_LEFT = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
# In these stores an object appears when it is complete, and to rename an object is to copy it.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci"}


def open_target(destination: str | Path) -> Target:
    """Return the place that a path, file URL or any URL of fsspec means: `open_target("s3://bucket/zoo")`.

    Raises ZooError when fsspec or its part for that kind of URL is not installed, or cannot write there.
    """
    place = str(destination)
    scheme = urlsplit(place).scheme if "://" in place else ""
    if scheme in ("http", "https"):
        raise ZooError(f"{shown(place)} cannot be written to: HTTP only reads. Give a directory, s3://…, sftp://…")
    if scheme in ("", "file"):
        return _Directory(local_path(place) or Path(place))
    return Target(place)


class Target:
    """A place that fsspec reaches. Names of files are relative to the place, with slashes: "cards/albert_tiny.json".

    Any error of a file system is raised as CannotWrite, which names the place and the next move.
    """

    is_far = True  # to read a file back is to download it

    def __init__(self, url: str) -> None:
        self.place = shown(url)
        with self._told("open"):
            self._files, root = _fsspec(url).core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._moves = urlsplit(url).scheme not in _WHOLE

    def is_in(self, directory: Path) -> bool:
        """Return True if this place is `directory` or lies below it."""
        return False

    def size(self, name: str) -> int | None:
        """Return the number of bytes of a file, None if there is no such file."""
        with self._told(f"look for {name}"):
            self._files.invalidate_cache()
            try:
                facts = self._files.info(self._at(name))
            except FileNotFoundError:
                return None
            return None if facts["type"] == "directory" else int(facts["size"])

    def sha256(self, name: str) -> str:
        """Return the sha256 of a file, read back."""
        digest = hashlib.sha256()
        with self._told(f"read {name}"), self._open(name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a small file, None if there is no such file."""
        with self._told(f"read {name}"):
            try:
                with self._open(name) as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def write(self, source: Path, name: str, advance: Advance) -> None:
        """Copy `source` to `name`. The name appears, or changes what it stands for, when the copy is complete.

        After each part, `advance` is called with the number of bytes of that part.
        """
        sent, target = 0, self._at(name)
        folder, _, last = target.rpartition("/")
        goes_to = f"{folder}/{unique_beside(Path(last)).name}" if self._moves else target

        def sent_so_far(_: object, value: int) -> None:
            nonlocal sent
            advance(value - sent)
            sent = value

        callback = importlib.import_module("fsspec.callbacks").Callback(hooks={"advance": sent_so_far})
        with self._told(f"write {name}"):
            if self._moves:  # the stores of _WHOLE have no directories
                self._files.makedirs(folder, exist_ok=True)
            try:
                self._files.put_file(str(source), goes_to, callback=callback)
                sent_so_far(None, source.stat().st_size)  # some file systems never call back
                if self._moves:
                    self._files.mv(goes_to, target)
            except BaseException:
                if self._moves:
                    with suppress(Exception):
                        self._files.rm_file(goes_to)
                raise

    def tidy(self, names: Iterable[str]) -> None:
        """Remove the temporary files that killed runs have left beside these names."""
        for folder in {self._at(name).rpartition("/")[0] for name in names} if self._moves else ():
            with self._told("look for temporary files of killed runs"), suppress(FileNotFoundError):
                for path in self._files.ls(folder, detail=False):
                    if _LEFT.fullmatch(str(path).rpartition("/")[2]):
                        self._files.rm_file(path)

    def _open(self, name: str) -> BinaryIO:
        file: BinaryIO = self._files.open(self._at(name), "rb")
        return file

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Raise any error of the block as CannotWrite: "PLACE: could not WHAT: …"."""
        try:
            yield
        except ZooError:
            raise
        except ImportError as error:
            raise ZooError(f"{self.place} needs a package that is not installed: {error}") from error
        except Exception as error:  # paramiko's, botocore's, …
            raise CannotWrite(
                f"{self.place}: could not {what}: {shown(first_line(error))}. Files that have arrived stay; run again "
                "to go on."
            ) from error


class _Directory(Target):
    """A local directory. See the head of this file for why it overrides what would go through fsspec."""

    is_far = False

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise CannotWrite(f"{root} is not a directory. Choose another place.")
        self.place, self._path = str(root), root

    def is_in(self, directory: Path) -> bool:
        return real_path(self._path).is_relative_to(real_path(directory))

    def size(self, name: str) -> int | None:
        path = self._path / name
        return path.stat().st_size if path.is_file() else None

    def write(self, source: Path, name: str, advance: Advance) -> None:
        with written_file(self._path / name) as temporary, source.open("rb") as old, temporary.open("xb") as new:
            while chunk := old.read(_CHUNK):
                new.write(chunk)
                advance(len(chunk))

    def tidy(self, names: Iterable[str]) -> None:
        for folder in {(self._path / name).parent for name in names}:
            for path in folder.glob(".*.tmp"):
                if _LEFT.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def _open(self, name: str) -> BinaryIO:
        return (self._path / name).open("rb")


def _fsspec(url: str) -> Any:
    advice = " Install also the package that fsspec names for such a URL. A directory needs neither."
    return imported("fsspec", shown(url), "publish", "fsspec", advice)
