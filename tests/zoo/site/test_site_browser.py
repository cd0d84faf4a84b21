"""The catalogue in a real browser: search, filters, order, cards, copying, languages, registries that are broken."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.zoo.publishing.test_serve import served
from tests.zoo.site.conftest import Open
from tests.zoo.site.sitezoo import NAMES, TINY, built
from tests.zoo.site.test_site import EVIL, speeds
from tests.zoo.toyzoo import ToyZoo
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry
from zoo.registry.writing import update_registry
from zoo.site import write_site

pytestmark = pytest.mark.slow

COUNT = len(NAMES)
SIZELESS = {"bert_tokenizer_chinese", "bert_tokenizer_chinese_preprocess", "uer_sentiment_jd", "uer_ner_cluener"}
SNIPPET = "dialog[open] [data-panel]:visible .code:not(.install)"


def shown(page: Any) -> list[str]:
    """Return the names of the rows that are seen, from top to bottom."""
    names: list[str] = page.eval_on_selector_all(
        "#models tbody tr", "rows => rows.filter(row => row.offsetParent).map(row => row.dataset.name)"
    )
    return names


def count(page: Any) -> str:
    return str(page.inner_text("#count"))


def card(page: Any, name: str) -> None:
    """Wait until the card of this name, and no other, is open."""
    page.wait_for_selector(f"dialog[data-card={name}][open]")
    assert page.locator("dialog[open]").count() == 1


def no_card(page: Any) -> bool:
    return bool(page.locator("dialog[open]").count() == 0)


# -- choosing -----------------------------------------------------------------------------------------------------


def test_search_and_filters(base: str, opened: Open) -> None:
    page = opened(base)
    assert count(page) == f"{COUNT} models" and len(shown(page)) == COUNT
    page.fill("#search", "WWM large")  # words in any order and place
    large = {"roberta_wwm_large", *(f"roberta_wwm_large_{layers}" for layers in (1, 3, 12))}
    assert set(shown(page)) == {*large, "rbtl3", "mrc_roberta_wwm_large"} and count(page) == f"6 of {COUNT} models"
    page.fill("#search", "阅读理解")  # what it is for, in either language
    assert shown(page) == ["mrc_roberta_wwm_large"]
    page.fill("#search", "zh-bert-l6")
    assert shown(page) == ["bert_6"]
    page.fill("#search", "no such")
    assert shown(page) == [] and page.is_visible("#none")
    page.click("#filters button[type=reset]")
    assert count(page) == f"{COUNT} models"
    for control, value, names in (
        ("family", "electra", {"electra_small", "electra_smallex", "electra_base", "electra_large"}),
        ("layers", "1", {"bert_1", "bert_wwm_1", "roberta_wwm_1", "roberta_wwm_large_1"}),
        ("licence", "not stated", {"FinBERT", "albert_tiny", "albert_small", "uer_ner_cluener", "uer_sentiment_jd"}),
        ("task", "token_classification", {"uer_ner_cluener"}),
        ("task", "vector", {"bge_small_zh"}),
        ("kind", "preprocess", {"bert_tokenizer_chinese_preprocess"}),
        ("status", "built", set(read_registry_built())),
    ):
        page.select_option(f"#{control}", value)
        assert set(shown(page)) == names, control
        page.select_option(f"#{control}", "")
    page.select_option("#size", "50")
    sizes = page.eval_on_selector_all("#models tbody tr:not([hidden])", "rows => rows.map(row => +row.dataset.size)")
    assert sizes and max(sizes) <= 50 << 20
    page.select_option("#family", "bert")
    assert set(shown(page)) == {"roberta_wwm_3"}  # whose archive here is tiny


def read_registry_built() -> tuple[str, ...]:
    return ("albert_tiny", "bert_tokenizer_chinese", "bert_tokenizer_chinese_preprocess", "roberta_wwm_3")


def test_order(base: str, opened: Open) -> None:
    page = opened(base)
    first = shown(page)
    page.click("[data-sort=name]")
    assert shown(page) == sorted(first, key=str.lower)
    page.click("[data-sort=name]")
    assert shown(page) == sorted(first, key=str.lower, reverse=True)
    assert page.get_attribute("th.c-name", "aria-sort") == "descending"
    page.focus("[data-sort=parameters]")
    page.keyboard.press("Enter")
    assert shown(page)[:2] == ["albert_tiny", "albert_small"]
    assert set(shown(page)[-len(SIZELESS) :]) == SIZELESS
    page.click("[data-sort=parameters]")
    assert shown(page)[0] in ("roberta_wwm_large", "macbert_large") and shown(page)[-1] in SIZELESS
    page.click("[data-sort=place]")
    assert shown(page) == first


def test_the_plot(dist: Path, base: str, opened: Open) -> None:
    page = opened(base)
    assert page.locator("#drawing a").count() > 15 and page.locator("#drawing .full").count() == 2
    assert page.is_visible(".when-computed") and page.locator("#metric").count() == 0
    names = page.eval_on_selector_all("#drawing a title", "titles => titles.map(each => each.textContent)")
    drawn = [name for each in names for name in each.split(":")[0].split(", ")]
    assert sorted(drawn) == sorted(set(shown(page)) - SIZELESS)
    page.select_option("#family", "electra")
    assert page.locator("#drawing a:not(.faded)").count() == 4
    page.click("#drawing a[href='#electra_small'] path", force=True)
    card(page, "electra_small")


def test_the_plot_of_what_was_measured(dist: Path, tmp_path: Path, opened: Open) -> None:
    folder = shutil.copytree(dist, tmp_path / "dist")
    speeds(folder, str(read_registry(folder / "registry.json").archive("albert_tiny").sha256))
    write_site(folder)
    with served(folder) as base:
        page = opened(base)
        assert page.input_value("#metric") == "work"  # only one was timed
        page.select_option("#metric", "32")
        assert str(page.locator("#drawing a title").text_content()).endswith("140 ms")
        assert "Some CPU" in page.inner_text("#plot .note") and page.is_hidden(".when-computed")


# -- cards --------------------------------------------------------------------------------------------------------


def test_cards_have_addresses(base: str, opened: Open) -> None:
    page = opened(base + "#zh-bert-L3")  # an old name
    card(page, "bert_3")
    assert page.evaluate("document.activeElement.textContent") == "bert_3"
    assert "never on a model cut like this" in page.inner_text("dialog[open] .warning")
    assert "zoo export" in page.inner_text("dialog[open] .ways")
    page.keyboard.press("Escape")
    page.wait_for_url(base)
    assert no_card(page)
    page.focus("a[href='#albert_tiny']")
    page.keyboard.press("Enter")
    card(page, "albert_tiny")
    page.click("dialog[open] a[href='#bert_tokenizer_chinese']")
    card(page, "bert_tokenizer_chinese")
    page.go_back()
    card(page, "albert_tiny")
    page.click("dialog[open] .close")
    assert no_card(page)
    page.click("#models tr[data-name=rbt3] .c-size")
    card(page, "rbt3")
    assert no_card(opened(base + "#%E0%A4%A"))


def test_snippets_and_copying(base: str, opened: Open) -> None:
    page = opened(base + "#albert_tiny", permissions=["clipboard-read", "clipboard-write"])
    code = page.inner_text(f"{SNIPPET} code")
    assert f"hub.load('{base}albert_tiny.tar.gz')" in code and f"'{base}bert_tokenizer_chinese.tar.gz'" in code
    page.click(f"{SNIPPET} .copy")
    page.wait_for_selector("text=copied")
    assert page.evaluate("navigator.clipboard.readText()") == code
    page.click("dialog[open] [data-tab=cli]")
    assert f"export ZOO_REGISTRY={base}registry.json" in page.inner_text(SNIPPET)
    page.keyboard.press("Escape")
    page.click("a[href='#roberta_wwm_3']")  # the next card shows the same way
    assert "zoo verify roberta_wwm_3" in page.inner_text(SNIPPET)
    digest = page.inner_text("dialog[open] dl:last-of-type .hex >> nth=-1")
    page.click("dialog[open] [data-tab=offline]")
    assert f"echo '{digest}  roberta_wwm_3.tar.gz' | sha256sum -c" in page.inner_text(SNIPPET)


def test_without_scripts_everything_is_there_to_read(base: str, opened: Open) -> None:
    page = opened(base, java_script_enabled=False)
    assert page.is_visible("noscript .notice") and page.is_hidden("#filters")
    assert page.locator("dialog:visible").count() == COUNT and page.is_visible("text=Cut, not retrained. >> nth=0")


# -- languages, widths, schemes -----------------------------------------------------------------------------------


def test_languages(base: str, opened: Open) -> None:
    page = opened(base)
    assert "Size against speed" in page.inner_text("body") and "大小与速度" not in page.inner_text("body")
    page.click("[data-language=zh]")
    assert count(page) == f"{COUNT} 个模型" and page.get_attribute("html", "lang") == "zh-CN"
    assert "大小与速度" in page.inner_text("body") and "Size against speed" not in page.inner_text("body")
    assert page.get_attribute("#search", "placeholder") == "名字、别名、说明"
    page.select_option("#family", label="albert")
    page.reload()
    assert page.get_attribute("[data-language=zh]", "aria-pressed") == "true"
    assert count(opened(base, locale="zh-CN")) == f"{COUNT} 个模型"
    assert count(opened(base, locale="fr-FR")) == f"{COUNT} models"


def test_a_phone(base: str, opened: Open) -> None:
    page = opened(base, viewport={"width": 360, "height": 740})
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    page.select_option("#sort", "size")
    assert shown(page)[0] in read_registry_built()
    for name in ("albert_tiny", "roberta_wwm_large_3"):
        page.goto(f"{base}#{name}")
        card(page, name)
        assert page.evaluate(fits)
        assert page.eval_on_selector("dialog[open]", "card => card.scrollWidth <= card.clientWidth")


CONTRAST = """() => {
  const light = (value) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(value).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(canvas.fillStyle.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const inks = ["--ink", "--muted", "--accent", "--good", "--f0", "--f1", "--f2", "--f3", "--f4", "--f5"];
  const pairs = [["--warn-ink", "--warn-paper"]];
  for (const paper of ["--paper", "--sheet", "--sunk"]) for (const ink of inks) pairs.push([ink, paper]);
  return pairs.filter(([ink, paper]) => contrast(ink, paper) < 4.5).map(String);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str, base: str, opened: Open) -> None:
    page = opened(base, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    named = (
        "e => [...e].filter(x => !x.labels?.length && !x.textContent.trim() && !x.getAttribute('aria-label')).length"
    )
    assert page.eval_on_selector_all("input, select, button", named) == 0


# -- places and registries ----------------------------------------------------------------------------------------


def test_a_page_that_is_a_file(dist: Path, opened: Open) -> None:
    page = opened((dist / "index.html").as_uri() + "#albert_tiny")
    code = page.inner_text(f"{SNIPPET} code")
    assert f"('albert_tiny', '{dist}/albert_tiny.tar.gz')" in code and "hub.load('albert_tiny')" in code
    page.click("dialog[open] [data-tab=zoo]")
    assert f"registry = '{dist}/registry.json'" in page.inner_text(SNIPPET)
    assert page.is_hidden("#notice") and page.is_visible("dialog[open] .use .note")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-30], "registry.json beside this page is broken: "),
        (lambda text: "[]", "registry.json beside this page is broken: "),
        (
            lambda text: json.dumps({"models": dict(list(json.loads(text)["models"].items())[1:])}),
            "Different models: FinBERT.",
        ),
        (
            lambda text: text.replace("brightmart's", "a"),
            "Different models: albert_small, albert_tiny. Run “zoo site” again.",
        ),
    ],
)
def test_a_registry_that_is_broken_or_has_changed(
    change: Callable[[str], str], words: str, dist: Path, tmp_path: Path, opened: Open
) -> None:
    folder = shutil.copytree(dist, tmp_path / "dist")
    (folder / "registry.json").write_text(
        change((dist / "registry.json").read_text(encoding="utf-8")), encoding="utf-8"
    )
    with served(folder) as base:
        page = opened(base)
        page.wait_for_selector("#notice:visible")
        assert words in page.inner_text("#notice")
        page.click("[data-language=zh]")
        assert re.search("已损坏：|与本页不符：", page.inner_text("#notice"))
        assert len(shown(page)) == COUNT


