"""Writes and reads the files of minisign: Ed25519 keys and signatures. Nothing here knows of registries.

The format is described at https://jedisct1.github.io/minisign/. The package `cryptography` (the extra `sign`) is
imported when a signature is made or checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from zoo.basics.extras import imported
from zoo.basics.files import cannot_write, sync_directory, sync_file
from zoo.errors import CannotWrite, Untrusted, ZooError

SUFFIX = ".minisig"
# The first two bytes tell a key, a signature of a file's BLAKE2b digest, and an old signature of the file itself.
_KEY, _SIGNED, _OLD = b"Ed", b"ED", b"Ed"
_NO_PASSWORD, _CHECKSUM = b"\0\0", b"B2"
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
_FILE = "file:"
_CHUNK = 1 << 20
_MOST_KEY = 100_000  # bytes that are read of a file that should be a key, which has 300


@dataclass(frozen=True)
class PublicKey:
    """The key that checks signatures. `str(key)` is the line that `minisign -P` takes: 'RWTh5knU2VGAH…'."""

    id: bytes
    point: bytes

    def __str__(self) -> str:
        return _encoded(_KEY + self.id + self.point)

    @property
    def name(self) -> str:
        """The key's number as minisign prints it: '1F8051D9D449E6E1'."""
        return self.id[::-1].hex().upper()


@dataclass(frozen=True, repr=False)
class SecretKey:
    """The key that makes signatures."""

    id: bytes
    seed: bytes

    @property
    def public(self) -> PublicKey:
        """The public key that checks the signatures of this one."""
        private = _ed25519().Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(self.id, private.public_key().public_bytes_raw())


@dataclass(frozen=True)
class Signature:
    """A .minisig file: the signature of a file, and a signature of that signature and the trusted comment together."""

    id: bytes
    of_file: bytes
    comment: str
    of_all: bytes

    @property
    def file_name(self) -> str | None:
        """The name of the signed file, from a comment as 'timestamp:7 file:registry.json'; None if it is not there.

        `zoo sign` writes it, and so does minisign without the option -t.
        """
        fields = self.comment.split("\t")
        return next((field.removeprefix(_FILE) for field in fields if field.startswith(_FILE)), None)

    def __str__(self) -> str:
        return (
            f"{_UNTRUSTED}signature from minisign secret key\n{_encoded(_SIGNED + self.id + self.of_file)}\n"
            f"{_TRUSTED}{self.comment}\n{_encoded(self.of_all)}\n"
        )


# -- keys ---------------------------------------------------------------------------------------------------------


def write_keys(name: Path) -> tuple[Path, Path, PublicKey]:
    """Make a pair of keys, write them to NAME.key and NAME.pub, and return both paths and the public key.

        write_keys(Path("release"))  # (release.key, release.pub, PublicKey(…))

    The secret key has no password, so only its owner may read the file. Raises CannotWrite when a file exists already.
    """
    if not name.name:
        raise CannotWrite(f"{name} is a directory: give a name in it, such as {name / 'release'}.")
    base = name.with_suffix("") if name.suffix in (".key", ".pub") else name
    secret_file, public_file = (base.with_name(base.name + suffix) for suffix in (".key", ".pub"))
    if there := [str(path) for path in (secret_file, public_file) if os.path.lexists(path)]:
        raise CannotWrite(f"{' and '.join(there)} exist; a key is never overwritten. Choose another name.")
    key = SecretKey(secrets.token_bytes(8), secrets.token_bytes(32))
    secret = key.id + key.seed + key.public.point + bytes(32)  # the checksum, which minisign leaves empty here
    header = _KEY + _NO_PASSWORD + _CHECKSUM + bytes(32 + 8 + 8)  # the password's salt, operations and memory: none
    _write_new(secret_file, f"{_UNTRUSTED}minisign encrypted secret key\n{_encoded(header + secret)}\n", 0o600)
    _write_new(public_file, f"{_UNTRUSTED}minisign public key {key.public.name}\n{key.public}\n", 0o644)
    return secret_file, public_file, key.public


