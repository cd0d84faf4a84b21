"""`zoo verify`: every file of a model and its certificate, repeated here."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.archive.unpack import unpack
from zoo.basics.urls import local_path
from zoo.commands.common import Run, add_json, add_registry, add_unverified, print_json
from zoo.fetching.places import model_name
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import check_digest, checked_pin, recorded, resolve
from zoo.registry.registry import Registry
from zoo.trust.signatures import check_file


def verify_command(parser: argparse.ArgumentParser) -> Run:
    """Check every file of a model and repeat its certificate on this machine.

    zoo verify albert_tiny
    zoo verify albert_tiny --registry dist/registry.json
    zoo verify dist/albert_tiny.tar.gz --sha256 0f3a…
    """
    parser.add_argument("model", metavar="NAME|URL|DIR|TAR.GZ")
    parser.add_argument("--sha256", metavar="HEX", help="the sha256 that the archive must have")
    add_unverified(parser)
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        with _directory(arguments) as directory:
            from zoo.loading.verify import verify  # imports numpy, which the other commands do not need

            report = verify(directory)
        print_json(report.to_dict()) if arguments.json else print(report)
        return 0

    return run


@contextmanager
def _directory(arguments: argparse.Namespace) -> Iterator[Path]:
    """Yield the directory to verify. An archive on this machine is read itself, whether the cache has it or not."""
    model, pin = arguments.model, checked_pin(arguments.sha256)
    name = model_name(model)
    if name is None:
        known, path = None, local_path(model)
    else:
        known = read_registry(arguments.registry)
        path, pin = _archive_of(name, known, pin, arguments.allow_unverified)
    if path is not None and path.is_dir() and pin is None:
        yield path
    elif path is not None and path.is_file():
        if pin is None:
            check_file(path)
        else:
            check_digest(path, pin)
        with tempfile.TemporaryDirectory() as temporary:
            unpack(path, Path(temporary) / "model")
            yield Path(temporary) / "model"
    else:
        loose = arguments.allow_unverified
        yield resolve(model, registry=known, sha256=pin, allow_unverified=loose, thorough=True)


def _archive_of(name: str, registry: Registry, pin: str | None, loose: bool) -> tuple[Path | None, str | None]:
    """Return the file that a registry names for a model, if it is on this machine, and the sha256 that it must have."""
    if registry.entry(name).archive is None:  # it is built
        return None, pin
    archive = recorded(name, registry, pin, loose)
    files = [path for path in map(local_path, archive.urls) if path is not None and path.is_file()]
    return (files[0] if files else None), archive.sha256
