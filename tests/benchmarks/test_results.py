"""Records, their summaries and ratios, the JSON file, the tables and the goals made of them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from benchmarks.goals import GOALS, limits, outcomes
from benchmarks.pages import table
from benchmarks.peers import ENCODERS, GROWTH, REQUIREMENTS, TOKENIZERS, TRAINERS, VENVS, label
from benchmarks.report import amount, figure, page
from benchmarks.results import Absence, Record, Results, ratio
from tests.conftest import ROOT


def record(peer: str, *values: float, case: str = "dense 32 x 128", section: str = "inference") -> Record:
    return Record(section, "bert", 2, case, peer, "s", values)


def test_a_record_is_summarised_by_median_and_quartiles() -> None:
    assert record("ours", 5.0, 1.0, 2.0, 4.0, 3.0).median == 3.0
    assert record("ours", 5.0, 1.0, 2.0, 4.0, 3.0).quartiles == (2.0, 4.0)
    assert record("ours", 7.0).quartiles == (7.0, 7.0)


def test_ratios_are_taken_round_by_round() -> None:
    ours, theirs = record("ours", 1.0, 10.0, 2.0), record("torch", 2.0, 20.0, 6.0)
    assert ratio(ours, theirs) == (2.0, 2.0, 2.5), "the disturbed round is disturbed for both"


def test_ratios_of_different_cases_are_those_of_the_medians() -> None:
    ours, theirs = record("ours", 1.0, 2.0, 3.0), record("torch", 6.0, 8.0, 10.0, case="trimmed 32 x 128")
    assert ratio(ours, theirs) == (4.0, 7.0 / 2.5, 9.0 / 1.5)


def steps(peer: str, measure: str = "s", **rounds: float) -> Record:
    return Record("training", "bert", 2, "dense 16 x 128", peer, measure, (*rounds.values(),), (*rounds,))


def test_ratios_are_of_the_rounds_that_both_took_part_in() -> None:
    ours = steps("ours", a0=1.0, a1=2.0, b0=10.0, b1=20.0, b2=30.0)
    assert ratio(ours, steps("hf_tf", a0=3.0, a1=6.0)) == (3.0, 3.0, 3.0)
    assert ratio(ours, steps("keras_hub", b0=20.0, b1=40.0, b2=60.0)) == (2.0, 2.0, 2.0)
    assert ratio(steps("ours_recompute", b2=60.0, b1=40.0, b0=20.0), ours) == (0.5, 0.5, 0.5)
    both = ratio(ours, steps("torch", a1=2.0, b2=90.0))
    assert both[0] == 2.0, "of 1 and 3; rounds that one had alone do not count"


def test_what_was_not_beside_each_other_is_compared_by_medians() -> None:
    ours = steps("ours", a0=1.0, a1=2.0, a2=6.0)
    alone, older = steps("torch", b0=2.0, b1=4.0, b2=6.0), record("hf_tf", 2.0, 4.0, 6.0, case="dense 16 x 128")
    assert ratio(ours, alone)[0] == ratio(ours, older)[0] == ratio(older, ours)[0] ** -1 == 2.0
    ours, theirs = steps("ours", "peak MiB", a=1.0, b=2.0, c=6.0), steps("torch", "peak MiB", a=2.0, b=6.0, c=6.0)
    assert ratio(ours, theirs)[0] == 3.0, "memory: of medians, though each round has two values"


def test_results_are_written_and_read_back(tmp_path: Path) -> None:
    results = Results(tmp_path / "benchmarks.json", runs=[{"cores": 2}], versions={"ours": {"tensorflow": "2"}})
    results.models["bert"] = {"layers": 12}
    results.add([record("ours", 1.0, 2.0), record("torch", 3.0), steps("hf_tf", a0=4.0, b0=5.0)])
    results.miss(Absence("inference", "bert", "keras_hub", "no wheel"))
    results.write()
    again = Results.read(results.file)
    assert again == results
    stored = json.loads(results.file.read_text())["records"][0]
    assert (stored["median"], stored["low"], stored["high"]) == (1.5, 1.25, 1.75)


def test_of_several_files_the_last_counts(tmp_path: Path) -> None:
    for name, value in (("first", 1.0), ("second", 2.0)):
        results = Results(tmp_path / name, runs=[{"run": name}])
        results.add([record("ours", value), record(name, 5.0)])
        results.write()
    merged = Results.read(tmp_path / "first", tmp_path / "second")
    ours = merged.get("inference", "bert", 2, "dense 32 x 128", "ours", "s")
    assert ours is not None and ours.values == (2.0,)
    assert {each.peer for each in merged.records.values()} == {"ours", "first", "second"}
    assert [run["run"] for run in merged.runs] == ["first", "second"]


def test_a_peer_that_was_measured_is_no_longer_absent() -> None:
    results = Results(Path("unused"))
    results.miss(Absence("inference", "bert", "torch", "died"))
    results.add([record("torch", 1.0, section="load")])
    assert results.absences, "it is absent from another part"
    results.add([record("torch", 1.0)])
    assert not results.absences


def test_a_case_is_measured_when_all_its_peers_are() -> None:
    results = Results(Path("unused"))
    results.add([record("ours", 1.0)])
    where = ("inference", "bert", 2, "dense 32 x 128")
    assert results.measured(*where, {"ours"})
    assert not results.measured(*where, {"ours", "torch"})
    assert not results.measured("inference", "bert", 1, "dense 32 x 128", {"ours"})


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (12.34, "12.3"), (123.4, "123"), (4321.0, "4,321")])
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_cells_and_tables() -> None:
    ours, theirs = record("ours", 1.0, 2.0, 3.0), record("torch", 2.0, 4.0, 6.0)
    assert amount(ours, ours) == "2 (1.5–2.5)"
    assert amount(theirs, ours, scale=1000) == "4,000 [2.00]"
    assert amount(theirs) == "4 (3–5)"
    assert amount(None, ours) == "–"
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| - | - |\n| 1 | 2 |"
    assert table(("a",), []) == ""


def test_goals_compare_with_the_nearest_peer() -> None:
    results = Results(Path("unused"))
    results.add([record("ours", 1.0, case="real 32 x 128"), record("hf_tf", 9.0, case="real 32 x 128")])
    results.add([record("torch", 4.0, case="real 32 x 128"), record("torch", 1.5, case="trimmed 32 x 128")])
    found = {outcome.goal.what: outcome for outcome in outcomes(results)}
    padded, trimmed = found["real lengths padded to 128"], found["the same, the peer's caller trims"]
    assert (padded.peer, padded.ratio[0], padded.met) == ("torch", 4.0, True)
    assert (trimmed.ratio[0], trimmed.met) == (1.5, False)
    assert set(found) == {padded.goal.what, trimmed.goal.what}, "nothing is said of what was not measured"


def test_the_nearest_peer_is_nearest_by_ratio_not_by_the_pace_of_its_minutes() -> None:
    results = Results(Path("unused"))
    results.add([steps("ours", a0=10.0, b0=2.0), steps("hf_tf", a0=11.0), steps("keras_hub", b0=5.0)])
    found = {outcome.goal.what: outcome for outcome in outcomes(results)}["a step on dense batches"]
    assert (found.peer, found.ratio[0]) == ("hf_tf", 1.1)


def test_limits_add_up_what_belongs_together() -> None:
    results = Results(Path("unused"))
    for measure, value in (("unpack s", 1.0), ("verify s", 2.0)):
        results.add([Record("archive", "bert", 2, "archive", "ours", measure, (value,))])
    assert limits(results) == [
        ("digests and unpacking, of every archive once, s", 1.0, 2.5),
        ("digests, unpacking and the whole certificate, s", 3.0, 2.5),
    ]


def test_the_page_names_who_is_missing_and_takes_notes_in() -> None:
    results = Results(Path("unused"))
    results.add([record("ours", 0.5, 0.5), record("torch", 1.0, 1.0)])
    results.miss(Absence("inference", "bert", "keras_hub", "no wheel for this Python"))
    text = page(results, [Path("docs/plots/growth-bert-2.svg")], notes="## Where the time goes\n")
    assert "| dense 32 x 128 | 500 | 1,000 [2.00] |" in text
    assert "| inference | bert | keras_hub | no wheel for this Python |" in text
    assert "## Where the time goes" in text
    assert "(plots/growth-bert-2.svg)" in text


def test_every_peer_has_its_files_and_every_goal_its_peers() -> None:
    peers = ENCODERS + TRAINERS + TOKENIZERS
    assert all(peer.script.is_file() for peer in peers)
    assert all((REQUIREMENTS / f"{venv}.txt").is_file() for venv in VENVS)
    for group in (ENCODERS, TRAINERS, TOKENIZERS):
        names = [peer.name for peer in group]
        assert len(names) == len(set(names))
    assert set(GROWTH) <= {peer.name for peer in ENCODERS}
    tables = {"training": TRAINERS, "tokenizer": TOKENIZERS}
    for goal in GOALS:
        known = {peer.name for peer in tables.get(goal.section, ENCODERS)}
        assert {goal.ours, *goal.theirs} <= known, goal.what
    assert label("training", "ours") == "ours, zoo.KerasLayer"


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "benchmarks").glob("[!.]*/*.py")]),  # not the peers' venvs
    ids=lambda path: path.name,
)
def test_files_say_what_lives_there_and_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "the first line says what lives there"
    assert len(text.splitlines()) <= 250


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "workers").glob("*.py")), ids=lambda path: path.name)
def test_workers_of_peers_import_nothing_of_ours(path: Path) -> None:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.partition(".")[0])
    ours = modules & {"zoo", "export", "tokenizer", "scripts", "benchmarks"}
    assert not ours or path.stem in ("ours", "text_ours", "vectors_ours", "wordpiece_ours")
