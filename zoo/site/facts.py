"""Facts of the catalogue that are computed from a model's registry row and card: size, work, speed, truncation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from zoo.archive.card import Card, ModelCard, OnnxCard, TextCard
from zoo.basics.display import size
from zoo.contract import ONNX
from zoo.registry.entry import Entry
from zoo.registry.recipes import Way, ways
from zoo.registry.registry import Registry
from zoo.registry.table import in_order
from zoo.site.dist import Dist
from zoo.site.speed import Speed, Speeds
from zoo.site.tokens import PageFile

TOKENS = 128  # in a row, for which work and speed are stated
_BYTES = 4  # of a float32 parameter
# task of a text archive, or kind of an archive without a task -> what it is for, in English and Chinese
PURPOSES: Mapping[str, tuple[str, str]] = {
    "vector": ("vectors of texts", "句向量"),
    "classification": ("labels and scores of texts", "文本分类与打分"),
    "token_classification": ("entities in texts", "序列标注"),
    "span": ("answers found in a text", "阅读理解"),
    "fill_mask": ("words for [MASK]", "填词"),
    "encoder": ("to fine-tune", "微调"),
    "tokenizer": ("tokens of texts", "分词"),
    "preprocess": ("inputs of encoders", "编码器的输入"),
}


@dataclass(frozen=True)
class Truncation:
    """The first `layers` of the `whole` layers of `parent`, the name of a model or of the checkpoint's files."""

    layers: int
    whole: int | None
    parent: str


@dataclass(frozen=True)
class Tokens:
    """A tokenizer.json, and what an archive does beside it: its limit, the prompt before each text, lower case."""

    file: PageFile
    limit: int | None
    prompt: str = ""
    lower_case: bool = False


@dataclass(frozen=True)
class Fact:
    """One model as the page shows it. `size` is the bytes of its archive, or of float32 weights if it is not built."""

    name: str
    entry: Entry
    card: Card | None
    tokenizer: str | None
    cut: Truncation | None
    size: int | None
    work: int | None
    speed: Speed | None
    tokens: Tokens | None
    vectors: PageFile | None
    ways: Sequence[Way]

    @property
    def seconds(self) -> Mapping[str, float]:
        """The median seconds of a call by the number of rows; {} if it was not timed."""
        return self.speed.seconds if self.speed else {}

    @property
    def purpose(self) -> str:
        """The key of what it is for in PURPOSES: its task, or its kind if that has no task."""
        return self.entry.task or self.entry.kind

    @property
    def size_text(self) -> str:
        """The size for people: '57.3 MiB' of an archive, '≈ 57.3 MiB' of weights alone, '–' if unknown."""
        if self.size is None:
            return "–"
        return size(self.size) if self.entry.archive else f"≈ {size(self.size)}"

    @property
    def status(self) -> str:
        """The value that the filter "Archive" looks for."""
        return "built" if self.entry.archive else "unbuilt"

    @property
    def sought(self) -> str:
        """The text in which the search field looks for words, in lower case."""
        entry = self.entry
        said = (
            entry.family or "",
            entry.kind,
            entry.task or "",
            *PURPOSES.get(self.purpose, ()),
            entry.description,
            entry.description_zh,
            entry.licence,
        )
        return " ".join((self.name, *entry.aliases, *said)).casefold()

    def for_script(self) -> dict[str, Any]:
        """Return the values that the page's scripts read."""
        return {
            "name": self.name,
            "tokenizer": self.tokenizer,
            "size": self.size,
            "work": self.work,
            "seconds": dict(self.seconds),
            "tokens": asdict(self.tokens) if self.tokens else None,
            "vectors": asdict(self.vectors) if self.vectors else None,
        }


def facts(dist: Dist, speeds: Speeds | None, tokens: Mapping[str, PageFile]) -> list[Fact]:
    """Return every model of a registry in the order of its table. `tokens` has the tokenizer.json of some."""
    return [_fact(name, dist, speeds, tokens) for name in in_order(dist.registry)]


def multiply_adds(entry: Entry, card: ModelCard | None) -> int | None:
    """Return the multiplications that all layers do for one token in a row of 128; None for a model without layers.

    Without a card, the feed-forward width is taken as 4 × the hidden size, as in every model of the zoo.
    """
    layers, width = entry.layers, entry.hidden_size
    if card is not None:
        layers, width = card.sizes.layers, card.sizes.hidden_size
    if not layers or not width:
        return None
    inner = card.sizes.intermediate_size if card else 4 * width
    return layers * (4 * width * width + 2 * TOKENS * width + 2 * width * inner)


def safe_link(url: str) -> str:
    """Return a URL that a page may link to: http, https, or relative; '' for any other."""
    try:
        return url if urlsplit(url).scheme in ("", "http", "https") else ""
    except ValueError:
        return ""


def _fact(name: str, dist: Dist, speeds: Speeds | None, tokens: Mapping[str, PageFile]) -> Fact:
    registry, entry = dist.registry, dist.registry.models[name]
    built = dist.built.get(name)
    card = built.card if built else None
    weights = entry.parameters * _BYTES if entry.parameters else None
    return Fact(
        name=name,
        entry=entry,
        card=card,
        tokenizer=registry.tokenizer(name),
        cut=_cut(entry, card, registry),
        size=entry.archive.size if entry.archive else weights,
        work=multiply_adds(entry, card if isinstance(card, ModelCard) else None),
        speed=speeds.of(name, entry.archive) if speeds and entry.archive else None,
        tokens=_tokens(name, dist, tokens),
        vectors=_vectors(name, dist),
        ways=[] if entry.archive else ways(name, registry.models),
    )


def _tokens(name: str, dist: Dist, files: Mapping[str, PageFile]) -> Tokens | None:
    """Return how the page tokenizes a text as a model does: by its own tokenizer.json, or by that of its tokenizer."""
    built = dist.built.get(name)
    file = files.get(name) or files.get(dist.registry.tokenizer(name) or "")
    if built is None or file is None:
        return None
    card = built.card
    if isinstance(card, TextCard | OnnxCard):
        return Tokens(file, card.task.max_length, card.task.prompt, card.task.lower_case)
    return Tokens(file, card.sizes.position_limit if isinstance(card, ModelCard) else None)


def _vectors(name: str, dist: Dist) -> PageFile | None:
    """Return the archive of a text archive's ONNX form, or the model itself if it is one."""
    for other in (name, f"{name}{ONNX}"):
        built = dist.built.get(other)
        if built and isinstance(built.card, OnnxCard) and built.card.parent in (name, name.removesuffix(ONNX)):
            return PageFile(quote(built.file), built.sha256, (dist.folder / built.file).stat().st_size)
    return None


def _cut(entry: Entry, card: Card | None, registry: Registry) -> Truncation | None:
    """Return how a model was truncated: by its card, else by its registry row; None for a whole model."""
    derivation = entry.derivation
    parent = derivation.parent if derivation else ""
    if isinstance(card, ModelCard):
        read = parent or ", ".join(card.source.files)
        return Truncation(card.sizes.layers, card.truncated_from, read) if card.truncated_from else None
    if derivation is None or derivation.layers is None:
        return None
    whole = registry.models[parent].layers if parent in registry.models else None
    return Truncation(derivation.layers, whole, parent)
