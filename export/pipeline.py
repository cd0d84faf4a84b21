"""The steps of an export, in order: from a checkpoint or a vocabulary to a verified archive and its registry entry."""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.cards import encoder_card, text_card, tokenizer_card
from export.certificate import golden_arrays, write_golden
from export.encoder.encoder import Encoder
from export.options import EncoderRequest, TokenizerRequest
from export.planning import PlannedEncoder, PlannedText, of_kept_tokens, plan_encoder, plan_tokenizer
from export.saved_model.root import EncoderRoot, write_saved_model
from export.saved_model.text_model import TextRoot
from export.text_certificate import sure_answers
from export.weights.derived import computed_in, narrowed
from export.workspace import owned_directory
from tokenizer.module import Preprocessor, Tokenizer
from tokenizer.source import TokenizerConfig, read_tokenizer_source
from zoo.archive.card import Card, FileDigest, write_card
from zoo.archive.kinds import KINDS
from zoo.archive.pack import pack
from zoo.archive.unpack import unpack
from zoo.basics.files import cannot_write
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadVocabulary
from zoo.loading.verify import verify
from zoo.registry.entry import Entry
from zoo.registry.rows import registry_row
from zoo.registry.writing import own_registry, update_registry

_log = logging.getLogger("zoo")

_LARGE = 32 << 20  # bytes
_ROOTS = {"tokenizer": Tokenizer, "preprocess": Preprocessor}  # the archives of one vocabulary, by kind


@dataclass(frozen=True)
class Built:
    """An archive that is packed and verified, and still lies in the work directory."""

    card: Card
    packed: Path
    digest: FileDigest


def export_encoder(request: EncoderRequest) -> dict[str, Entry]:
    """Return name and registry entry of a new archive, `OUT/NAME.tar.gz`, built from a checkpoint and verified.

        entries = export_encoder(EncoderRequest(Path("chinese_L-12_H-768_A-12"), "bert", Path("dist")))
        entries["bert"].archive.sha256

    The packed archive is unpacked again, loaded as users load it, and compared with an independent forward pass of the
    checkpoint. Then the archive moves into `request.out`, and the registry is written last, so that a failure leaves
    nothing new behind. With `keep_tokens`, the tokenizer archive and the preprocess archive of the remaining tokens are
    made too. Raises WeightMismatch, VerificationFailed, CannotWrite, and every error of `plan_encoder`.
    """
    return export_planned(plan_encoder(request))


def export_planned(planned: PlannedEncoder) -> dict[str, Entry]:
    """Do what `export_encoder` does, for a plan that `plan_encoder` has made already."""
    request = planned.request
    planned.plan.checked(f"{request.name} (family {planned.family.name})")
    # An encoder of fewer tokens needs a tokenizer of the same tokens. Read it first: an error in it costs no build.
    tokenizer = _tokenizer_of(planned) if request.keep_tokens else None
    with workspace(request.out, [request.name, *_tokenizer_names(tokenizer)]) as work:
        built = [_build_encoder(planned, work)]
        if tokenizer is not None:
            built += _build_tokenizers(*tokenizer, work)
        return _release(built, request.out, tokenizer[0].name if tokenizer else None)


def export_text(planned: PlannedText) -> dict[str, Entry]:
    """Return name and registry entry of a new text archive, `OUT/NAME.tar.gz`, verified against golden texts.

        planned = plan_text(EncoderRequest(Path("my-reviews"), "my_reviews", Path("dist")))
        export_text(planned)["my_reviews"].task  # "classification"

    With `kind="all"` the encoder and the tokenizer become archives of their own too: NAME_encoder, NAME_tokenizer and
    NAME_tokenizer_preprocess. Raises what `export_encoder` does.
    """
    request = planned.request
    planned.encoder.plan.checked(f"{request.name} (family {planned.encoder.family.name})")
    encoder, of_tokenizer, tokenizer = planned.apart()
    makes_all = request.kind == "all"
    names = [encoder.request.name, *_tokenizer_names((of_tokenizer, tokenizer))] if makes_all else []
    with workspace(request.out, [request.name, *names]) as work:
        built = [_build_text(planned, work)]
        if makes_all:
            built += [_build_encoder(encoder, work), *_build_tokenizers(of_tokenizer, tokenizer, work)]
        return _release(built, request.out, of_tokenizer.name if makes_all else None)


