"""The arithmetic of the benchmarks: how rounds are planned and interleaved, what batches hold, what is counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bench import Bench
from benchmarks.cases import FIRST_WORD, Case, flops, growth_cases, inference_cases, real_lengths, texts
from benchmarks.measure import Effort, interleave, repeats, rounds
from benchmarks.peers import TRAINERS, Peer
from benchmarks.protocol import PeerFailed
from benchmarks.results import Results, ratio
from benchmarks.sections import training

EFFORT = Effort(budget=10.0, least=3, most=7, long=1.0, shortest=0.1)
VOCABULARY = 997


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 7), (1.0, 7), (2.0, 5), (4.0, 3), (100.0, 3)])
def test_rounds_fill_the_budget_within_their_limits(seconds: float, expected: int) -> None:
    assert rounds(seconds, EFFORT) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 10**8), (0.01, 10), (0.1, 1), (3.0, 1)])
def test_short_calls_are_repeated(seconds: float, expected: int) -> None:
    assert repeats(seconds, EFFORT) == expected


def recorded(seconds: dict[str, float]) -> tuple[dict[str, Callable[[int], float]], list[tuple[str, int]]]:
    """Return calls that take no time and say they took `seconds`, and the list of who was called, how often."""
    made: list[tuple[str, int]] = []

    def call(name: str) -> Callable[[int], float]:
        def measured(repeat: int) -> float:
            made.append((name, repeat))
            return seconds[name] + 1e-3 * len(made)

        return measured

    return {name: call(name) for name in seconds}, made


def test_peers_take_turns_and_nobody_always_goes_first() -> None:
    calls, made = recorded({"a": 2.0, "b": 2.0, "c": 2.0})
    values = interleave(calls, EFFORT)
    names = [name for name, _ in made]
    assert names[:3] == ["a", "b", "c"], "one call before anything counts; it was long enough to plan by"
    turns = [names[i : i + 3] for i in range(3, len(names), 3)]
    assert turns == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    assert {name: len(each) for name, each in values.items()} == {"a": 3, "b": 3, "c": 3}
    assert values["b"] == pytest.approx((2.005, 2.007, 2.012)), "a value a round, in the order of the rounds"


def test_a_short_call_is_warmed_twice_and_repeated() -> None:
    calls, made = recorded({"short": 0.02, "long": 2.0})
    interleave(calls, EFFORT)
    assert made[:3] == [("short", 1), ("long", 1), ("short", 1)]
    assert {repeat for name, repeat in made[3:] if name == "short"} == {4}  # of 0.023 seconds each
    assert {repeat for name, repeat in made[3:] if name == "long"} == {1}


def test_names_of_cases_are_read_back() -> None:
    for case in inference_cases() + growth_cases():
        assert Case.parse(case.name) == case
    names = [case.name for case in inference_cases()]
    assert len(names) == len(set(names)) == 12 + 4
    assert {"dense 1 x 512", "real 32 x 128", "trimmed 8 x 128"} <= set(names)


def test_a_dense_batch_has_no_padding() -> None:
    (batch,) = Case("dense", 3, 7).batches(VOCABULARY)
    assert batch.shape == (3, 3, 7) and batch.dtype == np.int32
    ids, mask, types = batch
    assert ids.min() >= FIRST_WORD and ids.max() < VOCABULARY
    assert mask.all() and not types.any()


def test_trimmed_batches_hold_what_the_padded_ones_hold() -> None:
    padded, trimmed = (Case(kind, 5, 64).batches(VOCABULARY) for kind in ("real", "trimmed"))
    assert len(padded) == len(trimmed) > 1
    for whole, cut in zip(padded, trimmed, strict=True):
        longest = cut.shape[2]
        assert whole.shape == (3, 5, 64) and longest < 64
        np.testing.assert_array_equal(whole[:, :, :longest], cut)
        assert not whole[:, :, longest:].any()
        np.testing.assert_array_equal(cut[0] != 0, cut[1] != 0)
        assert cut[1].sum(axis=1).max() == longest
    assert not np.array_equal(padded[0], padded[1])


def test_real_lengths_are_those_of_short_texts() -> None:
    lengths = real_lengths(np.random.default_rng(0), 20_000)
    assert lengths.min() >= 8 and lengths.max() <= 128
    assert 28 < lengths.mean() < 32
    assert np.median(lengths) < lengths.mean(), "a long tail"


def test_texts_are_seeded_and_short() -> None:
    made = texts(300)
    assert made == texts(300) != texts(300, seed=2)
    assert all(5 <= len(text) <= 90 for text in made)
    assert {"，", "。", "？"} <= set("".join(made))


def test_flops_are_those_of_the_matrix_products() -> None:
    # 2 x 3 tokens, hidden 4, inner 8: per token four 4x4 products, two 4x8, scores and context over 3 tokens.
    layer = 4 * 16 + 2 * 32 + 2 * 3 * 4
    assert flops(Case("dense", 2, 3), layers=5, hidden=4, inner=8) == 2 * (6 * 5 * layer + 2 * 16)


STEPS = {"ours": 2.0, "hf_tf": 3.0, "model_garden": 5.0, "keras_hub": 7.0, "ours_frozen": 4.0}


class Machine:
    """Trainers that take no time. Whenever a process has started, everything takes twice as long as before."""

    def __init__(self) -> None:
        self.started = 0
        self.alive: list[str] = []
        self.most: set[tuple[str, ...]] = set()  # who was alive when somebody trained
        self.steps: dict[str, list[str]] = defaultdict(list)  # kind -> who
        self.dying: tuple[str, str, int] = ("", "", 0)  # peer, kind and processes that have started by then

    def start(self, peer: Peer, *_: object) -> Trainer:
        self.started += 1
        self.alive.append(peer.name)
        return Trainer(self, peer, self.started)


class Trainer:
    def __init__(self, machine: Machine, peer: Peer, process: int) -> None:
        self.machine, self.peer, self.process = machine, peer, process

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        name, machine = self.peer.name, self.machine
        if op == "start_training":
            return {"loss": 0.7, "parameters": 1}
        kind = arguments["batches"][0].name.partition("_")[0]
        machine.most.add(tuple(machine.alive))
        machine.steps[kind].append(name)
        if machine.dying[:2] == (name, kind) and machine.started >= machine.dying[2]:
            raise PeerFailed(self.peer, "died")
        return {"seconds": STEPS[name] * 2.0**machine.started, "peak": 1000.0 + self.process}

    def close(self) -> None:
        if self.peer.name in self.machine.alive:
            self.machine.alive.remove(self.peer.name)

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Three BERT-base trainers fit into its memory."""
    machine = Machine()
    monkeypatch.setattr(training, "available_gib", lambda: 18.0)
    monkeypatch.setattr(Bench, "start", lambda _, *arguments: machine.start(*arguments))
    monkeypatch.setattr(Bench, "source", lambda *_: Path("source"))
    monkeypatch.setattr(Bench, "directory", lambda *_: Path("directory"))
    return machine


