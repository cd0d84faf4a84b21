"""Two text archives, exported once a run from directories that sentence-transformers and transformers saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.once import made_once, packed_only
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.unpack import unpack

CASES = {"vectors": "vector: max and dense", "odd": "classifier: bert"}  # of tests/export/tasks/conftest.py


@pytest.fixture(scope="session")
def text_zoo(tmp_path_factory: pytest.TempPathFactory) -> ToyZoo:
    """`vectors` gives vectors of 24 numbers, its prompt for queries is "a 1: "; `odd` has three classes.

    The encoder of both is a BERT of 2 layers, hidden size 32, vocabulary 99, 40 positions; `vectors` takes 30 tokens.
    """

    def make(place: Path) -> None:
        from tests.export.tasks.conftest import text_archive, write_case
        from zoo.command import main

        made = text_archive(tmp_path_factory)
        shutil.copytree(made / "out", place, dirs_exist_ok=True)
        shutil.copytree(made / "odd", place / "unpacked" / "odd")
        with TemporaryDirectory() as checkpoint, packed_only():
            write_case(CASES["vectors"], Path(checkpoint, "saved"))
            assert main(["export", f"{checkpoint}/saved", "--name", "vectors", "--out", str(place)]) == 0
        unpack(place / "vectors.tar.gz", place / "unpacked" / "vectors")

    return ToyZoo(made_once(tmp_path_factory, "text-zoo", make))
