"""The formats to damage: the function that writes a small example, its files to damage, the function that reads it."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from scripts import checkpoint_writers as writers
from scripts.fuzz import mutations as m
from scripts.fuzz.child import Format
from scripts.layouts import bert, bert_config, transformers_arrays
from scripts.random_checkpoint import random_arrays, write_arrays, write_vocabulary
from tokenizer.source import read_tokenizer_source
from zoo.archive.card import FileDigest, GoldenText, Source, TokenizerCard, read_card, write_card
from zoo.archive.digests import check_files, file_digests, sha256_and_size
from zoo.archive.pack import pack
from zoo.archive.unpack import unpack
from zoo.contract import CARD_FILE
from zoo.errors import ZooError
from zoo.fetching.bundles import bundle, read_bundle
from zoo.fetching.installing import install
from zoo.fetching.registries import read_registry
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import update_registry
from zoo.safety import check_ops, used_ops

# -- checkpoints ------------------------------------------------------------------------------------------------------

_CONFIG = bert_config(2, 8, 2, 12, 15, positions=9)
_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]


def read_checkpoint(path: Path) -> None:
    """Do everything that an export does with a checkpoint before it builds a graph, and read every variable."""
    from export.inspect import inspected
    from export.options import EncoderRequest
    from export.planning import plan_encoder
    from export.readers import open_checkpoint

    checkpoint = open_checkpoint(path)
    inspection = inspected(checkpoint, path)
    str(inspection).encode()
    json.dumps(inspection.to_dict())
    for name in checkpoint.shapes:
        checkpoint.read(name)
    planned = plan_encoder(EncoderRequest(path, "fuzzed", path), checkpoint)
    for variable in planned.plan.checked("fuzzed").variables:
        planned.plan.read(variable, checkpoint)


def _arrays() -> dict[str, np.ndarray]:
    return random_arrays(bert(_CONFIG))


def _tf1(folder: Path) -> None:
    write_arrays(folder, _CONFIG, _arrays())
    write_vocabulary(folder / "vocab.txt", _VOCABULARY)


def _tf2(folder: Path) -> None:
    writers.write_object_based(folder, writers.model_garden_arrays(_arrays(), 2, 2), _CONFIG, slots=False)
    write_vocabulary(folder / "vocab.txt", _VOCABULARY)


def _transformers(write: Callable[[Path, dict[str, np.ndarray]], Any], name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        write(folder / name, transformers_arrays(_arrays()))
        (folder / "config.json").write_text(json.dumps(_CONFIG | {"model_type": "bert"}))
        write_vocabulary(folder / "vocab.txt", _VOCABULARY)

    return make


def _sharded(index: Path, arrays: dict[str, np.ndarray]) -> None:
    items = sorted(arrays.items())
    parts = {f"part-{i}.safetensors": dict(items[i::2]) for i in range(2)}
    writers.write_sharded(index.parent, parts, index.name, lambda file, part: save_file(dict(part), file))


def _h5(file: Path, arrays: dict[str, np.ndarray]) -> None:
    writers.write_h5(file, _arrays())


def _training(file: Path, arrays: dict[str, np.ndarray]) -> None:
    others = {"epoch": 3, "classes": ["a", "b"], "args": Namespace(lr=0.1), "best": np.float64(0.5), "ids": {1, 2}}
    writers.write_torch_zip(file, arrays, writers.training_pickle(arrays, **others))


def _sharded_h5(index: Path, arrays: dict[str, np.ndarray]) -> None:
    writers.write_sharded_h5(index.parent, _arrays())


def _bert4keras(file: Path, arrays: dict[str, np.ndarray]) -> None:
    writers.write_named_h5(file, writers.bert4keras_arrays(_arrays(), 2))


def _keras_objects(graph: Path, arrays: dict[str, np.ndarray]) -> None:
    ours = {name: array for name, array in _arrays().items() if name.startswith("bert/")}
    names = writers.given_names_of_transformers(ours)
    writers.write_given_names(graph.parent / "variables/variables", ours, names)
    graph.touch()


def _own_archive(folder: Path) -> None:
    writers.write_own_archive(folder, _arrays(), _CONFIG, _VOCABULARY)


def _zipped(folder: Path) -> None:
    _tf1(folder / "bert")
    with zipfile.ZipFile(folder / "bert.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((folder / "bert").iterdir()):
            archive.write(file, f"bert/{file.name}")
    shutil.rmtree(folder / "bert")


def _tarred(folder: Path) -> None:
    _tf1(folder / "bert")
    with tarfile.open(folder / "bert.tar.gz", "w:gz") as tar:
        tar.add(folder / "bert", "bert")
    shutil.rmtree(folder / "bert")


def _tokenizer(folder: Path) -> None:
    write_vocabulary(folder / "vocab.txt", _VOCABULARY)
    settings = {
        "do_lower_case": True,
        "tokenizer_class": "BertTokenizer",
        "never_split": ["[MASK]"],
        "pad_token": {"content": "[PAD]", "lstrip": False},
        "added_tokens_decoder": {"0": {"content": "[PAD]"}},
        "model_max_length": 512,
    }
    special = {"cls_token": "[CLS]", "additional_special_tokens": ["[ENT]", {"content": "[Q]", "lstrip": True}]}
    ids = {entry: number for number, entry in enumerate(_VOCABULARY)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    wrapped = {"sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]}
    content = {
        "added_tokens": [{"id": ids[token], "content": token, **flags} for token in ("[PAD]", "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", **wrapped},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100, "vocab": ids},
    }
    files = {"tokenizer_config": settings, "special_tokens_map": special, "added_tokens": {"[ENT]": len(_VOCABULARY)}}
    for name, value in {**files, "tokenizer": content}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


def _read_tokenizer(folder: Path) -> object:
    """Read the directory, and tokenizer.json by itself; both may be refused."""
    with suppress(ZooError):
        read_tokenizer_source(folder)
    return read_tokenizer_source(folder / "tokenizer.json")


# -- the zoo's own files ----------------------------------------------------------------------------------------------


def _saved_model(folder: Path) -> None:
    """Write an unpacked archive: a tiny graph, and its card."""
    import tensorflow as tf

    class Root(tf.Module):
        def __init__(self) -> None:
            self.weight = tf.Variable([1.0, 2.0])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.nn.relu(x * tf.reduce_sum(self.weight))

    tf.saved_model.save(Root(), str(folder))
    (folder / "fingerprint.pb").unlink()
    (folder / "assets").rmdir()
    write_card(_card(folder, used_ops(folder)), folder)


def _card(folder: Path, ops: list[str]) -> TokenizerCard:
    return TokenizerCard(
        kind="tokenizer",
        name="small",
        lower_case=True,
        lower_case_reason="given",
        special_tokens={"[CLS]": 2, "[SEP]": 3},
        special_tokens_in_text=False,
        vocab_size=99,
        vocabulary_sha256="a" * 64,
        source=Source(format="vocabulary", files={"vocab.txt": FileDigest(sha256="b" * 64, size=7)}),
        needs=[],
        ops=ops,
        versions={"tensorflow": "2.21.0"},
        files=file_digests(folder, without=(CARD_FILE,)),
        certificate=[GoldenText(text=["你好"], ids=[2, 7, 8, 3])],
    )


def read_unpacked(folder: Path) -> None:
    """Do what is done with an archive's directory before TensorFlow loads it."""
    card = read_card(folder)
    check_files(folder, card)
    check_ops(folder, card)


