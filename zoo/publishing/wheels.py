"""Writes models as wheels, so that pip brings them from any index of Python packages, and a plain index of such wheels.

A wheel holds one model, its tokenizer, their cards, and a small registry in which zoo.fetching.wheels finds them.
The same archives and version give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from zoo.archive.card import FileDigest
from zoo.archive.digests import sha256_and_size
from zoo.archive.unpack import packed_card
from zoo.basics.files import written_file
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadArgument
from zoo.fetching.building import with_built
from zoo.fetching.bundles import archive_file, bundled_entries
from zoo.fetching.registries import read_registry
from zoo.fetching.wheels import GROUP
from zoo.registry.entry import Entry
from zoo.registry.registry import Registry, registry_text
from zoo.version import __version__

_PREFIX = "zoo-model-"
_TAG = "py3-none-any"
_TIME = (1980, 1, 1, 0, 0, 0)  # of all members: zip knows none before
_LARGE = 1 << 31  # bytes; larger members need the newer form of zip


@dataclass(frozen=True)
class Wheel:
    """A wheel that `wheels` wrote: the project's name for pip, its version, the file and what is in it."""

    project: str
    version: str
    file: Path
    names: tuple[str, ...]
    digest: FileDigest | None

    @property
    def requirement(self) -> str:
        """The line of a requirements file that takes this file and no other: 'NAME==VERSION --hash=sha256:…'."""
        pin = f" --hash=sha256:{self.digest.sha256}" if self.digest else ""
        return f"{self.project}=={self.version}{pin}"


def wheels(
    names: str | Sequence[str],
    out: str | Path,
    *,
    version: str | None = None,
    index: bool = False,
    registry: Registry | str | Path | None = None,
    dry_run: bool = False,
) -> list[Wheel]:
    """Write one wheel for each model, with its tokenizer, into the directory `out`; return what was written.

        wheels("bge_small_zh", "wheels", index=True)[0].requirement  # "zoo-model-bge-small-zh==2026.11.30 --hash=…"

    Where such a wheel is installed with pip, `zoo.load("bge_small_zh")` needs no network. `version` is today's date, or
    that of SOURCE_DATE_EPOCH, where it is not given. With `index`, `out`/simple becomes an index of all wheels in
    `out`, as pip's --index-url takes it. With `dry_run` nothing is fetched or written.

    Raises BadArgument for a version that pip does not know and for names that are one to pip, and as `zoo.bundle` does.
    """
    known = registry if isinstance(registry, Registry) else read_registry(registry)
    version, out = _version(version), Path(out)
    chosen = sorted({known.canonical(name) for name in ([names] if isinstance(names, str) else names)})
    _refuse_same(chosen)
    known = with_built(known, chosen, build=not dry_run)
    contents = {name: bundled_entries([name], known) for name in chosen}
    planned = []
    for name, entries in contents.items():
        module = _module(name)
        file = out / f"{module}-{version}-{_TAG}.whl"
        digest = None if dry_run else _write(file, name, version, entries, known)
        planned.append(Wheel(canonicalize_name(_PREFIX + name), version, file, tuple(entries), digest))
    if index and not dry_run:
        write_index(out)
    return planned


def write_index(out: Path) -> None:
    """Write `out`/simple, the index of all wheels that lie in `out`: PEP 503, with the sha256 of each. No server code.

    Raises CannotWrite.
    """
    projects: dict[str, list[Path]] = {}
    for file in sorted(out.glob("*.whl")):
        projects.setdefault(canonicalize_name(file.name.split("-")[0]), []).append(file)
    for project, files in projects.items():
        links = [(f"../../{quote(file.name)}#sha256={sha256_and_size(file).sha256}", file.name) for file in files]
        _write_page(out / "simple" / project / "index.html", links)
    _write_page(out / "simple" / "index.html", [(f"{project}/", project) for project in projects])


def _write_page(path: Path, links: Sequence[tuple[str, str]]) -> None:
    lines = "".join(f'<a href="{html.escape(target)}">{html.escape(text)}</a><br>\n' for target, text in links)
    with written_file(path) as temporary:
        temporary.write_text(f"<!DOCTYPE html>\n<html><body>\n{lines}</body></html>\n", encoding="utf-8", newline="\n")


