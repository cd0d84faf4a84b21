"""A zoo of real archives, exported once a session: an encoder with heads, its tokenizer and preprocessor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from zoo.archive.unpack import unpack


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
        place = self.directory / "unpacked" / name
        if not place.is_dir():
            unpack(self.archive(name), place)
        return place


@pytest.fixture(scope="session")
def toy_zoo(tmp_path_factory: pytest.TempPathFactory) -> ToyZoo:
    """The zoo itself. (Importing the builder imports TensorFlow, which most tests here do without.)"""
    from export.options import EncoderRequest, TokenizerRequest
    from export.pipeline import export_encoder, export_tokenizer
    from tests.export.conftest import write_odd

    checkpoint, out = tmp_path_factory.mktemp("toy-checkpoint"), tmp_path_factory.mktemp("toy-zoo")
    write_odd(checkpoint)
    export_encoder(EncoderRequest(checkpoint, "toy", out))
    export_tokenizer(TokenizerRequest(checkpoint, "toy_tokenizer", out))
    return ToyZoo(out)
