"""Files made to harm or broken on the way: each is one clear error, nothing is run and nothing is left behind."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from export.options import EncoderRequest
from export.pipeline import export_encoder
from export.planning import plan_encoder
from export.readers import open_checkpoint
from scripts import checkpoint_writers as writers
from scripts.layouts import bert as bert_shapes, transformers_arrays
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import odd_config, write_odd, write_transformers
from zoo.errors import BadCheckpoint, CannotWrite

Arrays = dict[str, np.ndarray]
ONE = {"bert.pooler.dense.bias": np.arange(6, dtype=np.float32)}
CLAIM = 10 << 30  # bytes


@pytest.fixture(autouse=True)
def no_allocation() -> Iterator[None]:
    """No test may allocate more than a few megabytes, whatever its file claims."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a config and no weights yet."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(odd_config(model_type="bert")), encoding="utf-8")
    return made


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where archives are unpacked to; must be empty afterwards."""
    made = tmp_path / "scratch"
    made.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(made))
    yield made
    assert not any(made.iterdir()), "nothing stays behind"


def transformers() -> Arrays:
    return transformers_arrays(random_arrays(bert_shapes(odd_config())))


# -- pickles ----------------------------------------------------------------------------------------------------------

both = pytest.mark.parametrize("write", [writers.write_torch_zip, writers.write_torch_legacy])
Write = Callable[..., None]


class Runs:
    """Pickles to a call; unpickled by Python, it would leave a marker."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@both
@pytest.mark.parametrize(
    ("function", "named"), [(os.system, "posix.system"), (eval, "__builtin__.eval"), (os.mkdir, "posix.mkdir")]
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_something(
    write: Write, function: Callable[..., Any], named: str, protocol: int, folder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    touch = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    argument = {"posix.system": f"touch {marker}", "posix.mkdir": str(marker)}.get(named, touch)
    evil = pickle.dumps({"bert.pooler.dense.bias": Runs(function, argument)}, protocol)
    write(folder / "pytorch_model.bin", {}, pickle=evil)
    words = named.replace("__builtin__", "builtins" if protocol == 4 else "__builtin__")
    with pytest.raises(
        BadCheckpoint, match=rf"pytorch_model.bin.*asks for '{words}'.*nothing of it was run.*state_dict"
    ):
        open_checkpoint(folder)
    assert not marker.exists()
    pickle.loads(evil)
    assert marker.exists(), "the pickle is as evil as it claims"


@both
@pytest.mark.parametrize(
    "name",
    [
        b"torch.nn.modules.linear\nLinear",  # a whole module was saved
        b"numpy.core.multiarray\nfromstring",
        b"torch.hub\nload",
        b"collections\nOrderedDict.fromkeys",
        b"torch._utils\n__builtins__",
        b"builtins\ngetattr",
    ],
)
def test_only_known_names(write: Write, name: bytes, folder: Path) -> None:
    write(folder / "pytorch_model.bin", {}, pickle=b"\x80\x02c" + name + b"\n)R.")
    with pytest.raises(BadCheckpoint, match="nothing of it was run"):
        open_checkpoint(folder)


@both
@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02}.",
        b"\x80\x02]].",
        b"\x80\x02}]]s.",  # a list as a key
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02)R.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02h\x05.",  # a memo that is not there
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02Q.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x05\x96" + struct.pack("<Q", CLAIM) + b".",  # a bytearray of 10 GB
        b"\x80\x04\x8d" + struct.pack("<Q", CLAIM) + b".",  # a text of 10 GB
        b"\x80\x02X\xff\xff\xff\x7f.",
        b"\x80\x02NNr\xff\xff\xff\x7f.",  # a memo of 2 billion entries
        b"\x80\x02" + b"(" * 10000 + b"t" * 10000 + b".",
    ],
)
def test_damaged_pickles(write: Write, pickled: bytes, folder: Path) -> None:
    write(folder / "pytorch_model.bin", {}, pickle=pickled)
    with pytest.raises(
        BadCheckpoint, match=r"pytorch_model.bin cannot be read: (its pickle is damaged|it should hold a dict)"
    ):
        open_checkpoint(folder)


def tensor(shape: bytes, strides: bytes, offset: bytes = b"K\x00", elements: bytes = b"K\x06") -> bytes:
    """A pickle of one tensor over storage '0' of six numbers."""
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + elements + b"tQ"
    )
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89}tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + rebuilt + b"s."


HUGE = b"\x8a\x05" + (CLAIM).to_bytes(5, "little")


