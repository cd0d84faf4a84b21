"""What every test may use: the checkout's root, the reference material beside it, quiet TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the caches of the person who runs it."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("zoo-cache")))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path_factory.mktemp("hub-cache")))
    for name in ("ZOO_REGISTRY", "ZOO_OFFLINE", "ZOO_MIRROR", "ZOO_TRUSTED_KEY", "ZOO_ALLOW_STALE"):
        monkeypatch.delenv(name, raising=False)


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
