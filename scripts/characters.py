"""Writes zoo/site/characters.json: the classes of characters that the catalogue's tokenizer.json are made with.

    python -m scripts.characters

They are read off the operations of TensorFlow; tests/zoo/site/test_tokens.py compares them with the file.
"""

from __future__ import annotations

from pathlib import Path

from export.convert.tokenizer_json import characters
from zoo.archive.card import to_json
from zoo.archive.tokenizer_json import CHARACTERS
from zoo.site.tokens import CHARACTERS_FILE


def main() -> None:
    Path(CHARACTERS_FILE).write_text(to_json({name: characters(name) for name in CHARACTERS}), encoding="utf-8")


if __name__ == "__main__":
    main()
