"""Finds the prefixes under which a checkpoint has the names of a layout, and moves a layout under a prefix.

A model that is wrapped around an encoder puts a part of its own in front of the encoder's names. BERT's
"bert.encoder.layer.0…" is "module.bert.encoder.layer.0…" in one file, "0.auto_model.encoder.layer.0…" in another, and
"encoder.layer.0…" where the bare encoder was saved.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from export.families.table import Family, Layout

_MOST_PARTS = 16  # of a prefix: real prefixes have up to five, "a.b.c." has three; a hostile file may have hundreds


def prefixes(layout: Layout, names: Collection[str]) -> list[str]:
    """Return every prefix that has the layout's word table and first query kernel behind it.

    prefixes(HUGGING_FACE, checkpoint.shapes)  # ["doc_encoder.", "query_encoder."]; [""] for a bare encoder
    """
    word = layout.scopes["embeddings/word"].removeprefix(layout.prefix)
    tables = [word + ending for ending in layout.leaves["table"].endings]
    found = {name.removesuffix(table) for name in names for table in tables if name.endswith(table)}
    whole = [each for each in found if (not each or each.endswith(layout.separator)) and "{i}" not in each]
    short = [each for each in whole if each.count(layout.separator) <= _MOST_PARTS]
    query = layout.scopes["block/attention/query"].replace("{i}", "0")
    if not query.startswith(layout.prefix):  # the generator of ELECTRA lies beside the words that it shares
        return sorted(each for each in short if placed(layout, each, names).has("block/attention/query", names))
    return sorted(each for each in short if layout.holds(each + query.removeprefix(layout.prefix), names))


def placed(layout: Layout, prefix: str, names: Collection[str], others: Collection[str] = ()) -> Layout:
    """Return a layout with the scopes that it has under a prefix; `others` are the prefixes of other encoders.

        placed(HUGGING_FACE, "module.bert.", names).scopes["pooler"]  # "module.bert.pooler.dense"

    Heads lie beside the encoder: under the whole prefix, under its first parts ("module."), or at the root. Parts that
    another encoder shares are not searched, because nothing says which encoder such a head belongs to.
    """
    around = leading_parts(prefix, layout.separator)
    beside = (prefix, *(part for part in around[1:] if not any(other.startswith(part) for other in others)))
    own = {module: scope for module, scope in layout.scopes.items() if scope.startswith(layout.prefix)}
    rest = {module: scope for module, scope in layout.scopes.items() if module not in own}
    moved = replace(layout, prefix=prefix, beside=beside)
    return replace(
        moved,
        scopes={
            **{module: prefix + scope.removeprefix(layout.prefix) for module, scope in own.items()},
            **scopes_beside(moved, rest, names),
        },
        left_out={
            **{_names_of(other, layout, prefix): _another(other) for other in others},
            **left_out_around(moved, layout.left_out),
        },
    )


def scopes_beside(layout: Layout, scopes: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Return the scopes of modules beside the encoder, under the first place in `layout.beside` that has one."""
    found = [{module: place + scope for module, scope in scopes.items()} for place in layout.beside]
    return next((each for each in found if any(layout.holds(scope, names) for scope in each.values())), found[-1])


def left_out_around(layout: Layout, left_out: Mapping[str, str]) -> dict[str, str]:
    """Return patterns for whole names that fit under the prefix, under the first parts of it, and at the root."""
    anywhere = "|".join(re.escape(part) for part in leading_parts(layout.prefix, layout.separator))
    return {f"(?:{anywhere})(?:{pattern})": reason for pattern, reason in left_out.items()}


def leading_parts(prefix: str, separator: str) -> list[str]:
    """Return ["module.bert.", "module.", ""] for "module.bert."."""
    parts = prefix.split(separator)[:-1]
    return ["".join(part + separator for part in parts[:count]) for count in range(len(parts), -1, -1)]


def placement(family: Family, layout: Layout) -> tuple[str, ...]:
    """Return a sentence for the card about the prefix, none for the family's own prefix or no prefix at all."""
    usual = layout.prefix in ("", *(each.prefix for each in family.layouts))
    return () if usual else (f"the encoder lies under {layout.prefix!r} in the checkpoint",)


def _names_of(other: str, layout: Layout, prefix: str) -> str:
    """Return the pattern for all names of another encoder, its heads included.

    For the other encoder "doc_encoder.bert." these are the names "doc_encoder.…". If its prefix is the beginning of
    ours, only the modules of the layout belong to it.
    """
    apart = [part for part in leading_parts(other, layout.separator) if not prefix.startswith(part)]
    if apart:
        return re.escape(apart[-1]) + ".*"
    modules = {
        re.escape(scope.removeprefix(layout.prefix).split(layout.separator)[0])
        for scope in layout.scopes.values()
        if scope.startswith(layout.prefix)
    }
    return f"{re.escape(other)}({'|'.join(sorted(modules))})[/.].*"


def _another(prefix: str) -> str:
    return f"another encoder under {prefix!r}" if prefix else "another encoder, without a prefix"
