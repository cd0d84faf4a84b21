"""Gives every command of `zoo` wrong values, in this process: each has to end with an exit code and words.

    python -m scripts.fuzz.command_line                 # every value of the tables, one argument at a time
    python -m scripts.fuzz.command_line --seconds 600   # then several wrong arguments and variables at a time

Commands and arguments are read from the parsers, so a new option is tried without a line here. A fault is an exception,
an exit code other than 0 and 2, a 2 without words, a traceback, or a message with the name of an exception that is not
ours. A command that comes as far as TensorFlow ends there: what it checks before that is tried. Nobody but port 9
of this machine is asked.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from safetensors.numpy import save_file

import zoo.errors
from scripts.fuzz.wrong_words import ENVIRONMENT, GOOD, GOOD_OF, VALUES, VARIABLES
from scripts.layouts import bert, bert_config, transformers_arrays
from scripts.random_checkpoint import random_arrays, write_vocabulary
from zoo.archive.card import TokenizerCard, write_card
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.command import command_parser, main as zoo_main
from zoo.errors import ZooError
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import update_registry
from zoo.trust.minisign import write_keys

# Exit codes that a command's docstring gives another meaning; then the words may be on stdout.
ANSWERS = {"inspect", "check-links", "cache verify", "registry check"}
_OURS = {name for name, value in vars(zoo.errors).items() if isinstance(value, type) and issubclass(value, ZooError)}
_FOREIGN = re.compile(r"\b[A-Z][A-Za-z]*(?:Error|Exception|Warning|Interrupt|Iteration|NotFound|Timeout)\b")
_MOST_SECONDS = 20


class ReachedTensorFlow(BaseException):
    """The command has checked what it could without TensorFlow, and imports it now."""


@dataclass(frozen=True)
class Command:
    """A command, "cache clean", and its arguments."""

    name: str
    actions: Sequence[argparse.Action]

    def words(self, wrong: Mapping[str, str | None] = {}) -> list[str]:
        """Return argv with good values for what is required, and those of `wrong`; None is a flag that is given."""
        options: list[str] = []
        places: list[str] = []
        for action in self.actions:
            is_place, needed = not action.option_strings, action.required or action.dest == "dry_run"
            if not (action.dest in wrong or needed):
                continue
            value = wrong.get(action.dest, self._good(action))
            if is_place:
                places.append(str(value))
            elif value is None or action.nargs == 0:
                options.append(action.option_strings[-1])
            else:
                options.append(f"{action.option_strings[-1]}={value}")
        return [*self.name.split(), *options, *(["--"] if any(word[:1] == "-" for word in places) else []), *places]

    def _good(self, action: argparse.Action) -> str | None:
        return {**GOOD, **GOOD_OF.get(self.name, {})}.get(action.dest)


@dataclass(frozen=True)
class Case:
    """Words for `zoo`, and variables of the environment that differ from ENVIRONMENT."""

    argv: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{dict(self.variables) or ''} zoo {list(self.argv)!r}".strip()


# -- cases ------------------------------------------------------------------------------------------------------------


def commands() -> list[Command]:
    """Return every command, those of the builder too, with the arguments that its parser has."""
    return [*_leaves("", command_parser()[0])]


def _leaves(name: str, parser: argparse.ArgumentParser) -> Iterator[Command]:
    further = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in further:
        for word, inner in action.choices.items():
            yield from _leaves(f"{name} {word}".strip(), inner)
    if not further:
        yield Command(name, [action for action in parser._actions if not isinstance(action, argparse._HelpAction)])


def single_cases() -> Iterator[Case]:
    """Yield every value of the tables for every argument of every command, and every variable for every command."""
    for command in commands():
        yield Case(command.words())
        for action in command.actions:
            for value in (None,) if action.nargs == 0 else VALUES:
                yield Case(command.words({action.dest: value}))
        for name, values in VARIABLES.items():
            for value in values:
                yield Case(command.words(), {name: value})


def several_cases(seed: int) -> Iterator[Case]:
    """Yield, without end, cases with several odd arguments and variables at a time."""
    random, known = Random(seed), commands()
    while True:
        command = random.choice(known)
        chosen = random.sample(command.actions, min(len(command.actions), random.choice((1, 2, 3))))
        wrong = {action.dest: None if action.nargs == 0 else random.choice(VALUES) for action in chosen}
        names = random.sample([*VARIABLES], random.choice((0, 0, 1, 2)))
        yield Case(command.words(wrong), {name: random.choice(VARIABLES[name]) for name in names})


# -- one case ---------------------------------------------------------------------------------------------------------


def fault(case: Case, world: Path) -> str | None:
    """Run a case in a copy of a world; return in words what is wrong with how it ended, or None."""
    out, err = io.StringIO(), io.StringIO()
    began = time.monotonic()
    printed = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with _place(world), _environment(case.variables), _without_tensorflow(), printed[0], printed[1]:
        try:
            code: object = zoo_main(list(case.argv))
        except SystemExit as end:
            code = end.code
        except ReachedTensorFlow:
            return None
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f"{Path(each.filename).name}:{each.lineno}" for each in frames if "/lib/" not in each.filename]
            return f"{type(error).__name__}: {str(error)[:200]} at {ours[-1]}"
    said = out.getvalue() + err.getvalue()
    if (took := time.monotonic() - began) > _MOST_SECONDS:
        return f"{took:.0f} seconds"
    if code not in (0, 2):
        return f"exit code {code}"
    if code == 2 and not err.getvalue().strip() and not (said and " ".join(case.argv).startswith(tuple(ANSWERS))):
        return "exit code 2 without a word"
    if "Traceback (most recent call last)" in said:
        return f"a traceback: {said[-300:]}"
    if foreign := set(_FOREIGN.findall(said)) - _OURS:
        return f"{', '.join(sorted(foreign))} in {said.strip()[-300:]!r}"
    return None


def make_world(folder: Path) -> Path:
    """Write what the tables name into a directory: a registry of one archive, a checkpoint, keys and odd files."""
    _write_zoo(folder / "dist")
    _write_checkpoint(folder / "checkpoint")
    for name in ("made", "keys", "home", "cache", "folder", "folder.tar.gz"):
        (folder / name).mkdir()
    write_keys(folder / "keys" / "release")
    (folder / "text.txt").write_text("你好\nhello\n", encoding="utf-8")
    (folder / "latin.txt").write_bytes("é".encode("latin-1") * 9)
    (folder / "empty").touch()
    (folder / "zeros.bin").write_bytes(bytes(999))
    (folder / "list.json").write_text("[1]")
    (folder / "deep.json").write_text("[" * 9999)
    for kind in ("tar.gz", "zip", "index", "safetensors", "keras"):
        (folder / f"page.{kind}").write_text("<html>")
    (folder / "loop").symlink_to("loop")
    return folder


def _write_zoo(folder: Path) -> None:
    """Write a registry of two models, of which one has an archive: a file and a card, and no graph."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    facts = {
        "kind": "tokenizer",
        "name": "small",
        "lower_case": True,
        "lower_case_reason": "given",
        "special_tokens": {"[CLS]": 2, "[SEP]": 3},
        "special_tokens_in_text": False,
        "vocab_size": 99,
        "vocabulary_sha256": "a" * 64,
        "source": {"format": "vocabulary", "files": {"vocab.txt": {"sha256": "b" * 64, "size": 7}}},
        "ops": [],
        "versions": {},
        "files": file_digests(model),
        "certificate": [{"text": ["你好"], "ids": [2, 7, 8, 3]}],
    }
    write_card(TokenizerCard.model_validate(facts), model)
    digest = pack(model, folder / "small.tar.gz")
    shutil.rmtree(model)
    record = ArchiveRecord(urls=["small.tar.gz"], sha256=digest.sha256, size=digest.size)
    later = Entry(kind="encoder", family="albert", layers=4, hidden_size=312, tokenizer="small")
    small = Entry(kind="tokenizer", vocab_size=99, archive=record)
    update_registry(folder / "registry.json", {"small": small, "later": later})


