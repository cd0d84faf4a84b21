"""Counts how many hostile archives `hub.load`, ModelScan and `zoo.load` stop: `python -m scripts.compare_safety`.

The script exports a small model and makes the hostile archives of tests/hostile from it. A child process with little
memory and time loads an archive and, if it is an encoder, calls it once; the files that an attack writes lie in a
temporary directory. ModelScan scans all archives in one run: install it with TensorFlow into an environment of its own
(`pip install 'modelscan[tensorflow]'`) and give its path with `--modelscan`. Linux only. The output is the Markdown
table in docs/security.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostile.cases import Case, all_cases

_SECONDS, _BYTES = 20, 12 << 30  # that a child may take
_INPUTS = {"input_word_ids": [[2, 5, 3]], "input_mask": [[1, 1, 1]], "input_type_ids": [[0, 0, 0]]}
_FORK = multiprocessing.get_context("fork")  # a child has imported everything before it begins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modelscan", type=Path, help="path of ModelScan's command")
    parser.add_argument("--details", action="store_true", help="a line for each archive too")
    options = parser.parse_args()
    if options.modelscan and not options.modelscan.is_file():
        parser.error(
            f"there is no {options.modelscan}. `python -m venv DIR && DIR/bin/pip install 'modelscan[tensorflow]'` "
            "makes DIR/bin/modelscan."
        )
    cases = all_cases()
    with TemporaryDirectory() as work:
        making = _FORK.Process(target=_make, args=(Path(work), cases))  # TensorFlow must not have run before a fork
        making.start()
        making.join()
        if making.exitcode:
            sys.exit("the archives could not be made: see above")
        places = {case.name: Path(work) / "cases" / case.name / "model" for case in cases}
        outcomes = {"hub.load": {name: _child(_by_hub, place) for name, place in places.items()}}
        outcomes["ModelScan"] = _by_modelscan(options.modelscan, cases, places) if options.modelscan else {}
        outcomes["zoo.load"] = {name: _child(_by_zoo, place) for name, place in places.items()}
    print(_table(cases, outcomes))
    for way, found in outcomes.items():
        print(
            f"{way}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(found.values()).items()))
        )
    if options.details:
        for case in cases:
            print(case.group, case.name, *(found.get(case.name, "-") for found in outcomes.values()), sep=" | ")


def _make(work: Path, cases: list[Case]) -> None:
    from export.options import EncoderRequest, TokenizerRequest
    from export.pipeline import export_encoder, export_tokenizer
    from tests.export.conftest import write_odd
    from tests.hostile.making import make_hostile
    from zoo.archive.unpack import unpack

    (work / "checkpoint").mkdir()
    write_odd(work / "checkpoint")
    export_encoder(EncoderRequest(work / "checkpoint", "toy", work / "zoo"))
    export_tokenizer(TokenizerRequest(work / "checkpoint", "toy_tokenizer", work / "zoo"))
    for name in {case.base for case in cases}:
        unpack(work / "zoo" / f"{name}.tar.gz", work / "genuine" / name)
    for case in cases:
        (work / "cases" / case.name).mkdir(parents=True)
        make_hostile(work / "genuine" / case.base, work / "cases" / case.name / "model", case.make)


# -- loading, each in a child -----------------------------------------------------------------------------------------


def _child(load: Callable[[Path], str], place: Path) -> str:
    """Load an archive in a child process and return the outcome: "stopped", "loaded", "hung" or "crashed".

    If the attack wrote a file, the outcome is "wrote a file", whatever else happened.
    """
    for written in place.parent.glob("owned*"):  # files of an earlier load of the same archive
        written.unlink()
    receiver, sender = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_run, args=(load, place, sender))
    process.start()
    process.join(_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        outcome = "hung"
    elif process.exitcode:
        outcome = "crashed"
    else:
        outcome = receiver.recv()
    return "wrote a file" if list(place.parent.glob("owned*")) else outcome


def _run(load: Callable[[Path], str], place: Path, sender: object) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    sender.send(load(place))  # type: ignore[attr-defined]


def _by_hub(place: Path) -> str:
    import tensorflow as tf
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401, registers its operations

    try:
        model = hub.load(str(place))
    except MemoryError:
        return "ran out of memory"
    except Exception:
        return "stopped"
    try:
        model({key: tf.constant(value) for key, value in _INPUTS.items()})
    except Exception:
        return "loaded"  # a tokenizer, or an encoder that does not work any more
    return "loaded"


def _by_zoo(place: Path) -> str:
    import zoo
    from zoo.errors import ZooError

    try:
        zoo.load(place)
    except ZooError:
        return "stopped"
    return "loaded"


def _by_modelscan(command: Path, cases: list[Case], places: Mapping[str, Path]) -> dict[str, str]:
    """Return case -> "stopped" or "passed" by ModelScan.

    An archive counts as stopped if ModelScan reports an issue of any severity, or an error, that it does not report for
    the genuine archive. (ModelScan calls every operation of tensorflow-text unsafe, also in genuine archives.)
    """
    work = next(iter(places.values())).parents[2]
    found = defaultdict(set)
    for root, end in (("genuine", "/"), ("cases", "/model/")):
        report = work / f"{root}.json"
        subprocess.run(
            [command, "-p", work / root, "-r", "json", "-o", report], cwd=work, check=False, stdout=subprocess.DEVNULL
        )
        scanned = json.loads(report.read_text())
        for each in (*scanned["issues"], *scanned["errors"]):
            found[root, each["source"].partition(end)[0]].add(each["description"])
    return {
        case.name: "stopped" if found["cases", case.name] - found["genuine", case.base] else "passed" for case in cases
    }


# -- the table --------------------------------------------------------------------------------------------------------


def _table(cases: list[Case], outcomes: Mapping[str, Mapping[str, str]]) -> str:
    groups = Counter(case.group for case in cases)
    lines = ["| what they try | archives | " + " | ".join(f"`{way}`" for way in outcomes) + " |"]
    lines.append("|---|--:|" + "--:|" * len(outcomes))
    for group, count in groups.items():
        names = [case.name for case in cases if case.group == group]
        lines.append(
            f"| {group} | {count} | " + " | ".join(_stopped(names, found) for found in outcomes.values()) + " |"
        )
    every = [case.name for case in cases]
    lines.append(f"| all | {len(cases)} | " + " | ".join(_stopped(every, found) for found in outcomes.values()) + " |")
    return "\n".join(lines)


def _stopped(names: list[str], found: Mapping[str, str]) -> str:
    return str(sum(found[name] == "stopped" for name in names)) if found else "not run"


if __name__ == "__main__":
    main()
