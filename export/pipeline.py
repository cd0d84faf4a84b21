"""The build, told at one level: from a checkpoint or a vocabulary to a verified archive and its registry entry."""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf

from export.canonical import used_ops
from export.config import EncoderConfig, read_config
from export.derived import NUMPY, DerivedCheckpoint, Dtype, kept_ids, pruned
from export.encoder import Encoder
from export.families import detect
from export.families.table import Family, Layout, Pooler
from export.heads import chosen_heads, head_states, plan_with_heads
from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer
from export.readers import open_checkpoint
from export.readers.protocol import Checkpoint
from export.saved_model import EncoderRoot, write_saved_model
from export.verify import certify, drift, golden_arrays, write_golden
from export.weights import WeightPlan, table_shapes
from tokenizer.module import Preprocessor, Tokenizer
from tokenizer.source import TokenizerConfig, read_tokenizer_source, vocabulary_file
from tokenizer.vocabulary import Vocabulary
from zoo.archive import file_digests, pack, sha256_and_size, unpack
from zoo.card import (
    Activation,
    Derivation,
    EncoderCard,
    FileDigest,
    GoldenText,
    HeadState,
    Source,
    TokenizerCard,
    write_card,
)
from zoo.errors import BadConfig, BadVocabulary, VerificationFailed
from zoo.files import cannot_write, unique_beside
from zoo.registry import ArchiveRecord, Entry, read_registry, update_registry
from zoo.verify import verify

REGISTRY = "registry.json"
PREPROCESS = "_preprocess"  # what the name of a tokenizer gains for the archive with the dict at its root
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ROOTS = (Tokenizer, Preprocessor)
_WRITTEN_BY_PEOPLE = ("description", "aliases", "tokenizer")  # fields of an entry that no export fills
_LIBRARIES = ("tensorflow", "tensorflow-text")


@dataclass(frozen=True)
class EncoderRequest:
    """What to export, as a person says it."""

    checkpoint: Path
    name: str
    out: Path
    config: Path | None = None
    vocabulary: Path | None = None
    layers: int | None = None
    activation: Activation | None = None
    pooler: Pooler | None = None
    family: str | None = None
    heads: tuple[str, ...] | None = None  # None: those that look trained
    dtype: Dtype = "float32"  # what matrices are stored in; they are computed with in float32
    cased: bool | None = None  # of the tokenizer that goes with keep_tokens; None lets the source decide
    keep_tokens: Path | None = None  # a file of tokens: embedding rows and tokenizer of these alone
    licence: str = "not stated"


@dataclass(frozen=True)
class PlannedEncoder:
    """Everything that is decided before the work begins."""

    request: EncoderRequest
    checkpoint: Checkpoint
    family: Family
    config: EncoderConfig
    plan: WeightPlan
    head_states: Mapping[str, HeadState]
    heads: tuple[str, ...]
    vocabulary: Vocabulary
    vocabulary_file: Path


@dataclass(frozen=True)
class Built:
    """An archive that is packed and verified, not yet in its place."""

    card: EncoderCard | TokenizerCard
    packed: Path
    digest: FileDigest


@dataclass(frozen=True)
class TokenizerRequest:
    """Which vocabulary to export, as a person says it. `cased` of None lets the source decide."""

    source: Path
    name: str
    out: Path
    cased: bool | None = None
    special_tokens_in_text: bool = False
    licence: str = "not stated"


def plan_encoder(request: EncoderRequest) -> PlannedEncoder:
    """Return what an export would do, from names, shapes, config, vocabulary and a look at the heads' numbers.

        print(plan_encoder(EncoderRequest(Path("chinese_L-12_H-768_A-12"), "bert", Path("dist"))).plan)

    The plan may be incomplete; `plan.checked(…)` raises WeightMismatch then. Raises BadCheckpoint, BadConfig,
    BadVocabulary or Unsupported for what cannot be planned at all.
    """
    _check_name(request.name)
    parent = open_checkpoint(request.checkpoint, request.config)
    family, layout = detect(parent, request.family)
    config = _read_config(request, parent, family, layout)
    vocabulary, file = _read_vocabulary(request, parent, config)
    kept = kept_ids(vocabulary, request.keep_tokens) if request.keep_tokens else None
    checkpoint: Checkpoint = parent
    if kept is not None or request.dtype != "float32":
        checkpoint = DerivedCheckpoint(parent, request.dtype, kept)
    if kept is not None:
        vocabulary = pruned(vocabulary, kept)
        config = replace(config, vocab_size=len(kept))
    states = head_states(parent, layout)
    heads = chosen_heads(states, request.heads, config)
    plan = plan_with_heads(checkpoint, config, family, layout, heads)
    return PlannedEncoder(request, checkpoint, family, config, plan, states, heads, vocabulary, file)