def _read_graph(folder: Path) -> None:
    """Check a damaged graph. The card is made to fit its digest and operations, so only `check_ops` can refuse it."""
    card = read_card(folder)
    files = card.files | {"saved_model.pb": sha256_and_size(folder / "saved_model.pb")}
    try:
        ops = used_ops(folder)
    except ZooError:
        ops = card.ops
    check_ops(folder, card.model_copy(update={"files": files, "ops": ops}))


def _sentencepiece(folder: Path) -> None:
    from tests.tokenizer.sentencepiece_models import write_files

    write_files("xlmr", folder)


def _run_sentencepiece(folder: Path) -> None:
    """Read a model, and run it on texts in tensorflow-text: what is let through must not harm the process."""
    import tensorflow_text as tf_text

    from tests.tokenizer.sentencepiece_models import recorded

    own = read_tokenizer_source(folder).rules.sentencepiece
    assert own is not None
    tf_text.SentencepieceTokenizer(own.data).tokenize_with_offsets(recorded()["texts"])


def _archive(folder: Path) -> None:
    _saved_model(folder / "small")
    pack(folder / "small", folder / "small.tar.gz")
    shutil.rmtree(folder / "small")


def _read_archive(archive: Path) -> None:
    unpacked = archive.with_name("unpacked")
    try:
        unpack(archive, unpacked)
        read_unpacked(unpacked)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _registry(folder: Path) -> None:
    archive = ArchiveRecord(urls=["small.tar.gz"], sha256="a" * 64, size=100)
    entries = {
        "small": Entry(kind="tokenizer", description="for tests", vocab_size=99, aliases=["old"], archive=archive),
        "later": Entry(kind="encoder", family="albert", layers=4, hidden_size=312, tokenizer="small"),
    }
    update_registry(folder / "registry.json", entries)
    _leave_only(folder, "registry.json")


