"""Copies a finished dist/ to the place that people download from: which files are new there, and in which order.

Archives are written first and registry.json last, and a published archive never changes. So at every moment all
archives that the published registry names are complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from zoo.archive.card import FileDigest
from zoo.archive.digests import sha256_and_size
from zoo.basics.files import read_regular
from zoo.basics.progress import progress
from zoo.contract import REGISTRY_FILE, SUMS_FILE, TRUSTED_KEY
from zoo.errors import BadRegistry, CannotWrite, Unverified, ZooError
from zoo.fetching.registries import read_registry
from zoo.publishing.destinations import Target, open_target
from zoo.registry.recipes import is_on_request
from zoo.registry.registry import Registry, parse_registry
from zoo.registry.writing import own_registry
from zoo.trust.minisign import SUFFIX
from zoo.trust.signatures import SIGNATURES, SIGNED_FILES, check_file, trusted_keys

_LAST = (SUMS_FILE, SUMS_FILE + SUFFIX, SIGNATURES, REGISTRY_FILE + SUFFIX, REGISTRY_FILE)


@dataclass(frozen=True)
class Publication:
    """The result of `publish`: `written` has the size of every new file in the order of writing, `same` the others.

    `left_out` has the reason for every file of dist/ that is not published; `gone` are the models that only the
    registry at the destination had.
    """

    destination: str
    written: Mapping[str, int]
    same: tuple[str, ...]
    left_out: Mapping[str, str]
    gone: tuple[str, ...]
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what `zoo publish --json` prints."""
        return {**vars(self), "written": [{"name": name, "size": size} for name, size in self.written.items()]}


@dataclass(frozen=True)
class _File:
    """A file to publish. The bytes of an archive never change."""

    source: Path
    digest: FileDigest
    is_archive: bool = False


_Files = Mapping[str, _File]


def publish(
    dist: str | Path, destination: str | Path, *, dry_run: bool = False, on_request: bool = False
) -> Publication:
    """Copy a finished directory to another, or to a URL that fsspec can write; return which files were copied.

        list(publish("dist", "s3://bucket/zoo").written)  # ["albert_tiny.tar.gz", …, "registry.json"]

    A file that is at the destination with the same size and sha256 is not copied again, so after an interruption the
    next run copies the rest. A name appears when its file is complete. Nothing is removed. With `dry_run` everything
    is compared and nothing is written. A model whose licence lets nobody hand it on (its row says `on_request`) is only
    published with `on_request`, for example to a directory that nobody else reads.

    To compare a file at a URL, it is downloaded. Archives that SHA256SUMS at the destination lists are not: that file
    is written after them, so its digests are right.

    Raises, before anything is written: Unverified, with every problem, if dist/ is not complete; CannotWrite, with
    every name, if an archive of other bytes is at the destination, if the registry there does not have a lower number,
    or, with its licence, if nobody may hand on a model; Untrusted for a wrong signature; Stale for an expired registry.
    Raises CannotWrite if writing fails.
    """
    dist = Path(dist)
    files, left_out = _checked(dist)
    if not on_request:
        _refuse_licences(read_registry(files[REGISTRY_FILE].source))
    target = open_target(destination)
    if target.is_in(dist):
        raise CannotWrite(f"{dist} cannot be published into itself. Choose another place.")
    sums = parse_sums(target.read(SUMS_FILE) or b"") if target.is_far else {}
    new = {name: file for name, file in files.items() if not _is_there(target, name, file, sums)}
    _refuse_conflicts(target, dist, new)
    gone = _gone(target, files[REGISTRY_FILE])
    if not dry_run:
        _write(target, new)
    written = {name: file.digest.size for name, file in new.items()}
    same = tuple(name for name in files if name not in new)
    return Publication(target.place, written, same, left_out, gone, dry_run)


# -- what is to be published --------------------------------------------------------------------------------------


