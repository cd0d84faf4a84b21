"""`zoo add`: make a row and an archive of a checkpoint that no registry knows, and its tokenizer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from export.options import EncoderOptions, EncoderRequest, given_options
from export.release.build import exclusive, write_rows
from export.release.builder import Builder, Job
from export.release.plan import Step, make_step
from export.release.report import BuildReport, read_report, write_report
from export.release.sources import Found, Inputs, Shelf, said
from export.workspace import owned_directory
from zoo.archive.digests import sha256_of
from zoo.archive.kinds import KINDS
from zoo.contract import PREPROCESS, REGISTRY_FILE
from zoo.errors import BadArgument, ZooError
from zoo.fetching.hub_ids import hub_source
from zoo.registry.entry import Entry, FromParent, HuggingFaceSource, NoteSource, Recipe, Source, UrlSource
from zoo.registry.recipes import option_words, stated_options
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry, update_registry

if TYPE_CHECKING:
    from export.planning import PlannedEncoder, PlannedText
    from export.readers.protocol import Checkpoint

Kind = Literal["text", "encoder"]
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Addition:
    """A model to add. `checkpoint` is a path, a URL, owner/repository or an id of a hub.

    `options` are those of `zoo export`. Without `kind` the model is what the checkpoint is for, as of `zoo export`.
    """

    checkpoint: str
    name: str
    out: Path
    options: EncoderOptions = field(default_factory=EncoderOptions)
    no_tokenizer: bool = False
    kind: Kind | None = None


def add_model(addition: Addition) -> BuildReport:
    """Return the report of a new model: its row and archive, and those of its tokenizer if one was made.

        add_model(Addition("hfl/rbt3", "rbt3", Path("dist"), EncoderOptions(licence="Apache-2.0")))

    The row states the source and the options, so that `zoo build` can make the archive again. If `out` has a tokenizer
    of an encoder's vocabulary, the row names it; otherwise a tokenizer is exported as NAME_tokenizer. A text archive
    has its own inside. Raises BadArgument, DownloadFailed, BadRegistry, CannotWrite.
    """
    out, name, options = addition.out, addition.name, addition.options
    source = _source(addition)
    with exclusive(out), owned_directory(out) as work:
        registry = own_registry(out / REGISTRY_FILE) if (out / REGISTRY_FILE).exists() else Registry()
        write_rows(registry, out)
        inputs = _inputs(addition, source)
        opened = _opened(addition, inputs.path, work)
        kind = _kind(addition, opened)
        parent = _parent(addition, source, registry, kind)
        entry, is_text = _entry(options, source, parent, kind), kind == "text"
        step = Step(name, (name, *(_tokenizer_rows(addition) if options.keep_tokens and not is_text else ())), name)
        models, report = {**registry.models, name: entry}, BuildReport(rows=read_report(out).rows)
        # Without --keep-tokens, --cased is an option of the tokenizer's export alone.
        of_weights = options if options.keep_tokens or is_text else replace(options, cased=None)
        report = _built(step, models, inputs, report, out, of_weights, opened)
        del opened  # its unpacked files are removed with it
        if report.failed:
            return report
        made = own_registry(out / REGISTRY_FILE).models
        tokenizer = None if is_text else _fitting(made, made[name], options.cased)
        if not (tokenizer or is_text or addition.no_tokenizer) and made[name].vocabulary_sha256:
            report = _with_tokenizer(addition, made[name], inputs, report)
            tokenizer = None if report.failed else f"{name}_tokenizer"
        given = given_options(of_weights)
        if given.keys() - stated_options(name, source, models).keys() and not parent:
            entry = entry.model_copy(update={"sources": [_command_note(addition, source, given, models)]})
        _write_people(out, {name: entry.model_copy(update={"tokenizer": tokenizer})})
    return report


def plan_addition(addition: Addition) -> PlannedEncoder | PlannedText | str:
    """Return the plan of a new model's export; where its checkpoint lies elsewhere, the source in words.

    Nothing is fetched or written. Raises what `plan_export` does, and BadArgument.
    """
    from export.planning import plan_export

    source, listed = _source(addition), addition.out / REGISTRY_FILE
    if isinstance(source, NoteSource):
        found: Found | None = Found(Path(addition.checkpoint), source, "")
    else:
        found = Shelf().find(addition.name, Entry(kind="encoder", sources=[source]))
    if found is None:
        return said(source)
    registry = own_registry(listed) if listed.exists() else Registry()
    opened = _opened(addition, found.path)
    kind = _kind(addition, opened)
    entry = _entry(addition.options, source, _parent(addition, source, registry, kind), kind)
    models = {**registry.models, addition.name: entry}
    builder = Builder(Job(models, addition.out, options=addition.options))
    request = builder.request(make_step(addition.name, models), Inputs(found.path, source, "", {}))
    assert isinstance(request, EncoderRequest)  # of an encoder and of a text archive
    return plan_export(request, opened)


def _with_tokenizer(addition: Addition, encoder: Entry, inputs: Inputs, report: BuildReport) -> BuildReport:
    """Export the vocabulary of a new encoder as NAME_tokenizer; return the report with the rows of this export."""
    (name, brought), out, options = _tokenizer_rows(addition), addition.out, addition.options
    if options.vocab:
        inputs = _local(options.vocab)
    entry = Entry(
        kind="tokenizer",
        vocabulary_sha256=encoder.vocabulary_sha256,
        licence=options.licence,
        sources=[inputs.source],
        recipe=None if options.cased is None else Recipe(cased=options.cased),
    )
    preprocess = Entry(kind="preprocess", recipe=Recipe(derivation=FromParent(parent=name)))
    report = _built(Step(name, (name, brought), name), {name: entry}, inputs, report, out, options)
    if not report.failed:
        _write_people(out, {name: entry, brought: preprocess})
    return report


def _tokenizer_rows(addition: Addition) -> tuple[str, str]:
    """Return the names of the tokenizer, and of the preprocess archive, that an addition makes."""
    return f"{addition.name}_tokenizer", f"{addition.name}_tokenizer{PREPROCESS}"


def _built(
    step: Step,
    models: Mapping[str, Entry],
    inputs: Inputs,
    report: BuildReport,
    out: Path,
    options: EncoderOptions,
    opened: Checkpoint | None = None,
) -> BuildReport:
    """Run one step; return the report with its rows, which is written to build.json too."""
    with Builder(Job(models, out, done=report.rows, options=options), opened) as builder:
        report = report.with_rows(builder.run(step, inputs))
    write_report(report, out)
    return report


def _write_people(out: Path, rows: Mapping[str, Entry]) -> None:
    """Copy the fields that only people can state, of the given rows, into the rows that an export has written."""
    made = own_registry(out / REGISTRY_FILE).models
    stated = {name: made[name].model_copy(update=row.by_people()) for name, row in rows.items()}
    update_registry(out / REGISTRY_FILE, stated)


# -- what the row says ------------------------------------------------------------------------------------------------


def _opened(addition: Addition, checkpoint: Path, work: Path | None = None) -> Checkpoint | None:
    """Return the checkpoint, unpacked inside `work` if it is an archive; None if it cannot be read, see `_kind`."""
    from export.readers import open_checkpoint

    with suppress(ZooError):
        return open_checkpoint(checkpoint, addition.options.config, work)
    return None


def _kind(addition: Addition, opened: Checkpoint | None) -> Kind:
    """Return the kind of the new model; of a checkpoint that cannot be read "encoder", whose export says why."""
    from export.planning import PlannedText, plan_export

    if addition.kind or opened is None:
        return addition.kind or "encoder"
    request = EncoderRequest(checkpoint=opened.path, name=addition.name, out=addition.out, **vars(addition.options))
    with suppress(ZooError):
        return "text" if isinstance(plan_export(request, opened), PlannedText) else "encoder"
    return "encoder"


def _source(addition: Addition) -> Source:
    """Return the source that the new row states for the checkpoint. Raises BadArgument if it is none."""
    checkpoint, activation = addition.checkpoint, addition.options.activation
    chosen: dict[str, Any] = {}
    if activation:
        chosen = {"activation": activation, "reason": "chosen by the person who added the model"}
    if Path(checkpoint).exists():
        return _note(Path(checkpoint))
    if checkpoint.startswith(("http://", "https://")):
        return UrlSource(kind="url", url=checkpoint, **chosen)
    if (found := hub_source(checkpoint)) is not None:
        return found.model_copy(update=chosen)
    if _REPOSITORY.fullmatch(checkpoint):
        return HuggingFaceSource(kind="huggingface", repository=checkpoint, **chosen)
    raise BadArgument(
        f"{checkpoint!r} is no checkpoint: no file or directory has this path, and it is neither a URL nor "
        "owner/repository of Hugging Face, hf://owner/repository or ms://owner/repository."
    )


def _parent(addition: Addition, source: Source, registry: Registry, kind: Kind) -> str | None:
    """Return the name of the row of the whole model, from the same source, that a truncated model is cut from."""
    if addition.options.layers is None or isinstance(source, NoteSource):
        return None
    rows = registry.models.items()
    return next((n for n, row in rows if source in row.sources and row.kind == kind and n != addition.name), None)


def _entry(options: EncoderOptions, source: Source, parent: str | None, kind: Kind) -> Entry:
    """Return the new row: the source, and the options that a row of this kind can state."""
    # The recipe is not validated here: the export refuses an unknown head with an error that names the known ones.
    can_state = [option for option in KINDS[kind].options if option in Recipe.model_fields]
    given = {option: getattr(options, option) for option in can_state}
    chosen: dict[str, Any] = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    derivation = FromParent(parent=parent, layers=options.layers) if parent else None
    recipe = Recipe.model_construct(derivation=derivation, **chosen)
    stated = recipe if recipe != Recipe() else None
    return Entry(kind=kind, licence=options.licence, sources=[] if parent else [source], recipe=stated)


def _command_note(
    addition: Addition, source: Source, given: Mapping[str, Any], models: Mapping[str, Entry]
) -> NoteSource:
    """Return a note with the command that made a model, for a row that cannot state all options of its export.

    With the source itself, `zoo build` would make another model of the row. The note has every option that the row does
    not state without its source: also --activation. Directories of files are left out.
    """
    checkpoint = Path(addition.checkpoint).name if isinstance(source, NoteSource) else addition.checkpoint
    stated = stated_options(addition.name, _note(Path(checkpoint)), models)
    options = {option: value for option, value in given.items() if option not in stated}
    words = option_words({o: value.name if isinstance(value, Path) else value for o, value in options.items()})
    return NoteSource(kind="note", text=f"`zoo add {shlex.join([checkpoint, *words])}`")


def _inputs(addition: Addition, source: Source) -> Inputs:
    """Return the checkpoint, with the digests of its own files and of every file that an option names."""
    if isinstance(source, NoteSource):
        found = _local(Path(addition.checkpoint))
    else:
        found = Shelf().get(addition.name, Entry(kind="encoder", sources=[source]))
    paths = [value for value in given_options(addition.options).values() if isinstance(value, Path)]
    named = [
        file for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*"))) if file.is_file()
    ]
    return replace(found, files={**found.files, **{f"given {file.name}": sha256_of(file) for file in named}})


def _local(path: Path) -> Inputs:
    return Found(path, _note(path), f"local {path.name}").read()


def _note(path: Path) -> NoteSource:
    return NoteSource(kind="note", text=f"{path.name}, a file or directory of the person who added the model")


def _fitting(models: Mapping[str, Entry], encoder: Entry, cased: bool | None) -> str | None:
    """Return the first tokenizer of the same vocabulary whose row does not state the other case, None without one."""
    for name in sorted(models) if encoder.vocabulary_sha256 else ():
        row = models[name]
        its = row.recipe.cased if row.recipe else None
        same = row.kind == "tokenizer" and row.archive and row.vocabulary_sha256 == encoder.vocabulary_sha256
        if same and (cased is None or its is None or its == cased):
            return name
    return None