def _read_config(request: EncoderRequest, checkpoint: Checkpoint, family: Family, layout: Layout) -> EncoderConfig:
    tables = table_shapes(checkpoint.shapes, layout)
    config = read_config(
        checkpoint.config, family, layout.format, request.activation, request.pooler, tables, checkpoint.heads
    )
    return config if request.layers is None else config.truncated(request.layers)


def _read_vocabulary(request: EncoderRequest, checkpoint: Checkpoint, config: EncoderConfig) -> tuple[Vocabulary, Path]:
    try:
        file = vocabulary_file(request.vocabulary or checkpoint.path)
    except BadVocabulary as error:
        raise BadVocabulary(f"{error} `zoo export` takes it by --vocab.") from None
    vocabulary = Vocabulary.read(file)
    if vocabulary.special_tokens["[PAD]"] != 0:
        raise BadVocabulary(f"{file} has [PAD] at {vocabulary.special_tokens['[PAD]']}; models take id 0 as padding.")
    if len(vocabulary.entries) != config.vocab_size:
        raise BadVocabulary(
            f"{file} has {len(vocabulary.entries):,} entries, the config of {checkpoint.path} says 'vocab_size' "
            f"{config.vocab_size:,}. Give the vocabulary the model was trained with by --vocab."
        )
    return vocabulary, file


def export_encoder(request: EncoderRequest) -> dict[str, Entry]:
    """Return name and registry entry of a new archive, `OUT/NAME.tar.gz`, built from a checkpoint and verified.

        entries = export_encoder(EncoderRequest(Path("chinese_L-12_H-768_A-12"), "bert", Path("dist")))
        entries["bert"].archive.sha256

    The packed bytes are unpacked again, loaded as a user would, and compared with an independent forward pass of the
    checkpoint. Only then does the archive move to its place, and the registry is written last: a failure leaves nothing
    new behind. With `keep_tokens` the tokenizer's two archives come too. Raises ZooErrors: WeightMismatch,
    VerificationFailed, CannotWrite and those of `plan_encoder`.
    """
    planned = plan_encoder(request)
    planned.plan.checked(f"{request.name} (family {planned.family.name})")
    # With fewer tokens goes their tokenizer; what could be wrong with it is found before anything is built.
    tokenizer = _tokenizer_of(planned) if request.keep_tokens else None
    with workspace(request.out, [request.name, *_tokenizer_names(tokenizer)]) as work:
        built = [_build_encoder(planned, work)]
        if tokenizer is not None:
            built += _build_tokenizers(*tokenizer, work)
        return _release(built, request.out, tokenizer[0].name if tokenizer else None)


def export_tokenizer(request: TokenizerRequest) -> dict[str, Entry]:
    """Return names and entries of two new archives, `OUT/NAME.tar.gz` and `OUT/NAME_preprocess.tar.gz`, verified.

        export_tokenizer(TokenizerRequest(Path("vocab.txt"), "bert_tokenizer_chinese", Path("dist")))

    Every golden text's ids are compared with those of the published algorithm. Raises BadVocabulary,
    VerificationFailed, CannotWrite.
    """
    _check_name(request.name)
    source = read_tokenizer_source(request.source, request.cased)
    with workspace(request.out, _tokenizer_names((request, source))) as work:
        return _release(_build_tokenizers(request, source, work), request.out)


# -- the steps --------------------------------------------------------------------------------------------------------


def _build_encoder(planned: PlannedEncoder, work: Path) -> Built:
    directory = work / "model"
    _save_encoder(planned, directory)
    golden = golden_arrays(planned.checkpoint, planned.config, planned.heads)
    write_golden(golden, directory)
    return _pack_and_verify(_encoder_card(planned, directory, golden), directory, work)


def _build_tokenizers(request: TokenizerRequest, source: TokenizerConfig, work: Path) -> list[Built]:
    built = []
    for kind, name, root in zip(("tokenizer", "preprocess"), _tokenizer_names((request, source)), _ROOTS, strict=True):
        directory = work / "model"
        arguments = (source.vocabulary, source.lower_case, request.special_tokens_in_text)
        write_saved_model(partial(root, *arguments), directory)
        built.append(_pack_and_verify(_tokenizer_card(request, source, kind, name, directory), directory, work))
    return built


