"""Small archives, a registry of them and a server on loopback."""

from __future__ import annotations

import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.lite_model import DATA
from tests.localserver import LocalServer, running_server
from tests.zoo.embed.toycorpus import write_lines
from tests.zoo.small import SmallZoo, make_tokenizer_card, make_zoo
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import write_card
from zoo.embed import EncoderSpec
from zoo.trust.minisign import PublicKey, SecretKey, read_secret_key, write_keys


@pytest.fixture(autouse=True)
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback server is reached directly, and nobody waits between attempts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("zoo.transport.http.PAUSE", 0.001)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory like an unpacked archive, without a real model in it."""
    made = tmp_path / "built" / "small"
    (made / "variables").mkdir(parents=True)
    (made / "assets").mkdir()
    (made / "saved_model.pb").write_bytes(b"graph" * 100)
    (made / "variables" / "variables.index").write_bytes(b"")
    (made / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(256)) * 20)
    write_card(make_tokenizer_card(made), made)
    return made


@pytest.fixture
def small_zoo(directory: Path, tmp_path: Path) -> SmallZoo:
    return make_zoo(directory, tmp_path / "dist")


@pytest.fixture
def spec(toy_zoo: ToyZoo) -> EncoderSpec:
    """What `zoo embed` is asked for: the toy encoder, by its name."""
    return EncoderSpec("toy", max_length=12, registry=str(toy_zoo.registry))


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A corpus: see tests/zoo/embed/toycorpus.py."""
    return write_lines(tmp_path / "in.txt")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conversion to ONNX of a text archive of vectors, which scripts/lite_model.py wrote."""
    place = tmp_path_factory.mktemp("lite") / "tiny-onnx"
    with tarfile.open(DATA / "tiny-onnx.tar.xz") as tar:
        tar.extractall(place, filter="data")
    return place


@pytest.fixture
def key(tmp_path: Path) -> SecretKey:
    return read_secret_key(write_keys(tmp_path / "keys" / "release")[0])


@pytest.fixture
def trusted(key: SecretKey, monkeypatch: pytest.MonkeyPatch) -> PublicKey:
    """The key that this environment trusts."""
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(key.public))
    return key.public