@both
@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        (tensor(b"K\x07\x85", b"K\x01\x85"), "claims 7 elements, its storage has 6"),
        (tensor(b"K\x06\x85", b"K\x01\x85", offset=b"K\x01"), "claims 6 elements"),
        (tensor(b"K\x02\x85", b"K\x06\x85"), "claims 2 elements"),
        (tensor(HUGE + b"\x85", b"K\x01\x85"), "claims 10,737,418,240 elements"),
        (tensor(HUGE + b"\x85", b"K\x00\x85"), "claims 10,737,418,240 elements"),  # one number, repeated
        (
            tensor(HUGE + b"\x85", b"K\x01\x85", elements=HUGE),
            r"claims 42,949,672,960 bytes|needs 42,949,672,960 bytes",
        ),
        (tensor(b"J\xff\xff\xff\xff\x85", b"K\x01\x85"), "no number"),
        (tensor(b"K\x01\x85", b"J\xff\xff\xff\xff\x85"), "no number"),
        (tensor(b"K\x01\x85", b"K\x01K\x01\x86"), "more or fewer strides"),
        (tensor(b"K\x01\x85", b"K\x01\x85", offset=b"J\xff\xff\xff\xff"), "no number"),
        (tensor(b"X\x01\x00\x00\x00a", b"K\x01\x85"), "no list"),
    ],
)
def test_tensors_that_reach_outside_of_their_storage(write: Write, pickled: bytes, words: str, folder: Path) -> None:
    write(folder / "pytorch_model.bin", ONE, pickle=pickled)
    with pytest.raises(BadCheckpoint, match=words):
        open_checkpoint(folder)


@both
def test_attributes_change_nothing(write: Write, folder: Path) -> None:
    """Python's own BUILD would move the tensor to before its storage, and give the known functions other defaults."""
    plain, weights = writers.state_dict_pickle(ONE), folder / "pytorch_model.bin"
    moved = plain.removesuffix(b"u.") + b"}X\6\0\0\0offsetJ\xfd\xff\xff\xffsb" + b"u."
    defaults = b"N}X\x0c\0\0\0__defaults__](X\1\0\0\0xK\1\x86e\x85s\x86b"
    changed = plain.replace(b"ccollections\nOrderedDict\n", b"ccollections\nOrderedDict\n" + defaults)
    for pickled in (moved, changed, plain):
        write(weights, ONE, pickle=pickled)
        checkpoint = open_checkpoint(folder)
        (name,) = checkpoint.shapes
        np.testing.assert_array_equal(checkpoint.read(name), ONE[name])


@both
def test_more_than_a_state_dict(write: Write, folder: Path) -> None:
    write(folder / "pytorch_model.bin", {}, pickle=b"\x80\x02}X\x05\x00\x00\x00epochK\x03s.")
    with pytest.raises(BadCheckpoint, match=r"1 of 1 entries are not tensors \(epoch\). Save the state_dict alone"):
        open_checkpoint(folder)


@both
def test_bin_cut_short_anywhere(write: Write, folder: Path) -> None:
    weights = folder / "pytorch_model.bin"
    write(weights, ONE)
    whole = weights.read_bytes()
    for size in range(len(whole)):
        weights.write_bytes(whole[:size])
        with pytest.raises(BadCheckpoint, match=r"pytorch_model.bin"):
            open_checkpoint(folder)


@both
def test_bin_with_a_flipped_byte_is_an_error_or_the_same(write: Write, folder: Path) -> None:
    """A zip has checksums. Before 1.6 there were none: numbers may change, but nothing else happens than an error."""
    weights = folder / "pytorch_model.bin"
    write(weights, ONE)
    whole = weights.read_bytes()
    (name, array), *_ = ONE.items()
    for position in range(len(whole)):
        weights.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            checkpoint = open_checkpoint(folder)
            found = {name: checkpoint.read(name) for name in checkpoint.shapes}
        except BadCheckpoint:
            continue
        if write is writers.write_torch_zip and name in found:
            np.testing.assert_array_equal(found[name], array)


def test_a_zip_that_claims_ten_gigabytes(folder: Path) -> None:
    weights = folder / "pytorch_model.bin"
    writers.write_torch_zip(weights, ONE)
    whole = weights.read_bytes()
    record = whole.index(b"archive/data/0", whole.index(b"PK\x01\x02"))  # in the directory at the end
    claim = struct.pack("<I", 0xF0000000)
    weights.write_bytes(whole[: record - 26] + claim + claim + whole[record - 18 :])
    with pytest.raises(BadCheckpoint, match=r"archive/data/0 claims 4,026,531,840 bytes, more than the file holds"):
        open_checkpoint(folder)


def test_a_description_of_many_megabytes(folder: Path) -> None:
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(20 << 20))
    with pytest.raises(BadCheckpoint, match=r"data.pkl claims 20,971,520 bytes; at most 16,777,216"):
        open_checkpoint(folder)


