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
from zoo.fetching.resolve import check_digest, checked_pin, resolve
from zoo.trust.signatures import check_file


def verify_command(parser: argparse.ArgumentParser) -> Run:
    """Check every file of a model and repeat its certificate on this machine.

    zoo verify albert_tiny
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
    model, pin = arguments.model, checked_pin(arguments.sha256)
    path = local_path(model) if model_name(model) is None else None
    if path is not None and path.is_dir() and pin is None:
        yield path
    elif path is not None and path.is_file():  # somebody's archive, not the cache's
        if pin is None:
            check_file(path)
        else:
            check_digest(path, pin)
        with tempfile.TemporaryDirectory() as temporary:
            unpack(path, Path(temporary) / "model")
            yield Path(temporary) / "model"
    else:
        loose = arguments.allow_unverified
        yield resolve(model, registry=arguments.registry, sha256=pin, allow_unverified=loose, thorough=True)
