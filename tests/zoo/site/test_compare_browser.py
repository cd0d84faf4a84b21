"""Models side by side in a real browser, chosen by keyboard or by an address; and what axe-core says of the page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.zoo.site.conftest import Open

pytestmark = pytest.mark.slow


def columns(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#comparison thead a", "links => links.map(each => each.textContent)")
    return found


def line(page: Any, label: str) -> tuple[list[str], bool]:
    """Return the cells of a line, and whether it is marked as one that differs."""
    found = page.locator("#comparison tbody tr").filter(has=page.locator("th", has_text=label)).first
    return found.locator("td").all_inner_texts(), "differs" in str(found.get_attribute("class"))


def test_side_by_side_by_address(base: str, opened: Open) -> None:
    page = opened(f"{base}#compare=albert_tiny,zh-bert-L3,no_such")  # an old name; one that is no model
    page.wait_for_selector("#comparison[open]")
    assert page.evaluate("document.activeElement.id") == "comparison-title"
    assert columns(page) == ["albert_tiny", "bert_3"]
    assert line(page, "hidden size") == (["312", "768"], True)
    assert line(page, "vocabulary") == (["21,128", "21,128"], False)
    assert line(page, "description")[0][0] == "brightmart's Chinese ALBERT tiny in Google's format."
    assert "lines differ" in page.inner_text("#compared")
    page.keyboard.press("Escape")
    page.wait_for_url(base)


def test_side_by_side_by_keyboard(base: str, opened: Open) -> None:
    page = opened(base)
    for name in ("albert_tiny", "bert_1", "rbt3", "bert_6"):  # the fourth takes the place of the first
        page.focus(f"[data-choose={name}]")
        page.keyboard.press("Space")
    assert page.inner_text("#chosen-names") == "To compare: bert_1, rbt3, bert_6"
    page.focus("#compare")
    page.keyboard.press("Enter")
    page.wait_for_selector("#comparison[open]")
    assert columns(page) == ["bert_1", "rbt3", "bert_6"]
    page.keyboard.press("Tab")  # the close button
    page.keyboard.press("Tab")
    page.keyboard.type("electra_s")  # in the first chooser
    assert columns(page) == ["electra_small", "rbt3", "bert_6"]
    assert page.url == f"{base}#compare=electra_small,rbt3,bert_6"
    page.click("#comparison thead a >> nth=1")
    page.wait_for_selector("dialog[data-card=rbt3][open]")
    page.click("dialog[open] [href^='#compare=']")
    page.wait_for_selector("#comparison[open]")
    assert columns(page) == ["rbt3"] and page.inner_text("#compared") == "Choose at least two models."
    page.keyboard.press("Escape")
    page.click("#unchoose")
    assert page.is_hidden("#compare") and page.inner_text("#chosen-names") == ""


# -- axe-core -----------------------------------------------------------------------------------------------------


RUN = "shown => axe.run(shown ? document.querySelector(shown) : document, {resultTypes: ['violations']})"
PLACES = {  # address -> what is looked at, the whole page if nothing
    "": None,
    "#albert_tiny": "dialog[data-card=albert_tiny][open]",
    "#roberta_wwm_large_3": "dialog[data-card=roberta_wwm_large_3][open]",
    "#compare=albert_tiny,bert_3,rbt3": "#comparison[open]",
}


def test_nothing_stands_in_the_way_of_a_screen_reader(axe: str, base: str, opened: Open) -> None:
    found, looked_at = [], 0
    page = opened(base, color_scheme="light")
    page.evaluate(axe)
    for place, shown in PLACES.items():
        for language in ("zh", "en"):
            page.evaluate("place => { window.location.hash = place; }", "")
            page.click(f"[data-language={language}]")
            page.evaluate("place => { window.location.hash = place; }", place)
            page.wait_for_selector(shown or "#models")
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                result = page.evaluate(RUN, shown)
                looked_at += len(result["passes"])
                violations = [f"{each['id']}: {each['nodes'][0]['html']}" for each in result["violations"]]
                found += [f"{language} {scheme} {place} {each}" for each in violations]
    assert found == [] and looked_at > 16 * 10  # rules