def test_hostile_words_do_nothing(tmp_path: Path, opened: Open) -> None:
    dist = tmp_path / "dist"
    archive = built(dist, "evil", sizes=TINY, family=EVIL, pooler=EVIL, notes=[EVIL])
    archive = archive.model_copy(update={"urls": ["evil.tar.gz?'; $(evil) \"`", "javascript:evil()"]})
    (dist / "evil.tar.gz").rename(dist / "evil.tar.gz?'; $(evil) \"`")
    words: Mapping[str, Any] = {"description": EVIL, "family": EVIL, "licence": EVIL}
    rows = {"evil": Entry(kind="encoder", archive=archive, layers=3, hidden_size=8, parameters=9, **words)}
    update_registry(dist / "registry.json", rows)
    write_site(dist)
    with served(dist) as base:
        page = opened(base + "#evil")
        assert EVIL in page.inner_text("dialog[open] .lead")
        page.click("dialog[open] [data-tab=offline]")
        page.keyboard.press("Escape")
        page.evaluate("window.location.hash = 'compare=evil,rbt3'")
        assert EVIL in page.locator("#comparison[open] td").all_inner_texts()
        page.keyboard.press("Escape")
        page.select_option("#family", EVIL)
        assert shown(page) == ["evil"]


# -- the snippets run ---------------------------------------------------------------------------------------------