def _version(text: str | None) -> str:
    """Return a version in pip's one form: the date where none is given."""
    if text is None:
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        try:
            day = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
        except (ValueError, OverflowError, OSError):
            raise BadArgument(f"SOURCE_DATE_EPOCH is {epoch!r}, which is no number of seconds since 1970.") from None
        text = f"{day.year}.{day.month}.{day.day}"
    try:
        return str(Version(text))
    except InvalidVersion:
        raise BadArgument(f"{text!r} is no version that pip knows. Such as '2026.11.30' is one.") from None


def _module(name: str) -> str:
    return canonicalize_name(_PREFIX + name).replace("-", "_")


def _refuse_same(names: Sequence[str]) -> None:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(canonicalize_name(name), []).append(name)
    if same := [" and ".join(those) for those in found.values() if len(those) > 1]:
        raise BadArgument(f"to pip these are one name: {', '.join(same)}. Write them into different directories.")


# -- one wheel ----------------------------------------------------------------------------------------------------


def _write(file: Path, name: str, version: str, entries: Mapping[str, Entry], registry: Registry) -> FileDigest:
    """Write a wheel; return its digest. Its members are stored as they are: archives are compressed already."""
    module, records = _module(name), []
    with written_file(file) as temporary, TemporaryDirectory(dir=temporary.parent, prefix=".zoo-") as work:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as wheel:
            for other in entries:
                archive = Path(work) / f"{other}.tar.gz"
                archive_file(other, registry.archive(other), archive)
                records.append(_add_file(wheel, f"{module}/{archive.name}", archive))
                records.append(_add(wheel, f"{module}/{other}.card.json", packed_card(archive)))
                archive.unlink()
            for member, text in _texts(name, version, entries):
                records.append(_add(wheel, member, text.encode()))
            record = f"{_info(module, version)}/RECORD"
            _add(wheel, record, ("".join(records) + f"{record},,\n").encode())
        return sha256_and_size(temporary)


def _texts(name: str, version: str, entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    """Yield path and text of the small members of a wheel, but RECORD."""
    module = _module(name)
    info = _info(module, version)
    yield f"{module}/__init__.py", f'"""The model {name} for the package bert-zoo: `zoo.load({name!r})`."""\n'
    yield f"{module}/{REGISTRY_FILE}", registry_text(Registry(models=dict(entries)))
    yield f"{info}/METADATA", _metadata(name, version, entries)
    yield (
        f"{info}/WHEEL",
        f"Wheel-Version: 1.0\nGenerator: bert-zoo {__version__}\nRoot-Is-Purelib: true\nTag: {_TAG}\n",
    )
    yield f"{info}/entry_points.txt", f"[{GROUP}]\n{name} = {module}\n"


def _info(module: str, version: str) -> str:
    return f"{module}-{version}.dist-info"


def _metadata(name: str, version: str, entries: Mapping[str, Entry]) -> str:
    entry = entries[name]
    fields = {
        "Metadata-Version": "2.1",
        "Name": canonicalize_name(_PREFIX + name),
        "Version": version,
        "Summary": entry.description or f"The {entry.kind} {name}",
        "License": entry.licence,
        "Requires-Dist": f"bert-zoo>={__version__}",
        "Description-Content-Type": "text/markdown",
    }
    head = "".join(f"{field}: {' '.join(value.split())}\n" for field, value in fields.items())
    lines = [f"- `{other}`: {row.kind}, sha256 {row.archive.sha256}" for other, row in entries.items() if row.archive]
    return f"{head}\n```python\nimport zoo\n\nmodel = zoo.load({name!r})\n```\n\n" + "\n".join(lines) + "\n"


def _add(wheel: zipfile.ZipFile, member: str, content: bytes) -> str:
    """Add a small member to a wheel; return its line of RECORD."""
    wheel.writestr(_member(member), content)
    return _record(member, FileDigest(sha256=hashlib.sha256(content).hexdigest(), size=len(content)))


def _add_file(wheel: zipfile.ZipFile, member: str, path: Path) -> str:
    """Add a file to a wheel; return its line of RECORD."""
    digest = sha256_and_size(path)
    with path.open("rb") as source, wheel.open(_member(member), "w", force_zip64=digest.size >= _LARGE) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return _record(member, digest)


def _record(member: str, digest: FileDigest) -> str:
    packed = base64.urlsafe_b64encode(bytes.fromhex(digest.sha256)).decode().rstrip("=")
    return f"{member},sha256={packed},{digest.size}\n"


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr, info.create_system = 0o100644 << 16, 3
    return info