def trained(path: Path) -> Results:
    results = Results(path / "benchmarks.json")
    effort = Effort(training_rounds=2, training_least=2, training_most=2)
    training.measure_training(Bench(results, effort, path, path, only=tuple(STEPS)), "bert", 2, TRAINERS)
    return results


def times_ours(results: Results, peer: str) -> set[float]:
    found = set()
    for case in training.CASES:
        ours, theirs = (results.get("training", "bert", 2, case.name, name, "s") for name in ("ours", peer))
        assert ours is not None and theirs is not None
        found |= set(ratio(ours, theirs))
    return found


def test_trainers_step_in_turn_in_groups_that_fit_into_memory(machine: Machine, tmp_path: Path) -> None:
    results = trained(tmp_path)
    assert machine.most == {("ours", "hf_tf", "model_garden"), ("ours", "keras_hub", "ours_frozen")}
    assert not machine.alive
    for kind in ("trimmed", "real", "dense"):
        turns = [machine.steps[kind][i : i + 3] for i in range(0, 12, 3)]
        assert turns[:3] == [["ours", "hf_tf", "model_garden"]] * 3, "two steps each before anything counts"
        assert turns[3] == ["hf_tf", "model_garden", "ours"]
    for name, seconds in STEPS.items():
        assert times_ours(results, name) == {seconds / 2.0}, "each against ours of the same minutes"
    peaks = {record.peer: record.values for record in results.select(case="dense 16 x 128", measure="peak MiB")}
    assert peaks["ours"] == (1001.0, 1004.0, 1007.0, 1010.0), "a value a process"
    assert peaks["keras_hub"] == (1005.0, 1011.0)


def test_a_trainer_that_dies_takes_only_its_own_values_along(machine: Machine, tmp_path: Path) -> None:
    machine.dying = ("hf_tf", "dense", 7)  # in its second process
    results = trained(tmp_path)
    assert {record.peer for record in results.select(section="training")} == {*STEPS} - {"hf_tf"}
    assert results.absences["training", "bert", "hf_tf"].reason == "died"
    assert times_ours(results, "model_garden") == {2.5} and times_ours(results, "keras_hub") == {3.5}


def test_an_interrupted_run_keeps_the_steps_it_has(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_: object, peer: Peer, *rest: object) -> Trainer:
        if machine.started == 3:
            raise KeyboardInterrupt
        return machine.start(peer, *rest)

    monkeypatch.setattr(Bench, "start", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    kept = Results.read(tmp_path / "benchmarks.json")
    assert {record.peer for record in kept.select(section="training")} == {"ours", "hf_tf", "model_garden"}
    assert times_ours(kept, "hf_tf") == {1.5}


def test_two_trainers_at_least_and_all_of_them_if_there_is_room() -> None:
    peers = [peer for peer in TRAINERS if peer.name in STEPS]
    names = [[peer.name for peer in group] for group in training.groups(peers, 0.5)]
    assert names == [["ours", name] for name in ("hf_tf", "model_garden", "keras_hub", "ours_frozen")]
    assert [len(group) for group in training.groups(peers, 9.0)] == [5]
    assert training.groups(peers[:1], 9.0) == [peers[:1]]
