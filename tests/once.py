"""Files that take seconds to make are made once in a run of the tests; every test and every worker reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
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


@contextmanager
def packed_only(*without: str) -> Iterator[None]:
    """Exports in here are certified and packed, and the packed archive is not loaded once more to verify it.

    For archives that other tests load anyway. That every other export does it, tests/export/test_pipeline.py says. Of
    a tokenizer, archives of the kinds `without` are not made.
    """
    from export import pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "verify", lambda directory: None)
        for kind in without:
            patch.delitem(pipeline._ROOTS, kind)
        yield


@contextmanager
def tokenizers_saved_once(factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports in here take the SavedModel of a tokenizer from an earlier export of the same one, if there was any.

    It is the same byte for byte, as tests/tokenizer/test_tokenizer_archive.py says.
    """
    from export import pipeline

    save = pipeline.write_saved_model

    def save_once(make_root: Callable[[], object], directory: Path) -> None:
        if not (isinstance(make_root, partial) and make_root.func in pipeline._ROOTS.values()):
            return save(make_root, directory)
        label = sha256(repr((make_root.func, make_root.args, make_root.keywords)).encode()).hexdigest()[:16]
        saved = made_once(factory, f"tokenizer-{label}", lambda place: save(make_root, place))
        shutil.copytree(saved, directory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_saved_model", save_once)
        yield
