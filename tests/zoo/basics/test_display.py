"""Text for people: numbers with their nouns."""

from __future__ import annotations

import pytest

from zoo.basics.display import counted


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (1024, "1,024 files")])
def test_a_number_has_its_noun_in_the_plural_unless_it_is_one(count: int, text: str) -> None:
    assert counted(count, "file") == text
