"""Files that take seconds to make are made once in a run of the tests; every test and every worker reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.basics.locks import delete, locked


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return the directory `name`, which `make` filled, in this process or in another worker of pytest-xdist.

        made_once(tmp_path_factory, "toy", lambda place: export_encoder(EncoderRequest(checkpoint, "toy", place)))

    A test copies what it changes. If `make` fails, the next caller tries again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a directory of its own in there
    place = base / "once" / name
    finished = place.with_name(f"{name}.finished")
    with locked(place.with_name(f"{name}.lock")):
        if not finished.exists():
            delete(place)
            place.mkdir()
            make(place)
            finished.touch()
    return place