def read_secret_key(path: Path) -> SecretKey:
    """Return the key of a file that `zoo keygen` or `minisign -G -W` has written. Raises ZooError."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_KEY)
    except OSError as error:
        raise ZooError(
            f"{path}, the secret key to sign with, cannot be read: {error.strerror}. --key names the file NAME.key "
            "that `zoo keygen NAME` has written. Nothing was signed."
        ) from None
    if not text:
        raise ZooError(f"{path} is empty. Take your copy of the secret key, or make a new one with `zoo keygen NAME`.")
    raw = _decoded(_line(text, 1), 158)
    if raw is None or raw[:2] != _KEY or raw[4:6] != _CHECKSUM:
        raise ZooError(f"{path} is not a secret key of minisign. `zoo keygen` makes one.")
    if raw[2:4] != _NO_PASSWORD:
        raise ZooError(
            f"{path} is a key with a password, which only minisign opens: `minisign -S -s {path} -m FILE` writes the "
            "same signatures. `zoo keygen` makes a key without a password."
        )
    key = SecretKey(raw[54:62], raw[62:94])
    if key.public.point != raw[94:126]:
        raise ZooError(f"{path} is damaged: its two halves do not belong together. Take your copy of it.")
    return key


def parse_public_key(text: str) -> PublicKey | None:
    """Return the key in a line, or in the two lines of a .pub file; None when there is no key."""
    raw = _decoded((text.strip().splitlines() or [""])[-1].strip(), 42)
    return PublicKey(raw[2:10], raw[10:]) if raw and raw[:2] == _KEY else None


# -- signatures ---------------------------------------------------------------------------------------------------


def sign(file: BinaryIO, key: SecretKey, comment: str) -> Signature:
    """Return the signature of a file, read to its end. The same bytes, key and comment give the same signature."""
    private = _ed25519().Ed25519PrivateKey.from_private_bytes(key.seed)
    made = private.sign(_digest(file))
    return Signature(key.id, made, comment, private.sign(made + comment.encode()))


def parse_signature(text: bytes) -> Signature:
    """Return the signature in the four lines of a .minisig file. Raises Untrusted when they hold no signature."""
    raw, of_all = _decoded(_line(text, 1), 74), _decoded(_line(text, 3), 64)
    comment = _line(text, 2)
    if raw is None or of_all is None or not comment.startswith(_TRUSTED) or raw[:2] not in (_SIGNED, _OLD):
        raise Untrusted("is not a signature of minisign")
    if raw[:2] == _OLD:
        raise Untrusted("is a signature of the old kind (minisign -l)")
    return Signature(raw[2:10], raw[10:], comment.removeprefix(_TRUSTED), of_all)


def check(file: BinaryIO, signature: Signature, keys: Sequence[PublicKey]) -> PublicKey:
    """Return the key, one of `keys`, that signed a file, which is read to its end.

    Raises Untrusted, whose message follows the name of the signature: "x.minisig is by the key …".
    """
    ed25519, invalid = _ed25519(), importlib.import_module("cryptography.exceptions").InvalidSignature
    own = [key for key in keys if key.id == signature.id]
    if not own:
        raise Untrusted(f"is by the key {signature.id[::-1].hex().upper()}")
    digest = _digest(file)
    for key in own:
        public = ed25519.Ed25519PublicKey.from_public_bytes(key.point)
        try:
            public.verify(signature.of_file, digest)
            public.verify(signature.of_all, signature.of_file + signature.comment.encode())
            return key
        except invalid:
            continue
    raise Untrusted(f"is by the key {own[0].name}, of other bytes than these")


# -- bytes --------------------------------------------------------------------------------------------------------


def _digest(file: BinaryIO) -> bytes:
    digest = hashlib.blake2b()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


def _line(text: bytes, number: int) -> str:
    """Return line `number`, from 0, of a small file; '' when there is no such line."""
    lines = text[:99_999].decode("utf-8", "replace").split("\n")
    return lines[number].removesuffix("\r") if number < len(lines) else ""


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str, length: int) -> bytes | None:
    """Return `length` bytes that a base64 text holds, None when it holds anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and _encoded(raw) == text else None


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that must not exist, readable from the start only by those whom `mode` allows."""
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        sync_file(path)
        sync_directory(path.parent)


def _ed25519() -> Any:
    advice = " As long as ZOO_TRUSTED_KEY is set, a file whose signature cannot be checked is refused."
    module = "cryptography.hazmat.primitives.asymmetric.ed25519"
    return imported(module, "a signature", "sign", "cryptography", advice)