def test_every_snippet_runs(toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Open) -> None:
    """Those of a page that is served, and those of one that is a file, which name files."""
    monkeypatch.chdir(tmp_path)
    dist = tmp_path / "dist"
    shutil.copytree(toy_zoo.directory, dist, ignore=shutil.ignore_patterns("unpacked"))
    write_site(dist)
    with served(dist) as base:
        file = (dist / "index.html").as_uri()
        for address, expected in (  # those that differ
            (f"{base}#toy", {"hub", "encoder", "hub-keras", "zoo-keras"}),
            (f"{file}#toy", {"hub", "zoo"}),
            (f"{file}#toy_tokenizer", {"hub"}),
            (f"{base}#toy_tokenizer_preprocess", {"zoo"}),
        ):
            page = opened(address)
            panels = page.eval_on_selector_all(
                "dialog[open] [data-code=python]",
                "all => all.map(each => [each.dataset.panel, each.querySelector('code').textContent])",
            )
            assert expected <= {panel for panel, _ in panels}
            for code in (code for panel, code in panels if panel in expected):
                names: dict[str, Any] = {}
                exec(code, names)
                if "vectors" in names:
                    assert names["vectors"].shape == (2, 32)
                if "out" in names:
                    assert names["out"]["pooled_output"].shape == (1, 32)
                if "model" in names:
                    assert names["model"].output_shape == (None, 2)