def export_checkpoint(planned: PlannedEncoder | PlannedText) -> dict[str, Entry]:
    """Return names and entries of the archives of a plan, whichever kind it is of."""
    return export_text(planned) if isinstance(planned, PlannedText) else export_planned(planned)


def export_tokenizer(request: TokenizerRequest, planned: TokenizerConfig | None = None) -> dict[str, Entry]:
    """Return names and entries of two new archives, `OUT/NAME.tar.gz` and `OUT/NAME_preprocess.tar.gz`, verified.

        export_tokenizer(TokenizerRequest(Path("vocab.txt"), "bert_tokenizer_chinese", Path("dist")))

    The ids that the archives give for the golden texts are compared with the ids of the published algorithm. Give
    `planned` if `plan_tokenizer(request)` was called already. Raises BadVocabulary, VerificationFailed, CannotWrite.
    """
    source = planned or plan_tokenizer(request)
    with workspace(request.out, _tokenizer_names((request, source))) as work:
        return _release(_build_tokenizers(request, source, work), request.out)


# -- the steps --------------------------------------------------------------------------------------------------------


def _build_encoder(planned: PlannedEncoder, work: Path) -> Built:
    directory = work / "model"
    save_encoder(planned, directory)
    golden = golden_arrays(planned.checkpoint, planned.config, planned.heads, under=planned.under)
    write_golden(golden, directory)
    return _pack_and_verify(encoder_card(planned, directory, golden), directory, work)


def _build_text(planned: PlannedText, work: Path) -> Built:
    directory = work / "model"
    save_text(planned, directory)
    answered = sure_answers(planned)
    write_golden(answered.arrays, directory)
    return _pack_and_verify(text_card(planned, directory, answered), directory, work)


def _build_tokenizers(request: TokenizerRequest, source: TokenizerConfig, work: Path) -> list[Built]:
    built = []
    for (kind, root), name in zip(_ROOTS.items(), _tokenizer_names((request, source)), strict=True):
        directory = work / "model"
        arguments = (source.vocabulary, source.rules, request.special_tokens_in_text)
        write_saved_model(partial(root, *arguments, ops=request.ops), directory)
        built.append(_pack_and_verify(tokenizer_card(request, source, kind, name, directory), directory, work))
    return built


def _tokenizer_names(tokenizer: tuple[TokenizerRequest, TokenizerConfig] | None) -> list[str]:
    return [] if tokenizer is None else [tokenizer[0].name + KINDS[kind].suffix for kind in _ROOTS]


def _tokenizer_of(planned: PlannedEncoder) -> tuple[TokenizerRequest, TokenizerConfig]:
    """Return the tokenizer of an encoder with fewer tokens: the rules of its parent, but only the remaining tokens."""
    request = planned.request
    if planned.checkpoint.format == "archive" and request.vocab is None and request.cased is None:
        raise BadVocabulary(
            "the archive of an encoder does not say how its tokenizer treats capitals, accents and added tokens. Give "
            "the tokenizer's own files with --vocab DIR, or choose --cased or --uncased."
        )
    source = of_kept_tokens(planned, read_tokenizer_source(request.vocab or planned.checkpoint.path, request.cased))
    name = f"{request.name}_tokenizer"
    return TokenizerRequest(request.checkpoint, name, request.out, licence=request.licence), source


