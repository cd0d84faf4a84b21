"""Bundles: encoders, their tokenizers and a small registry in one file, for machines without a network.

A bundle is a tar, not compressed, of registry.json and the published archives, as albert_tiny.tar.gz, sorted by name.
The same archives give the same bytes.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from zoo.archive.digests import sha256_of
from zoo.archive.kinds import KINDS
from zoo.archive.pack import pack
from zoo.archive.tar_reader import read_members
from zoo.basics.files import cannot_write, open_regular, unique_beside, written_file
from zoo.basics.urls import is_offline, local_path, shown, with_mirror
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadArchive, BadRegistry, DigestMismatch, UnknownModel, Unverified
from zoo.fetching.building import with_built
from zoo.fetching.cache import damage, fill, vacant
from zoo.fetching.installed import add_installed, conflicts
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import MOST_REGISTRY, PACKAGED, Registry, parse_registry, registry_text
from zoo.transport.download import download
from zoo.trust.signatures import check_file

# -- writing ------------------------------------------------------------------------------------------------------


def bundle(
    names: str | Sequence[str], out: str | Path, *, registry: Registry | str | Path | None = None, dry_run: bool = False
) -> list[str]:
    """Write models, with the tokenizers of the encoders, to one file and return the names that are in it.

        zoo.bundle("albert_tiny", "albert_tiny.tar")  # ["albert_tiny", "bert_tokenizer_chinese"]
        zoo.load_model("albert_tiny.tar")  # elsewhere, without a network

    An archive comes from the cache if packing it again gives the recorded digest; otherwise it is downloaded. With
    `dry_run` nothing is downloaded or written. A model that is published nowhere is built first.

    Raises UnknownModel, NotBuilt, Unverified for an archive without a recorded digest, DownloadFailed, DigestMismatch,
    CannotWrite.
    """
    known = registry if isinstance(registry, Registry) else read_registry(registry)
    names = [names] if isinstance(names, str) else names
    known = with_built(known, names, build=not dry_run)
    entries = bundled_entries(names, known)
    if not dry_run:
        write_bundle(entries, known, Path(out))
    return list(entries)


def write_bundle(entries: Mapping[str, Entry], registry: Registry, out: Path) -> None:
    """Write the bundle whose registry has these rows; the archives are those of `registry`. Raises as `bundle` does."""
    with (
        written_file(out) as temporary,
        TemporaryDirectory(dir=temporary.parent, prefix=".zoo-") as work,
        tarfile.open(temporary, "x", format=tarfile.USTAR_FORMAT, encoding="utf-8") as tar,
    ):
        listing = Path(work) / REGISTRY_FILE
        listing.write_text(registry_text(Registry(models=dict(entries))), encoding="utf-8", newline="\n")
        _add(tar, listing)
        for name in entries:
            packed = Path(work) / f"{name}.tar.gz"
            archive_file(name, registry.archive(name), packed)
            _add(tar, packed)
            packed.unlink()


def bundled_entries(names: Sequence[str], registry: Registry) -> dict[str, Entry]:
    """Return the rows of a bundle's registry, for `names` and their tokenizers, sorted. Raises as `bundle` does."""
    chosen = {registry.canonical(name) for name in names}
    if not chosen:
        raise UnknownModel("a bundle needs at least one model. `zoo list` shows them.")
    chosen |= {registry.canonical(tokenizer) for name in chosen if (tokenizer := registry.tokenizer(name))}
    entries, without = {}, []
    for name in sorted(chosen):
        record = registry.archive(name)
        if record.sha256 is None:
            without.append(name)
        archive = record.model_copy(update={"urls": [f"{name}.tar.gz", *_remote(record)]})
        changes = {"archive": archive, "tokenizer": registry.tokenizer(name)}
        entries[name] = registry.entry(name).model_copy(update=changes)
    if without:
        raise Unverified(f"{registry.place} records no sha256 for {', '.join(without)}; a bundle has to state it.")
    return entries