def _read_registry(file: Path) -> None:
    registry = read_registry(file)
    for name in registry.names():
        registry.tokenizer(name)


def _bundle(folder: Path) -> None:
    _archive(folder)
    record = ArchiveRecord(urls=["small.tar.gz"], **sha256_and_size(folder / "small.tar.gz").model_dump())
    update_registry(folder / "registry.json", {"small": Entry(kind="tokenizer", vocab_size=99, archive=record)})
    bundle("small", folder / "small.tar", registry=folder / "registry.json")
    _leave_only(folder, "small.tar")


def _leave_only(folder: Path, name: str) -> None:
    for file in folder.iterdir():
        if file.name != name:
            file.unlink()


def _read_bundle(file: Path) -> None:
    read_bundle(file)
    install(file, dry_run=True)


# -- all of them ------------------------------------------------------------------------------------------------------

_JSON = (m.json_value, m.json_value, m.json_text)
_PICKLE = (m.pickle_steps, *m.BYTES)
_of_checkpoint = _transformers(lambda file, arrays: save_file(arrays, file), "model.safetensors")

FORMATS: Mapping[str, Format] = {
    "tf1": Format(_tf1, read_checkpoint, ("*.index", "*.index", "*.data-*"), (m.index_entry,) * 5),
    "tf2": Format(_tf2, read_checkpoint, ("*.index", "*.index", "*.data-*"), (m.index_entry,) * 5),
    "torch_zip": Format(
        _transformers(writers.write_torch_zip, "pytorch_model.bin"),
        read_checkpoint,
        ("*.bin",),
        (m.zip_record(_PICKLE), m.zip_record(_PICKLE), m.zip_directory),
    ),
    "torch_legacy": Format(
        _transformers(writers.write_torch_legacy, "pytorch_model.bin"),
        read_checkpoint,
        ("*.bin",),
        (m.pickle_steps,) * 3,
    ),
    "safetensors": Format(_of_checkpoint, read_checkpoint, ("*.safetensors",), (m.safetensors_header,) * 3),
    "sharded": Format(
        _transformers(_sharded, "model.safetensors.index.json"), read_checkpoint, ("*.index.json",), _JSON
    ),
    "h5": Format(_transformers(_h5, "tf_model.h5"), read_checkpoint, ("*.h5",)),
    "torch_training": Format(
        _transformers(_training, "best.pt"), read_checkpoint, ("*.pt",), (m.zip_record(_PICKLE),) * 3
    ),
    "sharded_h5": Format(_transformers(_sharded_h5, "tf_model.h5.index.json"), read_checkpoint, ("*.json",), _JSON),
    "bert4keras": Format(_transformers(_bert4keras, "best.weights.h5"), read_checkpoint, ("*.h5",)),
    "keras_objects": Format(
        _transformers(_keras_objects, "saved_model.pb"),
        read_checkpoint,
        ("variables/*.index", "variables/*.data-*"),
        (m.index_entry,) * 3,
    ),
    "own_archive": Format(
        _own_archive, read_checkpoint, ("assets.extra/card.json", "saved_model.pb", "variables/*"), _JSON * 2
    ),
    "zip": Format(_zipped, read_checkpoint, ("*.zip",), (m.zip_record((*m.BYTES, m.lines)), m.zip_directory)),
    "tar": Format(_tarred, read_checkpoint, ("*.tar.gz",), (m.tar_member((*m.BYTES, m.lines)),) * 3),
    "config": Format(_of_checkpoint, read_checkpoint, ("config.json",), _JSON * 2),
    "vocabulary": Format(_of_checkpoint, read_checkpoint, ("vocab.txt",), (m.lines,) * 4),
    "tokenizer": Format(_tokenizer, _read_tokenizer, ("*.json",), _JSON * 2),
    "sentencepiece": Format(_sentencepiece, _run_sentencepiece, ("*.model",)),
    "archive": Format(_archive, _read_archive, ("*.tar.gz",), (m.tar_member(m.BYTES),) * 3),
    "card": Format(_saved_model, read_unpacked, (CARD_FILE,), _JSON * 2),
    "graph": Format(_saved_model, _read_graph, ("saved_model.pb",)),
    "registry": Format(_registry, _read_registry, ("registry.json",), _JSON * 2),
    "bundle": Format(_bundle, _read_bundle, ("*.tar",), (m.tar_member(m.BYTES, gzipped=False),) * 3),
}