def save_encoder(planned: PlannedEncoder, directory: Path) -> None:
    """Write the SavedModel of a plan: no card, and nothing is compared."""
    how = (planned.vocabulary, planned.heads, planned.request.recompute, planned.padding_id)
    _save(planned, directory, lambda encoder: EncoderRoot(encoder, *how))


def save_text(planned: PlannedText, directory: Path) -> None:
    """Write the SavedModel of a text archive's plan: no card, and nothing is compared."""
    encoder, tokenizer = planned.encoder, planned.tokenizer
    how = (tokenizer.vocabulary, tokenizer.rules, planned.task, planned.special_tokens_in_text, encoder.padding_id)
    _save(encoder, directory, lambda built: TextRoot(built, *how, encoder.request.recompute, encoder.heads))


def _save(planned: PlannedEncoder, directory: Path, make_root: Callable[[Encoder], Any]) -> None:
    """Read every planned variable, one at a time, and write the SavedModel of the root that is made of the encoder."""
    variables: dict[str, tf.Variable] = {}
    named: dict[str, tf.Variable] = {}  # ELECTRA's dense layer may be pooler and part of a head: one variable for both
    for variable in planned.plan.variables:
        if variable.name in named:
            variables[variable.ours] = named[variable.name]
            continue
        value = planned.plan.read(variable, planned.checkpoint)
        variables[variable.ours] = tf.Variable(narrowed(value, planned.request.dtype), name=variable.name)
        named[variable.name] = variables[variable.ours]
    compute = tf.as_dtype(computed_in(planned.request.dtype))
    encoder = Encoder(planned.config, variables, compute)
    write_saved_model(partial(make_root, encoder), directory)
    size = sum(variable.dtype.size * variable.shape.num_elements() for variable in named.values())
    del variables, named, encoder
    _make_room(size)  # traced functions keep the variables alive by cycles; verification needs room for a second copy


def _pack_and_verify(card: Card, directory: Path, work: Path) -> Built:
    """Write the card, pack the archive, then verify it as users get it: unpacked from the packed bytes and loaded."""
    write_card(card, directory)
    packed = work / f"{card.name}.tar.gz"
    digest = pack(directory, packed)
    shutil.rmtree(directory)  # so that nothing below can read it instead of the packed archive
    unpacked = work / "unpacked"
    unpack(packed, unpacked)
    verify(unpacked)
    shutil.rmtree(unpacked)
    _make_room(digest.size)
    return Built(card, packed, digest)


def _make_room(size: int) -> None:
    """Collect garbage now if there is a model of `size` bytes in it; a small one is not worth the search."""
    if size > _LARGE:
        gc.collect()


def _release(built: Sequence[Built], out: Path, tokenizer: str | None = None) -> dict[str, Entry]:
    """Move archives into place and write their entries; fields that people wrote into an entry stay as they are."""
    path = out / REGISTRY_FILE
    known = own_registry(path).models if path.exists() else {}
    entries = {each.card.name: registry_row(each.card, each.digest, tokenizer) for each in built}
    entries = {name: known[name].exported_again(new) if name in known else new for name, new in entries.items()}
    update_registry(path, entries, {each.packed: out / each.packed.name for each in built})
    for name, entry in entries.items():
        before, after = known.get(name, entry).archive, entry.archive
        if before and after and (gone := [url for url in before.urls if url not in after.urls]):
            _log.warning("%s: the new archive has other bytes, so its row no longer names %s.", name, ", ".join(gone))
    return entries


# -- the disk ---------------------------------------------------------------------------------------------------------


@contextmanager
def workspace(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a temporary directory inside `out`, from which archives move by a rename; it is removed at the end.

    Raises BadRegistry if the registry in `out` cannot take `names`, CannotWrite if `out` cannot be made or written, or
    if its disk is full.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    update_registry(out / REGISTRY_FILE, dict.fromkeys(names, Entry(kind="encoder")), try_only=True)
    with cannot_write(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
            with owned_directory(out) as work:
                yield work
        finally:
            for folder in made:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
