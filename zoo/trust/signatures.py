"""What may be read when ZOO_TRUSTED_KEY is set: registries and files that one of its keys has signed, by name.

A signature counts for the file that its trusted comment names: one of SHA256SUMS is none of registry.json. The registry
inside the package and the one of installed bundles are part of the installation, as the code is that would check them;
a bundle is checked when it is installed. Unpacked directories are taken as they are.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from zoo.basics.files import open_regular, read_regular, written_file
from zoo.basics.urls import local_path, shown
from zoo.contract import REGISTRY_FILE, SUMS_FILE
from zoo.errors import CannotWrite, DownloadFailed, Untrusted, ZooError
from zoo.transport import http
from zoo.transport.http import read_bytes
from zoo.trust.minisign import SUFFIX, PublicKey, check, parse_public_key, parse_signature

_T = TypeVar("_T")

VARIABLE = "ZOO_TRUSTED_KEY"
SIGNED_FILES = (REGISTRY_FILE, SUMS_FILE)
SIGNATURES = "signatures/"  # beside the registry, one file a version
_MOST = 100_000  # bytes of a key or signature


def trusted_keys() -> list[PublicKey]:
    """Return the keys of ZOO_TRUSTED_KEY: public keys, .pub files or what is in them, with commas or as in PATH.

        ZOO_TRUSTED_KEY=RWTh5knU2VGAH94+7YCZLT6/Lk1CGYd/M7ce23ineyCPVQcUOjALYnMw

    [] when it is not set, and nothing is checked then. Raises ZooError when it holds anything else.
    """
    given = os.environ.get(VARIABLE, "")
    words = re.split(f"[,\n{os.pathsep}]", re.sub("untrusted comment:.*", "", given))
    words = [word.strip() for word in words if word.strip()]
    found = {word: _key(word) for word in words}
    wrong = [repr(word) for word, key in found.items() if key is None]
    if wrong or (given and not words):
        raise ZooError(
            f"{VARIABLE} holds {', '.join(wrong) or repr(given)}: no public key of minisign (56 characters that begin "
            "with RW) and no .pub file. Correct it; nothing is taken before."
        )
    return [key for key in found.values() if key is not None]


def _key(word: str) -> PublicKey | None:
    if (key := parse_public_key(word)) is not None:
        return key
    try:
        return parse_public_key(read_regular(Path(word).expanduser(), _MOST).decode())
    except (OSError, ValueError):
        return None


# -- registries ---------------------------------------------------------------------------------------------------


def check_registry_signature(content: bytes, place: str, kept: Path | None = None) -> str | None:
    """Return the name of the trusted key that has signed the registry that was read from `place`, None without keys.

    The signature is looked for in `kept`, a file of the cache that receives it, at PLACE.minisig, and beside the
    registry by its digest, where `zoo publish` leaves one for each version: a registry and PLACE.minisig cannot change
    at the same moment. Raises Untrusted, which says what each place held.
    """
    keys = trusted_keys()
    if not keys:
        return None
    said = []
    own, of_version = beside(place), by_digest(place, content)
    for source in [*([str(kept)] if kept and kept.is_file() else []), own, of_version]:
        try:
            text = _read(source)
            key = _signer(io.BytesIO(content), text, _name(place), keys)
        except Untrusted as problem:
            said.append(f"{shown(source)} {problem}")
        except (DownloadFailed, OSError) as error:
            if source != of_version:  # which most publishers do not have
                said.append(str(error).rstrip(".") if error.strerror is None else f"{source}: {error.strerror}")
        else:
            if kept is not None:
                _keep(text, kept)
            return key.name
    raise Untrusted(
        f"{shown(place)} is refused: {VARIABLE} asks for a signature by {_names(keys)}. Found: {'; '.join(said)}. "
        "Ask its publisher to sign it (`zoo sign DIST --key FILE`), or whether the key has changed."
    )


def _signer(file: BinaryIO, signature: bytes, name: str, keys: list[PublicKey]) -> PublicKey:
    """Return whose signature of the file of that name it is. Raises Untrusted, its words meant to follow a name."""
    parsed = parse_signature(signature)
    key = check(file, parsed, keys)
    if parsed.file_name is None:
        raise Untrusted(
            f"does not say in its trusted comment of which file it is: sign {name} again, with `zoo sign`, or with "
            "minisign and without -t"
        )
    if parsed.file_name != name:
        raise Untrusted(f"is of a file named {parsed.file_name!r}, not {name!r}")
    return key


def _name(place: str) -> str:
    path = local_path(place)
    return path.name if path is not None else PurePosixPath(unquote(urlsplit(place).path)).name


def read_twice(read: Callable[[], _T]) -> _T:
    """Return what `read` gives, at the second attempt if the first one met a registry between two versions."""
    try:
        return read()
    except Untrusted:
        time.sleep(http.PAUSE)
        return read()


def beside(place: str) -> str:
    """Return where the signature of a file lies: 'https://host/registry.json.minisig'."""
    if (path := local_path(place)) is not None:
        return str(path) + SUFFIX
    parts = urlsplit(place)
    return urlunsplit(parts._replace(path=parts.path + SUFFIX))


def by_digest(place: str, content: bytes) -> str:
    """Return where the signature of this version of a registry stays: 'https://host/signatures/DIGEST.minisig'."""
    name = f"{SIGNATURES}{hashlib.sha256(content).hexdigest()}{SUFFIX}"
    if (path := local_path(place)) is not None:
        return str(path.parent / name)
    parts = urlsplit(place)
    return urlunsplit(parts._replace(path=parts.path.rpartition("/")[0] + "/" + name))


def _read(source: str) -> bytes:
    path = local_path(source)
    return read_bytes(source, _MOST) if path is None else read_regular(path, _MOST)


def _keep(text: bytes, kept: Path) -> None:
    try:
        if not kept.is_file() or read_regular(kept) != text:
            with written_file(kept) as temporary:
                temporary.write_bytes(text)
    except (OSError, CannotWrite):
        return  # a cache that others may only read


# -- other files --------------------------------------------------------------------------------------------------


def check_file(path: Path) -> None:
    """Do nothing when FILE.minisig is a trusted signature of an archive or bundle, or when no key is trusted.

    It is for files that no registry names and no sha256= pins. Raises Untrusted.
    """
    keys = trusted_keys()
    if not keys:
        return
    signature = path.with_name(path.name + SUFFIX)
    try:
        with open_regular(path) as file:
            _signer(file, read_regular(signature, _MOST), path.name, keys)
            return
    except Untrusted as problem:
        said = f"{signature} {problem}"
    except OSError as error:
        said = f"{error.filename or signature}: {error.strerror}"
    raise Untrusted(
        f"{path} is refused: no registry vouches for it, and {VARIABLE} asks for a signature by {_names(keys)}. "
        f"Found: {said}. Give its sha256, take the model by name, or sign the file (`zoo sign FILE --key KEY`)."
    )


def refuse_bare(url: str) -> None:
    """Raise Untrusted when keys are trusted: nobody vouches for what a URL gives."""
    if keys := trusted_keys():
        raise Untrusted(
            f"{shown(url)} is refused: no registry vouches for it, and {VARIABLE} asks for {_names(keys)}. "
            "Give its sha256, or take the model by name from a signed registry."
        )


def _names(keys: list[PublicKey]) -> str:
    return " or ".join(key.name for key in keys)
