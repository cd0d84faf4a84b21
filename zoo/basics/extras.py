"""Packages that not everybody installs: they are imported when they are needed, and the error says how to get them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zoo.errors import MissingExtra

_OURS = ("zoo", "export", "tokenizer")


def imported(module: str, who: str, extra: str, install: str | None = None, advice: str = "") -> Any:
    """Return a module whose packages the extra `extra` brings; it may be one of ours that imports them.

        imported("jinja2", "the catalogue page", "site").Environment

    Raises MissingExtra when a package is missing: `who` needs the extra, and `pip install` of `install`, or of the
    extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        raise MissingExtra(_words(who, extra, install, error) + advice) from error


def versions_of(packages: Sequence[str], who: str, extra: str) -> dict[str, str]:
    """Return the versions of the packages that an extra brings. Raises MissingExtra, which names all missing ones."""
    found, missing = {}, []
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        raise MissingExtra(_words(who, extra, None, f"not installed: {', '.join(missing)}"))
    return found


def _words(who: str, extra: str, install: str | None, reason: object) -> str:
    install = install or f"'bert-zoo[{extra}]'"
    return f"{who} needs the extra {extra!r}: `pip install {install}` ({reason})."
