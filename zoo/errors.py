"""The errors people meet. Each says what was asked, what was found and the next move."""

from __future__ import annotations

import re

from zoo.basics.display import printable


class ZooError(Exception):
    """The base of all errors that this project raises on purpose. The command line prints one and exits with 2.

    Messages may quote registries, cards and servers. Control characters in a quotation are printed as escapes, "\\x1b".
    """

    def __str__(self) -> str:
        return printable(super().__str__())


# -- names and archives -------------------------------------------------------------------------------------------


class UnknownModel(ZooError, LookupError):
    """No entry of that name in the registry."""


class BadRegistry(ZooError):
    """A registry that cannot be read or does not follow its schema."""


class NotBuilt(ZooError):
    """The registry knows the name, but no archive of it is published."""


class DownloadFailed(ZooError, OSError):
    """No source delivered the file."""


class DigestMismatch(ZooError):
    """A file arrived whose sha256 or size is not the recorded one."""


class Unverified(ZooError):
    """No sha256 is recorded for this model, and allow_unverified was not given."""


class Untrusted(ZooError):
    """A registry or file that no key of ZOO_TRUSTED_KEY has signed."""


class Stale(ZooError):
    """A registry that has expired, or whose number is lower than one that the same URL gave before."""


class BadArchive(ZooError):
    """An archive that is damaged, unsafe to unpack, or not one of ours."""


class DamagedArchive(BadArchive):
    """An unpacked archive with files that are missing, surplus, or different from its card."""


class CannotLoad(ZooError):
    """A model that TensorFlow refuses, or that needs a package which is not installed."""


class MissingExtra(ZooError):
    """Something needs a package that an extra of bert-zoo brings; the message has the `pip install`."""


class BadArgument(ZooError, ValueError):
    """An argument or inputs that a model cannot take; the message lists the values that it can."""


class VocabularyMismatch(ZooError):
    """An encoder and a tokenizer that were not made for each other."""


class VerificationFailed(ZooError):
    """A model does not compute what its certificate or its checkpoint says."""


# -- sources ------------------------------------------------------------------------------------------------------


class BadCheckpoint(ZooError):
    """A checkpoint that cannot be read: files missing, cut short, or several where one is expected."""


class BadConfig(ZooError):
    """A config that is missing, contradicts itself or the checkpoint's shapes, or is not as Keras layers write it."""


class Unsupported(ZooError):
    """A checkpoint of an architecture we know and do not convert."""


class WeightMismatch(ZooError):
    """Variables missing, left over or misshapen; the message lists all of them."""


class BadVocabulary(ZooError):
    """A vocabulary file that WordPiece cannot use; the message gives the line."""


class CannotServe(ZooError, OSError):
    """A directory that is not there, or an address that cannot be listened at."""


class CannotWrite(ZooError, OSError):
    """The output could not be written: no permission, no space."""


def first_line(error: BaseException) -> str:
    """Return in one line what a foreign exception says, without its last full stop and the name of its class.

    first_line(PermissionError(13, "Permission denied", "/x"))  # "/x: Permission denied"
    """
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    said = (str(error).strip().splitlines() or [""])[0].removesuffix(".")
    if isinstance(error, KeyError):
        return f"there is no {said}"
    return said or re.sub("(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
