"""A zoo of real archives, exported once a run: an encoder with heads, its tokenizer and preprocessor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.once import made_once, packed_only
from zoo.archive.unpack import unpack
from zoo.contract import REGISTRY_FILE
from zoo.fetching.registries import read_registry


@dataclass(frozen=True)
class ToyZoo:
    """Where a built zoo lies. Tests copy what they change.

    `toy` is a BERT of 3 layers, hidden size 32, vocabulary 99, 40 positions, with its mlm and nsp heads;
    `toy_tokenizer` and `toy_tokenizer_preprocess` are of its vocabulary, 你 is 5 and 好 is 6.
    """

    directory: Path

    @property
    def registry(self) -> Path:
        return self.directory / "registry.json"

    def archive(self, name: str = "toy") -> Path:
        """Return the packed archive of a name."""
        return self.directory / f"{name}.tar.gz"

    def unpacked(self, name: str = "toy") -> Path:
        """Return an unpacked directory that all tests share."""
        return self.directory / "unpacked" / name


@pytest.fixture(scope="session")
def toy_zoo(tmp_path_factory: pytest.TempPathFactory) -> ToyZoo:
    """The zoo itself. (Importing the builder imports TensorFlow, which most tests here do without.)"""
    return ToyZoo(made_once(tmp_path_factory, "toy-zoo", _make))


def _make(place: Path) -> None:
    from export.options import EncoderRequest, TokenizerRequest
    from export.pipeline import export_encoder, export_tokenizer
    from tests.export.conftest import write_odd

    with TemporaryDirectory() as checkpoint, packed_only():
        write_odd(Path(checkpoint))
        export_encoder(EncoderRequest(Path(checkpoint), "toy", place))
        export_tokenizer(TokenizerRequest(Path(checkpoint), "toy_tokenizer", place))
    for name in read_registry(place / REGISTRY_FILE).names():
        unpack(place / f"{name}.tar.gz", place / "unpacked" / name)
