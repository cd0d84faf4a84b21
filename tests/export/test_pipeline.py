"""The build as a person runs it: `zoo export`, what it leaves, and that a failure leaves nothing."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export import families, pipeline, planning
from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import Built, _release, export_encoder, export_tokenizer, workspace
from export.weights.plan import WeightPlan
from scripts.random_checkpoint import write_vocabulary
from tests.export.conftest import VOCABULARY, write_odd
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import EncoderCard, FileDigest, TokenizerCard, read_card
from zoo.archive.digests import sha256_of
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import (
    BadArchive,
    BadConfig,
    BadRegistry,
    BadVocabulary,
    CannotWrite,
    VerificationFailed,
    WeightMismatch,
)
from zoo.fetching.registries import read_registry
from zoo.loading.verify import verify
from zoo.registry.entry import Entry, NoteSource, Published, Recipe
from zoo.registry.writing import update_registry


def left(directory: Path) -> list[str]:
    """What a person sees in a directory after a failure; the lock of the registry is allowed to stay."""
    return (
        sorted(path.name for path in directory.iterdir() if path.name != ".registry.lock") if directory.exists() else []
    )


# -- what is left after success ---------------------------------------------------------------------------------------


def test_archive_registry_and_nothing_else(out: Path, odd: Path) -> None:
    assert left(out) == ["odd", "odd.tar.gz", "registry.json", "registry.schema.json"]  # odd/ is the fixture's
    entry = read_registry(out / "registry.json").entry("odd")
    assert entry.archive is not None and entry.archive.urls == ["odd.tar.gz"]
    assert entry.archive.sha256 == sha256_of(out / "odd.tar.gz")
    assert (entry.family, entry.layers, entry.hidden_size, entry.heads) == ("bert", 3, 32, 4)


def test_command_line_prints_what_it_made(
    odd: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(odd), "--name", "odd_1", "--out", str(tmp_path / "new"), "--layers", "1", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["odd_1"]["layers"] == 1
    assert made["odd_1"]["archive"]["sha256"] == sha256_of(tmp_path / "new/odd_1.tar.gz")
    unpack(tmp_path / "new/odd_1.tar.gz", tmp_path / "odd_1")
    card = read_card(tmp_path / "odd_1")
    assert isinstance(card, EncoderCard) and card.truncated_from == 3
    assert "layer 3 of the whole model" in card.pooler
    assert len(card.left_out["truncated from 3 layers"]) == 2 * 16
    whole = read_card(out / "odd")
    assert isinstance(whole, EncoderCard) and whole.derivation is None
    assert card.derivation is not None and card.derivation.layers_cut == 2
    assert card.derivation.parent_sha256 == whole.source.sha256


def release(out: Path, to: Path, **card: Any) -> None:
    """Do what an export does at its end, with the archive that the fixture has built; its card may say other things."""
    built = shutil.copy(out / "odd.tar.gz", to / "built.tar.gz")
    with workspace(to, ["odd"]) as work:
        new = read_card(out / "odd").model_copy(update=card)
        packed = Path(shutil.move(built, work / "odd.tar.gz"))
        packed.write_bytes(packed.read_bytes() + repr(card).encode())  # another card makes other bytes
        digest = FileDigest(sha256=sha256_of(packed), size=packed.stat().st_size)
        _release([Built(new, packed, digest)], to)


def test_other_entries_stay(out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = Entry(kind="encoder", description="somebody else's")
    update_registry(tmp_path / "registry.json", {"other": other})
    release(out, tmp_path)
    assert read_registry(tmp_path / "registry.json").names() == ["odd", "other"]
    first = sha256_of(tmp_path / "odd.tar.gz")
    written = read_registry(tmp_path / "registry.json").entry("odd")
    people = {
        "description": "of odd sizes",
        "aliases": ["strange"],
        "sources": [NoteSource(kind="note", text="made by hand")],
        "recipe": Recipe(heads=[]),
        "history": [Published(url="https://host/odd.tar.gz", size_mib=7)],
    }
    assert written.archive is not None
    mirrors = written.archive.model_copy(update={"urls": ["https://host/odd.tar.gz", "odd.tar.gz"]})
    update_registry(tmp_path / "registry.json", {"odd": written.model_copy(update=people | {"archive": mirrors})})
    release(out, tmp_path, licence="MIT")
    gone = "odd: the new archive has other bytes, so its row no longer names https://host/odd.tar.gz."
    assert gone in [record.getMessage() for record in caplog.records]
    entry = read_registry(tmp_path / "registry.json").entry("odd")
    assert entry.archive is not None and entry.archive.sha256 == sha256_of(tmp_path / "odd.tar.gz") != first
    assert {field: getattr(entry, field) for field in people} == people and entry.licence == "MIT"
    release(out, tmp_path)
    again = read_registry(tmp_path / "registry.json").entry("odd")
    assert again.licence == "MIT", "an export that names no licence leaves the one that stands there"


class LaterEntry(Entry):
    """A row with one more field that people write. Nothing else in the project knows it."""

    colours: tuple[str, ...] = ()


def test_a_new_field_needs_no_line_elsewhere(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("zoo.registry.entry", "zoo.registry.registry", "zoo.registry.rows"):
        monkeypatch.setattr(f"{place}.Entry", LaterEntry)
    registry = tmp_path / "registry.json"
    update_registry(registry, {"odd": LaterEntry(kind="encoder", colours=("red",), licence="MIT")})
    release(out, tmp_path)
    row = json.loads(registry.read_bytes())["models"]["odd"]
    assert (row["colours"], row["licence"], row["layers"]) == (["red"], "MIT", 3) and row["archive"]
    monkeypatch.undo()  # for this version the field is one that it does not know
    card = read_card(out / "odd")
    assert isinstance(card, EncoderCard)
    release(out, tmp_path, sizes=card.sizes.model_copy(update={"layers": 2}))
    row = json.loads(registry.read_bytes())["models"]["odd"]
    assert (row["colours"], row["licence"], row["layers"]) == (["red"], "MIT", 2)


def test_a_name_that_is_taken_is_told_before_anything_is_built(odd: Path, tmp_path: Path) -> None:
    update_registry(tmp_path / "registry.json", {"other": Entry(kind="encoder", aliases=["odd"])})
    before = left(tmp_path)
    with pytest.raises(BadRegistry, match="alias 'odd' of 'other'"):
        export_encoder(EncoderRequest(odd, "odd", tmp_path))
    assert left(tmp_path) == before
    (tmp_path / "registry.json").write_text("not a registry")
    with pytest.raises(BadRegistry, match="is not a registry"):
        export_encoder(EncoderRequest(odd, "odd", tmp_path))
    assert left(tmp_path) == before


def test_dry_run_prints_the_plan_and_writes_nothing(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(odd), "--name", "odd", "--out", str(tmp_path / "new"), "--dry-run"]
    assert main(command) == 0
    assert "bert/encoder/layer_2/output/LayerNorm/beta" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unused"] == []
    assert not (tmp_path / "new").exists()


def test_verify_command_repeats_the_certificate(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "odd", "--registry", str(out / "registry.json")]) == 0  # what else it takes: test_verify.py
    assert "sequence_output" in capsys.readouterr().out


def test_what_is_packed_is_verified_as_users_get_it(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, packs = Path(shutil.copytree(out / "odd", tmp_path / "odd")), pipeline.pack

    def pack_another(directory: Path, to: Path) -> FileDigest:
        (directory / "saved_model.pb").write_bytes(b"another")
        return packs(directory, to)

    monkeypatch.setattr(pipeline, "pack", pack_another)
    with pytest.raises(BadArchive, match="saved_model.pb has 7 bytes, but the card says"):
        pipeline._pack_and_verify(read_card(directory), directory, tmp_path)


# -- tokenizers -------------------------------------------------------------------------------------------------------


def test_two_archives_of_one_vocabulary(toy_zoo: ToyZoo, out: Path) -> None:
    registry = read_registry(toy_zoo.registry)
    assert registry.names() == ["toy", "toy_tokenizer", "toy_tokenizer_preprocess"]
    digest = read_registry(out / "registry.json").entry("odd").vocabulary_sha256
    assert {registry.entry(name).vocabulary_sha256 for name in registry.names()} == {digest}
    for name, kind in (("toy_tokenizer", "tokenizer"), ("toy_tokenizer_preprocess", "preprocess")):
        card = read_card(toy_zoo.unpacked(name))
        assert isinstance(card, TokenizerCard) and card.kind == kind and card.lower_case
        assert len(card.certificate) > 8 and card.needs == ["tensorflow_text"]


def test_tokens_and_ids_mean_the_same_to_the_encoder(toy_zoo: ToyZoo, encoder: Any) -> None:
    import numpy as np
    import tensorflow as tf
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401

    names = ("toy_tokenizer", "toy_tokenizer_preprocess")
    tokenizer, preprocess = (hub.load(str(toy_zoo.unpacked(name))) for name in names)
    pairs = tf.constant([["你好 w3", "好w4"], ["你", "w5 w6 w7 好"]])
    by_tokens = encoder(tokenizer(pairs, special_tokens=True))
    by_ids = encoder(preprocess.preprocess(pairs, seq_length=16))
    np.testing.assert_allclose(by_tokens["pooled_output"], by_ids["pooled_output"], atol=2e-6)
    np.testing.assert_allclose(
        encoder(tokenizer(["你好"]))["pooled_output"], encoder([[5, 6]])["pooled_output"], atol=1e-6
    )


@pytest.mark.slow  # tests/tokenizer compares what two processes write
def test_tokenizer_archives_are_the_same_every_time(toy_zoo: ToyZoo, tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "vocab.txt", VOCABULARY)
    export_tokenizer(TokenizerRequest(tmp_path / "vocab.txt", "toy_tokenizer", tmp_path))
    for name in ("toy_tokenizer", "toy_tokenizer_preprocess"):
        assert sha256_of(tmp_path / f"{name}.tar.gz") == sha256_of(toy_zoo.archive(name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[PAD]\t1\n[UNK]\t1\n[CLS]\t2\n[SEP]\t3\n", "not the ids 0 to 3"),
        ("[PAD]\n[CLS]\n[SEP]\n[MASK]\n", r"\[UNK\]"),
    ],
)
def test_bad_vocabulary_leaves_nothing(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text(text)
    with pytest.raises(BadVocabulary, match=words):
        export_tokenizer(TokenizerRequest(tmp_path / "vocab.txt", "bad", tmp_path / "new"))
    assert left(tmp_path / "new") == []


# -- what is left after failure ---------------------------------------------------------------------------------------


def test_a_vocabulary_of_another_size(odd: Path, tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "vocab.txt", [*VOCABULARY, "x"])
    with pytest.raises(BadVocabulary, match=r"vocab.txt has 100 entries, but the model has 99 rows.*--vocab"):
        export_encoder(EncoderRequest(odd, "odd", tmp_path / "new", vocab=tmp_path / "vocab.txt"))
    assert left(tmp_path / "new") == []


def test_a_config_that_disagrees_with_the_shapes(tmp_path: Path) -> None:
    write_odd(tmp_path / "odd")
    config = json.loads((tmp_path / "odd/bert_config.json").read_text())
    (tmp_path / "odd/bert_config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(WeightMismatch, match=r"intermediate/dense/kernel is \(32, 56\), the config says \(32, 64\)"):
        export_encoder(EncoderRequest(tmp_path / "odd", "odd", tmp_path / "new"))
    assert left(tmp_path / "new") == []


@pytest.mark.parametrize("name", ["../odd", "a/b", "", ".hidden", "ein name"])
def test_names_that_cannot_be_files(name: str, odd: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot name an archive"):
        export_encoder(EncoderRequest(odd, name, tmp_path / "new"))


def _break(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Make one mistake of the kind that raises no error by itself."""
    bert = families.BERT
    tf1 = bert.layouts[0]
    scopes = dict(tf1.scopes)
    if how == "norms swapped":
        scopes["block/attention/norm"], scopes["block/ffn/norm"] = (
            scopes["block/ffn/norm"],
            scopes["block/attention/norm"],
        )
    if how == "query and key swapped with value":
        scopes["block/attention/query"], scopes["block/attention/value"] = (
            scopes["block/attention/value"],
            scopes["block/attention/query"],
        )
    activations = bert.activations
    if how == "tanh gelu":
        activations = {**activations, "tf1": {"gelu": ("gelu_tanh", "a mistake")}}
    changed = dataclasses.replace(bert, layouts=(dataclasses.replace(tf1, scopes=scopes),), activations=activations)
    monkeypatch.setattr(families, "FAMILIES", (changed,))
    if how == "another head count":
        read = planning.read_config
        monkeypatch.setattr(planning, "read_config", lambda *args: dataclasses.replace(read(*args), heads=8))
    if how == "square kernels transposed":
        read_variable = WeightPlan.read

        def transposed(plan: WeightPlan, variable: Any, checkpoint: Any) -> Any:
            value = read_variable(plan, variable, checkpoint)
            return value.T if variable.ours.endswith("attention/output/kernel") else value

        monkeypatch.setattr(WeightPlan, "read", transposed)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("norms swapped", marks=pytest.mark.slow),
        pytest.param("query and key swapped with value", marks=pytest.mark.slow),
        "tanh gelu",
        pytest.param("another head count", marks=pytest.mark.slow),
        pytest.param("square kernels transposed", marks=pytest.mark.slow),
    ],
)
def test_a_silent_mistake_fails_verification_and_loses_nothing(
    how: str, odd: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("odd.tar.gz", "registry.json"):
        shutil.copy(out / name, tmp_path / name)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    _break(monkeypatch, how)
    with pytest.raises(VerificationFailed, match=r"the first wrong layer is .*encoder_outputs\[0\]"):
        export_encoder(EncoderRequest(odd, "odd", tmp_path))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name in before} == before
    assert left(tmp_path) == sorted(before)


