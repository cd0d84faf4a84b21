"""Every library's WordPiece: texts from seeds, right ids, counts of what differs, and a page without who is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.sections import wordpiece, wordpiece_texts
from export.oracle.wordpiece import ReferenceTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("你", "好", "[", "]", "...", "hello", "##ing", *LETTERS, *(f"##{each}" for each in LETTERS)),
]
WORDS = [*(f"[unused{n}]" for n in range(1000)), "hello", "ab", "##ing"]
CASES = {
    "rules": {"uncased": {"lower_case": True, "strip_accents": True}},
    "categories": {"over 100": "", "special tokens": "", "easy": ""},
    "vocabulary": VOCABULARY,
    "groups": [
        {"category": "over 100", "rules": "uncased", "cases": [{"text": "a" * 120}, {"text": "a" * 100}]},
        {"category": "special tokens", "rules": "uncased", "cases": [{"text": "你[MASK]"}]},
        {"category": "easy", "rules": "uncased", "cases": [{"text": "Héllo 你好"}]},
    ],
}


def test_texts_come_from_a_seed_for_each_chunk() -> None:
    for kind in wordpiece.KINDS:
        chunks = [wordpiece.chunk(kind, 300, start, WORDS) for start in (0, 0, 5000)]
        assert chunks[0] == chunks[1] != chunks[2]
        rare = [
            text for text in chunks[0] if any(each in text for each in ("😀", "№", "İ", "x²", "Ελλ", "한국", "##ing"))
        ]
        assert rare


def test_the_right_ids_are_cut_and_framed() -> None:
    oracle = ReferenceTokenizer(VOCABULARY, lower_case=True)
    ids = wordpiece.packed(oracle, ["HELLO 好", "a " * 200, ""])
    hello, good, letter = map(VOCABULARY.index, ("hello", "好", "a"))
    assert ids.shape == (3, 128) and ids.dtype == np.int32
    assert ids[0, :5].tolist() == [2, hello, good, 3, 0]
    assert ids[1].tolist() == [2, *[letter] * 126, 3]
    assert ids[2].tolist() == [2, 3, *[0] * 126]


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With Hugging Face's library from this environment, an unknown one, and one that does not install."""
    pytest.importorskip("tokenizers")
    rust = wordpiece.library("tokenizers", "Rust", "tokenizers")
    unknown = wordpiece.library("no_such", "unknown", "no-such")
    missing = wordpiece.library("flash_tokenizer", "absent", "flash-tokenizer", "absent")
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps(CASES), encoding="utf-8")

    def install(venv: str, directory: Path, python: str) -> Path:
        if venv == "absent":
            raise wordpiece.NotInstalled(f"No matching distribution found for absent ({directory}/absent.log)")
        return Path(python)

    known: dict[str, Any] = dict.fromkeys(wordpiece.KINDS, VOCABULARY) | {"English": WORDS[:1000] + VOCABULARY}
    monkeypatch.setattr(wordpiece, "install", install)
    monkeypatch.setattr(wordpiece, "LIBRARIES", (rust, unknown, missing))
    monkeypatch.setattr(wordpiece, "CASES", cases)
    monkeypatch.setattr(wordpiece, "CHUNK", 20)
    monkeypatch.setattr(wordpiece_texts, "RARE", ("[SEP]",))
    monkeypatch.setattr(wordpiece_texts, "ONE_IN", 2)
    monkeypatch.setattr(wordpiece, "vocabularies", lambda: known)
    monkeypatch.setattr("sys.argv", ["benchmarks", "wordpiece", "--texts", "90", "--out", str(tmp_path)])
    assert main() == 0
    text = (tmp_path / "wordpiece-numbers.md").read_text(encoding="utf-8")
    (row,) = (line.split(" | ") for line in text.splitlines() if line.startswith("| Rust |"))
    assert "\n90 texts, a third of each kind" in text and "over 6 chunks of up to 20." in text
    assert row[4] == "1.00" and all(5 <= int(cell.strip(" |")) <= 25 for cell in row[6:]), "about half have [SEP]"
    assert "| over 100 | 2 | 1 | 1 |\n| special tokens | 1 | 1 | 1 |\n| easy | 1 | 0 | 0 |\n| all | 4 | 2 | 2 |" in text
    assert "- absent: No matching distribution found for absent\n" in text and "- unknown: " in text
    assert str(tmp_path) not in text