def _write_checkpoint(folder: Path) -> None:
    folder.mkdir()
    config = bert_config(2, 8, 2, 12, 15, positions=9)
    save_file(transformers_arrays(random_arrays(bert(config))), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    write_vocabulary(folder / "vocab.txt", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"])


@contextlib.contextmanager
def _place(world: Path) -> Iterator[None]:
    """Work in a copy of the world, some directories deep, so that '../x' stays beside it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="zoo-words-") as work:
        place = Path(work, "a", "b")
        shutil.copytree(world, place, symlinks=True)
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    wanted = {**ENVIRONMENT, **variables}
    with mock.patch.dict(os.environ):
        for name, value in wanted.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        with mock.patch("tempfile.tempdir", None):
            yield


class _Stop:
    """A finder of modules that ends the command where it imports TensorFlow."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "tensorflow":
            raise ReachedTensorFlow


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    from http.server import ThreadingHTTPServer

    def end(*_: object) -> None:
        raise KeyboardInterrupt  # as the person who ends `zoo serve`

    stop: Any = _Stop()
    with (
        mock.patch.dict(sys.modules),
        mock.patch.object(sys, "meta_path", [stop, *sys.meta_path]),
        mock.patch.object(ThreadingHTTPServer, "serve_forever", end),
        mock.patch("zoo.transport.http.PAUSE", 0.001),
    ):
        sys.modules.pop("tensorflow", None)
        yield


# -- the command ------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=0, help="how long to go on after the tables, several at a time"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", help="only cases that begin with these words")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth case of the tables")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    tried, faults = 0, []
    with tempfile.TemporaryDirectory(prefix="zoo-world-") as folder:
        world = make_world(Path(folder))
        for case in _chosen(options):
            if options.command is None or " ".join(case.argv).startswith(options.command):
                tried += 1
                if found := fault(case, world):
                    faults.append({"case": str(case), "fault": found})
                    print(f"{case}\n    {found}", file=sys.stderr, flush=True)
    counted = f"{tried:,} cases, {len(faults)} faults"
    print(json.dumps({"tried": tried, "faults": faults}, indent=2) if options.json else counted)
    return 1 if faults else 0


def _chosen(options: argparse.Namespace) -> Iterator[Case]:
    yield from itertools.islice(single_cases(), 0, None, options.every)
    end = time.monotonic() + options.seconds
    yield from itertools.takewhile(lambda _: time.monotonic() < end, several_cases(options.seed))


if __name__ == "__main__":
    sys.exit(main())