def _remote(record: ArchiveRecord) -> list[str]:
    """Return the URLs of an archive that work for everybody: no path of one machine, no password, no secret query."""
    return [url for url in record.urls if local_path(url) is None and shown(url) == url]


def archive_file(name: str, record: ArchiveRecord, target: Path) -> None:
    """Write the published archive of a row to `target`, packed again from the cache or downloaded.

    Raises DownloadFailed, DigestMismatch, CannotWrite.
    """
    place = cache_directory() / str(record.sha256)
    if damage(place) is None and pack(place, target).sha256 == record.sha256:
        return  # packing again may give other bytes: gzip's output depends on the version of zlib
    sources = with_mirror(record.urls)
    download([url for url in sources if local_path(url) or not is_offline()] or sources, target, record)


def _add(tar: tarfile.TarFile, path: Path) -> None:
    info = tarfile.TarInfo(path.name)  # no time, no owner
    info.size, info.mode = path.stat().st_size, 0o644
    with path.open("rb") as file:
        tar.addfile(info, file)


# -- reading ------------------------------------------------------------------------------------------------------


def install_bundle(file: str | Path, *, dry_run: bool = False) -> list[str]:
    """Unpack a bundle's models into the cache and return their names, as `zoo.install` does.

    Every archive is compared with the digest in the bundle's registry. The names are known wherever no other registry
    is given. A model of the same name from an earlier bundle is replaced. With `dry_run` the bundle is read and nothing
    is written. Raises what `zoo.install` does.
    """
    path = Path(file)
    registry = read_bundle(path)
    check_file(path)
    if taken := conflicts(registry.models, read_registry(PACKAGED)):
        raise BadRegistry(
            f"{path} cannot be installed: in the packaged registry these names mean other models: {'; '.join(taken)}. "
            "`zoo.load_model(FILE, name=…)` takes them from the bundle."
        )
    _check_members(path, registry)
    if not dry_run:
        for name in registry.names():
            _in_cache(path, name, registry)
        add_installed({name: _as_installed(entry) for name, entry in registry.models.items()})
    return registry.names()


def from_bundle(path: Path, name: str | None = None, *, sha256: str | None = None, thorough: bool = False) -> Path:
    """Return the directory of a bundle's model `name`, or of its only encoder, in the cache. Nothing is installed.

    `sha256` is the digest that the bundle has to have; `thorough` means the same as in `zoo.fetching.resolve.resolve`.
    Raises UnknownModel, which lists the bundle's models, DigestMismatch, Untrusted as `install` does, BadArchive,
    BadRegistry, CannotWrite.
    """
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise DigestMismatch(f"{path} should be sha256 {sha256}, is {found}.")
    if sha256 is None:
        check_file(path)
    registry = read_bundle(path)
    if name is not None:
        with suppress(UnknownModel):
            return _in_cache(path, registry.canonical(name), registry, thorough)
        raise UnknownModel(f"no model {name!r} in {path}, which holds {', '.join(registry.names())}.")
    candidates = [other for other in registry.names() if KINDS[registry.models[other].kind].has_weights]
    candidates = candidates or registry.names()
    if len(candidates) > 1:
        raise UnknownModel(f"{path} holds {', '.join(candidates)}: choose one with name={candidates[0]!r}.")
    return _in_cache(path, candidates[0], registry, thorough)


def is_bundle(path: Path) -> bool:
    """True when a file is a tar whose first member is registry.json."""
    try:
        with open_regular(path) as file:
            head = file.read(tarfile.BLOCKSIZE)
    except OSError:
        return False
    return head.startswith(REGISTRY_FILE.encode() + b"\0") and head[257:262] == b"ustar"


