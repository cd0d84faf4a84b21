"""`zoo.install`: bundles, archives and directories with a registry give their names to this machine."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from zoo.archive.card import read_card
from zoo.archive.digests import sha256_and_size
from zoo.archive.unpack import unpack
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadArchive, BadRegistry
from zoo.fetching.bundles import install_bundle, read_bundle
from zoo.fetching.cache import keep
from zoo.fetching.installed import add_directory, add_installed, conflicts
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_local, read_registry
from zoo.registry.entry import Entry
from zoo.registry.registry import PACKAGED
from zoo.registry.rows import registry_row
from zoo.trust.signatures import check_file


def install(file: str | Path, *, dry_run: bool = False) -> list[str]:
    """Let `zoo` know the models of a bundle, of an archive or of a directory, without a network; return their names.

        zoo.install("albert_tiny.tar")  # a bundle
        zoo.install("dist/mine.tar.gz")  # an archive: zoo.load("mine")
        zoo.install("dist")  # a directory with a registry.json, as `zoo export`, `zoo add` and `zoo build` fill it

    A bundle and an archive are unpacked into the cache. A directory stays where it is, and is looked at each time: what
    is exported into it later is known too. A name of the packaged registry keeps its meaning: other bytes under that
    name are refused.

    Raises BadArchive, which lists all problems of a bundle, BadRegistry, CannotWrite, and Untrusted when
    ZOO_TRUSTED_KEY is set and the file, or the registry, has no signature by that key; then no name is installed.
    """
    return sorted(installed_rows(Path(file), dry_run=dry_run))


def installed_rows(path: Path, *, dry_run: bool = False) -> dict[str, Entry]:
    """Do what `install` does; return the rows of the models."""
    if path.is_dir():
        return _directory(path, dry_run)
    if path.name.endswith((".tar.gz", ".tgz")):
        return _archive(path, dry_run)
    rows = read_bundle(path).models
    install_bundle(path, dry_run=dry_run)
    return rows


def _directory(path: Path, dry_run: bool) -> dict[str, Entry]:
    file = path.absolute() / REGISTRY_FILE
    if not file.is_file():
        raise BadRegistry(f"{path} holds no {REGISTRY_FILE}. `zoo export … --out {path}` writes one.")
    rows = {name: entry for name, entry in read_local(file).models.items() if entry.archive is not None}
    _refuse_conflicts(path, rows)
    if not dry_run:
        add_directory(path.absolute())
    return rows


def _archive(path: Path, dry_run: bool) -> dict[str, Entry]:
    """Unpack an archive into the cache and fill a row from its card. Its tokenizer is that of the same vocabulary."""
    if not path.is_file():
        raise BadArchive(f"{path} is not a file.")
    check_file(path)
    digest = sha256_and_size(path)
    with TemporaryDirectory() as temporary:
        if dry_run:
            unpack(path, Path(temporary) / "model")
            card = read_card(Path(temporary) / "model")
        else:
            card = read_card(keep(cache_directory() / digest.sha256, path.name, path))
    row = registry_row(card, digest, None)
    assert row.archive is not None  # `registry_row` has just written it
    archive = row.archive.model_copy(update={"urls": [path.absolute().as_uri()]})
    rows = {card.name: row.model_copy(update={"archive": archive})}
    _refuse_conflicts(path, rows)
    if not dry_run:
        add_installed(rows)
    return rows


def _refuse_conflicts(path: Path, rows: dict[str, Entry]) -> None:
    if taken := conflicts(rows, read_registry(PACKAGED)):
        raise BadRegistry(
            f"{path} cannot be installed: in the packaged registry these names mean other models: {'; '.join(taken)}. "
            "`zoo.load(PATH)` takes an archive or a directory by its path."
        )
