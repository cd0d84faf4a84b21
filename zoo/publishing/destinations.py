"""Where a zoo is published: a directory, or what fsspec reaches. Files by name; knows nothing of registries."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

from zoo.archive.digests import sha256_of
from zoo.basics.files import unique_beside, written_file
from zoo.basics.urls import local_path, shown
from zoo.errors import CannotWrite, ZooError, first_line

Advance = Callable[[int], object]

_CHUNK = 1 << 20
_LEFT = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
# Stores where an object appears when it is complete; to move one there is to copy it.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci"}


class Target(Protocol):
    """A place to publish to. Names are relative, with slashes."""

    place: str
    is_far: bool

    def is_in(self, directory: Path) -> bool:
        """True when this is that directory or lies below it."""

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, None when there is none."""

    def sha256(self, name: str) -> str:
        """Return the digest of a file, read back."""

    def read(self, name: str) -> bytes | None:
        """Return a small file, None when there is none."""

    def write(self, source: Path, name: str, advance: Advance) -> None:
        """Put a file there, in place of what there is; it appears when it is complete. Raises CannotWrite."""

    def tidy(self, names: Iterable[str]) -> None:
        """Remove what killed runs have left beside these names."""


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
    return _Remote(place)


class _Directory:
    is_far = False

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise CannotWrite(f"{root} is not a directory. Choose another place.")
        self.place, self._root = str(root), root

    def is_in(self, directory: Path) -> bool:
        return self._root.resolve().is_relative_to(directory.resolve())

    def size(self, name: str) -> int | None:
        path = self._root / name
        return path.stat().st_size if path.is_file() else None

    def sha256(self, name: str) -> str:
        return sha256_of(self._root / name)

    def read(self, name: str) -> bytes | None:
        path = self._root / name
        return path.read_bytes() if path.is_file() else None

    def write(self, source: Path, name: str, advance: Advance) -> None:
        with written_file(self._root / name) as temporary, source.open("rb") as old, temporary.open("xb") as new:
            while chunk := old.read(_CHUNK):
                new.write(chunk)
                advance(len(chunk))

    def tidy(self, names: Iterable[str]) -> None:
        for folder in {(self._root / name).parent for name in names}:
            for path in folder.glob(".*.tmp"):
                if _LEFT.fullmatch(path.name):
                    path.unlink(missing_ok=True)


class _Remote:
    is_far = True

    def __init__(self, url: str) -> None:
        self.place = shown(url)
        with _told(self.place, "open"):
            self._files, root = _fsspec(url).core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._moves = urlsplit(url).scheme not in _WHOLE

    def is_in(self, directory: Path) -> bool:
        return False

    def size(self, name: str) -> int | None:
        with _told(self.place, f"look for {name}"):
            self._files.invalidate_cache()
            try:
                facts = self._files.info(self._at(name))
            except FileNotFoundError:
                return None
            return None if facts["type"] == "directory" else int(facts["size"])

    def sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        with _told(self.place, f"read {name}"), self._files.open(self._at(name), "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def read(self, name: str) -> bytes | None:
        with _told(self.place, f"read {name}"):
            try:
                return bytes(self._files.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    def write(self, source: Path, name: str, advance: Advance) -> None:
        target = self._at(name)
        beside = target.rpartition("/")[0] + "/" + unique_beside(Path(PurePosixPath(name).name)).name
        goes_to = beside if self._moves else target
        callback = _callback(advance)
        with _told(self.place, f"write {name}"):
            if self._moves:  # the others have no directories
                self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                self._files.put_file(str(source), goes_to, callback=callback)
                advance(source.stat().st_size - callback.sent)  # some never say how far they are
                if self._moves:
                    self._files.mv(beside, target)
            except BaseException:
                if self._moves:
                    with suppress(Exception):
                        self._files.rm_file(beside)
                raise

    def tidy(self, names: Iterable[str]) -> None:
        if not self._moves:
            return
        for folder in {self._at(name).rpartition("/")[0] for name in names}:
            with _told(self.place, "look for what killed runs have left"), suppress(FileNotFoundError):
                for path in self._files.ls(folder, detail=False):
                    if _LEFT.fullmatch(str(path).rpartition("/")[2]):
                        self._files.rm_file(path)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def _fsspec(url: str) -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise ZooError(
            f"{shown(url)} needs the extra 'publish': `pip install fsspec`, and the package that it names for such "
            "places. A directory needs neither."
        ) from error


def _callback(advance: Advance) -> Any:
    """Return fsspec's way to say how far it is."""
    base = importlib.import_module("fsspec.callbacks").Callback

    class Progress(base):  # type: ignore[misc, valid-type]
        sent = 0

        def relative_update(self, inc: int = 1) -> None:
            self.sent += inc
            advance(inc)

    return Progress()


@contextmanager
def _told(place: str, what: str) -> Iterator[None]:
    """Turn whatever a file system of fsspec raises into an error with the place and the next move."""
    try:
        yield
    except ZooError:
        raise
    except ImportError as error:
        raise ZooError(f"{place} needs a package that is not installed: {error}") from error
    except Exception as error:  # paramiko's, botocore's, …
        raise CannotWrite(
            f"{place}: could not {what}: {shown(first_line(error))}. What has arrived stays; run again to go on."
        ) from error
