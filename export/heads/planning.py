"""Which heads a checkpoint has, which of them are exported, and the weight plan of an encoder with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from export.families.scope import left_out_around, scopes_beside
from export.families.table import Family, Layout, joined
from export.heads import HEADS
from export.heads.table import Head, Sizes, shape_of
from export.readers.protocol import Checkpoint
from export.weights.config import EncoderConfig
from export.weights.head_state import read_head_state
from export.weights.naming import WORD_TABLE, Names
from export.weights.plan import WeightPlan, make_plan
from zoo.archive.card import HeadState
from zoo.errors import BadCheckpoint, BadConfig


def with_heads(layout: Layout, names: Collection[str] = ()) -> Layout:
    """Return a layout that has the scopes of all heads too, where they lie, and says why their variables are left out.

    Without `names` they lie where they are published.
    """
    scopes, left_out = dict(layout.scopes), dict(layout.left_out)
    for head in HEADS.values():
        published = head.scopes_in(layout)
        scopes |= scopes_beside(layout, published, names)
        left_out |= left_out_around(layout, dict.fromkeys(_patterns(head, published, layout), head.title))
    return replace(layout, scopes=scopes, left_out=left_out)


def _patterns(head: Head, scopes: Mapping[str, str], layout: Layout) -> Iterator[str]:
    """Yield patterns for the names of a head: everything in its scopes, at the root only its own variables."""
    yield from (re.escape(scope) + r"[/.].*" for scope in scopes.values() if scope)
    for ours in (*head.variables, *head.tied):
        module, _, leaf = ours.rpartition("/")
        if scopes.get(module) == "":
            yield from (re.escape(joined("", ending)) for ending in layout.leaves[leaf].endings)


def head_states(checkpoint: Checkpoint, layout: Layout) -> dict[str, HeadState]:
    """Return for every head of a layout whether the checkpoint has it and whether its weights look trained.

    head_states(checkpoint, layout)  # {"mlm": "trained", "nsp": "absent"}
    """
    names = Names(checkpoint.shapes, with_heads(layout, checkpoint.shapes))
    states: dict[str, HeadState] = {}
    for head in HEADS.values():
        if head.scopes_in(layout):
            found = {ours: name for ours in head.variables if (name := names.find(ours)[0])}
            state = read_head_state(found, checkpoint)
            states[head.name] = "unknown" if found and found.keys() != head.variables.keys() else state
    return states


def chosen_heads(
    states: Mapping[str, HeadState], asked: Sequence[str] | None, config: EncoderConfig
) -> tuple[str, ...]:
    """Return the heads to export: those asked for, else every one that is trained and still fits the encoder.

    Heads read the last layer of the whole model, so a truncated one gets none unless they are asked for. Raises
    BadConfig when a head is asked for that the checkpoint does not have or the encoder cannot feed.
    """
    refusals = {head: refusal for head in states if (refusal := HEADS[head].refusal(config))}
    if asked is None:
        if config.truncated_from is not None:
            return ()
        return tuple(head for head, state in states.items() if state == "trained" and head not in refusals)
    for head in asked:
        if states.get(head, "absent") == "absent":
            present = ", ".join(head for head, state in states.items() if state != "absent") or "none"
            raise BadConfig(f"this checkpoint has no head {head!r}; it has: {present}.")
        if head in refusals:
            raise BadConfig(f"head {head!r} {refusals[head]}.")
    return tuple(dict.fromkeys(asked))


def plan_with_heads(
    checkpoint: Checkpoint,
    config: EncoderConfig,
    family: Family,
    layout: Layout,
    heads: Sequence[str],
    leave_out: Collection[str] = (),
    taken: Collection[str] = (),
) -> WeightPlan:
    """Return the weight plan of an encoder and these heads; other heads are left out by name.

    `taken` are names that a task uses, which are not left out.
    """
    sizes = {ours: sizes for head in heads for ours, sizes in HEADS[head].variables.items()}
    for head in heads:
        sizes |= _untied(HEADS[head], checkpoint, layout)
    shapes = {ours: shape_of(each, config) for ours, each in sizes.items()}
    family = replace(family, layouts=tuple(map(with_heads, family.layouts)))
    layout = with_heads(layout, checkpoint.shapes)
    return make_plan(checkpoint.shapes, config, family, layout, shapes, leave_out, taken)


def rows_of_tokens(checkpoint: Checkpoint, layout: Layout) -> list[str]:
    """Return the checkpoint's variables with a row for every token: the word table, then those of heads.

    Raises BadCheckpoint when there is no word table.
    """
    layout = with_heads(layout, checkpoint.shapes)
    names = Names(checkpoint.shapes, layout)
    word, candidates = names.find(WORD_TABLE)
    if word is None:
        raise BadCheckpoint(f"{checkpoint.path} has no word table: {' or '.join(candidates)} is missing.")
    sizes = [each for head in HEADS.values() for each in (*head.variables.items(), *head.tied.items())]
    ours = [name for name, (first, *_) in sizes if first == "vocab_size" and name.rpartition("/")[0] in layout.scopes]
    return [word, *(found for name in ours if (found := names.find(name)[0]))]


def _untied(head: Head, checkpoint: Checkpoint, layout: Layout) -> dict[str, Sizes]:
    """Return those of a head's `tied` variables that are stored and are another matrix than the word table.

    Files of transformers hold a copy of the table, which it ties again when it loads them, unless the config says
    'tie_word_embeddings': false. UER computes with the decoder that it stored, and an archive stores no copy.
    """
    if not layout.own_decoder and checkpoint.config.get("tie_word_embeddings", True):
        return {}
    layout = with_heads(layout, checkpoint.shapes)
    names = Names(checkpoint.shapes, layout)
    word, _ = names.find(WORD_TABLE)
    found: dict[str, Sizes] = {}
    for ours, sizes in head.tied.items():
        stored = names.find(ours)[0] if ours.rpartition("/")[0] in layout.scopes else None
        if stored and word and not np.array_equal(checkpoint.read(stored), checkpoint.read(word)):
            found[ours] = sizes
    return found
