"""Plans the text archive of a fitted Keras model: its task, its tokenizer and every variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.fitted.model import FittedModel, read_model
from export.fitted.source import WithHead, fitted_checkpoint, tokenizer_of
from export.fitted.task import TOKENS, Asked, FittedTask, decide_task
from export.options import EncoderRequest
from export.oracle.fitted import Layer, Steps
from export.planning import Fitted, PlannedText, plan_encoder, with_head
from export.tasks.reading import FoundTask
from export.text_certificate import reference_tokenizer
from export.weights.plan import PlannedVariable
from tokenizer.core_rules import checked_for_core
from zoo.archive.card import FittedFrom, TextCard, TokenizerCard, TokenizerFacts
from zoo.archive.digests import sha256_of
from zoo.archive.task import Truncation
from zoo.errors import BadArgument, BadVocabulary
from zoo.loading.load import check_pair, find_model, load_checked

_Text = Sequence[str]
NOTHING_ASKED = Asked()


def plan_fitted(
    model: Any,
    name: str,
    out: Path,
    asked: Asked = NOTHING_ASKED,
    tokenizer: str | Path | None = None,
    licence: str | None = None,
    registry: Any = None,
) -> PlannedText:
    """Return the plan of a text archive of a fitted model; the arguments are those of `zoo.export`.

    Raises BadArgument for arguments that do not fit the model, Unsupported for layers that no archive has, and what
    `plan_encoder` does.
    """
    fitted = read_model(model)
    card = fitted.card
    facts, preprocess, truncation = _tokenizer(fitted, tokenizer, registry)
    task = decide_task(fitted, asked, truncation)
    checkpoint = fitted_checkpoint(fitted.parent, card)
    stored = card.stored_in
    licence = licence or card.licence
    request = EncoderRequest(checkpoint.path, name, out, licence=licence, heads=(), dtype=stored, kind="text")
    encoder = plan_encoder(request, checkpoint)
    if encoder.vocabulary is None:
        raise BadVocabulary(f"{card.name} holds no vocabulary: it was exported with --vocab none. Fit one that has it.")
    config = tokenizer_of(facts, encoder.vocabulary)
    checked_for_core(config.vocabulary, config.rules, facts.special_tokens_in_text)
    arrays, variables = _head(task)
    alone, encoder = with_head(encoder, FoundTask(task.record, variables))
    encoder = replace(encoder, checkpoint=WithHead(encoder.checkpoint, arrays))
    origin = fitted.parent.origin
    record = FittedFrom(
        parent=card.name,
        parent_sha256=origin.digest,
        parent_card_sha256=sha256_of(checkpoint.files[0]),
        layers=list(fitted.behind.layers),
    )

    reference = reference_tokenizer(config, facts.special_tokens_in_text)

    def answers(texts: Sequence[_Text]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for width in (1, 2):
            numbers = [number for number, text in enumerate(texts) if len(text) == width]
            if numbers:
                rows = fitted.answers([texts[number] for number in numbers], preprocess, task.record.max_length)
                named = (f"{number}/{task.output}" for number in numbers)
                found |= dict(zip(named, task.as_answers(rows), strict=True))
        if task.record.name == TOKENS:  # padding has numbers in Keras, and none in the archive
            found = {name: found[name][: len(reference.encode(*texts[int(name.partition("/")[0])]))] for name in found}
        return found

    how = Fitted(record, _steps(task), fitted.takes, answers)
    return PlannedText(encoder, config, facts.special_tokens_in_text, task.record, alone, how)


def _head(task: FittedTask) -> tuple[dict[str, np.ndarray], tuple[PlannedVariable, ...]]:
    """Return the numbers of the dense layers by the names that the card states, and the variables of the archive."""
    arrays: dict[str, np.ndarray] = {}
    variables = []
    for number, layer in enumerate(task.dense):
        place = "" if layer.name.startswith("task/") else "keras/"  # Keras allows no "/" in names
        for leaf, value in (("kernel", layer.kernel), ("bias", layer.bias)):
            if value is not None:
                ours, source = f"task/dense_{number}/{leaf}", f"{place}{layer.name}/{leaf}"
                while source in arrays:  # layers of inner models may have one name
                    source = f"{source}#"
                arrays[source] = value
                variables.append(PlannedVariable(ours, ours, (source,), (value.shape[-1],), tuple(value.shape), False))
    return arrays, tuple(variables)


def _steps(task: FittedTask) -> Steps:
    layers = [
        Layer(each.kernel, 0.0 if each.bias is None else each.bias, each.activation, each.unit_inputs)
        for each in task.dense
    ]
    record = task.record
    return Steps(layers, record.normalize, record.scores, record.prompt, record.lower_case)


def _tokenizer(fitted: FittedModel, given: Any, registry: Any) -> tuple[TokenizerFacts, Any, Truncation]:
    """Return the rules of the tokenizer; for a model of ids also what makes ids of texts; and how pairs are cut."""
    card = fitted.card
    if fitted.width is not None and given is not None:
        raise BadArgument("tokenizer=: the model takes texts, and has its own tokenizer. Leave tokenizer= away.")
    if fitted.tokenizer is not None:
        assert isinstance(fitted.tokenizer.card, TokenizerCard)
        check_pair(card, fitted.tokenizer.card)
        return fitted.tokenizer.card, None, "round_robin"
    if fitted.width is not None:
        assert isinstance(card, TextCard)
        return card.tokenizer, None, card.task.truncation
    if given is None:
        raise BadArgument(
            f"the model takes ids, and a text archive texts. Name the tokenizer that made the ids: tokenizer=NAME; "
            f"`zoo info {card.name}` names it."
        )
    directory, found = find_model(given, registry=registry)
    if not isinstance(found, TokenizerCard):
        raise BadArgument(f"tokenizer={str(given)!r} is of kind {found.kind}: name a tokenizer.")
    check_pair(card, found)
    return found, load_checked(directory, found).preprocess, "round_robin"
