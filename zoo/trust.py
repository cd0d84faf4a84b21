"""What may be read when ZOO_TRUSTED_KEY is set: registries and files that one of its keys has signed.

The registry inside the package and the one of installed bundles are part of the installation, as the code is that
would check them; a bundle is checked when it is installed. Unpacked directories are taken as they are.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from zoo import web
from zoo.contract import REGISTRY_FILE, SUMS_FILE
from zoo.errors import CannotWrite, DownloadFailed, Untrusted, ZooError
from zoo.files import written_file
from zoo.minisign import SUFFIX, PublicKey, SecretKey, check, parse_public_key, parse_signature, sign
from zoo.web import local_path, read_bytes, shown

VARIABLE = "ZOO_TRUSTED_KEY"
SIGNED_FILES = (REGISTRY_FILE, SUMS_FILE)
SIGNATURES = "signatures/"  # beside the registry, one file a version


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
        return parse_public_key(Path(word).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


# -- registries ---------------------------------------------------------------------------------------------------


def check_registry_signature(content: bytes, place: str, kept: Path | None = None) -> None:
    """Do nothing when the registry that was read from `place` is signed by a trusted key, or when there is none.

    The signature is looked for in `kept`, a file of the cache that receives it, at PLACE.minisig, and beside the
    registry by its digest, where `zoo publish` leaves one for each version: a registry and PLACE.minisig cannot change
    at the same moment. Raises Untrusted, which says what each place held.
    """
    keys = trusted_keys()
    if not keys:
        return
    said = []
    own, of_version = beside(place), by_digest(place, content)
    for source in [*([str(kept)] if kept and kept.is_file() else []), own, of_version]:
        try:
            text = _read(source)
            check(io.BytesIO(content), parse_signature(text), keys)
        except Untrusted as problem:
            said.append(f"{shown(source)} {problem}")
        except (DownloadFailed, OSError) as error:
            if source != of_version:  # which most publishers do not have
                said.append(str(error).rstrip(".") if error.strerror is None else f"{source}: {error.strerror}")
        else:
            if kept is not None:
                _keep(text, kept)
            return
    raise Untrusted(
        f"{shown(place)} is refused: {VARIABLE} asks for a signature by {_names(keys)}. Found: {'; '.join(said)}. "
        "Ask its publisher to sign it (`zoo sign DIST --key FILE`), or whether the key has changed."
    )


def read_twice(read: Callable[[], bytes]) -> bytes:
    """Return what `read` gives, at the second attempt if the first one met a registry between two versions."""
    try:
        return read()
    except Untrusted:
        time.sleep(web.PAUSE)
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
    return read_bytes(source) if path is None else path.read_bytes()


def _keep(text: bytes, kept: Path) -> None:
    try:
        if not kept.is_file() or kept.read_bytes() != text:
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
        with path.open("rb") as file:
            check(file, parse_signature(signature.read_bytes()), keys)
            return
    except Untrusted as problem:
        said = f"{signature} {problem}"
    except OSError as error:
        said = f"{signature}: {error.strerror}"
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


# -- signing ------------------------------------------------------------------------------------------------------


def sign_dist(place: Path, key: SecretKey, now: int | None = None) -> list[Path]:
    """Return the signatures written for a directory's registry.json and SHA256SUMS, or for one file.

        sign_dist(Path("dist"), read_secret_key(Path("release.key")))  # [dist/registry.json.minisig, …]

    `now`, in seconds, goes into the trusted comment, by default the time; all else depends on file and key alone.
    Raises ZooError when there is nothing to sign, CannotWrite.
    """
    files = [place] if place.is_file() else [place / name for name in SIGNED_FILES if (place / name).is_file()]
    if place.is_dir() and place / SIGNED_FILES[0] not in files:
        raise ZooError(f"{place} has no registry.json to sign. `zoo build --out {place}` makes one.")
    if not files:
        raise ZooError(f"{place} is neither a directory nor a file.")
    moment = int(time.time()) if now is None else now
    written = []
    for path in files:
        with path.open("rb") as file:
            signature = sign(file, key, f"timestamp:{moment}\tfile:{path.name}\thashed")
        with written_file(path.with_name(path.name + SUFFIX)) as temporary:
            temporary.write_text(str(signature), encoding="utf-8", newline="\n")
        written.append(path.with_name(path.name + SUFFIX))
    return written
