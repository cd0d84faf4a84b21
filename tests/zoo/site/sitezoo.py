"""A directory of archives for the catalogue's tests: rows of the packaged registry, four of them without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.zoo.small import make_tokenizer_card
from zoo.archive.card import (
    Card,
    Derivation,
    EncoderCard,
    EncoderCertificate,
    EncoderSizes,
    FileDigest,
    Source,
    write_card,
)
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.fetching.registries import read_registry
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import PACKAGED
from zoo.registry.writing import update_registry

TINY = {"layers": 4, "blocks": 1, "hidden_size": 312, "embedding_size": 128, "intermediate_size": 1248}
CUT = {"layers": 3, "blocks": 3, "hidden_size": 768, "embedding_size": 768, "intermediate_size": 3072}
# The rows: encoders and their tokenizer, and a text model of every task.
LADDERS = {"bert": (1, 3, 6, 9), "bert_wwm": (1, 3, 6, 9), "roberta_wwm": (1, 3, 6, 9), "roberta_wwm_large": (1, 3, 12)}
NAMES = (
    *(f"albert_{size}" for size in ("base", "large", "small", "tiny", "xlarge")),
    *(f"electra_{size}" for size in ("base", "large", "small", "smallex")),
    *(name for parent, cuts in LADDERS.items() for name in (parent, *(f"{parent}_{layers}" for layers in cuts))),
    *("FinBERT", "macbert_base", "macbert_large", "rbt3", "rbt4", "rbt6", "rbtl3"),
    *("bert_tokenizer_chinese", "bert_tokenizer_chinese_preprocess"),
    *("bge_small_zh", "uer_sentiment_jd", "uer_ner_cluener", "mrc_roberta_wwm_large", "bert_fill_mask"),
)


def make_encoder_card(directory: Path, name: str, sizes: Mapping[str, int], **changes: Any) -> EncoderCard:
    """Return a card for whatever files lie in `directory`."""
    more = {"heads": 12, "vocab_size": 21128, "position_limit": 512, "type_vocab_size": 2, "layer_norm_epsilon": 1e-12}
    facts: dict[str, Any] = {
        "name": name,
        "family": "albert",
        "sizes": EncoderSizes(**sizes, **more, activation="gelu_tanh", hidden_dropout=0.0, attention_dropout=0.0),
        "activation_reason": "this family's code has the tanh form",
        "pooler": "dense and tanh over the first token, of the checkpoint",
        "heads": {"mlm": "trained", "nsp": "random"},
        "exported_heads": ["mlm"],
        "parameters": 4080520,
        "left_out": {"counts training steps": ["global_step"]},
        "variables": {"a": [["a", 1]]},
        "vocabulary_sha256": "a" * 64,
        "source": Source(format="tf1", files={"model.ckpt.index": FileDigest(sha256="c" * 64, size=9)}),
        "ops": ["MatMul"],
        "versions": {"tensorflow": "2.21.0"},
        "certificate": EncoderCertificate(
            shapes=[(2, 7), (3, 16)],
            tolerance=2e-5,
            max_difference={
                "encoder_outputs[0]": 4e-6,
                "encoder_outputs[1]": 2e-6,
                "pooled_output": 7e-7,
                "sequence_output": 3e-6,
            },
        ),
        "files": file_digests(directory),
    }
    return EncoderCard(**facts | changes)


def built(out: Path, name: str, **changes: Any) -> ArchiveRecord:
    """Pack an archive with a card of the kind that `sizes` among the changes, or their absence, asks for."""
    directory = out.parent / "unpacked" / name
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(name.encode() * 100)
    card: Card
    if "sizes" in changes:
        card = make_encoder_card(directory, name, **changes)
    else:
        card = make_tokenizer_card(directory, name, **changes)
    write_card(card, directory)
    digest = pack(directory, out / f"{name}.tar.gz")
    return ArchiveRecord(urls=[f"{name}.tar.gz"], sha256=digest.sha256, size=digest.size)


def make_dist(out: Path, entries: Mapping[str, Entry] | None = None) -> Path:
    """Return a directory with the rows `NAMES`, four of them built; `entries` are rows to add or replace."""
    packaged = read_registry(PACKAGED).models
    rows = {name: packaged[name] for name in NAMES}
    drift = Derivation(parent_sha256="d" * 64, layers_cut=9, drift={})
    archives = {
        "albert_tiny": built(out, "albert_tiny", sizes=TINY),
        "roberta_wwm_3": built(
            out, "roberta_wwm_3", sizes=CUT, family="bert", truncated_from=12, heads={}, derivation=drift
        ),
        "bert_tokenizer_chinese": built(out, "bert_tokenizer_chinese"),
        "bert_tokenizer_chinese_preprocess": built(out, "bert_tokenizer_chinese_preprocess", kind="preprocess"),
    }
    for name, archive in archives.items():
        rows[name] = rows[name].model_copy(update={"archive": archive, "vocabulary_sha256": "a" * 64})
    update_registry(out / "registry.json", {**rows, **(entries or {})})
    return out
