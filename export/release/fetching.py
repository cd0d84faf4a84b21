"""Downloads published checkpoints into directories that appear whole or not at all; the next run continues."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from export.limits import ZIP_ERRORS, most_unpacked, opened_zip
from export.release.hubs import advised, hub_of, listing
from tokenizer.sentencepiece_files import PIECES_FILES
from zoo.basics.extras import imported
from zoo.basics.files import cannot_write, move_into_place
from zoo.basics.locks import part_of
from zoo.basics.untrusted import parse_json, read_small
from zoo.basics.urls import file_name, shown
from zoo.errors import DigestMismatch, DownloadFailed
from zoo.registry.entry import HubSource
from zoo.transport.download import download

# A repository often has the same weights in several formats. The first of these that it has is enough.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
)
_INDEX = ".index.json"
# The larger ones of the small files.
_SMALL = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", *PIECES_FILES)
_MOST_TEXT = 64 << 20  # bytes of a config, vocabulary or index whose size is unknown
_MOST_WEIGHTS = 64 << 30  # bytes of weights, or of an archive of them
_WEIGHT_FILES = (".safetensors", ".bin", ".h5")
_MOST_LISTED = 4 << 20  # bytes of an index
_MOST_VALUES = 200_000
_CHUNK = 1 << 20

Announce = Callable[[int | None], object]  # called before the first byte with the bytes to come, if known


def fetch_file(url: str, place: Path, announce: Announce = lambda size: None) -> Path:
    """Return the file of a URL in the directory `place`, downloaded only once.

    Raises DownloadFailed when it is an archive whose own checksums do not fit.
    """
    name = file_name(url)
    with filled(place) as part:
        if part is not None:
            announce(None)
            download([url], part / name, resume=True, limit=_MOST_WEIGHTS)
            if problem := _damage(part / name):
                (part / name).unlink()
                raise DownloadFailed(f"{shown(url)}: the file that it sends is damaged: {problem}.")
    return place / name


def fetch_repository(
    source: HubSource, place: Path, weights: bool = True, announce: Announce = lambda size: None
) -> Path:
    """Return the directory `place` with the config, vocabulary and weights of a repository, downloaded only once.

    Without `weights`, only the files of the tokenizer. The hub lists the files of a repository; if a mirror of the hub
    cannot, the usual names are tried. Raises DownloadFailed; MissingExtra, before the weights are downloaded, if they
    could not be read here.
    """
    with filled(place) as part:
        if part is not None:
            repository = _Repository(source, part)
            announce(repository.size(weights))
            with advised(source):
                repository.fetch(weights)
    return place


@contextmanager
def filled(place: Path) -> Iterator[Path | None]:
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
        if file.name.endswith((".zip", ".whl")):
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

    def __init__(self, source: HubSource, part: Path) -> None:
        self._source, self._part, self._hub = source, part, hub_of(source)
        self._listed = listing(source)
        self._unread = ""  # weights that need a package which is not installed

    def size(self, weights: bool) -> int | None:
        """Return the bytes that will be downloaded, small files left out; None if the hub lists no sizes."""
        sizes = {name: known.size or 0 for name, known in (self._listed or {}).items()}
        wanted = [*_WEIGHTS, *_SMALL] if weights else _SMALL
        by_name = {name: [path for path in sizes if Path(path).name == name] for name in wanted}
        chosen = [min(paths, key=len) for name, paths in by_name.items() if paths and name not in _WEIGHTS]
        main = next((min(by_name[name], key=len) for name in _WEIGHTS if weights and by_name[name]), None)
        if main is not None:
            stem, _, suffix = main.removesuffix(_INDEX).rpartition(".")
            shards = [path for path in sizes if path.startswith(f"{stem}-") and path.endswith(f".{suffix}")]
            chosen += [main, *(shards if main.endswith(_INDEX) else [])]
        return sum(sizes[path] for path in chosen) or None

    def fetch(self, weights: bool) -> None:
        place = self._modules(weights)
        vocabularies = [name for name in ("vocab.txt", "tokenizer.json") if self._try(place + name)]
        if "vocab.txt" not in vocabularies:  # else its tokenizer is BERT's
            next(filter(self._try, (place + name for name in PIECES_FILES)), None)
        if not vocabularies and not any((self._part / place).glob("*.model")):
            self._get(f"{place}vocab.txt")  # which raises
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
            self._try(place + name)
        if not weights:
            self._try(f"{place}config.json")  # it may name the class of the tokenizer
            return
        self._get(f"{place}config.json")
        main = next((place + name for name in _WEIGHTS if self._try_weights(place + name)), None)
        if main is None and self._unread:
            imported("safetensors", f"reading {self._unread}", "hf")  # which raises
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

    def _try_weights(self, name: str) -> bool:
        """Do what `_try` does, but leave out a file that no package here can read."""
        if ".safetensors" in name and find_spec("safetensors") is None:
            self._unread = name if self._listed is None or name in self._listed else self._unread
            return False
        return self._try(name)

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
            address, headers = self._source.file_url(name), self._hub.headers()
            download([address], self._part / name, known, resume=resume, limit=limit, headers=headers)
        except DigestMismatch as error:
            raise DownloadFailed(str(error)) from None
