"""A missing package is an error with the command that installs it; an error of our own import is not hidden."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import pytest

from zoo.basics.extras import imported, versions_of
from zoo.errors import ZooError


def test_a_package_that_is_there() -> None:
    assert imported("json", "x", "hf") is json
    assert versions_of(["numpy"], "x", "hf") == {"numpy": version("numpy")}


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        ZooError, match=r"^the page needs the extra 'site': `pip install 'bert-zoo\[site\]'` \(import of"
    ):
        imported("jinja2", "the page", "site")
    with pytest.raises(ZooError, match=r": `pip install jinja2` \(import of jinja2 .*\)\. Or else\.$"):
        imported("jinja2", "the page", "site", "jinja2", " Or else.")
    with pytest.raises(ZooError, match=r"`x` needs the extra 'hf': .* \(not installed: no-such-a, no-such-b\)\.$"):
        versions_of(["no-such-a", "numpy", "no-such-b"], "`x`", "hf")


def test_our_own_mistakes_are_shown() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"zoo\.no_such_module"):
        imported("zoo.no_such_module", "x", "hf")
