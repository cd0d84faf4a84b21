"""The names that `import zoo` offers: tab completion, help, and every error that people may want to catch."""

from __future__ import annotations

import inspect
import pydoc

import zoo
import zoo.errors


def test_every_error_can_be_caught_as_zoo_s() -> None:
    errors = {name for name, value in vars(zoo.errors).items() if inspect.isclass(value)}
    assert errors and all(getattr(zoo, name) is getattr(zoo.errors, name) for name in errors)
    assert errors <= set(dir(zoo))


def test_tab_completion_shows_what_is_public_and_nothing_else() -> None:
    others = {name for name in dir(zoo) if not inspect.isclass(getattr(zoo, name))}
    functions = {"bundle", "export", "info", "install", "load", "load_model", "names", "path", "register", "url"}
    assert others == functions | {"__version__"} and set(zoo.__all__) == functions
    assert {"KerasLayer", "TextEncoder"} <= set(dir(zoo))


def test_help_is_short_and_names_what_is_public() -> None:
    text = pydoc.plain(pydoc.render_doc(zoo))
    assert len(text.splitlines()) < 150
    description = text.partition("PACKAGE CONTENTS")[0]
    assert [name for name in [*zoo.__all__, "KerasLayer", "TextEncoder"] if name not in description] == []
