"""The arithmetic of the benchmarks: how rounds are planned and interleaved, what batches hold, what is counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.cases import FIRST_WORD, Case, flops, growth_cases, inference_cases, real_lengths, texts
from benchmarks.measure import Effort, interleave, repeats, rounds

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