def test_other_zips_and_other_files(folder: Path) -> None:
    weights = folder / "pytorch_model.bin"
    with zipfile.ZipFile(weights, "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(BadCheckpoint, match=r"a zip that torch.save did not write"):
        open_checkpoint(folder)
    weights.write_bytes(b"hello")
    with pytest.raises(BadCheckpoint, match=r"not a file of torch.save"):
        open_checkpoint(folder)
    writers.write_torch_zip(weights, ONE, byteorder=b"big")
    with pytest.raises(BadCheckpoint, match=r"big-endian"):
        open_checkpoint(folder)
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 411577189\n")
    with pytest.raises(BadCheckpoint, match=r"git-lfs pointer, not the weights. Run `git lfs pull`"):
        open_checkpoint(folder)


# -- shards -----------------------------------------------------------------------------------------------------------


def shards(folder: Path) -> Path:
    items = sorted(transformers().items())
    parts = {f"part-{i}.bin": dict(items[i::4]) for i in range(4)}
    writers.write_sharded(folder, parts, "pytorch_model.bin.index.json", writers.write_torch_zip)
    return folder / "pytorch_model.bin.index.json"


def test_all_missing_shards_at_once(folder: Path) -> None:
    shards(folder)
    (folder / "part-1.bin").unlink()
    (folder / "part-3.bin").unlink()
    with pytest.raises(BadCheckpoint, match=r"names 4 shards, but 2 are missing: part-1.bin, part-3.bin. Fetch them"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["../part-0.bin", "/etc/passwd", "a/b.bin", "..", "a\\b.bin"])
def test_shards_outside_of_the_directory(name: str, folder: Path) -> None:
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(BadCheckpoint, match="names shards outside of its directory|are missing"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[" * 100_000, '{"weight_map": []}', '{"weight_map": {"x": 1}}', "\x00"]
)
def test_an_index_that_is_none(content: str, folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(BadCheckpoint, match="is not an index of shards"):
        open_checkpoint(folder)


def test_an_index_that_promises_more_or_twice(folder: Path) -> None:
    index = shards(folder)
    content = json.loads(index.read_text())
    content["weight_map"]["bert.more"] = "part-0.bin"
    index.write_text(json.dumps(content))
    with pytest.raises(BadCheckpoint, match="names 1 variables that its shards do not hold: bert.more"):
        open_checkpoint(folder)
    (folder / "part-1.bin").write_bytes((folder / "part-0.bin").read_bytes())
    with pytest.raises(BadCheckpoint, match="are in several shards"):
        open_checkpoint(folder)


# -- safetensors and h5 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", CLAIM) + b"{}",
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", 2) + b"{}"[:1],
        struct.pack("<Q", 68) + b'{"w":{"dtype":"F32","shape":[2684354560],"data_offsets":[0,10737418240]}}',
    ],
)
def test_safetensors_that_claim_ten_gigabytes(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(BadCheckpoint, match=r"model.safetensors cannot be read: .*Fetch it again"):
        open_checkpoint(folder)


def test_h5_cut_short(folder: Path) -> None:
    weights = folder / "tf_model.h5"
    writers.write_h5(weights, random_arrays(bert_shapes(odd_config())))
    whole = weights.read_bytes()
    for part in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:part])
        with pytest.raises(BadCheckpoint, match=r"tf_model.h5 cannot be read: .*Fetch it again"):
            open_checkpoint(folder)


