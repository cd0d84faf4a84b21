"""A name, URL, archive or directory in, a checked directory out: fetched once, used from the cache after that."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from zoo.archive.card import read_card
from zoo.archive.digests import check_files, sha256_of
from zoo.basics.files import cannot_write, unique_beside
from zoo.basics.urls import file_name, is_offline, local_path, shown, with_mirror
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive, DigestMismatch, DownloadFailed, Unverified, ZooError
from zoo.fetching.cache import cache_directory, check_cache, keep, locked, part_of
from zoo.fetching.registries import read_registry
from zoo.fetching.url_records import Given, given, record_of, remember
from zoo.registry.entry import ArchiveRecord
from zoo.registry.registry import PACKAGED, Registry
from zoo.transport.download import download
from zoo.transport.http import Version
from zoo.trust.signatures import check_file, refuse_bare

__all__ = ["cache_directory", "fetch", "model_name", "resolve"]

_log = logging.getLogger("zoo")


def resolve(
    handle: str | Path,
    *,
    registry: Registry | str | Path | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
    thorough: bool = False,
) -> Path:
    """Return the directory of whatever `handle` means, its files as its card says.

        hub.load(str(resolve("albert_tiny")))
        hub.load(str(resolve("https://host/albert_tiny.tar.gz", sha256="ab12…")))

    A handle is a name or alias (or `zoo://name`), an http(s) or file URL, a .tar.gz, or an unpacked directory, which
    stays where it is; the rest is unpacked into the cache. `sha256` is the digest the archive has to have. A URL
    without it is asked each time whether it has changed; offline, or when it does not answer, what it gave last is
    used. For names see `fetch`, `allow_unverified` and `thorough` included. With ZOO_TRUSTED_KEY set, an archive that
    no digest pins needs a signature beside it, and a URL is refused.

    Raises UnknownModel, NotBuilt, Unverified, Untrusted, DownloadFailed, DigestMismatch, BadArchive, CannotWrite.
    """
    pin = _pin(sha256)
    if (name := model_name(handle)) is not None:
        known = registry if isinstance(registry, Registry) else read_registry(registry)
        return fetch(name, known, sha256=pin, allow_unverified=allow_unverified, thorough=thorough)
    try:
        path = local_path(str(handle))
    except ValueError as error:
        raise DownloadFailed(f"{shown(str(handle))} is neither a path nor a URL: {error}.") from None
    if path is None:
        return _from_url(str(handle), pin, cache_directory(), thorough)
    if not path.is_dir():
        return _from_archive(path, pin, cache_directory(), thorough)
    if pin and path.resolve() != (cache_directory() / pin).resolve():
        raise DigestMismatch(
            f"{path} is unpacked already, and sha256= is of an archive: give the archive, or no sha256=."
        )
    check_files(path, read_card(path))
    return path


def fetch(
    name: str,
    registry: Registry,
    *,
    cache: Path | None = None,
    thorough: bool = False,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Path:
    """Return the directory of a model, fetched, verified and unpacked.

        hub.load(str(fetch("albert_tiny", read_registry())))

    The directory is named by the archive's digest. It is there only after the archive's sha256 and the digest of each
    file have been compared; when it is there, the sizes of its files are compared with its card, and with `thorough`
    their digests again. A directory that fails this is replaced. A model without a recorded digest needs `sha256` or
    `allow_unverified`.

    Raises UnknownModel, NotBuilt, Unverified, DownloadFailed, DigestMismatch, BadArchive, CannotWrite.
    """
    archive = registry.archive(name)
    root = cache or cache_directory()
    if sha256 and archive.sha256 not in (None, sha256):
        raise DigestMismatch(f"{name} is asked for as sha256 {sha256[:12]}…, {registry.place} says {archive.sha256}.")
    if digest := archive.sha256 or sha256:
        wanted = archive.model_copy(update={"sha256": digest})
        return _by_digest(name, wanted, root, _fetch_command(name, registry), thorough)
    if not allow_unverified:
        raise Unverified(
            f"{shown(registry.place)} records no sha256 for {name}, so nobody can tell whether what arrives is right. "
            "Ask for its digest and give sha256=, or take it as it is with allow_unverified=True (--allow-unverified)."
        )
    return _first(archive.urls, root, thorough)


def model_name(handle: str | Path) -> str | None:
    """Return the name that a handle means, None for a URL, an archive or a directory.

    A directory with a card wins over a model of the same name; `zoo://name` is always the model.
    """
    if isinstance(handle, Path):
        return None
    if handle.startswith("zoo://"):
        return handle.removeprefix("zoo://").rstrip("/")
    is_path = "/" in handle or os.sep in handle or handle.endswith((".gz", ".tgz"))
    return None if is_path or (Path(handle) / CARD_FILE).is_file() else handle


def _pin(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise DigestMismatch(f"sha256 {sha256!r} is not one: 64 hexadecimal digits.")
    return sha256.lower() if sha256 else None


# -- by digest ----------------------------------------------------------------------------------------------------


def _by_digest(name: str, archive: ArchiveRecord, root: Path, command: str, thorough: bool) -> Path:
    place = root / str(archive.sha256)
    return keep(place, name, _downloaded(place, name, archive, command), thorough)


@contextmanager
def _downloaded(place: Path, name: str, archive: ArchiveRecord, command: str) -> Iterator[Path]:
    """Yield the archive, complete and right. It stays for the next run until it has been unpacked or proved useless."""
    part = part_of(place)
    packed = part / f"{name}.tar.gz"
    try:
        download(_reachable(with_mirror(archive.urls), name, place.parent, command), packed, archive, resume=True)
        yield packed
    except (BadArchive, DigestMismatch):
        shutil.rmtree(part, ignore_errors=True)
        raise
    except BaseException:
        with suppress(OSError):
            part.rmdir()  # nothing has arrived
        raise
    shutil.rmtree(part, ignore_errors=True)


def _reachable(sources: Sequence[str], name: str, root: Path, command: str) -> list[str]:
    reachable = [source for source in sources if not is_offline() or local_path(source) is not None]
    if not reachable:
        raise DownloadFailed(_gap(name, root, command))
    return reachable


def _gap(name: str, root: Path, command: str) -> str:
    return (
        f"{name} is not in {root}, and ZOO_OFFLINE forbids the network. "
        f"`ZOO_OFFLINE=0 {command}` fetches it once; after that it is used offline."
    )


def _fetch_command(name: str, registry: Registry) -> str:
    known = registry.place in (str(PACKAGED), os.environ.get("ZOO_REGISTRY"))
    return f"zoo fetch {name}" + ("" if known else f" --registry {shlex.quote(shown(registry.place))}")


# -- archives and URLs that no registry vouches for ---------------------------------------------------------------


def _from_archive(path: Path, pin: str | None, root: Path, thorough: bool) -> Path:
    if pin is None or (root / pin).exists():  # else it is compared with its pin while it is unpacked: once is enough
        digest = _digest(path, pin)
        if pin is None:
            check_file(path)
        return keep(root / digest, path.name, nullcontext(path), thorough)
    try:
        return keep(root / pin, path.name, nullcontext(path), thorough)
    except ZooError:
        _digest(path, pin)  # whatever was wrong, another file than the one that was asked for is told first
        raise


def _digest(path: Path, pin: str | None) -> str:
    """Return the digest of an archive. Raises DigestMismatch when it is not `pin`."""
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise BadArchive(f"{path}: {error.strerror}. `zoo list` shows the models that go by name.") from None
    if pin not in (None, digest):
        raise DigestMismatch(f"{path} should be sha256 {pin}, is {digest}.")
    return digest


def _from_url(url: str, pin: str | None, root: Path, thorough: bool) -> Path:
    name = re.sub(r"[^\w.-]", "_", file_name(url).removesuffix(".tar.gz"))[-100:]
    command = f"zoo fetch {shlex.quote(shown(url))}"
    if pin:
        return _by_digest(name, ArchiveRecord(urls=[url], sha256=pin), root, command, thorough)
    refuse_bare(url)
    record = record_of(url, root)
    if is_offline():
        if last := given(record, thorough):
            return root / last.sha256
        raise DownloadFailed(_gap(shown(url), root, command))
    check_cache(root)
    with cannot_write(root):
        root.mkdir(parents=True, exist_ok=True)
        with locked(record.with_suffix(""), name):
            last = given(record, thorough)
            try:
                return _asked(url, name, record, last, thorough)
            except DownloadFailed as error:
                if last is None:
                    raise
                _log.warning("%s Using what it gave last.", error)
                return root / last.sha256


def _asked(url: str, name: str, record: Path, last: Given | None, thorough: bool) -> Path:
    """Return the directory of what the URL gives, downloaded unless it is what it gave last."""
    work = unique_beside(record.with_suffix(""))
    work.mkdir()
    try:
        packed = work / f"{name}.tar.gz"
        version = download([url], packed, unless=last.version if last else None)
        if version is None and last is not None:
            return keep(record.with_name(last.sha256), name, nullcontext(packed))
        digest = sha256_of(packed)
        place = keep(record.with_name(digest), name, nullcontext(packed), thorough)
        remember(record, url, digest, version or Version())
        return place
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _first(urls: Sequence[str], root: Path, thorough: bool) -> Path:
    """Return the directory of the first URL that gives an archive."""
    errors: list[ZooError] = []
    for url in urls:
        try:
            path = local_path(url)
            return _from_archive(path, None, root, thorough) if path else _from_url(url, None, root, thorough)
        except (DownloadFailed, BadArchive) as error:
            errors.append(error)
    raise errors[0] if len(errors) == 1 else DownloadFailed(" ".join(map(str, errors)))
