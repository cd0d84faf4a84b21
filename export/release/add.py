"""From a checkpoint that no registry knows to a row of one, in one step."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.release.build import exclusive, write_rows
from export.release.builder import Builder, Job
from export.release.plan import Step
from export.release.report import Report, read_report, write_report
from export.release.sources import Found, Inputs, Shelf
from zoo.archive.digests import sha256_of
from zoo.contract import PREPROCESS, REGISTRY_FILE
from zoo.errors import BadArgument
from zoo.registry.entry import NOT_STATED, Entry, FromParent, HuggingFaceSource, NoteSource, Recipe, Source, UrlSource
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry, update_registry

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Addition:
    """What is added, as a person says it: `checkpoint` is a path, a URL or owner/repository."""

    checkpoint: str
    name: str
    out: Path
    licence: str = NOT_STATED
    no_tokenizer: bool = False
    layers: int | None = None
    config: Path | None = None
    vocab: Path | None = None
    activation: str | None = None
    pooler: str | None = None
    family: str | None = None
    heads: str | None = None
    dtype: str = "float32"
    recompute: bool = False
    keep_tokens: Path | None = None
    cased: bool | None = None


def add_model(addition: Addition) -> Report:
    """Return what became of a new row, its archive and its tokenizer's.

        add_model(Addition("hfl/rbt3", "rbt3", Path("dist"), licence="Apache-2.0"))

    The row says where the checkpoint comes from and what its export was told, so that `zoo build` makes it again. Its
    tokenizer is one of `out` with the same vocabulary, else one is exported as NAME_tokenizer. Raises BadArgument,
    DownloadFailed, BadRegistry, CannotWrite.
    """
    out, name = addition.out, addition.name
    source = _source(addition)
    with exclusive(out):
        registry = own_registry(out / REGISTRY_FILE) if (out / REGISTRY_FILE).exists() else Registry()
        write_rows(registry, out)
        parent = _parent(addition, source, registry)
        told, inputs = _told(addition, source, parent), _inputs(addition, source)
        entry = _entry(addition, source, parent, told)
        step = Step(name, (name, *(_tokenizer_rows(addition) if addition.keep_tokens else ())), name)
        models, report = {**registry.models, name: entry}, Report(rows=read_report(out).rows)
        report = _built(step, models, inputs, report, out, told)
        if report.failed:
            return report
        made = own_registry(out / REGISTRY_FILE).models
        tokenizer = _fitting(made, made[name], addition.cased)
        if tokenizer is None and not addition.no_tokenizer:
            report = _with_tokenizer(addition, made[name], inputs, report)
            tokenizer = None if report.failed else f"{name}_tokenizer"
        _write_people(out, {name: entry.model_copy(update={"tokenizer": tokenizer})})
    return report


def _with_tokenizer(addition: Addition, encoder: Entry, inputs: Inputs, report: Report) -> Report:
    """Return the report with the rows of NAME_tokenizer, of the vocabulary that the encoder has."""
    (name, brought), out = _tokenizer_rows(addition), addition.out
    if addition.vocab:
        inputs = _local(addition.vocab)
    entry = Entry(
        kind="tokenizer",
        vocabulary_sha256=encoder.vocabulary_sha256,
        licence=addition.licence,
        sources=[inputs.source],
        recipe=None if addition.cased is None else Recipe(cased=addition.cased),
    )
    preprocess = Entry(kind="preprocess", recipe=Recipe(derivation=FromParent(parent=name)))
    report = _built(Step(name, (name, brought), name), {name: entry}, inputs, report, out)
    if not report.failed:
        _write_people(out, {name: entry, brought: preprocess})
    return report


def _tokenizer_rows(addition: Addition) -> tuple[str, str]:
    return f"{addition.name}_tokenizer", f"{addition.name}_tokenizer{PREPROCESS}"


def _built(
    step: Step, models: Mapping[str, Entry], inputs: Inputs, report: Report, out: Path, told: tuple[str, ...] = ()
) -> Report:
    with Builder(Job(models, out, done=report.rows, options=told)) as builder:
        report = report.with_rows(builder.run(step, inputs))
    write_report(report, out)
    return report


def _write_people(out: Path, rows: Mapping[str, Entry]) -> None:
    """Write into rows that an export made what the given rows state and no export knows."""
    made = own_registry(out / REGISTRY_FILE).models
    stated = {name: made[name].model_copy(update=row.by_people()) for name, row in rows.items()}
    update_registry(out / REGISTRY_FILE, stated)


# -- what the row says ------------------------------------------------------------------------------------------------


def _source(addition: Addition) -> Source:
    what = addition.checkpoint
    chosen: dict[str, Any] = {}
    if addition.activation:
        chosen = {"activation": addition.activation, "reason": "chosen by who added the model"}
    if Path(what).exists():
        return _note(Path(what))
    if what.startswith(("http://", "https://")):
        return UrlSource(kind="url", url=what, **chosen)
    if _REPOSITORY.fullmatch(what):
        return HuggingFaceSource(kind="huggingface", repository=what, **chosen)
    raise BadArgument(f"{what!r} is neither a file or directory that is here, nor a URL, nor owner/repository.")


def _parent(addition: Addition, source: Source, registry: Registry) -> str | None:
    """Return the row that a truncated model is cut from: one of the whole of the same source."""
    if addition.layers is None or isinstance(source, NoteSource):
        return None
    rows = registry.models.items()
    return next((n for n, row in rows if source in row.sources and row.kind == "encoder" and n != addition.name), None)


def _entry(addition: Addition, source: Source, parent: str | None, told: tuple[str, ...]) -> Entry:
    heads = None if addition.heads is None else [head for head in addition.heads.split(",") if head != "none"]
    recipe = {
        "derivation": {"parent": parent, "layers": addition.layers} if parent else None,
        "family": addition.family,
        "pooler": addition.pooler,
        "heads": heads,
    }
    sources: list[Source] = [source]
    if told:  # the row alone would make another model
        words = [Path(addition.checkpoint).name if isinstance(source, NoteSource) else addition.checkpoint]
        words += [Path(word).name for word in told]
        sources = [NoteSource(kind="note", text=f"`zoo add {shlex.join(words)}`")]
    return Entry(
        kind="encoder",
        licence=addition.licence,
        sources=[] if parent else sources,
        recipe=Recipe.model_validate(recipe) if any(value is not None for value in recipe.values()) else None,
    )


def _told(addition: Addition, source: Source, parent: str | None) -> tuple[str, ...]:
    """Return the words for this export that its row cannot say."""
    options = {
        "--layers": None if parent else addition.layers,
        "--activation": addition.activation if isinstance(source, NoteSource) else None,
        "--config": addition.config,
        "--vocab": addition.vocab,
        "--dtype": None if addition.dtype == "float32" else addition.dtype,
        "--keep-tokens": addition.keep_tokens,
    }
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    words += ["--recompute"] * addition.recompute
    if addition.keep_tokens and addition.cased is not None:
        words.append("--cased" if addition.cased else "--uncased")
    return tuple(words)


def _inputs(addition: Addition, source: Source) -> Inputs:
    """Return the checkpoint, and beside its own files those that were named apart."""
    if isinstance(source, NoteSource):
        found = _local(Path(addition.checkpoint))
    else:
        found = Shelf().get(addition.name, Entry(kind="encoder", sources=[source]))
    named = [file for file in (addition.config, addition.vocab, addition.keep_tokens) if file and file.is_file()]
    return replace(found, files={**found.files, **{f"given {file.name}": sha256_of(file) for file in named}})


def _local(path: Path) -> Inputs:
    return Found(path, _note(path), f"local {path.name}").read()


def _note(path: Path) -> NoteSource:
    return NoteSource(kind="note", text=f"{path.name}, a file or directory of who added the model")


def _fitting(models: Mapping[str, Entry], encoder: Entry, cased: bool | None) -> str | None:
    """Return a tokenizer of the same vocabulary that is not known to be of the other case."""
    for name in sorted(models):
        row = models[name]
        its = row.recipe.cased if row.recipe else None
        same = row.kind == "tokenizer" and row.archive and row.vocabulary_sha256 == encoder.vocabulary_sha256
        if same and (cased is None or its is None or its == cased):
            return name
    return None