def test_new_directories_go_when_the_export_fails(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object, directory: Path) -> None:
        directory.mkdir()
        assert (tmp_path / "new/and/deep").exists()
        raise VerificationFailed("as if it computed something else")

    monkeypatch.setattr("export.pipeline.save_encoder", fail)
    with pytest.raises(VerificationFailed):
        export_encoder(EncoderRequest(odd, "odd", tmp_path / "new/and/deep"))
    assert not (tmp_path / "new").exists()


def test_output_that_is_a_file(odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("precious")
    assert main(["export", str(odd), "--name", "odd", "--out", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert "CannotWrite" in error and "Traceback" not in error
    assert (tmp_path / "file").read_text() == "precious"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    "filler", [0, pytest.param(200, marks=pytest.mark.slow), 360], ids=lambda kib: f"{400 - kib}KiB-free"
)
def test_a_full_disk(filler: int, odd: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small_disk / "precious").write_bytes(b"x" * filler * 1024)
    assert main(["export", str(odd), "--name", "odd", "--out", str(small_disk)]) == 2
    error = capsys.readouterr().err
    assert "CannotWrite" in error and "disk is full" in error and "Traceback" not in error
    assert left(small_disk) == ["precious"]


def test_an_unwritable_directory(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "new"))

    monkeypatch.setattr(Path, "mkdir", refuse)  # as root, permissions alone would not stop us
    with pytest.raises(CannotWrite, match="no permission"):
        export_encoder(EncoderRequest(odd, "odd", tmp_path / "new"))


def test_goldens_catch_a_changed_weight(out: Path, tmp_path: Path) -> None:
    """The certificate travels with the archive: other numbers in the same graph are noticed on any machine."""
    import tensorflow as tf

    directory = Path(shutil.copytree(out / "odd", tmp_path / "odd"))
    model = tf.saved_model.load(str(directory))
    variable = next(v for v in model.variables if "layer_1/bias_and_LayerNorm" in v.name)
    variable.assign(variable * 1.001)
    tf.train.Checkpoint(root=model).write(str(directory / "variables/variables"))  # the graph stays as it is
    from zoo.archive.card import write_card
    from zoo.archive.digests import file_digests

    card = read_card(directory)
    files = {name: digest for name, digest in file_digests(directory).items() if not name.endswith("card.json")}
    write_card(card.model_copy(update={"files": files}), directory)
    with pytest.raises(VerificationFailed, match=r"first wrong layer is .*encoder_outputs\[1\]"):
        verify(directory)
