"""Announcements are plain lines on stderr, each once, also after absl; who has set up logging gets them as records."""

from __future__ import annotations

import logging
from io import StringIO

import pytest
from absl import logging as absl_logging

from zoo.basics.announcing import announce_plainly

LOG = logging.getLogger("zoo")


def test_a_plain_line_once_before_and_after_absl(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    LOG.warning("%s is built", "bert")
    absl_logging.info("which calls logging.basicConfig")
    assert logging.root.handlers, "or absl has changed, and zoo.basics.announcing is not needed"
    announce_plainly()
    LOG.warning("%s is here", "bert")
    LOG.info("for those who ask for it")
    assert capsys.readouterr().err.splitlines()[-2:] == ["bert is built", "bert is here"]


def test_who_sets_up_logging_gets_the_records_in_their_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, own = (logging.StreamHandler(StringIO()) for _ in range(2))
    root.setFormatter(logging.Formatter("%(name)s|%(message)s"))
    monkeypatch.setattr(logging.root, "handlers", [root])
    LOG.warning("is here")
    assert root.stream.getvalue() == "zoo|is here\n"
    monkeypatch.setattr(logging.root, "handlers", [])
    logging.basicConfig()
    monkeypatch.setattr(LOG, "handlers", [own])
    monkeypatch.setattr(LOG, "propagate", False)
    LOG.warning("again")
    assert own.stream.getvalue() == "again\n" and capsys.readouterr().err == ""