def _tokenizer_names(tokenizer: tuple[TokenizerRequest, TokenizerConfig] | None) -> list[str]:
    return [] if tokenizer is None else [tokenizer[0].name, tokenizer[0].name + PREPROCESS]


def _tokenizer_of(planned: PlannedEncoder) -> tuple[TokenizerRequest, TokenizerConfig]:
    """Return how the tokenizer of an encoder with fewer tokens is made: the parent's rules, the vocabulary left."""
    request = planned.request
    whole = read_tokenizer_source(request.vocabulary or planned.checkpoint.path, request.cased)
    specials = set(planned.vocabulary.special_tokens)
    capitals = [entry for entry in planned.vocabulary.entries if entry != entry.lower() and entry not in specials]
    if request.cased is None and whole.lower_case and capitals:
        raise BadVocabulary(
            f"{request.keep_tokens} keeps {len(capitals)} tokens with capitals ({', '.join(capitals[:3])}, …), which a "
            "lower-casing tokenizer never gives. Say --cased or --uncased."
        )
    source = replace(whole, vocabulary=planned.vocabulary)
    name = f"{request.name}_tokenizer"
    return TokenizerRequest(request.checkpoint, name, request.out, licence=request.licence), source


def _save_encoder(planned: PlannedEncoder, directory: Path) -> None:
    """Read every planned variable, one at a time, and write the SavedModel."""
    variables: dict[str, tf.Variable] = {}
    named: dict[str, tf.Variable] = {}  # ELECTRA's dense layer may be both pooler and part of a head, stored once
    for variable in planned.plan.variables:
        if variable.name in named:
            variables[variable.ours] = named[variable.name]
            continue
        value = planned.plan.read(variable, planned.checkpoint)
        stored = NUMPY[planned.request.dtype] if value.ndim == 2 else np.float32
        variables[variable.ours] = tf.Variable(value.astype(stored, copy=False), name=variable.name)
        named[variable.name] = variables[variable.ours]
    write_saved_model(
        partial(EncoderRoot, Encoder(planned.config, variables), planned.vocabulary.entries, planned.heads), directory
    )
    del variables, named
    gc.collect()  # traced functions hold the variables in cycles; verification loads them a second time


def _encoder_card(planned: PlannedEncoder, directory: Path, golden: Mapping[str, np.ndarray]) -> EncoderCard:
    request, config, plan = planned.request, planned.config, planned.plan
    source = _source(planned.checkpoint.format, (*planned.checkpoint.files, planned.vocabulary_file))
    return EncoderCard(
        name=request.name,
        family=planned.family.name,
        sizes=config.sizes(),
        activation_reason=config.activation_reason,
        truncated_from=config.truncated_from,
        derivation=_derivation(planned, source),
        pooler=_pooler_in_words(config),
        notes=[*planned.checkpoint.facts, *config.notes],
        heads=dict(planned.head_states),
        exported_heads=list(planned.heads),
        parameters=plan.parameters,
        variables={variable.name: list(variable.sources) for variable in plan.variables},
        left_out={reason: list(names) for reason, names in plan.left_out.items()},
        vocabulary_sha256=planned.vocabulary.sha256,
        source=source,
        licence=request.licence,
        ops=used_ops(directory),
        versions=_versions(),
        certificate=certify(directory, golden, request.name),
        files=file_digests(directory),
    )


def _derivation(planned: PlannedEncoder, source: Source) -> Derivation | None:
    """Return what sets the model apart from its checkpoint's; None for the checkpoint's own."""
    config, checkpoint = planned.config, planned.checkpoint
    cut = config.truncated_from - config.layers if config.truncated_from else 0
    if not cut and not isinstance(checkpoint, DerivedCheckpoint):
        return None
    measured, kept = {}, None
    if isinstance(checkpoint, DerivedCheckpoint):
        measured = drift(checkpoint.parent, checkpoint, config)
        kept = None if checkpoint.kept is None else len(checkpoint.kept)
        if checkpoint.dtype == "float32" and any(measured.values()):
            raise VerificationFailed(
                f"{planned.request.name}: with fewer tokens it computes something else: {measured}."
            )
    return Derivation(
        parent_sha256=source.sha256,
        stored_in=planned.request.dtype,
        kept_tokens=kept,
        layers_cut=cut,
        drift=measured,
    )


