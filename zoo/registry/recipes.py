"""How an archive that has not been built is built: what to fetch and the command to run then, for every source."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from zoo.archive.kinds import KINDS
from zoo.registry.entry import NOT_STATED, Entry, HuggingFaceSource, NoteSource, Recipe, Source

ARCHIVES = (".zip", ".tar.gz", ".tgz")


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
        # "zoo export chinese-roberta-wwm-ext --name roberta_wwm_3 --layers 3 --licence Apache-2.0 --out dist"

    A model that is made of another is exported from the other's checkpoint. `name` is no alias.
    """
    return [_way(each, name, models) for each in models[origin(name, models)].sources]


def origin(name: str, models: Mapping[str, Entry]) -> str:
    """Return the model whose sources a model is built from: itself, or the last of those it is made of."""
    seen = {name}
    while (derivation := models[name].derivation) and derivation.parent in models and derivation.parent not in seen:
        name = derivation.parent
        seen.add(name)
    return name


def export_words(name: str, source: Source, models: Mapping[str, Entry]) -> list[str]:
    """Return the command that exports a model from a source, without what it reads and where it writes.

    export_words("roberta_wwm_3", source, read_registry().models)
    # ["export", "--name", "roberta_wwm_3", "--layers", "3", "--licence", "Apache-2.0"]
    """
    entry, its = models[name], origin(name, models)
    is_encoder = KINDS[entry.kind].has_weights
    options = _encoder_options(entry, models[its], source) if is_encoder else _tokenizer_options(models[its])
    licence = [] if entry.licence == NOT_STATED else ["--licence", entry.licence]
    # The export of a tokenizer brings its preprocess archive under a name of its own.
    words = [KINDS[entry.kind].command, "--name", name if is_encoder else its]
    return [*words, *options, *licence]


def not_built(name: str, models: Mapping[str, Entry], place: str) -> str:
    """Return why the registry at `place` has no archive of a model and the next move, in one line."""
    text = f"{name} is in {place}, but no archive of it has been built"
    found = ways(name, models)
    if not found:
        return f"{text}: see `zoo export --help`."
    first = next((way for way in found if not way.by_hand), found[0])
    more = f" `zoo info {name}` shows {len(found) - 1} more." if len(found) > 1 else ""
    return (
        f"{text}. Fetch {first.fetch}, then run `{first.command}`; it is known to --registry dist/registry.json "
        f"from then on.{more}"
    )


def _way(source: Source, name: str, models: Mapping[str, Entry]) -> Way:
    fetch, local = _fetched(source, KINDS[models[name].kind].has_weights)
    export, *options = export_words(name, source, models)
    command = shlex.join(["zoo", export, local, *options, "--out", "dist"])
    if isinstance(source, NoteSource):
        return Way(fetch, command, by_hand=True)
    return Way(fetch, command, source.reason)


def _fetched(source: Source, is_encoder: bool) -> tuple[str, str]:
    """Return what to fetch, in words, and the name it has where the command runs."""
    if isinstance(source, NoteSource):
        return source.text, "CHECKPOINT"
    if isinstance(source, HuggingFaceSource):
        directory = source.repository.partition("/")[2]
        return f"the files of {source.page} into a directory {directory}", directory
    file = source.url.rpartition("/")[2]
    suffix = next((suffix for suffix in ARCHIVES if file.endswith(suffix)), "")
    if is_encoder or not suffix:
        return source.url, file
    return f"{source.url}, unpack it", file.removesuffix(suffix)


def _encoder_options(entry: Entry, origin: Entry, source: Source) -> list[str]:
    recipe, its = entry.recipe or Recipe(), origin.recipe or Recipe()
    heads = recipe.heads
    options = {
        "--layers": recipe.derivation and recipe.derivation.layers,
        "--family": recipe.family or its.family,
        "--activation": None if isinstance(source, NoteSource) else source.activation,
        "--pooler": recipe.pooler or its.pooler,
        "--heads": None if heads is None else ",".join(heads) or "none",
    }
    return [word for option, value in options.items() if value is not None for word in (option, str(value))]


def _tokenizer_options(origin: Entry) -> list[str]:
    cased = origin.recipe.cased if origin.recipe else None
    return [] if cased is None else ["--cased" if cased else "--uncased"]
