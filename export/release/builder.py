"""One step of a build: skip it if its archives were made from the same inputs, else export what the row states."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import export
import tokenizer
import zoo
from export.options import EncoderOptions, EncoderRequest, TokenizerRequest, given_options
from export.release.plan import Step
from export.release.report import Row, failed
from export.release.sources import Inputs, Shelf
from export.versions import versions
from export.workspace import owned_directory
from zoo.archive.card import to_json
from zoo.archive.digests import sha256_of
from zoo.archive.kinds import KINDS, Kind
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadArgument, BadConfig, BadVocabulary, ZooError, first_line
from zoo.registry.entry import Entry, writers
from zoo.registry.recipes import stated_options
from zoo.registry.writing import own_registry

if TYPE_CHECKING:
    from export.readers.protocol import Checkpoint

# Files of zoo/ that decide bytes of an archive.
_ZOO_MODULES = (
    "archive/pack.py",
    "archive/card.py",
    "archive/kinds.py",
    "archive/gz.py",
    "archive/wordpiece_model.py",
    "contract.py",
)


@dataclass(frozen=True)
class Job:
    """The orders that every process of a build gets.

    `models` are the rows of the registry, `done` the results of earlier runs by name, `options` the options of every
    encoder's export; an option that a row states itself counts instead.
    """

    models: Mapping[str, Entry]
    out: Path
    shelf: Shelf = field(default_factory=Shelf)
    done: Mapping[str, Row] = field(default_factory=dict)
    options: EncoderOptions = field(default_factory=EncoderOptions)


class Builder:
    """Runs steps, in a `with` block. The checkpoint of the last step stays open, because the next may read it too.

    `opened` is the checkpoint of the inputs that the caller gives to `run`, if it is open already.
    """

    def __init__(self, job: Job, opened: Checkpoint | None = None) -> None:
        self._job = job
        self._origin: str | None = None
        self._inputs: Inputs | ZooError | None = None
        self._checkpoint = opened
        self._work: Path | None = None
        self._beside = ""  # what the files of sentence-transformers say of the last encoder
        self._stack = ExitStack()

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._stack.close()

    def run(self, step: Step, inputs: Inputs | None = None) -> list[Row]:
        """Return one result for each row of a step. An error becomes the result "failed" with a reason; none is raised.

        `inputs` is the checkpoint of the step if the caller has it; else it is looked for, or downloaded.
        """
        began = time.monotonic()
        try:
            rows = self.build(step, inputs)
        except Exception as error:  # TensorFlow raises errors of any class, and the other rows can still be built
            reason = f"{type(error).__name__}: {error}" if isinstance(error, ZooError) else first_line(error)
            rows = [failed(name, reason, self._job.done) for name in step.rows]
        seconds = round(time.monotonic() - began, 1)
        return [row.model_copy(update={"seconds": seconds}) for row in rows]

    def build(self, step: Step, given: Inputs | None = None) -> list[Row]:
        """Return what `run` does; raise the error of a step that fails."""
        inputs, self._beside = given or self._read(step), ""
        if rows := self.unchanged(step, inputs):
            return rows
        key, made = self._key(step, inputs), self._export(step, inputs)
        known = {"outcome": "built", "reason": self._beside, "key": key, "source": inputs.said}
        return [
            Row(name=name, sha256=record.sha256 or "", size=record.size, **known)
            for name in step.rows
            if (record := made[name].archive) is not None
        ]

    def unchanged(self, step: Step, inputs: Inputs) -> list[Row]:
        """Return the rows of a step as "unchanged" if all its archives were made from the same inputs; otherwise []."""
        key, path = self._key(step, inputs), self._job.out / REGISTRY_FILE
        models = own_registry(path).models if path.exists() else {}
        rows = []
        if step.name in models and _contradictions(self._facts(step), dict(models[step.name])):
            return []  # the export then raises the error that names the contradiction
        for name in step.rows:
            done, record = self._job.done.get(name), models[name].archive if name in models else None
            if done is None or record is None or done.key != key or done.sha256 != record.sha256:
                return []
            archive = self._job.out / f"{name}.tar.gz"
            if not archive.is_file() or sha256_of(archive) != record.sha256:
                return []
            rows.append(done.model_copy(update={"outcome": "unchanged", "reason": "made from the same inputs"}))
        return rows

    def _key(self, step: Step, inputs: Inputs) -> str:
        """Return the digest of everything that decides the archives: the files read, the options, the exporter."""
        request = self.request(step, inputs)
        options = {name: str(v) if isinstance(v, Path) else v for name, v in given_options(request).items()}
        made_from = {
            "inputs": inputs.sha256(vocabulary=not self._kind(step).has_weights),
            "request": [type(request).__name__, options],
            "exporter": exporter_digest(),
        }
        return hashlib.sha256(to_json(made_from).encode()).hexdigest()

    def request(self, step: Step, inputs: Inputs) -> EncoderRequest | TokenizerRequest:
        """Return the export of a step: the options that its row states, and for an encoder those of the job too."""
        job, made = self._job, self._maker(step).request
        of_job = vars(job.options) if issubclass(made, EncoderOptions) else {}
        return made(inputs.path, out=job.out, **{**of_job, **stated_options(step.name, inputs.source, job.models)})

    def _kind(self, step: Step) -> Kind:
        return KINDS[self._job.models[step.name].kind]

    def _maker(self, step: Step) -> Maker:
        """Return how the archives of a step are made. Raises BadArgument if only another command makes them."""
        kind = self._kind(step)
        if kind.command not in MAKERS:
            raise BadArgument(f"`zoo build` cannot make {kind.with_article}. Run `zoo {kind.command}` for {step.name}.")
        return MAKERS[kind.command]

    def _read(self, step: Step) -> Inputs:
        """Return the checkpoint of a step. Steps of one origin share the checkpoint, or the error if it is missing."""
        if self._origin != step.origin:
            self._forget()
            self._origin = step.origin
            try:
                self._inputs = self._job.shelf.get(step.origin, self._job.models[step.origin])
            except ZooError as error:
                self._inputs = error
        if isinstance(self._inputs, ZooError):
            raise self._inputs
        assert self._inputs is not None  # it was just looked for
        return self._inputs

    def _facts(self, step: Step) -> dict[str, object]:
        """Return the facts that the row states: {"layers": 12, …}. The export has to find the same in the checkpoint.

        A row without the digest of its vocabulary takes the digest from the row of its tokenizer.
        """
        entry = self._job.models[step.name]
        stated = {fact: getattr(entry, fact) for fact, written in writers().items() if written.promised}
        if entry.tokenizer and entry.vocabulary_sha256 is None and entry.tokenizer in self._job.models:
            stated["vocabulary_sha256"] = self._job.models[entry.tokenizer].vocabulary_sha256
        return {fact: value for fact, value in stated.items() if value is not None}

    # -- the export ---------------------------------------------------------------------------------------------------

    def _export(self, step: Step, inputs: Inputs) -> Mapping[str, Entry]:
        import_tensorflow_quietly()
        return self._maker(step).export(self, step, self.request(step, inputs), inputs)

    def export_vocabulary(self, step: Step, request: TokenizerRequest, inputs: Inputs) -> dict[str, Entry]:
        """Export a tokenizer and its preprocess archive; return their rows. Raises BadConfig for wrong facts."""
        from export.pipeline import export_tokenizer

        request = replace(request, source=self._vocabulary_folder(inputs.path))
        _check_facts(step.name, self._facts(step), _vocabulary_facts(request), inputs)
        return export_tokenizer(request)

    def export_weights(self, step: Step, request: EncoderRequest, inputs: Inputs) -> dict[str, Entry]:
        """Export an encoder or a text archive; return its row. Raises BadConfig if the checkpoint contradicts it."""
        from export.pipeline import export_checkpoint
        from export.planning import PlannedText, plan_export

        planned = plan_export(request, self._opened(request))
        encoder, task = (planned.encoder, planned.task) if isinstance(planned, PlannedText) else (planned, None)
        found = {
            **encoder.config.sizes().model_dump(),
            "family": encoder.family.name,
            "vocabulary_sha256": encoder.vocabulary.sha256 if encoder.vocabulary else None,
            **({"task": task.name, "pooling": task.pooling, "max_length": task.max_length} if task else {}),
        }
        _check_facts(step.name, self._facts(step), found, inputs)
        self._beside = "" if encoder is not planned else "; ".join(str(encoder.sentence or "").splitlines())
        return export_checkpoint(planned)

    def _opened(self, request: EncoderRequest) -> Checkpoint:
        """Return the checkpoint of the request. It stays open, because the next step may read it too."""
        from export.readers import open_checkpoint

        if self._checkpoint is None:
            self._checkpoint = open_checkpoint(request.checkpoint, request.config, self._own_directory())
        return self._checkpoint

    def _vocabulary_folder(self, path: Path) -> Path:
        """Return the directory of a vocabulary: `path`, or the directory inside of the archive that `path` names."""
        from export.readers.archive import is_archive, unpack_checkpoint
        from export.readers.sentence_transformers import transformer_folder
        from tokenizer.tokenizer_json import JSON_FILE

        if not is_archive(path):
            return transformer_folder(path)
        folder = unpack_checkpoint(path, self._own_directory())
        holders = sorted({file.parent for name in ("vocab*.txt", "*.model", JSON_FILE) for file in folder.rglob(name)})
        if len(holders) != 1:
            found = ", ".join(str(each.relative_to(folder)) for each in holders) or "none"
            raise BadVocabulary(f"{path} should hold the vocabulary of one model, holds: {found}.")
        return holders[0]

    def _own_directory(self) -> Path:
        """Return the builder's temporary directory, made at the first call and removed at the end."""
        if self._work is None:
            self._job.out.mkdir(parents=True, exist_ok=True)
            self._work = self._stack.enter_context(owned_directory(self._job.out))
        return self._work

    def _forget(self) -> None:
        """Let go of the checkpoint of the last step."""
        self._inputs = self._checkpoint = self._origin = None
        gc.collect()  # a checkpoint of an archive removes its unpacked files when it is collected


