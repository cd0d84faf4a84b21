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
    """Sign registry.json and SHA256SUMS of a directory, or one file; return the files of the signatures.

        sign_dist(Path("dist"), read_secret_key(Path("release.key")))  # [dist/registry.json.minisig, …]

    If this key has not signed registry.json as it is now, the registry first gets the next number, and its line in
    SHA256SUMS is updated. `number` gives it that number instead. With `expires_in` it expires after so many days, or
    never if 0; without it, the expiry stays. `now`, in seconds since 1970, is written into the trusted comment; the
    default is the current time. All else depends on the arguments alone.

    Raises ZooError if there is nothing to sign or the number would go down, BadRegistry, CannotWrite.
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
    """Write number and expiry into a registry that this key has not signed yet, or for which they are given."""
    last = own_registry(registry)
    if number is not None and number < last.number:
        raise ZooError(
            f"{registry} is number {last.number} already, and readers who have seen it refuse number {number}. "
            f"Leave out --number, or give more than {last.number}."
        )
    if expires_in is None and last.expires is not None and seconds(last.expires) <= now:
        raise ZooError(f"{registry} expired at {last.expires}. State for how many days it is valid: --expires-in DAYS.")
    if expires_in is not None and not 0 <= expires_in <= _LONGEST:
        raise ZooError(f"--expires-in takes 1 to {_LONGEST:,} days, or 0 for never, not {expires_in:g}.")
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
