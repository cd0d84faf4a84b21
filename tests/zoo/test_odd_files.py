"""Pipes and devices in the place of files: refused at once, wherever a path comes from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.zoo.small import SmallZoo
from zoo.basics.files import open_regular, read_regular
from zoo.command import main
from zoo.trust.minisign import write_keys

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.tar.gz"
    os.mkfifo(path)
    return path


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Interrupt what waits for a pipe, which nothing else would."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 20)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_what_is_opened_is_a_file(pipe: Path, tmp_path: Path) -> None:
    for path, words in (
        (pipe, "is a pipe; only ordinary files are read"),
        (Path("/dev/zero"), "is a device; only ordinary files are read"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(OSError, match=words) as caught:
            open_regular(path)
        assert caught.value.filename == str(path)
    (tmp_path / "file").write_bytes(b"four")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 4) == b"four"
    with pytest.raises(OSError, match="is longer than 3 bytes"):
        read_regular(tmp_path / "link", 3)


def test_a_pipe_that_takes_the_place_of_a_file_meanwhile(
    pipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    looked_at = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: looked_at)
    with pytest.raises(OSError, match="is a pipe"):
        open_regular(pipe)


Case = Callable[[SmallZoo, Path], tuple[list[object], dict[str, str]]]


def signed(zoo: SmallZoo, pipe: Path) -> tuple[list[object], dict[str, str]]:
    os.mkfifo(zoo.registry.with_name("registry.json.minisig"))
    key = write_keys(pipe.with_name("release"))[2]
    return ["list", "--registry", zoo.registry], {"ZOO_TRUSTED_KEY": str(key)}


def mirrored(zoo: SmallZoo, pipe: Path) -> tuple[list[object], dict[str, str]]:
    zoo.archive.unlink()
    (pipe.parent / "mirror").mkdir()
    pipe.rename(pipe.parent / "mirror" / zoo.archive.name)
    return ["fetch", "small", "--registry", zoo.registry], {"ZOO_MIRROR": str(pipe.parent / "mirror")}


def archived(zoo: SmallZoo, pipe: Path) -> tuple[list[object], dict[str, str]]:
    zoo.archive.unlink()
    os.mkfifo(zoo.archive)
    return ["fetch", "small", "--registry", zoo.registry], {}


CASES: dict[str, Case] = {
    "a registry": lambda zoo, pipe: (["list", "--registry", pipe], {}),
    "a registry that is checked": lambda zoo, pipe: (["registry", "check", pipe], {}),
    "the signature of a registry": signed,
    "an archive": lambda zoo, pipe: (["fetch", pipe], {}),
    "an archive to be verified": lambda zoo, pipe: (["verify", pipe], {}),
    "a device to be verified": lambda zoo, pipe: (["verify", "/dev/zero"], {}),
    "the archive of a registry": archived,
    "a mirror": mirrored,
    "a bundle": lambda zoo, pipe: (["install", pipe], {}),
    "a key": lambda zoo, pipe: (["list", "--registry", zoo.registry], {"ZOO_TRUSTED_KEY": str(pipe)}),
}


@pytest.mark.parametrize("case", CASES)
def test_no_command_waits_for_a_pipe(
    small_zoo: SmallZoo,
    pipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    words, environment = CASES[case](small_zoo, pipe)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(list(map(str, words))) == 2
    err = capsys.readouterr().err
    assert any(said in err for said in ("only ordinary files are read", "is not a file", "no public key")), err
