"""The conversion of a text archive as an archive of its own, NAME_onnx.tar.gz beside it, with a row of the registry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from export.certificate import rounded_up
from export.convert.conversion import Conversion, convert_model
from export.workspace import owned_directory
from zoo.archive.card import OnnxCard, TextCertificate, parse_card, to_json, write_card
from zoo.archive.digests import file_digests, sha256_of
from zoo.archive.pack import pack
from zoo.archive.unpack import packed_card, unpack
from zoo.contract import CONVERSION_FILE, GOLDEN_FILE, ONNX, REGISTRY_FILE
from zoo.errors import BadArchive, VerificationFailed
from zoo.loading.matching import FoundText, find_vectors
from zoo.loading.pooling import AskedVectors
from zoo.loading.verify import verify
from zoo.registry.entry import Entry
from zoo.registry.rows import registry_row
from zoo.registry.writing import own_registry, update_registry


def publish_onnx(name: str, out: Path) -> Entry | None:
    """Return the row of OUT/NAME_onnx.tar.gz, made of OUT/NAME.tar.gz; None if it was made of the same archive before.

        publish_onnx("bge_small_zh", Path("dist"))
        zoo.lite.TextEncoder("bge_small_zh", registry="dist/registry.json")

    The archive holds what `zoo convert --to onnx` writes, and the golden answers of the text archive, which
    `zoo verify` repeats in onnxruntime, as is done here before the archive moves to its place. Raises what
    `convert_model` does, and BadArgument for a text archive of another task.
    """
    parent = out / f"{name}.tar.gz"
    if _made_of(out, f"{name}{ONNX}") == (sha256 := sha256_of(parent)):
        return None
    model = find_vectors(parent)
    assert isinstance(model, FoundText)
    with owned_directory(out) as work:
        place = work / "model"
        report = convert_model(Conversion(model, "onnx", place))
        timeless = replace(report, seconds=0.0).to_dict()  # the same bytes in every run
        (place / CONVERSION_FILE).write_text(to_json(timeless), encoding="utf-8")
        (place / GOLDEN_FILE).parent.mkdir()
        shutil.copyfile(model.directory / GOLDEN_FILE, place / GOLDEN_FILE)
        if report.comparison is None:
            raise VerificationFailed(f"{name} in ONNX was not compared: {report.not_verified}.")
        card = OnnxCard(
            name=f"{name}{ONNX}",
            vocabulary_sha256=model.card.vocabulary_sha256,
            source=model.card.source,
            licence=model.card.licence,
            ops=[],
            versions=dict(report.versions),
            files=file_digests(place),
            parent=name,
            parent_sha256=sha256,
            hidden_size=model.width(model.text_vectors(AskedVectors())),
            task=model.card.task,
            certificate=TextCertificate(
                texts=model.card.certificate.texts,
                tolerance=model.card.certificate.tolerance,
                max_difference={key: rounded_up(value) for key, value in report.comparison.from_original.items()},
            ),
        )
        write_card(card, place)
        packed = work / f"{card.name}.tar.gz"
        digest = pack(place, packed)
        unpack(packed, work / "unpacked")
        verify(work / "unpacked")
        row = registry_row(card, digest, None)
        models = own_registry(out / REGISTRY_FILE).models
        row = models[card.name].exported_again(row) if card.name in models else row
        update_registry(out / REGISTRY_FILE, {card.name: row}, {packed: out / packed.name})
    return row


def _made_of(out: Path, name: str) -> str | None:
    """Return the sha256 of the text archive that an archive in `out` was made of, if the registry there has it."""
    registry, archive = out / REGISTRY_FILE, out / f"{name}.tar.gz"
    row = own_registry(registry).models.get(name) if registry.exists() else None
    if row is None or row.archive is None or not archive.is_file() or row.archive.sha256 != sha256_of(archive):
        return None
    try:
        card = parse_card(packed_card(archive), str(archive))
    except BadArchive:
        return None
    return card.parent_sha256 if isinstance(card, OnnxCard) else None