def read_bundle(path: Path) -> Registry:
    """Return the registry of a bundle. Raises BadArchive, BadRegistry."""
    if not is_bundle(path):
        what = "is not a bundle: a tar that begins with registry.json" if path.is_file() else "is not a file"
        raise BadArchive(f"{path} {what}. `zoo bundle NAME… --out FILE` makes one.")
    with closing(read_members(path, gzipped=False)) as members:
        member, chunks = next(members)
        if member.size > MOST_REGISTRY:
            raise BadArchive(
                f"{path} has a registry of {member.size:,} bytes; no bundle of this zoo has such a large one."
            )
        registry = parse_registry(b"".join(chunks), f"{REGISTRY_FILE} in {path}", from_afar=True)
    odd = [name for name, entry in registry.models.items() if entry.archive is None or entry.archive.sha256 is None]
    if odd or not registry.models:
        without = f"no archive with a sha256 for {', '.join(odd)}" if odd else "no models"
        raise BadRegistry(f"{path} has {without} in its registry. Bundle it again.")
    if paths := sorted({url for name in registry.models for url in _paths(name, registry)}):
        raise BadRegistry(f"{path} names files outside of it: {', '.join(paths[:9])}. Bundle it again.")
    return registry


def _paths(name: str, registry: Registry) -> list[str]:
    """Return the paths that a bundle's registry states for an archive, except NAME.tar.gz, its place in the bundle."""
    archive = registry.models[name].archive
    return [url for url in (archive.urls if archive else ()) if local_path(url) and url != f"{name}.tar.gz"]


def _check_members(path: Path, registry: Registry) -> None:
    """Raise BadArchive unless a bundle holds exactly the archives of its registry, with the digests stated there."""
    digests = {f"{name}.tar.gz": registry.archive(name).sha256 for name in registry.models}
    skipped = {f"{name}.tar.gz" for name in registry.skipped}
    problems = []
    for member, chunks in read_members(path, gzipped=False):
        name, found = str(member.name), hashlib.sha256()
        if name == REGISTRY_FILE or name in skipped:
            continue
        for chunk in chunks:
            found.update(chunk)
        if name not in digests:
            problems.append(f"{name} is not in its registry")
        elif found.hexdigest() != (expected := digests.pop(name)):
            problems.append(f"{name} is sha256 {found.hexdigest()[:12]}…, its registry says {str(expected)[:12]}…")
    problems += [f"{name} is missing" for name in sorted(digests)]
    if problems:
        raise BadArchive(f"{path} is damaged: {'; '.join(problems)}. Copy or bundle it again.")


def _in_cache(path: Path, name: str, registry: Registry, thorough: bool = False) -> Path:
    record = registry.archive(name)
    place = cache_directory() / str(record.sha256)
    with vacant(place, name, thorough) as part:
        if part is not None:
            with _extracted(path, name, record, place) as archive:
                fill(place, archive)
    return place


@contextmanager
def _extracted(path: Path, name: str, record: ArchiveRecord, place: Path) -> Iterator[Path]:
    """Yield one archive of a bundle as a temporary file."""
    target = unique_beside(place)
    try:
        with closing(read_members(path, gzipped=False)) as members:
            chunks = next((chunks for member, chunks in members if str(member.name) == f"{name}.tar.gz"), None)
            if chunks is None:
                raise BadArchive(f"{path} is damaged: {name}.tar.gz is missing. Copy or bundle it again.")
            with cannot_write(target), target.open("xb") as file:
                file.writelines(chunks)
        if (found := sha256_of(target)) != record.sha256:
            raise BadArchive(
                f"{path} is damaged: {name}.tar.gz is sha256 {found[:12]}…, its registry says "
                f"{str(record.sha256)[:12]}…. Copy or bundle it again."
            )
        yield target
    finally:
        target.unlink(missing_ok=True)


def _as_installed(entry: Entry) -> Entry:
    """Return the entry for the installed registry: without unknown fields, with remote URLs only, if there are any.

    The bundle may be deleted. Once the model has left the cache too, only a remote URL can bring it back.
    """
    entry = entry.only_known()
    archive = entry.archive
    if archive is not None and (urls := _remote(archive)):
        archive = archive.model_copy(update={"urls": urls})
    return entry.model_copy(update={"archive": archive})
