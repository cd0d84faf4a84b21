"""The kinds of archives: one row states how a kind differs from the others, and the code of `zoo` knows no kind.

Two parts stand in tables of other files, by the kind's name: the class of its card in `zoo.archive.card.CARDS`, and how
`zoo verify` repeats its golden data in `zoo.loading.verify.GOLDEN`. `export` has one function for each export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from zoo.contract import ONNX, PREPROCESS


@dataclass(frozen=True)
class Kind:
    """One kind of archive."""

    name: str  # on cards and in the registry
    chinese: str  # its name on the Chinese pages
    takes: Literal["ids", "text"]  # the root's inputs: three int32 [B, T] by name, or strings [B]
    gives: str  # the root's output in words, as the code snippets of the catalogue page say it
    facts: Mapping[str, str]  # field of a registry row -> attribute of the card that it is filled from
    command: str  # makes it: the "export" of `zoo export`. `zoo build` finds it in export.release.builder.MAKERS
    options: tuple[str, ...] = ()  # of that command, which a registry row may state
    golden: str = "texts"  # the golden data of a card, counted by `zoo verify`: "3 golden texts agree"
    has_weights: bool = False  # made from the weights of a checkpoint; else the vocabulary is enough
    needs: tuple[str, ...] = ()  # packages that are imported before it is loaded
    tokenized_by: str | None = None  # kind of the archive that makes its inputs of texts; bundles hold both
    made_of: str | None = None  # kind of the parent that the recipe of a row may name
    suffix: str = ""  # added to the parent's name by the export that makes both
    used_by: str = "zoo.load"  # the function that loads it
    page: str = "card_other.html"  # macros for its part of a card on the catalogue page

    @property
    def has_layers(self) -> bool:
        """Whether it runs layer by layer, so that a model may be the first layers of another."""
        return "layers" in self.facts

    @property
    def with_article(self) -> str:
        """The name as sentences have it: "an encoder"."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"

    @property
    def comes_along(self) -> bool:
        """Whether no export makes it alone: the export of its parent makes it too."""
        return self.made_of is not None and not self.has_layers

    @property
    def is_conversion(self) -> bool:
        """Whether it is made of another archive, which `zoo convert` does, and not of a checkpoint."""
        return self.command == "convert"


_VOCABULARY = {"vocab_size": "vocab_size", "vocabulary_sha256": "vocabulary_sha256"}
_ENCODER = {
    "family": "family",
    "layers": "sizes.layers",
    "hidden_size": "sizes.hidden_size",
    "heads": "sizes.heads",
    "activation": "sizes.activation",
    "parameters": "parameters",
    "vocab_size": "sizes.vocab_size",
    "vocabulary_sha256": "vocabulary_sha256",
}

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="encoder",
            chinese="编码器",
            takes="ids",
            gives="a dict of outputs",
            facts=_ENCODER,
            command="export",
            options=("layers", "family", "activation", "pooler", "heads", "kind"),
            golden="rows",
            has_weights=True,
            tokenized_by="tokenizer",
            made_of="encoder",
            page="card_encoder.html",
        ),
        Kind(
            name="text",
            chinese="文本模型",
            takes="text",
            gives="the answer of its task",
            facts={**_ENCODER, "task": "task.name", "pooling": "task.pooling", "max_length": "task.max_length"},
            command="export",
            options=("layers", "family", "activation", "kind", "cased", "task", "pooling", "max_length", "prompts"),
            has_weights=True,
            made_of="text",
            page="card_text.html",
        ),
        Kind(
            name="tokenizer",
            chinese="分词器",
            takes="text",
            gives="string tokens",
            facts=_VOCABULARY,
            command="export-tokenizer",
            options=("cased",),
            needs=("tensorflow_text",),
            page="card_tokenizer.html",
        ),
        Kind(
            name="preprocess",
            chinese="预处理",
            takes="text",
            gives="the three-key dict",
            facts=_VOCABULARY,
            command="export-tokenizer",
            options=("cased",),
            needs=("tensorflow_text",),
            made_of="tokenizer",
            suffix=PREPROCESS,
            page="card_tokenizer.html",
        ),
        Kind(
            name="onnx",
            chinese="ONNX",
            takes="text",
            gives="float32 [B, D], by zoo.lite",
            facts={
                "task": "task.name",
                "pooling": "task.pooling",
                "max_length": "task.max_length",
                "hidden_size": "hidden_size",
                "vocabulary_sha256": "vocabulary_sha256",
            },
            command="convert",
            suffix=ONNX,
            used_by="zoo.lite.TextEncoder",
        ),
    )
}
