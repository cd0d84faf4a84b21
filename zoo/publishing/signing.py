"""Numbers and signs a finished directory. How readers check both is in zoo/trust/."""

from __future__ import annotations

import time
from pathlib import Path

from zoo.archive.digests import sha256_of
from zoo.basics.files import open_regular, read_regular, written_file
from zoo.contract import REGISTRY_FILE, SUMS_FILE
from zoo.errors import Untrusted, ZooError
from zoo.fetching.freshness import moment_after, seconds
from zoo.registry.writing import own_registry, renumber
from zoo.trust.minisign import SUFFIX, SecretKey, check, parse_signature, sign
from zoo.trust.signatures import SIGNED_FILES

_LONGEST = 36_500  # days


def sign_dist(
    place: Path,
    key: SecretKey,
    now: int | None = None,
    *,
    number: int | None = None,
    expires_in: float | None = None,
) -> list[Path]:
    """Return the signatures written for a directory's registry.json and SHA256SUMS, or for one file.

        sign_dist(Path("dist"), read_secret_key(Path("release.key")))  # [dist/registry.json.minisig, …]

    A registry.json that has changed since this key signed it, or was never signed by it, first gets the next number, or
    `number`, and expires in so many days, 0 for never; without `expires_in` it keeps the expiry it has. Its line in
    SHA256SUMS follows. `now`, in seconds, goes into the trusted comment, by default the time; all else depends on the
    arguments alone.

    Raises ZooError when there is nothing to sign or the number goes down, BadRegistry, CannotWrite.
    """
    files = [place] if place.is_file() else [place / name for name in SIGNED_FILES if (place / name).is_file()]
    if place.is_dir() and place / SIGNED_FILES[0] not in files:
        raise ZooError(f"{place} has no registry.json to sign. `zoo build --out {place}` makes one.")
    if not files:
        raise ZooError(f"{place} is neither a directory nor a file.")
    if odd := [path.name for path in files if not path.name.isprintable()]:
        raise ZooError(f"{odd[0]!r} cannot be signed: a signature holds the name of its file. Give it a plain name.")
    moment = int(time.time()) if now is None else now
    if files[0].name == REGISTRY_FILE:
        _stamp(files[0], key, moment, number, expires_in)
    written = []
    for path in files:
        with open_regular(path) as file:
            signature = sign(file, key, f"timestamp:{moment}\tfile:{path.name}\thashed")
        with written_file(path.with_name(path.name + SUFFIX)) as temporary:
            temporary.write_text(str(signature), encoding="utf-8", newline="\n")
        written.append(path.with_name(path.name + SUFFIX))
    return written


def _stamp(registry: Path, key: SecretKey, now: int, number: int | None, expires_in: float | None) -> None:
    """Give a registry that readers have not seen yet its number and its expiry."""
    last = own_registry(registry)
    if number is not None and number < last.number:
        raise ZooError(
            f"{registry} is number {last.number} already, and readers who have seen it refuse number {number}. "
            f"Leave out --number, or give more than {last.number}."
        )
    if expires_in is None and last.expires is not None and seconds(last.expires) <= now:
        raise ZooError(f"{registry} has expired, {last.expires}. Say for how long it is good: --expires-in DAYS.")
    if expires_in is not None and not 0 <= expires_in <= _LONGEST:
        raise ZooError(f"a registry is good for 1 to {_LONGEST:,} days, or 0 for ever, not for {expires_in:g}.")
    if number is None and expires_in is None and _is_signed(registry, key):
        return
    expires = last.expires if expires_in is None else moment_after(now, expires_in) if expires_in else None
    before = sha256_of(registry)
    renumber(registry, last.number + 1 if number is None else number, expires)
    sums = registry.with_name(SUMS_FILE)
    if sums.is_file():
        old = read_regular(sums)
        new = old.replace(f"{before}  {REGISTRY_FILE}\n".encode(), f"{sha256_of(registry)}  {REGISTRY_FILE}\n".encode())
        if new != old:
            with written_file(sums) as temporary:
                temporary.write_bytes(new)


def _is_signed(path: Path, key: SecretKey) -> bool:
    try:
        signature = parse_signature(read_regular(path.with_name(path.name + SUFFIX)))
        with open_regular(path) as file:
            check(file, signature, [key.public])
    except (OSError, Untrusted):
        return False
    return True