def _checked(dist: Path) -> tuple[_Files, dict[str, str]]:
    """Return the files of a complete dist/ in the order of writing, and the reason for each file that is left out."""
    if not (dist / REGISTRY_FILE).is_file():
        raise Unverified(
            f"{dist} has no {REGISTRY_FILE}: nothing was published. `zoo export` and `zoo build` write one."
        )
    registry = read_registry(dist / REGISTRY_FILE)
    named = _archives(registry)
    paths = {path.relative_to(dist).as_posix(): path for path in dist.rglob("*") if path.is_file()}
    paths = {name: path for name, path in paths.items() if not f"/{name}".count("/.")}  # hidden: locks, temporary files
    left_out = {
        name: f"no model of {REGISTRY_FILE} names it"
        for name in paths
        if name.endswith(".tar.gz") and name not in named
    }
    files = {}
    with progress("checking", sum(path.stat().st_size for path in paths.values())) as advance:
        for name in sorted(paths.keys() - left_out.keys()):
            files[name] = _File(paths[name], sha256_and_size(paths[name]), name in named)
            advance(files[name].digest.size)
    skipped = [registry.skipped_text()] if registry.skipped else []  # unreadable rows may name archives
    if problems := [*skipped, *_archive_problems(named, files), *_sums_problems(dist, named, files)]:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise Unverified(
            f"{dist} is not complete, nothing was published:{lines}\n`zoo build` mends archives, `zoo site {dist}` the "
            f"pages and {SUMS_FILE}."
        )
    _check_signatures(dist)
    if signature := files.get(REGISTRY_FILE + SUFFIX):  # its lasting place: see zoo.trust.signatures
        files[f"{SIGNATURES}{files[REGISTRY_FILE].digest.sha256}{SUFFIX}"] = signature
    ordered = sorted(files, key=lambda name: (_turn(name, files[name]), name))
    return {name: files[name] for name in ordered}, left_out


def _turn(name: str, file: _File) -> int:
    """Return the turn of a file in the order of writing: archives, what pages show, pages, digests, …"""
    last = SIGNATURES if name.startswith(SIGNATURES) else name
    if last in _LAST:
        return 3 + _LAST.index(last)
    return 0 if file.is_archive else 1 if "/" in name else 2


def _archives(registry: Registry) -> dict[str, dict[str, tuple[str | None, int | None]]]:
    """Return {file: {model: (sha256, size)}} of the archives that lie beside a registry."""
    named: dict[str, dict[str, tuple[str | None, int | None]]] = {}
    for model, entry in registry.models.items():
        for url in entry.archive.urls if entry.archive else ():
            if entry.archive and not urlsplit(url).scheme:
                name = str(PurePosixPath(unquote(url)))
                named.setdefault(name, {})[model] = (entry.archive.sha256, entry.archive.size)
    return named


def _archive_problems(named: Mapping[str, Mapping[str, tuple[str | None, int | None]]], files: _Files) -> Iterator[str]:
    for name, models in sorted(named.items()):
        digest = files[name].digest if name in files else None
        for model, (sha256, size) in models.items():
            if name.startswith("/") or ".." in PurePosixPath(name).parts:
                yield f"{model}: {name} does not lie below the registry"
            elif digest is None:
                yield f"{model}: {name} is missing"
            elif sha256 is None:
                yield f"{model}: the registry records no sha256 of {name}"
            elif digest.sha256 != sha256:
                yield f"{model}: {name} is sha256 {digest.sha256[:12]}…, the registry says {sha256[:12]}…"
            elif size not in (None, digest.size):
                yield f"{model}: {name} has {digest.size} bytes, the registry says {size}"


def _sums_problems(dist: Path, named: Mapping[str, object], files: _Files) -> Iterator[str]:
    if SUMS_FILE not in files:
        return
    sums = parse_sums((dist / SUMS_FILE).read_bytes())
    for name in sorted(named.keys() - sums.keys()):
        yield f"{SUMS_FILE}: {name} is not in it"
    for name, sha256 in sums.items():
        if name not in files:
            yield f"{SUMS_FILE}: {name} is in it and is not published"
        elif (found := files[name].digest.sha256) != sha256:
            yield f"{SUMS_FILE}: {name} is sha256 {found[:12]}…, it says {sha256[:12]}…"


def parse_sums(text: bytes) -> dict[str, str]:
    """Return {name: sha256} of a file in the format of sha256sum; other lines are skipped."""
    lines = (line.partition(" ") for line in text.decode("utf-8", "replace").splitlines())
    return {rest[1:]: digest.lower() for digest, _, rest in lines if len(digest) == 64 and rest[:1] in (" ", "*")}


