"""Reads an encoder archive of this project as a checkpoint, so that it can be exported again, cut or in half precision.

The card states family and sizes, the object graph states the names of the variables, and the token table in
saved_model.pb holds the vocabulary. The model is neither loaded nor run.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from export.readers.object_names import given_names
from export.readers.protocol import Container, OpenedCheckpoint
from export.readers.renamed import RenamedVariables, as_stored
from tokenizer.hugging_face import CONFIG_FILE
from tokenizer.tokenizer_json import JSON_FILE
from tokenizer.vocabulary import STANDARD, UNK, Vocabulary
from zoo.archive.card import ModelCard, read_card
from zoo.archive.digests import sha256_and_size
from zoo.archive.wordpiece_model import vocabulary_sha256
from zoo.contract import CARD_FILE
from zoo.errors import BadCheckpoint, BadVocabulary, DamagedArchive, Unsupported
from zoo.safety import read_graph
from zoo.safety.form import bodies

VOCABULARY_FILE = "vocab.txt"


def is_own_archive(folder: Path) -> bool:
    """Return whether a directory is an unpacked archive of this project."""
    return (folder / CARD_FILE).is_file()


def open_own_archive(
    folder: Path, container: Container, work: Path | None = None, packed: Path | None = None
) -> OpenedCheckpoint:
    """Return the encoder of an archive as a checkpoint of the format "archive", under the archive's own names.

    `folder` is the unpacked archive, `packed` the .tar.gz if there is one.
    `path` of the checkpoint is a temporary directory with the vocabulary (inside `work`, if given), which is removed
    when the checkpoint is. Raises BadArchive, DamagedArchive, BadCheckpoint for archives of another kind, Unsupported
    for a cut ALBERT of several groups, whose card does not say which layer uses which block.
    """
    card = read_card(folder)
    if not isinstance(card, ModelCard):
        raise BadCheckpoint(
            f"{folder} is an archive of kind {card.kind}, and has no weights. Give that of an encoder or text archive."
        )
    _check_digests(folder, card, container)
    sizes, whole = card.sizes, card.truncated_from or card.sizes.layers
    if whole != sizes.layers and sizes.blocks not in (1, sizes.layers):
        raise Unsupported(
            f"{card.name} is cut to {sizes.layers} of {whole} layers that share {sizes.blocks} blocks. Its card does "
            "not say which layer uses which, so export the checkpoint that it was made from."
        )
    given = given_names(container) or {name: name for name in container.shapes}
    named = {name: stored for stored, name in given.items()}
    if missing := sorted(card.variables.keys() - named.keys()):
        raise DamagedArchive(f"{card.name} in {folder} has no {', '.join(missing[:5])}. Fetch or build it again.")
    shown = (as_stored(name, named[name], container.shapes[named[name]]) for name in card.variables)
    place = Path(tempfile.mkdtemp(prefix="zoo-", dir=work))
    checkpoint = OpenedCheckpoint(
        format="archive",
        path=place,
        config=settings_of(card),
        files=(packed,) if packed else (folder / CARD_FILE, *container.files),
        container=RenamedVariables(container, shown),
        stored=container,
        facts=tuple(_facts(card)),
        sentence=card.sentence,
        family=card.family,
    )
    weakref.finalize(checkpoint, shutil.rmtree, place, ignore_errors=True)
    if card.vocabulary_sha256:
        _write_tokenizer(place, _vocabulary(folder, card.vocabulary_sha256), card.special_tokens)
    return checkpoint


def _check_digests(folder: Path, card: ModelCard, container: Container) -> None:
    for file in (*container.files, folder / "saved_model.pb"):
        name = file.relative_to(folder).as_posix()
        if card.files.get(name) != sha256_and_size(file):
            raise DamagedArchive(f"{name} of {card.name} in {folder} is not the file on its card. Fetch it again.")


def settings_of(card: ModelCard) -> Mapping[str, Any]:
    """Return the sizes on a card under the keys of google-research/bert's configs."""
    sizes = card.sizes
    return {
        "num_hidden_layers": sizes.layers,
        "num_hidden_groups": sizes.blocks,
        "hidden_size": sizes.hidden_size,
        "embedding_size": sizes.embedding_size,
        "always_projects": sizes.always_projects,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.intermediate_size,
        "vocab_size": sizes.vocab_size,
        "max_position_embeddings": sizes.position_limit,
        "rotary_value": sizes.positions == "rotary_values",
        "type_vocab_size": sizes.type_vocab_size,
        "pad_token_id": card.padding_id,
        "hidden_act": sizes.activation,
        "layer_norm_eps": sizes.layer_norm_epsilon,
        "hidden_dropout_prob": sizes.hidden_dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        **({"mlm_activation": card.mlm_activation} if card.mlm_activation else {}),
    }


def _facts(card: ModelCard) -> Iterator[str]:
    yield f"made from the archive {card.name}, which was made from {', '.join(sorted(card.source.files))}"
    yield f"its activation is {card.sizes.activation}: {card.activation_reason}"
    if card.truncated_from:
        yield f"the archive {card.name} holds the first {card.sizes.layers} of {card.truncated_from} layers"
    if card.stored_in != "float32":
        yield f"the matrices of {card.name} are rounded to {card.stored_in}"
    yield from card.notes


def _write_tokenizer(folder: Path, entries: Sequence[str], special_tokens: Mapping[str, int]) -> None:
    """Write a vocabulary as files that `read_vocabulary` understands, with the spellings of the special tokens.

    A vocab.txt would lose a line feed or white space in an entry, which only a tokenizer.json can have.
    """
    if wrong := {name: number for name, number in special_tokens.items() if not 0 <= number < len(entries)}:
        raise BadCheckpoint(f"the card states special tokens {wrong} of {len(entries):,} entries. Fetch it again.")
    spellings = {name: entries[number] for name, number in special_tokens.items()}
    file = folder / VOCABULARY_FILE
    file.write_bytes("".join(f"{entry}\n" for entry in entries).encode())
    if any(entry != name for name, entry in spellings.items()):
        named = {f"{name.strip('[]').lower()}_token": entry for name, entry in spellings.items()}  # "cls_token": "<s>"
        (folder / CONFIG_FILE).write_text(json.dumps(named), encoding="utf-8")
    try:
        same = Vocabulary.read(file, {**STANDARD, **spellings}).entries == tuple(entries)
    except BadVocabulary:
        same = False
    if not same:
        file.unlink()
        model = {"type": "WordPiece", "vocab": {entry: number for number, entry in enumerate(entries)}}
        model |= {"unk_token": spellings.get(UNK, UNK)}
        (folder / JSON_FILE).write_text(json.dumps({"model": model}), encoding="utf-8")


def _vocabulary(folder: Path, sha256: str) -> tuple[str, ...]:
    """Return the entries of the token table: the constant whose digest is the vocabulary's on the card.

    The table's last entry is the empty text, which stands for padding.
    """
    for graph in read_graph(folder).meta_graphs:
        for _, nodes in bodies(graph):
            for node in nodes:
                texts = [*node.attr["value"].tensor.string_val] if node.op == "Const" else []
                if len(texts) > 1 and texts[-1] == b"":
                    entries = tuple(text.decode("utf-8", "replace") for text in texts[:-1])
                    if vocabulary_sha256(entries) == sha256:
                        return entries
    raise DamagedArchive(f"{folder} does not hold the vocabulary that its card states. Fetch or build it again.")