@dataclass(frozen=True)
class Maker:
    """How `zoo build` runs a command: the class of its request, and the export, which is called with a builder."""

    request: type[EncoderRequest | TokenizerRequest]
    export: Callable[[Builder, Step, Any, Inputs], Mapping[str, Entry]]


# By the command that the row of a kind names, see zoo.archive.kinds.
MAKERS = {
    "export": Maker(EncoderRequest, Builder.export_weights),
    "export-tokenizer": Maker(TokenizerRequest, Builder.export_vocabulary),
}


@cache
def exporter_digest() -> str:
    """Return a digest of the code and the libraries that decide an archive's bytes."""
    digest = hashlib.sha256(to_json(versions()).encode())
    for root in (Path(str(export.__file__)).parent, Path(str(tokenizer.__file__)).parent):
        for file in sorted(root.rglob("*.py")):
            if file.parent.name != "release":  # its code decides only inputs and options, which are in the key anyway
                digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    for module in _ZOO_MODULES:
        digest.update((Path(str(zoo.__file__)).parent / module).read_bytes())
    return digest.hexdigest()


def _vocabulary_facts(request: TokenizerRequest) -> dict[str, object]:
    """Return the facts of a vocabulary that a row may state: its size and its sha256."""
    from tokenizer.source import read_tokenizer_source

    vocabulary = read_tokenizer_source(request.source, request.cased).vocabulary
    return {"vocab_size": len(vocabulary.entries), "vocabulary_sha256": vocabulary.sha256}


def _contradictions(stated: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """Return the facts that the row states and the checkpoint contradicts: ["layers 12, it has 3"]."""
    return [
        f"{fact} {value!r}, it has {found.get(fact)!r}" for fact, value in stated.items() if found.get(fact) != value
    ]


def _check_facts(name: str, stated: Mapping[str, object], found: Mapping[str, object], inputs: Inputs) -> None:
    if wrong := _contradictions(stated, found):
        raise BadConfig(
            f"{name} and {inputs.path} ({inputs.said}) contradict each other. The registry says {'; '.join(wrong)}. "
            "Correct the row, or give the checkpoint that it means."
        )
