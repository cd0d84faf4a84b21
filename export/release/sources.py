"""From the sources of a row to a checkpoint on this disk: found in a folder, else downloaded into a lasting cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from export.release.fetching import fetch_file, fetch_repository
from export.release.hubs import advised, at, pinned
from export.release.pypi import fetch_wheel
from export.release.upstream import compared, known_revision
from zoo.archive.card import to_json
from zoo.archive.digests import sha256_of
from zoo.archive.kinds import KINDS
from zoo.basics.locks import delete
from zoo.basics.urls import file_name, shown
from zoo.errors import BadCheckpoint, DigestMismatch, DownloadFailed, MissingExtra
from zoo.fetching.places import cache_directory
from zoo.registry.entry import Entry, HubSource, NoteSource, PyPISource, RemoteSource, Source, UrlSource
from zoo.registry.recipes import ARCHIVES

_OF_A_TOKENIZER = re.compile(
    r"(.*/)?(vocab.*\.txt|tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|config\.json)"
)
BY_NAME = NoteSource(kind="note", text="the folder of sources, under the model's own name")


@dataclass(frozen=True)
class Found:
    """A checkpoint on this disk, and the source of the row that it was found for: its options count for the export."""

    path: Path
    source: Source
    said: str  # for the report: "hfl/rbt3 at main", "local rbt3.zip"; without directories of this machine

    def read(self) -> Inputs:
        """Return the checkpoint with the digests of its files."""
        return Inputs(self.path, self.source, self.said, digests(self.path))


@dataclass(frozen=True)
class Inputs:
    """A checkpoint that is ready to be read. `files` has the digest of each file, or of the archive if it is packed."""

    path: Path
    source: Source
    said: str
    files: Mapping[str, str]

    def sha256(self, vocabulary: bool = False) -> str:
        """Return one digest of all files; with `vocabulary`, only of those that a tokenizer is made from."""
        part = {name: digest for name, digest in self.files.items() if vocabulary and _OF_A_TOKENIZER.fullmatch(name)}
        return hashlib.sha256(to_json(part or dict(self.files)).encode()).hexdigest()


def _silent(said: str, size: int | None) -> None:
    """Announce nothing. (A function with a name: a shelf is sent to other processes.)"""


@dataclass(frozen=True)
class Shelf:
    """Where checkpoints are looked for: in `folder`, which a person filled, and in `cache`, which keeps downloads.

    The files of a source have to be those that it sent first, see `export.release.upstream`. `announce` is called
    before a download with the source in words and the bytes to come, None if nobody knows.
    """

    folder: Path | None = None
    cache: Path | None = None
    announce: Callable[[str, int | None], object] = _silent

    def find(self, name: str, entry: Entry) -> Found | None:
        """Return the checkpoint of a model if it is on this disk, else None; nothing is downloaded."""
        for stem, source in _conventions(name, entry):
            if self.folder and (path := _beside(self.folder, stem)):
                return Found(path, source, f"local {path.name}")
        for source in entry.sources:
            if not isinstance(source, NoteSource):
                place = self._place(source, entry)
                path = place / _file(source)
                if path.exists():
                    return Found(path, source, said(source))
        return None

    def get(self, name: str, entry: Entry) -> Inputs:
        """Return the checkpoint of a model. If it is not on this disk, the first source that delivers it is downloaded.

            Shelf(Path("sources")).get("bert", registry.models["bert"]).path  # sources/chinese_L-12_H-768_A-12.zip

        Raises DownloadFailed with the error of every source, and the notes that tell a person where to look.
        """
        found, problems = self.find(name, entry), list[Exception]()
        if found and (self.folder and found.path.parent == self.folder):
            return found.read()
        first = [found.source] if found else []
        for source in (*first, *(source for source in entry.sources if source not in first)):
            if isinstance(source, NoteSource):
                problems.append(DownloadFailed(f"for a person: {source.text}"))
                continue
            try:
                return self.fetched(source, entry)
            except (DownloadFailed, DigestMismatch, MissingExtra) as error:
                problems.append(error)
        if problems and all(isinstance(problem, MissingExtra) for problem in problems):
            raise problems[0]
        said_all = "; ".join(str(problem).rstrip(".") for problem in problems) or "Its row names no source"
        raise DownloadFailed(
            f"there is no checkpoint of {name}. {said_all}. If you have it, put it, packed or unpacked, into a "
            f"directory DIR under one of these names: {' or '.join(_stems(name, entry))}. Then "
            f"`zoo fetch {name} --sources DIR` builds the model from it, as `zoo build` with --sources does."
        )

    def fetched(self, source: RemoteSource, entry: Entry) -> Inputs:
        """Return the checkpoint of one source, downloaded unless it lies in the cache.

        Raises DownloadFailed, MissingExtra, and DigestMismatch when it is not what the source sent first.
        """
        place, record = self._place(source, entry), self._root() / f"{_stem(source)}-{_key(_identity(source))}.json"

        def announce(size: int | None) -> None:
            self.announce(said(source), size)

        revision = ""
        if isinstance(source, UrlSource):
            path = fetch_file(source.url, place, announce)
        elif isinstance(source, PyPISource):
            path = fetch_wheel(source, place, announce)
        else:
            revision = known_revision(record)
            with advised(source):
                exact = source if place.is_dir() else at(source, revision) if revision else pinned(source)
            revision = revision or (exact.revision if exact is not source else "")
            path = fetch_repository(exact, place, KINDS[entry.kind].has_weights, announce)
        inputs = Found(path, source, said(source)).read()
        try:
            compared(record, said(source), inputs.files, revision)
        except DigestMismatch:
            delete(place)  # the next run downloads it again
            raise
        return inputs

    def _place(self, source: RemoteSource, entry: Entry) -> Path:
        # For a tokenizer only the vocabulary is downloaded, so it has a directory of its own.
        part = " vocabulary" if isinstance(source, HubSource) and not KINDS[entry.kind].has_weights else ""
        return self._root() / f"{_stem(source)}-{_key(_identity(source) + part)}"

    def _root(self) -> Path:
        return self.cache or cache_directory() / "sources"


def _file(source: RemoteSource) -> str:
    """Return the name of the only file of a source, '' for a directory of files."""
    if isinstance(source, HubSource):
        return ""
    return file_name(source.url) if isinstance(source, UrlSource) else source.wheel


def _identity(source: RemoteSource) -> str:
    if isinstance(source, UrlSource):
        return source.url
    if isinstance(source, PyPISource):
        return f"{source.wheel} {source.sha256}"
    return f"{'' if source.kind == 'huggingface' else source.kind + ' '}{source.repository}@{source.revision}"


def _key(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def digests(path: Path) -> dict[str, str]:
    """Return {name: sha256} of an archive, or of every file in the directory of a checkpoint, hidden files left out.

    The modules of sentence-transformers have directories of their own: {"1_Pooling/config.json": …}.
    """
    from export.readers.sentence_transformers import module_folders

    if path.is_file() and path.name.endswith(ARCHIVES):
        return {path.name: sha256_of(path)}
    folder = path if path.is_dir() else path.parent  # a checkpoint named by its main file has other files too
    folders = [each for each in (folder, *module_folders(folder)) if each.is_dir()]
    files = sorted(file for each in folders for file in each.iterdir() if file.is_file())
    seen = {file.relative_to(folder).as_posix(): sha256_of(file) for file in files if not file.name.startswith(".")}
    if not seen:
        raise BadCheckpoint(f"{path} holds no files.")
    return seen


def _conventions(name: str, entry: Entry) -> Iterator[tuple[str, Source]]:
    """Yield the names under which a person may keep a checkpoint, without .zip or .tar.gz, and the source of each."""
    yield name, BY_NAME
    for source in entry.sources:
        if not isinstance(source, NoteSource):
            yield _stem(source), source


def _stems(name: str, entry: Entry) -> list[str]:
    """Return the names of `_conventions`, without repetitions."""
    return list(dict.fromkeys(stem for stem, _ in _conventions(name, entry)))


def _stem(source: RemoteSource) -> str:
    """Return the last part of a source's address, "rbt3" or "chinese_L-12_H-768_A-12", without .zip or .tar.gz."""
    if isinstance(source, HubSource):
        return source.repository.partition("/")[2]
    file = _file(source)
    return next((file.removesuffix(suffix) for suffix in ARCHIVES if file.endswith(suffix)), file)


def _beside(folder: Path, stem: str) -> Path | None:
    """Return the file or directory of a folder that has this name, packed or unpacked; None without one."""
    if (folder / stem).exists():
        return folder / stem
    packed = (folder / f"{stem}{suffix}" for suffix in ARCHIVES)
    return next((path for path in packed if path.is_file()), None)


def said(source: Source) -> str:
    """Return a source in words for the report: "hfl/rbt3 at main", or a URL without its password."""
    if isinstance(source, HubSource):
        return f"{source.repository} at {source.revision}"
    if isinstance(source, PyPISource):
        return f"{source.wheel} of PyPI"
    return shown(source.url) if isinstance(source, UrlSource) else source.text
