"""Chromium for the catalogue's tests, and a directory served to it. Without playwright or Chromium they skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.zoo.publishing.test_serve import served
from tests.zoo.site.sitezoo import make_dist
from zoo.site import write_site

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core: the file that ZOO_AXE names, or that of node_modules."""
    path = Path(os.environ.get("ZOO_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
    if not path.is_file():
        pytest.skip("no axe-core: `npm install axe-core`, or ZOO_AXE=FILE")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_dist(tmp_path_factory.mktemp("site") / "a dist")
    write_site(made)
    return made


@pytest.fixture(scope="module")
def base(dist: Path) -> Iterator[str]:
    with served(dist) as address:
        yield address


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """Return a function that opens an address in a browser that knows nothing yet.

    In the end no page has complained, and none has asked for anything but its own origin.
    """
    contexts, complaints, asked = [], [], []

    def open_page(address: str, **how: Any) -> Any:
        context = browser.new_context(reduced_motion="reduce", **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: asked.append((address.split("#")[0], request.url)))
        page.goto(address)
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    own = [(origin.split("/")[:3], url.removeprefix("blob:").split("/")[:3], url) for origin, url in asked]
    foreign = [url for origin, asked_of, url in own if origin != asked_of and url != "data:,"]
    assert asked and foreign == []