def _tokenizer_card(
    request: TokenizerRequest, source: TokenizerConfig, kind: str, name: str, directory: Path
) -> TokenizerCard:
    vocabulary = source.vocabulary
    reference = ReferenceTokenizer(vocabulary.entries, source.lower_case)
    texts = [text for text in GOLDEN_TEXTS if not (request.special_tokens_in_text and "[" in "".join(text))]
    return TokenizerCard(
        kind=kind,
        name=name,
        lower_case=source.lower_case,
        lower_case_reason=source.lower_case_reason,
        special_tokens=vocabulary.special_tokens,
        special_tokens_in_text=request.special_tokens_in_text,
        vocab_size=len(vocabulary.entries),
        vocabulary_sha256=vocabulary.sha256,
        source=_source("vocabulary", source.files),
        licence=request.licence,
        ops=used_ops(directory),
        versions=_versions(),
        certificate=[GoldenText(text=list(text), ids=reference.encode(*text)) for text in texts],
        files=file_digests(directory),
    )


def _pack_and_verify(card: EncoderCard | TokenizerCard, directory: Path, work: Path) -> Built:
    """Pack, then check what a user would get: the packed bytes, unpacked and loaded again."""
    write_card(card, directory)
    packed = work / f"{card.name}.tar.gz"
    digest = pack(directory, packed)
    shutil.rmtree(directory)  # from here on only the packed bytes count
    unpacked = work / "unpacked"
    unpack(packed, unpacked)
    verify(unpacked)
    shutil.rmtree(unpacked)
    gc.collect()
    return Built(card, packed, digest)


def _release(built: Sequence[Built], out: Path, tokenizer: str | None = None) -> dict[str, Entry]:
    """Move archives into place and write their entries; what people wrote into an entry before stays."""
    path = out / REGISTRY
    known = read_registry(path).models if path.exists() else {}
    entries = {each.card.name: _entry(each.card, each.digest, tokenizer) for each in built}
    for name, entry in entries.items():
        if name in known:
            kept = {field: getattr(known[name], field) for field in _WRITTEN_BY_PEOPLE if not getattr(entry, field)}
            entries[name] = entry.model_copy(update=kept)
    update_registry(path, entries, {each.packed: out / each.packed.name for each in built})
    return entries


def _entry(card: EncoderCard | TokenizerCard, digest: FileDigest, tokenizer: str | None) -> Entry:
    archive = ArchiveRecord(urls=[f"{card.name}.tar.gz"], sha256=digest.sha256, size=digest.size)
    if isinstance(card, TokenizerCard):
        return Entry(
            kind=card.kind,
            vocab_size=card.vocab_size,
            vocabulary_sha256=card.vocabulary_sha256,
            licence=card.licence,
            archive=archive,
        )
    return Entry(
        kind=card.kind,
        family=card.family,
        layers=card.sizes.layers,
        hidden_size=card.sizes.hidden_size,
        heads=card.sizes.heads,
        tokenizer=tokenizer,
        parameters=card.parameters,
        vocab_size=card.sizes.vocab_size,
        vocabulary_sha256=card.vocabulary_sha256,
        licence=card.licence,
        archive=archive,
    )


# -- small facts of a card --------------------------------------------------------------------------------------------


def _pooler_in_words(config: EncoderConfig) -> str:
    if config.pooler == "first_token":
        return "none: pooled_output is the first token's vector"
    if config.pooler == "discriminator":
        return "the discriminator head's dense layer with tanh, over the first token; it was not trained as a pooler"
    if config.truncated_from is not None:
        return f"dense and tanh, trained on layer {config.truncated_from} of the whole model"
    return "dense and tanh over the first token, of the checkpoint"


def _source(kind: str, files: tuple[Path, ...]) -> Source:
    return Source(format=kind, files={file.name: sha256_and_size(file) for file in files})


def _versions() -> dict[str, str]:
    return {"bert-zoo": version("bert-zoo")} | {library: version(library) for library in _LIBRARIES}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadConfig(f"{name!r} cannot name an archive: letters, digits, '.', '_' and '-', a letter or digit first.")


# -- the disk ---------------------------------------------------------------------------------------------------------


@contextmanager
def workspace(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a temporary directory inside `out`, so that results move by rename; nothing of it stays.

    Raises BadRegistry when the registry in `out` cannot take `names`, CannotWrite when `out` cannot be made or written,
    or is full.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    update_registry(out / REGISTRY, dict.fromkeys(names, Entry(kind="encoder")), try_only=True)
    with cannot_write(out):
        out.mkdir(parents=True, exist_ok=True)
        work = unique_beside(out / "work")
        try:
            work.mkdir()
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            for folder in made:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
