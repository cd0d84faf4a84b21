"""Downloads published checkpoints into directories that appear whole or not at all; the next run continues."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from export.limits import ZIP_ERRORS, most_unpacked, opened_zip
from zoo.basics.files import cannot_write, move_into_place
from zoo.basics.locks import part_of
from zoo.basics.untrusted import parse_json, read_small
from zoo.basics.urls import file_name, shown
from zoo.errors import DigestMismatch, DownloadFailed
from zoo.registry.entry import HuggingFaceSource
from zoo.transport.download import download
from zoo.transport.http import read_bytes

# A repository often has the same weights in several formats. The first of these that it has is enough.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
)
_INDEX = ".index.json"
_MOST_TEXT = 64 << 20  # bytes of a config, vocabulary or index whose size is unknown
_MOST_WEIGHTS = 64 << 30  # bytes of weights, or of an archive of them
_WEIGHT_FILES = (".safetensors", ".bin", ".h5")
_MOST_LISTED = 4 << 20  # bytes of an index
_MOST_VALUES = 200_000
_CHUNK = 1 << 20


class _Listed(NamedTuple):
    """The size and the sha256 of a file, as a repository lists them. It lists the sha256 of large files only."""

    sha256: str | None
    size: int | None


def fetch_file(url: str, place: Path) -> Path:
    """Return the file of a URL in the directory `place`, downloaded only once.

    Raises DownloadFailed when it is an archive whose own checksums do not fit.
    """
    name = file_name(url)
    with _filled(place) as part:
        if part is not None:
            download([url], part / name, resume=True, limit=_MOST_WEIGHTS)
            if problem := _damage(part / name):
                (part / name).unlink()
                raise DownloadFailed(f"{shown(url)}: the file that it sends is damaged: {problem}.")
    return place / name


def fetch_repository(source: HuggingFaceSource, place: Path, weights: bool = True) -> Path:
    """Return the directory `place` with the config, vocabulary and weights of a repository, downloaded only once.

    Without `weights`, only the files of the tokenizer. The hub lists the files of a repository; if a mirror of the hub
    cannot, the usual names are tried. Raises DownloadFailed.
    """
    with _filled(place) as part:
        if part is not None:
            _Repository(source, part).fetch(weights)
    return place


@contextmanager
def _filled(place: Path) -> Iterator[Path | None]:
    """Yield None if the directory `place` is there. Otherwise yield one that becomes `place` when the block ends well.

    It may hold what an earlier run downloaded; see `zoo.basics.locks.part_of`. One process at a time fills it.
    """
    with cannot_write(place), part_of(place) as part:
        if place.is_dir():
            yield None
        else:
            yield part
            move_into_place(part, place)


def _damage(file: Path) -> str:
    """Return how a .zip or .tar.gz differs from its own checksums; '' if it does not, and for any other file."""
    try:
        if file.name.endswith(".zip"):
            with opened_zip(file) as archive:
                if (claimed := sum(member.file_size for member in archive.infolist())) > most_unpacked(file):
                    return f"it claims to unpack to {claimed:,} bytes"
                wrong = archive.testzip()
            return f"{wrong} is not as its checksum says" if wrong else ""
        if file.name.endswith((".tar.gz", ".tgz")):
            with gzip.open(file) as stream:
                while stream.read(_CHUNK):
                    if stream.tell() > most_unpacked(file):
                        return f"it unpacks to more than {most_unpacked(file):,} bytes"
    except (gzip.BadGzipFile, *ZIP_ERRORS) as error:
        return str(error)
    return ""


class _Repository:
    """A repository of the hub, downloaded into the directory `part`."""

    def __init__(self, source: HuggingFaceSource, part: Path) -> None:
        self._source, self._part = source, part
        self._listed = _listing(source)

    def fetch(self, weights: bool) -> None:
        place = self._modules(weights)
        vocabularies = [name for name in ("vocab.txt", "tokenizer.json") if self._try(place + name)]
        if not vocabularies:
            self._get(f"{place}vocab.txt")  # which raises
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
            self._try(place + name)
        if not weights:
            self._try(f"{place}config.json")  # it may name the class of the tokenizer
            return
        self._get(f"{place}config.json")
        main = next((place + name for name in _WEIGHTS if self._try(place + name)), None)
        if main is None:
            raise DownloadFailed(f"{self._source.page}: none of {', '.join(_WEIGHTS)} is there.")
        if main.endswith(_INDEX):
            for shard in self._shards(main):
                self._get(place + shard)

    def _modules(self, weights: bool) -> str:
        """Download the files of sentence-transformers, if there are any, and return where the checkpoint lies.

        That is "" for the repository itself, or "0_BERT/" for the folder of the module Transformer.
        """
        from export.readers.sentence_transformers import (
            BESIDE_MODULES,
            MODULE_WEIGHTS,
            module_folders,
            transformer_folder,
        )

        if not self._try("modules.json"):
            return ""
        transformer = transformer_folder(self._part)
        place = "" if transformer == self._part else f"{transformer.name}/"
        if weights:
            for name in dict.fromkeys((*BESIDE_MODULES, *(place + name for name in BESIDE_MODULES))):
                self._try(name)
            for module in module_folders(self._part):
                if module != transformer and self._try(f"{module.name}/config.json"):
                    next(filter(self._try, (f"{module.name}/{name}" for name in MODULE_WEIGHTS)), None)
        return place

    def _shards(self, index: str) -> list[str]:
        try:
            listed = parse_json(read_small(self._part / index, _MOST_LISTED), _MOST_VALUES)["weight_map"].values()
            return sorted({file_name(file) for file in listed})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DownloadFailed(f"{self._source.file_url(index)} is not an index of shards.") from None

    def _try(self, name: str) -> bool:
        """Download a file if the repository has it; return whether it has."""
        if self._listed is not None and name not in self._listed:
            return False
        try:
            self._get(name)
        except DownloadFailed as error:
            if self._listed is not None or "HTTP 404" not in str(error):
                raise
            return False
        return True

    def _get(self, name: str) -> None:
        known = (self._listed or {}).get(name)
        large = known is not None and known.sha256 is not None
        limit = _MOST_WEIGHTS if Path(name).suffix in _WEIGHT_FILES else _MOST_TEXT
        with cannot_write(self._part):
            (self._part / name).parent.mkdir(exist_ok=True)
        try:
            # A small file is listed without a digest and may have changed since an earlier run: it is never continued.
            resume = large or self._listed is None
            download([self._source.file_url(name)], self._part / name, known, resume=resume, limit=limit)
        except DigestMismatch as error:
            raise DownloadFailed(str(error)) from None


def _listing(source: HuggingFaceSource) -> Mapping[str, _Listed] | None:
    """Return the files of a repository by path; None when there is no listing, as on many mirrors."""
    endpoint = source.page.removesuffix(source.repository)
    try:
        text = read_bytes(f"{endpoint}api/models/{source.repository}/tree/{source.revision}?recursive=true", _MOST_TEXT)
        found = parse_json(text, _MOST_VALUES)
        files = [each for each in found if each["type"] == "file"]
        listed = {each["path"]: ((each.get("lfs") or {}).get("oid"), each.get("size")) for each in files}
        return {
            str(path): _Listed(sha256 if isinstance(sha256, str) else None, size if isinstance(size, int) else None)
            for path, (sha256, size) in listed.items()
        }
    except (DownloadFailed, ValueError, KeyError, TypeError, AttributeError):
        return None
