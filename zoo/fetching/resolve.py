"""From a handle (a name, a URL, an archive or a directory) to a checked directory, which is fetched only once."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from zoo.archive.card import read_card
from zoo.archive.digests import check_files, sha256_of
from zoo.basics.files import cannot_write, real_path
from zoo.basics.locks import part_of
from zoo.basics.urls import file_name, is_offline, local_path, shown, with_mirror
from zoo.errors import BadArchive, DigestMismatch, DownloadFailed, Unverified, ZooError
from zoo.fetching.building import built, built_of_hub
from zoo.fetching.cache import check_cache, fill, keep, vacant, waiting_for
from zoo.fetching.hub_ids import hub_source
from zoo.fetching.places import cache_directory, model_name
from zoo.fetching.registries import read_registry
from zoo.fetching.url_records import given, record_of, remember
from zoo.registry.entry import ArchiveRecord
from zoo.registry.registry import Registry
from zoo.transport.download import download
from zoo.transport.http import Version
from zoo.trust.signatures import check_file, refuse_bare

_log = logging.getLogger("zoo")


def resolve(
    handle: str | Path,
    *,
    registry: Registry | str | Path | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
    thorough: bool = False,
    sources: Path | None = None,
    requested: bool = False,
) -> Path:
    """Return the directory of a model, fetched, verified and unpacked; a name that is not published is built.

        hub.load(str(resolve("albert_tiny")))
        hub.load(str(resolve("https://host/albert_tiny.tar.gz", sha256="ab12…")))
        hub.load(str(resolve("hf://BAAI/bge-base-zh-v1.5")))

    A handle is a name or alias of the registry (or `zoo://name`), an id of a hub (hf://owner/name, ms://owner/name,
    either with @revision), an http(s) or file URL, a .tar.gz, or an unpacked directory, which stays where it is. All
    others are unpacked into a directory of the cache, named by the archive's sha256; it appears after the sha256 and
    the digest of each file have been compared. If it is there already, the sizes of its files are compared with its
    card, with `thorough` their digests too, and it is replaced if they differ.

    `sha256` is the digest that the archive has to have. A name whose digest is not recorded needs `sha256` or
    `allow_unverified`. A URL without `sha256` is asked each time whether its archive has changed; if it does not
    answer, or the network is forbidden, the archive that it sent last is used. With ZOO_TRUSTED_KEY set, a URL needs a
    sha256, and an archive a sha256 or a signature beside it.

    A name without an archive, or an id of a hub, is built from its checkpoint, which is fetched, or lies in the folder
    `sources`; see `zoo.fetching.building`. What a row calls `on_request` is only built if it is `requested`.

    Raises UnknownModel, NotBuilt, Unverified, Untrusted, DownloadFailed, DigestMismatch, BadArchive, CannotWrite; and
    what an export raises.
    """
    pin = checked_pin(sha256)
    if hub_source(handle) is not None:
        return _pinned(built_of_hub(str(handle), thorough=thorough), str(handle), pin)
    if (name := model_name(handle)) is not None:
        known = registry if isinstance(registry, Registry) else read_registry(registry)
        if known.entry(name).archive is None:
            command = known.fetch_command(name)
            place = built(name, known, command, sources=sources, requested=requested, thorough=thorough)
            return _pinned(place, name, pin)
        archive = recorded(name, known, pin, allow_unverified)
        if archive.sha256:
            return _by_digest(name, archive, cache_directory(), known.fetch_command(name), thorough)
        return _first(archive.urls, cache_directory(), thorough)
    try:
        path = local_path(str(handle))
    except ValueError as error:
        raise DownloadFailed(f"{shown(str(handle))} is neither a path nor a URL: {error}.") from None
    if path is not None and path.is_dir():
        if pin and real_path(path) != real_path(cache_directory() / pin):
            raise DigestMismatch(
                f"{path} is unpacked already, and sha256= is of an archive: give the archive, or no sha256=."
            )
        check_files(path, read_card(path))
        return path
    if path is not None:
        return _from_archive(path, pin, cache_directory(), thorough)
    url = str(handle)
    if pin is None:
        return _from_url(url, cache_directory(), thorough)
    return _by_digest(_name_of(url), ArchiveRecord(urls=[url], sha256=pin), cache_directory(), _command(url), thorough)


def checked_pin(sha256: str | None) -> str | None:
    """Return a digest in lower case. Raises DigestMismatch if it is not one."""
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise DigestMismatch(f"sha256 {sha256!r} is not one: 64 hexadecimal digits.")
    return sha256.lower() if sha256 else None


def _pinned(place: Path, name: str, pin: str | None) -> Path:
    """Return the directory of an archive that was built here. Raises DigestMismatch when it should be another one."""
    if pin not in (None, place.name):
        raise DigestMismatch(f"{name} is asked for as sha256 {pin}, the archive that was built here is {place.name}.")
    return place


# -- archives whose sha256 is known -------------------------------------------------------------------------------


def recorded(name: str, registry: Registry, sha256: str | None, allow_unverified: bool) -> ArchiveRecord:
    """Return the archive of a model, with `sha256` if none is recorded; without a sha256 only if that is allowed."""
    archive = registry.archive(name)
    if sha256 and archive.sha256 not in (None, sha256):
        raise DigestMismatch(f"{name} is asked for as sha256 {sha256[:12]}…, {registry.place} says {archive.sha256}.")
    if digest := archive.sha256 or sha256:
        return archive.model_copy(update={"sha256": digest})
    if not allow_unverified:
        raise Unverified(
            f"{shown(registry.place)} records no sha256 for {name}, so nobody can tell whether the right bytes arrive. "
            "Ask for its digest and give sha256=, or take it as it is with allow_unverified=True (--allow-unverified)."
        )
    return archive


def _by_digest(name: str, archive: ArchiveRecord, root: Path, command: str, thorough: bool) -> Path:
    """Return the directory of an archive, downloaded and unpacked unless the cache has it; `command` fetches it."""
    place = root / str(archive.sha256)
    with vacant(place, name, thorough) as part:
        if part is not None:
            packed = part / f"{name}.tar.gz"
            download(_reachable(with_mirror(archive.urls), name, root, command), packed, archive, resume=True)
            try:
                fill(place, packed)
            except BadArchive:
                packed.unlink()  # the sha256 is right, so another download would not help
                raise
    return place


def _reachable(sources: Sequence[str], name: str, root: Path, command: str) -> list[str]:
    """Return the sources that may be asked: offline, only local ones. Raises DownloadFailed if there are none."""
    reachable = [source for source in sources if not is_offline() or local_path(source) is not None]
    if not reachable:
        raise DownloadFailed(_missing_offline(name, root, command))
    return reachable


def _missing_offline(name: str, root: Path, command: str) -> str:
    return (
        f"{name} is not in {root}, and ZOO_OFFLINE forbids the network. "
        f"`ZOO_OFFLINE=0 {command}` fetches it once; after that it is used offline."
    )


# -- archives and URLs that are in no registry --------------------------------------------------------------------


def _from_archive(path: Path, pin: str | None, root: Path, thorough: bool) -> Path:
    """Return the directory of a .tar.gz on this machine."""
    if pin is None or (root / pin).exists():  # otherwise `keep` compares the pin, so that the file is read only once
        digest = check_digest(path, pin)
        if pin is None:
            check_file(path)
        return keep(root / digest, path.name, path, thorough)
    try:
        return keep(root / pin, path.name, path, thorough)
    except ZooError:
        check_digest(path, pin)  # if it is another file than asked for, say so, whatever else is wrong with it
        raise


def check_digest(path: Path, pin: str | None) -> str:
    """Return the sha256 of an archive. Raises DigestMismatch when it is not `pin`."""
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise BadArchive(f"{path}: {error.strerror}. `zoo list` shows the models that go by name.") from None
    if pin not in (None, digest):
        raise DigestMismatch(f"{path} should be sha256 {pin}, is {digest}.")
    return digest


def _from_url(url: str, root: Path, thorough: bool) -> Path:
    """Return the directory of the archive that a URL sends, which is downloaded unless it sent the same last time."""
    refuse_bare(url)
    name, record = _name_of(url), record_of(url, root)
    if is_offline():
        if last := given(record, thorough):
            return root / last.sha256
        raise DownloadFailed(_missing_offline(shown(url), root, _command(url)))
    check_cache(root)
    with cannot_write(root), part_of(record.with_suffix(""), waiting_for(name)) as part:
        packed, last = part / f"{name}.tar.gz", given(record, thorough)
        try:
            version = download([url], packed, unless_version=last.version if last else None)
            if version is None and last is not None:
                return keep(root / last.sha256, name, packed)  # which is whole: `given` has compared its files
            digest = sha256_of(packed)
            place = keep(root / digest, name, packed, thorough)
            remember(record, url, digest, version or Version())
            return place
        except DownloadFailed as error:
            if last is None:
                raise
            _log.warning("%s Using the archive that it sent last.", error)
            return root / last.sha256
        finally:
            packed.unlink(missing_ok=True)  # nothing says whether its bytes would fit the next answer


def _first(urls: Sequence[str], root: Path, thorough: bool) -> Path:
    """Return the directory of the first URL or path that gives an archive."""
    errors: list[ZooError] = []
    for url in urls:
        try:
            path = local_path(url)
            return _from_archive(path, None, root, thorough) if path else _from_url(url, root, thorough)
        except (DownloadFailed, BadArchive) as error:
            errors.append(error)
    raise errors[0] if len(errors) == 1 else DownloadFailed(" ".join(map(str, errors)))


def _name_of(url: str) -> str:
    """Return a name for messages and files: 'albert_tiny' for https://host/albert_tiny.tar.gz?key=1."""
    return re.sub(r"[^\w.-]", "_", file_name(url).removesuffix(".tar.gz"))[-100:]


def _command(url: str) -> str:
    return f"zoo fetch {shlex.quote(shown(url))}"
