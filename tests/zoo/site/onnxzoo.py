"""A text archive in ONNX for the catalogue's tests: that of tests/zoo/lite, packed as `zoo build` packs it."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from lzma import decompress
from pathlib import Path

from tests.conftest import ROOT
from zoo.archive.card import FileDigest, OnnxCard, Source, TextCertificate, write_card
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.contract import CONVERSION_FILE
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import update_registry

DATA = ROOT / "tests" / "zoo" / "lite" / "data"


def add_onnx(out: Path, name: str = "tiny_onnx") -> None:
    """Add a packed archive and its row to a directory; vectors of 12 numbers, texts of at most 30 tokens."""
    directory = out.parent / "unpacked" / name
    directory.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(decompress((DATA / "tiny-onnx.tar.xz").read_bytes()))) as tar:
        tar.extractall(directory, filter="data")
    stated = json.loads((directory / CONVERSION_FILE).read_text(encoding="utf-8"))
    card = OnnxCard(
        name=name,
        vocabulary_sha256="a" * 64,
        source=Source(format="safetensors", files={"model.safetensors": FileDigest(sha256="c" * 64, size=9)}),
        ops=[],
        versions={"tensorflow": "2.21.0"},
        files=file_digests(directory),
        parent="tiny",
        parent_sha256="d" * 64,
        hidden_size=12,
        task=stated["task"],
        certificate=TextCertificate(texts=[["你好"]], tolerance=2e-5, max_difference={"vector": 2e-7}),
    )
    write_card(card, directory)
    digest = pack(directory, out / f"{name}.tar.gz")
    archive = ArchiveRecord(urls=[f"{name}.tar.gz"], sha256=digest.sha256, size=digest.size)
    row = Entry(kind="onnx", task="vector", hidden_size=12, max_length=30, archive=archive)
    update_registry(out / "registry.json", {name: row})
