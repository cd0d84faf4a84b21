"""docs/checkpoints.md: the messages that it quotes are the exporter's, and the options that it names exist."""

from __future__ import annotations

import dataclasses
import functools
import re

import pytest

from export.options import EncoderRequest
from tests.conftest import ROOT

PAGE, CHINESE = (ROOT.joinpath("docs", name).read_text("utf-8") for name in ("checkpoints.md", "checkpoints.zh-CN.md"))


def quoted(page: str, heading: str) -> list[str]:
    table = page.partition(f"| {heading} |")[2]
    messages = [line.split(" | ")[0] for line in table.splitlines()[2:] if line.startswith("|")]
    return sorted({span for message in messages for span in re.findall(r"`([^`]+)`", message) if span[0] != "-"})


QUOTED = quoted(PAGE, "the message")


@functools.cache
def texts_of_the_exporter() -> str:
    """Return the source of `export` and `tokenizer`, with texts that go over several lines put together."""
    files = [path for folder in ("export", "tokenizer") for path in sorted((ROOT / folder).rglob("*.py"))]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s*\n\s*f?"', "", source)


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_one_of_the_exporter(message: str) -> None:
    assert message in texts_of_the_exporter()


def test_both_languages_quote_the_same() -> None:
    assert quoted(CHINESE, "报错信息") == QUOTED and re.findall(r"--[a-z-]+", CHINESE) == re.findall(r"--[a-z-]+", PAGE)


def test_the_options_are_those_of_the_exporter() -> None:
    known = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(EncoderRequest)}
    named = set(re.findall(r"--[a-z][a-z-]*", PAGE)) - {"--json", "--dry-run"}
    assert named and named <= known
