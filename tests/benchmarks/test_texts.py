"""Real sentences to vectors: who is called when, who is dismissed, and what the pages say of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.bench import Bench
from benchmarks.measure import Effort
from benchmarks.peers import ONE_TEXT, VECTORS, Peer
from benchmarks.results import Results
from benchmarks.sections import exactness, one_text, texts
from benchmarks.sentences import _documentation, _sentences, _shuffled

SECONDS = {"sentence_torch": 1.0, "ours": 0.5, "ours_int8": 0.2}
TURNED = {"ours": 0.0, "ours_int8": 0.01, "sentence_onnx": 0.5}  # of a vector's second number


class Library:
    """Takes as long as SECONDS says, and turns every vector a little."""

    def __init__(self, peer: Peer, asked: list[tuple[str, str]]) -> None:
        self.peer, self._asked = peer, asked

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        if op == "run":
            rows = len(np.load(arguments["batch"]))
            self._asked.append((self.peer.name, arguments["batch"].stem))
            vectors = np.tile([1.0, TURNED.get(self.peer.name, 0.0)], (rows, 1))
            np.savez(arguments["out"], vectors=vectors)
        return {"seconds": SECONDS.get(self.peer.name, 1.0)}

    def time(self, batches: list[Path], repeat: int) -> float:
        return SECONDS.get(self.peer.name, 1.0)

    def close(self) -> None: ...

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_sentences_are_encoded_in_turn_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(Bench, "start", lambda _, peer, *rest: Library(peer, asked))
    monkeypatch.setattr(Bench, "directory", lambda *_: Path("directory"))
    monkeypatch.setattr(texts, "CHUNK", 2)
    monkeypatch.setattr(texts, "LANGUAGES", {"English": lambda: [*"abcdefg"], "Chinese": lambda: []})
    monkeypatch.setattr(texts, "FULL", Effort(budget=1.0, least=2, most=2))
    names = ",".join([*SECONDS, "sentence_onnx"])
    words = ["benchmarks", "texts", "--rows", "6", "--peers", names, "--work", str(tmp_path), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert command.main() == 0
    order = [name for name, _ in asked]
    assert order[:4] == ["sentence_torch", "sentence_onnx", "ours", "ours_int8"], "one call that does not count"
    turns = [order[i : i + 3] for i in range(4, len(order), 3)]
    assert turns[:2] == [["sentence_torch", "ours", "ours_int8"], ["ours", "ours_int8", "sentence_torch"]]
    assert turns[2:] == [["ours_int8", "sentence_torch", "ours"]]
    assert [batch for name, batch in asked if name == "ours"][1:] == ["English_0", "English_1", "English_2"]
    page = (tmp_path / "vector-numbers.md").read_text(encoding="utf-8")
    assert "| 6 English sentences | `TextEncoder` | 4 | 2.00 (2.00–2.00) | ≥ 2.0 | 0 | 1.00000 |" in page
    assert "| 6 English sentences | the same in int8 | 10 | 5.00 (5.00–5.00) | ≥ 4.0 | 0.01 | 1.00000 |" in page
    assert "| minilm | sentence_onnx | computes something else: vectors differ by 0.5 |" in page
    assert "Chinese sentences" not in page


def test_the_row_of_one_text_is_a_part_of_the_time_of_onnx_runtime(tmp_path: Path) -> None:
    bench = Bench(Results(tmp_path / "texts.json"), Effort(), tmp_path, tmp_path)
    values = {peer.name: (0.004, 0.008) for peer in ONE_TEXT} | {"ours_onnx": (0.003, 0.006)}
    bench.keep("texts", "bert", 2, texts.ROW, "s", values)
    page = texts.page(bench.results).text("texts")
    assert "| `TextEncoder(runtime='onnx')` | 4.5 | 0.75 (0.75–0.75) | ≤ 1.00 |" in page


def test_distances_from_the_original_are_in_a_column_for_each_model(tmp_path: Path) -> None:
    bench = Bench(Results(tmp_path / "exactness.json"), Effort(), tmp_path, tmp_path)
    for model, difference in zip(exactness.MODELS, (0.02, 1e-6, 0.4), strict=True):
        bench.keep("exactness", model, 0, "outputs", "difference", {"keras_hub_as_is": [difference]})
    bench.keep("exactness", "bert", 0, "outputs", "difference", {"keras_hub": [1e-3]})
    page = exactness.page(bench.results).text("exactness")
    assert "| KerasHub as it is | 2.0e-02 | 1.0e-06 | 4.0e-01 |\n| KerasHub, mended | 1.0e-03 | – | – |" in page


def test_sentences_are_whole_and_in_the_order_of_a_seed() -> None:
    text = "Return the sum.  Raises\nValueError for none.\n\nSee also: min."
    assert [*_sentences(text)] == ["Return the sum.", "Raises ValueError for none.", "See also: min."]
    assert _shuffled(iter("badcab")) == _shuffled(iter("abcd")) != [*"abcd"]
    assert len(next(iter(_documentation()))) > 100


def test_every_peer_of_texts_has_a_worker_and_requirements() -> None:
    for peer in (*VECTORS, *ONE_TEXT):
        assert peer.script.is_file(), peer.name


def test_the_parts_of_one_text_are_compared_with_the_whole_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(one_text, "EFFORT", Effort(budget=1.0, least=2, most=2))
    monkeypatch.setattr(one_text, "timed", lambda call: lambda repeat: call())
    parts = [
        ("a", "call", 0.001),
        ("a", one_text.WHOLE[0], 0.004),
        ("b", "model", 0.001),
        ("b", one_text.WHOLE[2], 0.002),
    ]
    calls = [(runtime, what, lambda seconds=seconds: seconds) for runtime, what, seconds in parts]
    monkeypatch.setattr(one_text, "in_tensorflow", lambda *_: calls[:2])
    monkeypatch.setattr(one_text, "in_onnx_runtime", lambda *_: calls[2:])
    monkeypatch.setattr(sys, "argv", ["benchmarks", "one_text", "bert", "--out", str(tmp_path)])
    assert command.main() == 0
    lines = (tmp_path / "one-text-numbers.md").read_text(encoding="utf-8").splitlines()
    assert "| bert | 16 | a | call | 1 | 0.25 |" in lines and "| bert | 64 | b | model | 1 | 0.50 |" in lines
    assert len(capsys.readouterr().out) > 0 and sum(line.startswith("| bert") for line in lines) == 8