def test_h5_that_claims_ten_gigabytes_or_reads_elsewhere(folder: Path) -> None:
    weights = folder / "tf_model.h5"
    with h5py.File(weights, "w") as opened:
        opened.create_dataset("bert/w:0", (CLAIM // 4,), np.float32, chunks=(1024,))
    with pytest.raises(
        BadCheckpoint, match=r"'bert/w:0' of .* claims 10,737,418,240 bytes, but the file holds 0 of them"
    ):
        open_checkpoint(folder)
    with h5py.File(weights, "w") as opened:
        opened.create_dataset("bert/w:0", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    with pytest.raises(BadCheckpoint, match=r"takes its numbers from another file"):
        open_checkpoint(folder)
    with h5py.File(weights, "w") as opened:
        opened["bert/w:0"] = h5py.ExternalLink("/etc/hostname", "/")
        opened["bert/v:0"] = h5py.SoftLink("/bert")
    assert open_checkpoint(folder).shapes == {}
    with h5py.File(weights, "w") as opened:
        opened["bert/w:0"] = "text"
    with pytest.raises(BadCheckpoint, match=r"holds object, not an array of numbers"):
        open_checkpoint(folder)


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(bad: float, tmp_path: Path) -> None:
    arrays = write_odd(tmp_path / "tf1")
    arrays["bert/pooler/dense/bias"][3] = bad
    arrays["bert/encoder/layer_1/attention/self/key/kernel"][0, 0] = bad
    arrays["cls/predictions/output_bias"][:] = bad  # not exported, so no harm
    write_transformers(tmp_path / "hf", arrays)
    request = EncoderRequest(tmp_path / "hf", "odd", tmp_path / "out")
    with pytest.raises(
        BadCheckpoint,
        match=r"NaN or infinite numbers in 2 variables: .*layer.1.attention.self.key.weight.*, bert.pooler.dense.bias",
    ):
        export_encoder(request)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [np.complex64, np.int64])
def test_weights_that_are_no_floating_point_numbers(kind: Any, tmp_path: Path) -> None:
    """As float32 they would lose their imaginary parts, or mean something else than was stored."""
    arrays = write_transformers(tmp_path / "hf", write_odd(tmp_path / "tf1"))
    name = "bert.pooler.dense.weight"
    storage = {**arrays, name: (arrays[name] * 10).astype(kind)}
    (tmp_path / "hf/model.safetensors").unlink()
    writers.write_torch_zip(tmp_path / "hf/pytorch_model.bin", storage)
    plan = plan_encoder(EncoderRequest(tmp_path / "hf", "odd", tmp_path / "out"))
    (pooler,) = (each for each in plan.plan.variables if name in each.sources)
    with pytest.raises(BadCheckpoint, match=f"'{name}' of .* holds {np.dtype(kind)}, and no floating-point numbers"):
        plan.plan.read(pooler, plan.checkpoint)


# -- archives ---------------------------------------------------------------------------------------------------------

OUTSIDE = ["../evil.bin", "a/../../evil.bin", "/evil.bin", "..\\evil.bin", "C:\\evil.bin", "C:/evil.bin"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_zip_that_leads_outside(name: str, tmp_path: Path, scratch: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("config.json", json.dumps(odd_config()))
        archive.writestr(name, "evil")
    with pytest.raises(BadCheckpoint, match=r"evil.bin', which leads outside of its directory. Not unpacked"):
        open_checkpoint(tmp_path / "evil.zip")
    assert not [*tmp_path.rglob("*evil.bin")] and not Path("/evil.bin").exists()


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_tar_that_leads_outside(name: str, tmp_path: Path, scratch: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(BadCheckpoint, match=r"evil.bin', which leads outside of its directory. Not unpacked"):
        open_checkpoint(tmp_path / "evil.tar.gz")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE])
def test_links_and_devices_in_a_tar(kind: bytes, tmp_path: Path, scratch: Path) -> None:
    info = tarfile.TarInfo("pytorch_model.bin")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.addfile(info)
    with pytest.raises(
        BadCheckpoint, match="pytorch_model.bin', which is a link, a device or a sparse file, not a file"
    ):
        open_checkpoint(tmp_path / "evil.tar.gz")


def test_links_twice_and_encrypted_in_a_zip(tmp_path: Path, scratch: Path) -> None:
    evil = tmp_path / "evil.zip"
    link = zipfile.ZipInfo("pytorch_model.bin")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadCheckpoint, match="pytorch_model.bin', which is a symbolic link"):
        open_checkpoint(evil)
    with zipfile.ZipFile(evil, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
        archive.writestr("config.json", "{}")
    with pytest.raises(BadCheckpoint, match="holds 'config.json' twice"):
        open_checkpoint(evil)
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("config.json", "{}")
    content = bytearray(evil.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    evil.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="config.json', which is encrypted"):
        open_checkpoint(evil)


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_an_archive_larger_than_the_disk(ending: str, tmp_path: Path, scratch: Path) -> None:
    archive, claim = tmp_path / f"large.{ending}", 1 << 50
    if ending == "zip":
        info = zipfile.ZipInfo("pytorch_model.bin")
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(info, "small")
            info.file_size = claim
    else:
        member = tarfile.TarInfo("pytorch_model.bin")
        member.size = claim
        archive.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(CannotWrite, match=r"needs 1,125,899,906,842,624 bytes up to 'pytorch_model.bin', .*TMPDIR"):
        open_checkpoint(archive)


def test_a_tar_whose_header_claims_ten_gigabytes(tmp_path: Path, scratch: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, CLAIM
    (tmp_path / "evil.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    with pytest.raises(BadCheckpoint, match=r"evil.tar.gz is damaged: a header claims 10,737,418,240 bytes"):
        open_checkpoint(tmp_path / "evil.tar.gz")


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_archives_cut_short_or_flipped(ending: str, tmp_path: Path, scratch: Path) -> None:
    archive = tmp_path / f"odd.{ending}"
    config = json.dumps(odd_config()).encode()
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("config.json", config)
    else:
        (tmp_path / "config.json").write_bytes(config)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tmp_path / "config.json", "config.json")
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0x55
    for content in (*(whole[:size] for size in range(0, len(whole), 7)), bytes(flipped)):
        archive.write_bytes(content)
        with pytest.raises(BadCheckpoint, match=rf"odd.{ending} is damaged: .*Fetch it again"):
            open_checkpoint(archive)