def _refuse_licences(registry: Registry) -> None:
    """Raise CannotWrite if nobody may hand on a model whose archive lies beside the registry."""
    beside = sorted({name for names in _archives(registry).values() for name in names})
    if held := [name for name in beside if is_on_request(name, registry.models)]:
        lines = "".join(f"\n  {name}: {registry.models[name].licence}" for name in held)
        raise CannotWrite(
            f"the licences of these models let nobody hand them on, nothing was published:{lines}\nBuild the others "
            "into a directory of their own. `zoo publish … --on-request` publishes them all the same, for yourself."
        )


def _check_signatures(dist: Path) -> None:
    """Check the signatures of dist/: one of an older registry would lock out all readers who trust a key."""
    signed = [name for name in SIGNED_FILES if (dist / (name + SUFFIX)).is_file()]
    if signed and not trusted_keys():
        raise ZooError(
            f"{dist} is signed ({', '.join(name + SUFFIX for name in signed)}), and {TRUSTED_KEY} is not set, so the "
            "signatures cannot be checked. Set it to the public key."
        )
    for name in signed:
        check_file(dist / name)


# -- what is there ------------------------------------------------------------------------------------------------


def _is_there(target: Target, name: str, file: _File, sums: Mapping[str, str]) -> bool:
    """Return whether the destination has the same bytes under this name."""
    if target.size(name) != file.digest.size:
        return False
    found = sums[name] if file.is_archive and name in sums else target.sha256(name)
    return found == file.digest.sha256


def _refuse_conflicts(target: Target, dist: Path, new: _Files) -> None:
    """Raise CannotWrite if the destination has other bytes under the name of an archive."""
    there = {name: target.size(name) for name, file in new.items() if file.is_archive}
    taken = [name for name, size in there.items() if size is not None]
    if not taken:
        return
    lines = "".join(
        f"\n  {name}: {there[name]} bytes there; {new[name].digest.size} of sha256 {new[name].digest.sha256[:12]}… here"
        for name in taken
    )
    other = f"{taken[0].removesuffix('.tar.gz')}-{new[taken[0]].digest.sha256[:8]}.tar.gz"
    raise CannotWrite(
        f"{target.place} holds other bytes under these names, nothing was published:{lines}\nA published archive never "
        "changes, because readers with the old registry expect its bytes. Rename each file, for example to "
        f"{other}, in {dist} and in `urls` of {REGISTRY_FILE}, then run `zoo site {dist}`; the model keeps its name. "
        "Or publish to another directory."
    )


def _gone(target: Target, registry: _File) -> tuple[str, ...]:
    """Return the models that only the registry at the destination has.

    Raises CannotWrite if that registry does not have a lower number: readers would refuse the new one.
    """
    text = target.read(REGISTRY_FILE) or b"{}"
    try:
        before = parse_registry(text, target.place)
    except BadRegistry:
        return ()
    after = own_registry(registry.source)
    if before.number and after.number <= before.number and text != read_regular(registry.source):
        raise CannotWrite(
            f"{target.place} holds number {before.number} of the registry, {registry.source} is number {after.number}, "
            "and readers who trust a key refuse a number that does not grow. Nothing was published. "
            f"`zoo sign {registry.source.parent} --key FILE --number {before.number + 1}` gives the next one."
        )
    return tuple(sorted({*before.models, *before.skipped} - {*after.models}))


# -- writing ------------------------------------------------------------------------------------------------------


def _write(target: Target, new: _Files) -> None:
    target.tidy(new)
    with progress(f"publishing to {target.place}", sum(file.digest.size for file in new.values())) as advance:
        for name, file in new.items():
            if sha256_and_size(file.source) != file.digest:
                raise CannotWrite(f"{file.source} has changed since it was checked. Run again when all is built.")
            target.write(file.source, name, advance)
            if (size := target.size(name)) != file.digest.size:
                raise CannotWrite(
                    f"{target.place}: {name} has {size} bytes after {file.digest.size} were written. Run again."
                )
