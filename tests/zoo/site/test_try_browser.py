"""The box "Try it" in a real browser: tokens of what is typed, and vectors by ONNX Runtime where the site ships it.

ZOO_ONNXRUNTIME_WEB names the directory package/dist of npm's onnxruntime-web; else it is looked for in node_modules.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.lite_model import ASKED
from tests.conftest import ROOT
from tests.zoo.publishing.test_serve import served
from tests.zoo.site.conftest import Open
from tests.zoo.site.onnxzoo import DATA, add_onnx
from tests.zoo.site.sitezoo import make_dist
from tests.zoo.site.test_compare_browser import RUN
from zoo.command import main
from zoo.site import write_site

pytestmark = pytest.mark.slow

CARD = "dialog[data-card=tiny_onnx][open]"


@pytest.fixture(scope="module")
def ort() -> Path:
    place = Path(os.environ.get("ZOO_ONNXRUNTIME_WEB", ROOT / "node_modules" / "onnxruntime-web" / "dist"))
    if not place.is_dir():
        pytest.skip("no onnxruntime-web: `npm install onnxruntime-web`, or ZOO_ONNXRUNTIME_WEB=DIR")
    return place


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A catalogue with a text archive in ONNX, and its address."""
    dist = make_dist(tmp_path_factory.mktemp("try") / "dist")
    add_onnx(dist)
    write_site(dist)
    with served(dist) as address:
        yield dist, address


def tokens(page: Any, text: str) -> list[tuple[str, int]]:
    """Return the tokens that are shown after typing a text."""
    page.fill(f"{CARD} .first", "")
    page.wait_for_function("() => !document.querySelector('dialog[open] .counted').textContent")
    page.fill(f"{CARD} .first", text)
    page.wait_for_function("() => document.querySelector('dialog[open] .counted').textContent")
    shown = page.eval_on_selector_all(
        f"{CARD} .pieces li", "all => all.map(each => [...each.children].map(part => part.textContent))"
    )
    return [(token, int(number)) for token, number in shown]


def test_tokens_of_what_is_typed(tried: tuple[Path, str], opened: Open) -> None:
    page = opened(f"{tried[1]}#tiny_onnx")
    assert tokens(page, "The hotel 你") == [("[CLS]", 2), ("the", 23), ("hotel", 24), ("你", 5), ("[SEP]", 3)]
    assert page.inner_text(f"{CARD} .counted") == "5 tokens with [CLS] and [SEP]"
    tokens(page, "good " * 40)
    assert page.inner_text(f"{CARD} .counted").endswith("42 tokens with [CLS] and [SEP]; the model reads the first 30")
    assert page.locator(f"{CARD} .likeness").count() == 0  # without ONNX Runtime
    tokens(page, "<img src=x onerror=alert(1)>")
    assert page.locator(f"{CARD} img").count() == 0
    assert "zoo.lite.TextEncoder('tiny_onnx'" in page.inner_text(f"{CARD} [data-panel=lite]")


def test_ids_are_those_of_the_archive(tried: tuple[Path, str], opened: Open) -> None:
    """Of every text that the archive itself was asked; tests/zoo/site/test_tokens.py has 10,000 more."""
    page = opened(f"{tried[1]}#tiny_onnx")
    for text, row in zip(ASKED, np.load(DATA / "answers.npz")["ids"], strict=True):
        expected = [int(number) for number in row if number != -1]
        if "\r" in text or not text.strip():
            continue  # a text field makes line feeds of carriage returns; nothing but space is nothing typed
        assert [number for _, number in tokens(page, text)] == [2, *expected, 3], text


def test_a_file_that_was_changed_is_refused(tried: tuple[Path, str], opened: Open, tmp_path: Path) -> None:
    dist = shutil.copytree(tried[0], tmp_path / "dist")
    [file] = (dist / "tokenizers").iterdir()
    file.write_text(file.read_text(encoding="utf-8").replace('"the": 23', '"the": 24'), encoding="utf-8")
    with served(dist) as address:
        page = opened(f"{address}#tiny_onnx")
        page.fill(f"{CARD} .first", "the")
        page.wait_for_selector(f"{CARD} .counted:has-text('is not the file that this page was written with')")
        assert page.locator(f"{CARD} .pieces li").count() == 0
    assert [text for text in opened.complaints if "integrity" in text]  # type: ignore[attr-defined]
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_a_page_that_is_a_file_says_how_to_open_it(tried: tuple[Path, str], opened: Open) -> None:
    page = opened((tried[0] / "index.html").as_uri() + "#tiny_onnx")
    page.fill(f"{CARD} .first", "x")
    page.wait_for_selector(f"{CARD} .counted:has-text('zoo serve')")


def test_vectors_in_the_page(ort: Path, tmp_path: Path, opened: Open) -> None:
    dist = make_dist(tmp_path / "dist")
    add_onnx(dist)
    write_site(dist, ort)
    assert "onnxruntime-web/ort.wasm.bundle.min.mjs" in (dist / "SHA256SUMS").read_text()
    vectors = np.load(DATA / "answers.npz")["vectors"]
    with served(dist) as address:
        page = opened(f"{address}#tiny_onnx")
        assert page.locator("dialog[data-card=albert_tiny] .likeness").count() == 0  # it is no text archive
        for first, second in ((0, 1), (2, len(ASKED) - 1)):  # the last is over the limit
            page.fill(f"{CARD} .first", ASKED[first])
            page.fill(f"{CARD} .second", ASKED[second])
            page.click(f"{CARD} .likeness")
            page.wait_for_selector(f"{CARD} .cosine:has-text('Cosine')", timeout=60_000)
            found = float(page.inner_text(f"{CARD} .cosine").split()[1])
            a, b = vectors[first], vectors[second]
            assert abs(found - a @ b / np.linalg.norm(a) / np.linalg.norm(b)) < 1e-4
            page.click(f"{CARD} .close")
            page.goto(f"{address}#tiny_onnx")


def test_nothing_stands_in_the_way_of_a_screen_reader(axe: str, tried: tuple[Path, str], opened: Open) -> None:
    found = []
    page = opened(f"{tried[1]}#tiny_onnx")
    page.evaluate(axe)
    for language in ("en", "zh"):
        page.keyboard.press("Escape")
        page.click(f"[data-language={language}]")
        page.evaluate("window.location.hash = 'tiny_onnx'")
        tokens(page, "你好")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += [f"{language} {scheme} {each['id']}" for each in page.evaluate(RUN, CARD)["violations"]]
    assert found == []


def test_the_policy_lets_nothing_else_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """WebAssembly and scripts of one's own only where ONNX Runtime lies beside the page."""
    dist, package = make_dist(tmp_path / "dist"), tmp_path / "package"
    assert main(["site", str(dist)]) == 0
    assert "wasm" not in policy(dist) and "blob:" not in policy(dist)
    package.mkdir()
    assert main(["site", str(dist), "--onnxruntime-web", str(package)]) == 2
    assert "has no ort.wasm.bundle.min.mjs, ort-wasm-simd-threaded.wasm: give" in capsys.readouterr().err
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (package / name).write_text(name)
    assert main(["site", str(dist), "--onnxruntime-web", str(package)]) == 0
    allowed = policy(dist)
    assert "unsafe-inline" not in allowed and "unsafe-eval'" in allowed.replace("wasm-", "")
    assert main(["site", str(dist)]) == 0 and policy(dist) == allowed  # it lies there


def policy(dist: Path) -> str:
    page = (dist / "index.html").read_text(encoding="utf-8")
    return page.split('Content-Security-Policy" content="')[1].split('"')[0].replace("&#39;", "'")
