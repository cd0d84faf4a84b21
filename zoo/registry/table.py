"""The table of models in Markdown, in English and Chinese, and the pages that hold it between two markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Literal

from zoo.archive.kinds import KINDS, Kind
from zoo.basics.display import size
from zoo.registry.entry import NOT_STATED, Entry, Published
from zoo.registry.recipes import origin
from zoo.registry.registry import Registry

Language = Literal["en", "zh"]

# The short table: one of every kind and the sizes people ask for most.
SHORT = (
    "bert_tokenizer_chinese",
    "albert_tiny",
    "albert_small",
    "albert_base",
    "electra_small",
    "electra_base",
    "bert",
    "bert_wwm",
    "roberta_wwm",
    "roberta_wwm_large",
    "rbt3",
    "macbert_base",
    "bge_small_zh",
    "bge_base_zh",
    "all_minilm_l6_v2",
)
_NONE = "–"
_MARKED = re.compile(r"(<!-- models -->\n)(.*?)(<!-- /models -->)", flags=re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A file that holds a table, by its path from the registry."""

    path: str
    language: Language
    short: bool


PAGES = (
    Page("README.md", "en", short=True),
    Page("README.zh-CN.md", "zh", short=True),
    Page("docs/models.md", "en", short=False),
    Page("docs/models.zh-CN.md", "zh", short=False),
)


@dataclass(frozen=True)
class _Words:
    header: Sequence[str]
    more: Sequence[str]  # columns that the short table leaves out
    of: str
    was: str
    built: str
    unbuilt: str
    on_request: str
    not_stated: str
    kind: Callable[[Kind], str]
    task: str  # of a text archive, behind its kind
    tasks: Mapping[str, str]  # names of tasks that are written otherwise
    description: Callable[[Entry], str]


_WORDS = {
    "en": _Words(
        header=("name", "kind", "family", "layers", "hidden size", "parameters", "size", "licence", "archive"),
        more=("other names", "for"),
        of="{} of {}",
        was="was {}",
        built="built",
        unbuilt="on first use",
        on_request="on request",
        not_stated=NOT_STATED,
        kind=attrgetter("name"),
        task="{}: {}",
        tasks={},
        description=attrgetter("description"),
    ),
    "zh": _Words(
        header=("名字", "种类", "家族", "层数", "隐层宽度", "参数量", "大小", "许可", "包"),
        more=("别名", "用途"),
        of="{1} 层取前 {0} 层",
        was="原 {}",
        built="已构建",
        unbuilt="首次使用时",
        on_request="按需自建",
        not_stated="未注明",
        kind=attrgetter("chinese"),
        task="{}：{}",
        tasks={
            "vector": "句向量",
            "classification": "分类",
            "token_classification": "实体识别",
            "span": "阅读理解",
            "fill_mask": "填空",
        },
        description=lambda entry: entry.description_zh or entry.description,
    ),
}


def markdown_table(registry: Registry, language: Language = "en", short: bool = False) -> str:
    """Return the table of a registry's models; `short` keeps a dozen of them and leaves out aliases and descriptions.

    Models without weights, such as tokenizers, come first, then encoders, then text models by task. Within a family
    models go from small to large, truncated ones before the one they are cut from. The size is the archive's, or, until
    it is built, what the predecessor's was.
    """
    words = _WORDS[language]
    names = [name for name in in_order(registry) if not short or name in SHORT]
    rows = [list(words.header), *(_row(name, registry, words) for name in names)]
    if not short:
        more = [words.more, *(_more(registry.models[name], words) for name in names)]
        rows = [[*row, *cells] for row, cells in zip(rows, more, strict=True)]
    rows.insert(1, ["-"] * len(rows[0]))
    return "".join(f"|{'|'.join(row)}|\n" if row[0] == "-" else f"| {' | '.join(row)} |\n" for row in rows)


def in_order(registry: Registry) -> list[str]:
    """Return the names of a registry's models in the order of the table."""
    return sorted(registry.names(), key=partial(_place, registry))


def stale_pages(registry: Registry, folder: Path, *, mend: bool = False) -> list[str]:
    """Return which pages in a folder hold another table than the registry gives; `mend` writes it.

    Pages that are not there, have no markers or nothing between them are as they should be; `mend` fills these last.
    """
    stale = []
    for page in PAGES:
        path = folder / page.path
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        held = _MARKED.search(before)
        table = markdown_table(registry, page.language, page.short)
        if held is None or held[2] == table or not (held[2] or mend):
            continue
        stale.append(page.path)
        if mend:
            after = before[: held.start(2)] + table + before[held.end(2) :]
            path.write_text(after, encoding="utf-8", newline="\n")
    return stale


def published_size(published: Published) -> str:
    """Return the size that the predecessor's README gives, '' where it gives none."""
    mib = published.size_mib
    if mib is None:
        return ""
    return f"{mib:g} MiB" if mib >= 1 else f"{mib * 1024:.0f} KiB"


def _place(registry: Registry, name: str) -> tuple[object, ...]:
    entry, source = registry.models[name], origin(name, registry.models)
    whole = registry.models[source]
    has_weights = KINDS[entry.kind].has_weights
    return (
        has_weights,
        entry.task or "",
        entry.family or "",
        whole.parameters or 0,
        source.casefold(),
        entry.layers or 0,
        name,
    )


def _row(name: str, registry: Registry, words: _Words) -> list[str]:
    entry = registry.models[name]
    kind = KINDS[entry.kind]
    return [
        f"`{name}`",
        words.task.format(words.kind(kind), words.tasks.get(entry.task, entry.task))
        if entry.task
        else words.kind(kind),
        entry.family or _NONE,
        _layers(entry, registry, words),
        _NONE if entry.hidden_size is None else str(entry.hidden_size),
        _NONE if entry.parameters is None else f"{entry.parameters / 1e6:.1f} M",
        _size(entry, words),
        words.not_stated if entry.licence == NOT_STATED else entry.licence,
        words.built if entry.archive else words.on_request if entry.on_request else words.unbuilt,
    ]


def _more(entry: Entry, words: _Words) -> list[str]:
    aliases = ", ".join(f"`{alias}`" for alias in entry.aliases)
    return [aliases or _NONE, words.description(entry).replace("|", "\\|") or _NONE]


def _layers(entry: Entry, registry: Registry, words: _Words) -> str:
    if entry.layers is None:
        return _NONE
    parent = registry.models.get(entry.derivation.parent) if entry.derivation else None
    whole = parent.layers if parent else None
    return str(entry.layers) if whole is None else words.of.format(entry.layers, whole)


def _size(entry: Entry, words: _Words) -> str:
    if entry.archive:
        return _NONE if entry.archive.size is None else size(entry.archive.size)
    stated = next((text for published in entry.history if (text := published_size(published))), "")
    return words.was.format(stated) if stated else _NONE
