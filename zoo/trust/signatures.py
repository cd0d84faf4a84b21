"""With ZOO_TRUSTED_KEY set, registries, archives and bundles need a signature by one of its keys.

A signature is valid for the one file whose name is in its trusted comment: the signature of SHA256SUMS does not sign
registry.json. Three things need no signature: the registry inside the package and the registry of installed bundles,
which are as much part of the installation as this code (a bundle is checked when it is installed); and directories that
are unpacked already.
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
from zoo.contract import REGISTRY_FILE, SUMS_FILE, TRUSTED_KEY
from zoo.errors import CannotWrite, DownloadFailed, Untrusted, ZooError
from zoo.transport import http
from zoo.transport.small import read_bytes
from zoo.trust.minisign import SUFFIX, PublicKey, check, parse_public_key, parse_signature

_T = TypeVar("_T")

SIGNED_FILES = (REGISTRY_FILE, SUMS_FILE)
SIGNATURES = "signatures/"  # this folder beside the registry has one signature for each version of the registry
_MOST = 100_000  # bytes of a key or signature


def trusted_keys() -> list[PublicKey]:
    """Return the keys of ZOO_TRUSTED_KEY; [] when it is not set, and then nothing is checked.

        ZOO_TRUSTED_KEY=RWTh5knU2VGAH94+7YCZLT6/Lk1CGYd/M7ce23ineyCPVQcUOjALYnMw
        ZOO_TRUSTED_KEY=release.pub,/etc/zoo/other.pub

    It holds public keys, paths of .pub files, or the text of .pub files, separated by commas, line breaks or as in
    PATH. Raises ZooError when it holds anything else.
    """
    given = os.environ.get(TRUSTED_KEY, "")
    words = re.split(f"[,\n{os.pathsep}]", re.sub("untrusted comment:.*", "", given))
    words = [word.strip() for word in words if word.strip()]
    found = {word: _key(word) for word in words}
    wrong = [repr(word) for word, key in found.items() if key is None]
    if wrong or (given and not words):
        raise ZooError(
            f"{TRUSTED_KEY} holds {', '.join(wrong) or repr(given)}: no public key of minisign (56 characters that "
            "begin with RW) and no .pub file. Correct it: until then nothing is read."
        )
    return [key for key in found.values() if key is not None]


def _key(word: str) -> PublicKey | None:
    """Return the key that is given as text or as the path of a .pub file, None if it is neither."""
    if (key := parse_public_key(word)) is not None:
        return key
    try:
        return parse_public_key(read_regular(Path(word).expanduser(), _MOST).decode())
    except (OSError, ValueError):
        return None


# -- registries ---------------------------------------------------------------------------------------------------


def check_registry_signature(content: bytes, place: str, kept: Path | None = None) -> str | None:
    """Return the name of the trusted key that signed the registry read from `place`; None if no key is trusted.

    The signature is searched in three places: in `kept`, a file of the cache; at PLACE.minisig; and in the folder
    `signatures` beside the registry, under the registry's sha256. `zoo publish` writes one there for each version,
    because the two files registry.json and registry.json.minisig cannot be replaced at the same moment. A signature
    that was found is written to `kept`. Raises Untrusted, which says what each place held.
    """
    keys = trusted_keys()
    if not keys:
        return None
    problems = []
    own, of_version = beside(place), by_digest(place, content)
    for source in [*([str(kept)] if kept and kept.is_file() else []), own, of_version]:
        try:
            text = _read(source)
            key = _signer(io.BytesIO(content), text, _name(place), keys)
        except Untrusted as problem:
            problems.append(f"{shown(source)} {problem}")
        except (DownloadFailed, OSError) as error:
            if source != of_version:  # most publishers have no folder `signatures`: no need to mention it
                problems.append(str(error).rstrip(".") if error.strerror is None else f"{source}: {error.strerror}")
        else:
            if kept is not None:
                _keep(text, kept)
            return key.name
    raise Untrusted(
        f"{shown(place)} is refused: {TRUSTED_KEY} asks for a signature by {_names(keys)}. Found: {'; '.join(problems)}"
        ". Ask its publisher to sign it (`zoo sign DIST --key FILE`), or whether the key has changed."
    )


def _signer(file: BinaryIO, signature: bytes, name: str, keys: list[PublicKey]) -> PublicKey:
    """Return the key that signed the file called `name`.

    Raises Untrusted, whose message follows the name of the signature: "registry.json.minisig is by the key …".
    """
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
    """Return the file name of a path or URL: 'registry.json'."""
    path = local_path(place)
    return path.name if path is not None else PurePosixPath(unquote(urlsplit(place).path)).name


def read_twice(read: Callable[[], _T]) -> _T:
    """Return the result of `read`, called once more if it raises Untrusted the first time.

    The publisher may have been replacing the registry: then its signature did not fit for a moment.
    """
    try:
        return read()
    except Untrusted:
        time.sleep(http.PAUSE)
        return read()


def beside(place: str) -> str:
    """Return the path or URL of a file's signature: 'https://host/registry.json.minisig'."""
    if (path := local_path(place)) is not None:
        return str(path) + SUFFIX
    parts = urlsplit(place)
    return urlunsplit(parts._replace(path=parts.path + SUFFIX))


def by_digest(place: str, content: bytes) -> str:
    """Return the path or URL of the signature of this version of a registry: 'https://host/signatures/ab12….minisig'."""
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
        return  # the cache may be read-only


# -- other files --------------------------------------------------------------------------------------------------


def check_file(path: Path) -> None:
    """Raise Untrusted unless an archive or bundle has a signature, FILE.minisig, by a trusted key.

    Call it for a file that is in no registry and has no sha256=. If no key is trusted, nothing is checked.
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
        found = f"{signature} {problem}"
    except OSError as error:
        found = f"{error.filename or signature}: {error.strerror}"
    raise Untrusted(
        f"{path} is refused: it is in no registry, and {TRUSTED_KEY} asks for a signature by {_names(keys)}. "
        f"Found: {found}. Give its sha256, take the model by name, or sign the file (`zoo sign FILE --key KEY`)."
    )


def refuse_bare(url: str) -> None:
    """Raise Untrusted for a URL without sha256 when ZOO_TRUSTED_KEY is set: nothing says which bytes are right."""
    if keys := trusted_keys():
        raise Untrusted(
            f"{shown(url)} is refused: it is in no registry, and {TRUSTED_KEY} asks for a signature by {_names(keys)}. "
            "Give its sha256, or take the model by name from a signed registry."
        )


def refuse_unsigned(name: str, command: str) -> None:
    """Raise Untrusted for a model that would be built from a checkpoint when ZOO_TRUSTED_KEY is set; see `command`."""
    if keys := trusted_keys():
        raise Untrusted(
            f"{name} is not published, and nobody has signed the checkpoint that it would be built from: {TRUSTED_KEY} "
            f"asks for a signature by {_names(keys)}. `{TRUSTED_KEY}= {command}` builds it once all the same."
        )


def _names(keys: list[PublicKey]) -> str:
    return " or ".join(key.name for key in keys)
