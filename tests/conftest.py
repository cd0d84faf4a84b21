"""What every test may use: the checkout's root, the reference material beside it, quiet TensorFlow."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.zoo.textzoo import text_zoo  # noqa: F401, a fixture
from tests.zoo.toyzoo import toy_zoo  # noqa: F401, a fixture

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's reference material, which a checkout need not have."""
    if not SHARED.is_dir():
        pytest.skip("reference material (../shared) is not here")
    return SHARED


@pytest.fixture(scope="module", autouse=True)
def nothing_left_to_look_through() -> Iterator[None]:
    """At the end of a file, collect garbage, and let the collector pass over what is left: it looked through it again
    and again, and more of it after every file."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for each that asks. (`mktemp` reads through all that it ever made, at every call.)"""
    place = tmp_path_factory.mktemp("caches")
    return (place / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the caches of the person who runs it."""
    for name in ("ZOO_CACHE", "TFHUB_CACHE_DIR"):
        place = next(caches)
        place.mkdir()
        monkeypatch.setenv(name, str(place))
    for name in ("ZOO_REGISTRY", "ZOO_OFFLINE", "ZOO_MIRROR", "ZOO_TRUSTED_KEY", "ZOO_ALLOW_STALE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZOO_BUILD", "never")  # no test asks the hubs; those that build ask a server of their own


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many texts the tokenizer's tests compared. Here, because with xdist only this conftest sees the reports."""
    lines: Sequence[tuple[str, int]] = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "compared"
    ]
    if lines:
        terminalreporter.section("texts compared with the original tokenizer")
        for what, count in lines:
            terminalreporter.write_line(f"{count:>10,}  {what}")
        terminalreporter.write_line(f"{sum(count for _, count in lines):>10,}  in all")
