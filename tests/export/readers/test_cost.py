"""Files that cost a reader far more than they hold, or its process: each is one error, found before it is built on."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

from export.inspect import inspect_checkpoint
from export.readers import open_checkpoint
from export.release.fetching import fetch_file
from scripts import checkpoint_writers as writers
from scripts.fuzz.table import masked_crc32c, write_table
from tests.export.conftest import odd_config, write_odd, write_transformers
from zoo.archive.tensor_table import BadTable, read_table
from zoo.command import main
from zoo.errors import BadCheckpoint, BadConfig, DownloadFailed

ONE = {"bert.pooler.dense.bias": np.arange(6, dtype=np.float32)}
SECONDS = 10


@pytest.fixture(autouse=True)
def ten_seconds() -> Iterator[None]:
    start = time.process_time()  # and not by the clock: the machine may have more to do
    yield
    assert time.process_time() - start < SECONDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a config and no weights yet."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(odd_config(model_type="bert")), encoding="utf-8")
    return made


# -- TensorFlow's index: its own reader ends the process over most of these -------------------------------------------

DATA = np.arange(16, dtype=np.float32)


def entry(*shape: int, **changes: Any) -> bytes:
    """The entry of 16 numbers at the beginning of the data file, or a lie about it."""
    made = BundleEntryProto(dtype=types_pb2.DT_FLOAT, size=64, crc32c=masked_crc32c(DATA.tobytes()))
    for size in shape or (4, 4):
        made.shape.dim.add(size=size)
    for name, value in changes.items():
        setattr(made, name, value)
    return made.SerializeToString()


def header(**changes: Any) -> bytes:
    made = BundleHeaderProto(**({"num_shards": 1} | changes))
    made.version.producer = 1
    return made.SerializeToString()


def write_index(folder: Path, *entries: tuple[bytes, bytes], head: bytes | None = None) -> None:
    (folder / "m.data-00000-of-00001").write_bytes(DATA.tobytes())
    (folder / "m.index").write_bytes(write_table([(b"", header() if head is None else head), *entries]))


def test_an_index_that_is_right(folder: Path) -> None:
    """The table that the other tests write is one, so they fail for the reason they give."""
    write_index(folder, (b"w", entry()))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.shapes == {"w": (4, 4)}
    np.testing.assert_array_equal(checkpoint.read("w"), DATA.reshape(4, 4))


def unknown_rank() -> bytes:
    made = BundleEntryProto.FromString(entry())
    made.shape.unknown_rank = True
    return made.SerializeToString()


def in_parts(*extents: tuple[int, int]) -> bytes:
    made = BundleEntryProto.FromString(entry(size=0))
    part = made.slices.add()
    for start, length in extents:
        part.extent.add(start=start, length=length)
    return made.SerializeToString()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (entry(2**32, 2**32), "has the impossible shape (4294967296, 4294967296)"),
        (entry(0, 2**62, 2**62, size=0), "has the impossible shape"),
        (entry(-4, -4), r"has the impossible shape \(-4, -4\)"),
        (entry(*[1] * 300), "has the impossible shape"),
        (unknown_rank(), "has the impossible shape"),
        (entry(dtype=101), "is of type 101, which is not a type of weights"),  # a reference
        (entry(dtype=77), "is of type 77"),
        (entry(dtype=types_pb2.DT_RESOURCE), "is of type 20"),
        (b"\xff" * 30, "Error parsing message|cannot be read"),
        (entry(size=60), r"has 60 bytes, but its shape \(4, 4\) and type need 64"),
        (entry(size=-1), "lies at the impossible place"),
        (entry(offset=-64), "lies at the impossible place -64 of data file 0"),
        (entry(offset=1), "cut short: its index promises 65 bytes, but it has 64"),
        (entry(offset=2**62), "is cut short"),
        (entry(shard_id=1), r"no data file beside it \(m.data-00001-of-00001\)"),
        (entry(shard_id=-1), "impossible place 0 of data file -1"),
        (entry(dtype=types_pb2.DT_STRING, size=2**40), "more text than a checkpoint"),
        (in_parts((0, 2), (0, 4)), "parts of b'w' differ from those that its entry lists"),
        (in_parts((0, 2)), "has 1 extents"),
        (in_parts((3, 2), (0, 4)), "begins at 3 and has the length 2"),
        (in_parts((-(2**63), 2**63 - 1), (0, 4)), "begins at -9223372036854775808"),
    ],
)
def test_an_entry_that_no_writer_makes(value: bytes, words: str, folder: Path) -> None:
    write_index(folder, (b"w", value))
    words = words.replace("(4294967296, 4294967296)", r"\(4294967296, 4294967296\)")
    with pytest.raises(BadCheckpoint, match=rf"m\.index cannot be read: .*({words})"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"a\0b", "names with control"),
        (b"\x1b[31m", "1 names with control .*: '.x1b.31m'"),
    ],
)
def test_a_name_that_is_none(key: bytes, words: str, folder: Path) -> None:
    write_index(folder, (key, entry()))
    with pytest.raises(BadCheckpoint, match=words):
        open_checkpoint(folder)


def test_headers_and_entries_that_lie_over_each_other(folder: Path) -> None:
    write_index(folder, (b"v", entry()), (b"w", entry()))
    with pytest.raises(BadCheckpoint, match="several of its entries share bytes of m.data-00000-of-00001"):
        open_checkpoint(folder)
    write_index(folder, (b"w", entry()), head=header(endianness=BundleHeaderProto.BIG))
    with pytest.raises(BadCheckpoint, match="big-endian"):
        open_checkpoint(folder)
    write_index(folder, (b"w", entry()), head=header(num_shards=-5))
    with pytest.raises(BadCheckpoint, match="claims -5 data files"):
        open_checkpoint(folder)
    write_index(folder)
    with pytest.raises(BadCheckpoint, match="it holds no variables"):
        open_checkpoint(folder)


def test_a_text_that_claims_a_terabyte(folder: Path) -> None:
    """TensorFlow makes room for it before it reads: the lengths have a checksum, which anybody can write."""
    length = b"\x80\x80\x80\x80\x01"  # 2**28
    text = length + masked_crc32c(struct.pack("<Q", 2**28)).to_bytes(4, "little")
    text += bytes(64 - len(text))
    write_index(folder, (b"w", entry(1, dtype=types_pb2.DT_STRING, size=64)))
    (folder / "m.data-00000-of-00001").write_bytes(text)
    with pytest.raises(BadCheckpoint, match="the lengths of its texts do not add up to the bytes of the entry"):
        open_checkpoint(folder).read("w")


def test_a_table_in_which_a_search_finds_something_else() -> None:
    """A search begins at the offsets behind a block; one may point into a value that looks like an entry."""
    table = write_table([(b"a", b"1"), (b"b", b"2")])
    assert read_table(table) == {b"a": b"1", b"b": b"2"}
    assert list(read_table(write_table([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")], 1)))[-1] == b"c"
    block = b"\0\1\1a1" + b"\0\1\1b2"
    for offsets in ([0, 3], [0, 5, 7], [1], [0, 5, 5], [5, 0], [0, 2**31]):
        damaged = block + b"".join(each.to_bytes(4, "little") for each in (*offsets, len(offsets)))
        with pytest.raises(BadTable):
            read_table(with_first_block(damaged))
    read_table(with_first_block(block + struct.pack("<III", 0, 5, 2)))
    for entries in ([(b"b", b""), (b"a", b"")], [(b"a", b""), (b"a", b"")]):
        with pytest.raises(BadTable, match="not in order"):
            read_table(write_table(entries))


def with_first_block(block: bytes) -> bytes:
    """A table of one block: its handle, [0, size], under the key b, then the handles of an empty block and of that."""
    index = b"\0\1\2b\0" + bytes([len(block)]) + struct.pack("<II", 0, 1)
    first, second = (each + b"\0" + masked_crc32c(each + b"\0").to_bytes(4, "little") for each in (block, index))
    start = len(first)
    handles = bytes([0, 0, start, len(index)])
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    return first + second + handles.ljust(40, b"\0") + magic


def test_variables_in_parts_are_read_as_a_whole(folder: Path) -> None:
    """As TF1's partitioner saves a large table; parts begin beyond 63 too, which are written in two bytes."""
    table = np.arange(9000 * 2, dtype=np.float32).reshape(9000, 2)
    cuts = {"0,70:-": table[:70], "70,100:-": table[70:170], "170,8830:-": table[170:]}
    tf.raw_ops.SaveV2(
        prefix=str(folder / "m"),
        tensor_names=["w"] * 3,
        shape_and_slices=[f"9000 2 {cut}" for cut in cuts],
        tensors=[tf.constant(part) for part in cuts.values()],
    )
    checkpoint = open_checkpoint(folder)
    assert checkpoint.shapes == {"w": (9000, 2)}
    np.testing.assert_array_equal(checkpoint.read("w"), table)


# -- pickles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("brackets", [b"(", b"]", b"(t"])
def test_a_pickle_of_sixteen_million_brackets(brackets: bytes, folder: Path) -> None:
    content = b"\x80\x02" + brackets * ((1 << 24) // len(brackets) - 10) + b"."
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", content)
    assert (folder / "pytorch_model.bin").stat().st_size < 32 << 10
    with pytest.raises(BadCheckpoint, match="its pickle takes more than 300,000 steps"):
        open_checkpoint(folder)


def test_a_pickle_that_uses_one_long_list_again_and_again(folder: Path) -> None:
    pairs = b"](" + b"K\x01K\x01\x86" * 10_000 + b"eq\0"
    calls = b"ccollections\nOrderedDict\nq\1" + b"h\1h\0\x85R" * 10_000
    writers.write_torch_zip(folder / "pytorch_model.bin", {}, pickle=b"\x80\x02" + pairs + calls + b"}.")
    with pytest.raises(BadCheckpoint, match="more than 300,000 steps"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"}(", b"tK\1s"), (b"}((", b"tK\1u"), (b"ccollections\nOrderedDict\n](", b"tK\1\x86a\x85R")],
)
def test_a_pickle_whose_key_is_nested(before: bytes, after: bytes, folder: Path) -> None:
    """Python hashes a tuple that holds the tuple before twice, 60 times over, in 2 ** 60 steps."""
    nested = b"K\1\x85q\0" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    writers.write_torch_zip(folder / "pytorch_model.bin", {}, pickle=b"\x80\2" + before + nested + after + b".")
    with pytest.raises(BadCheckpoint, match="a key that is neither text nor number"):
        open_checkpoint(folder)


def test_a_legacy_file_whose_keys_are_nested(folder: Path) -> None:
    """As text, a list that holds the list before twice, 60 times over, would have 2 ** 60 brackets."""
    weights = folder / "pytorch_model.bin"
    writers.write_torch_legacy(weights, ONE)
    whole = weights.read_bytes()
    keys = whole.index(b"\x80\x02](")
    nested = b"]q\0" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(60))
    weights.write_bytes(whole[:keys] + b"\x80\x02](" + nested + b"e.")
    with pytest.raises(BadCheckpoint, match="its list of storages differs from the storages that its tensors use"):
        open_checkpoint(folder)


def test_tensors_without_end(folder: Path) -> None:
    weights = folder / "pytorch_model.bin"
    for sizes, words in [(b"K\x01" * 9, "a tensor of 9 dimensions"), (b"\x8a\xff" + b"\x7f" * 255, "no number")]:
        storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\6tQ"
        shape = b"(" + sizes + b"t"
        rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + shape * 2 + b"\x89}tR"
        writers.write_torch_zip(weights, ONE, pickle=b"\x80\x02}X\1\0\0\0w" + rebuilt + b"s.")
        with pytest.raises(BadCheckpoint, match=words):
            open_checkpoint(folder)


def test_many_tensors_of_the_same_bytes(folder: Path) -> None:
    """A gigabyte that a thousand tensors share would be a terabyte of model. A tied word table is no more than that."""
    array = np.arange(6, dtype=np.float32)
    writers.write_torch_zip(folder / "pytorch_model.bin", ONE, pickle=writers.state_dict_pickle({"a": array}))
    assert open_checkpoint(folder).shapes == {"a": (6,)}
    shared = writers.state_dict_pickle({"a": array}).removesuffix(b"u.")
    one = shared[shared.index(b"X\1\0\0\0a") :]
    more = b"".join(one.replace(b"\1\0\0\0a", b"\1\0\0\0%c" % (97 + i), 1) for i in range(1, 9))
    writers.write_torch_zip(folder / "pytorch_model.bin", ONE, pickle=shared + more + b"u.")
    with pytest.raises(
        BadCheckpoint, match="its tensors claim 216 bytes, but it stores 24: too many tensors share bytes"
    ):
        open_checkpoint(folder)


# -- archives ---------------------------------------------------------------------------------------------------------


def zip_of(file: Path, *names: str, content: bytes = b"x", method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is; the constructor would mend it
            archive.writestr(info, content, method)
    return file


@pytest.mark.parametrize("name", ["", "\0.bin", "a\nb.bin", "a" * 300 + ".bin", "a/" * 1500 + "b.bin"])
def test_a_zip_with_a_name_that_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="which is not a usable file name. Not unpacked|is damaged"):
        open_checkpoint(zip_of(tmp_path / "evil.zip", name))


def test_a_zip_with_a_file_in_place_of_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"holds 'a\.bin/b\.bin' twice"):
        open_checkpoint(zip_of(tmp_path / "evil.zip", "a.bin", "a.bin/b.bin"))


def test_a_zip_that_takes_a_dictionary_of_gigabytes(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="'a.bin', which is compressed with an unusual method, not a file"):
        open_checkpoint(zip_of(tmp_path / "evil.zip", "a.bin", method=zipfile.ZIP_LZMA))


def test_a_zip_or_tar_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.limits._MOST_WITHOUT_RATIO", 4 << 20, raising=False)  # not a minute of zeros
    zeros = bytes(32 << 20)
    with pytest.raises(BadCheckpoint, match=r"has .* bytes and claims to unpack to 33,554,432 up to 'a\.bin'"):
        open_checkpoint(zip_of(tmp_path / "evil.zip", "a.bin", content=zeros, method=zipfile.ZIP_DEFLATED))
    info = tarfile.TarInfo("notes.pdf")  # which nobody needs
    info.size = len(zeros)
    with gzip.open(tmp_path / "evil.tar.gz", "wb") as file:
        file.write(info.tobuf() + zeros)
    with pytest.raises(BadCheckpoint, match="evil.tar.gz is damaged: it unpacks to more than 4,194,304 bytes"):
        open_checkpoint(tmp_path / "evil.tar.gz")


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_a_download_that_unpacks_to_far_more(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.limits._MOST_WITHOUT_RATIO", 4 << 20, raising=False)
    file, zeros = tmp_path / f"evil.{ending}", bytes(32 << 20)
    if ending == "zip":
        zip_of(file, "a.bin", content=zeros, method=zipfile.ZIP_DEFLATED)
    else:
        file.write_bytes(gzip.compress(zeros))
    with pytest.raises(DownloadFailed, match="the file that it sends is damaged: it (claims to unpack|unpacks) to"):
        fetch_file(str(file), tmp_path / "place")
    if ending == "zip":
        zip_of(file, "")
        fetch_file(str(file), tmp_path / "other")  # whole, whatever its names are


def test_archives_of_many_members_or_headers(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="holds more than 10,000 members"):
        open_checkpoint(zip_of(tmp_path / "evil.zip", *(f"{i}.pdf" for i in range(10_001))))
    tar = tmp_path / "evil.tar.gz"
    tar.write_bytes(gzip.compress(tarfile.TarInfo("a.pdf").tobuf() * 10_001, 1))
    with pytest.raises(BadCheckpoint, match="holds more than 10,000 members"):
        open_checkpoint(tar)
    tar.write_bytes(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 1_000_000)  # gzip's header with a name in it
    with pytest.raises(BadCheckpoint, match="it consists of gzip headers without data"):
        open_checkpoint(tar)
    tar.write_bytes(gzip.compress(b"") * 40_000)
    with pytest.raises(BadCheckpoint, match="it consists of gzip headers without data"):
        open_checkpoint(tar)


def test_a_zip_whose_directory_is_large(tmp_path: Path) -> None:
    small = io.BytesIO()
    with zipfile.ZipFile(small, "w") as archive:
        archive.writestr("a.bin", "x")
    content = small.getvalue()
    start = content.index(b"PK\1\2")
    entry, end = content[start : content.index(b"PK\5\6")], bytearray(content[content.index(b"PK\5\6") :])
    end[12:16] = struct.pack("<I", len(entry) * 100_000)
    (tmp_path / "evil.zip").write_bytes(content[:start] + entry * 100_000 + end)
    with pytest.raises(BadCheckpoint, match="its directory claims 5,100,000 bytes"):
        open_checkpoint(tmp_path / "evil.zip")


# -- h5, safetensors --------------------------------------------------------------------------------------------------


def test_an_h5_with_names_of_two_types(folder: Path) -> None:
    with h5py.File(folder / "tf_model.h5", "w") as opened:
        opened["w"] = DATA
        opened[b"\xff\xfe"] = DATA
    with pytest.raises(BadCheckpoint, match=r"tf_model\.h5"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda h5: h5.create_dataset("w", (4, 4), chunks=(4096, 4096), maxshape=(None, None)), "claims 64 bytes"),
        (lambda h5: h5.create_dataset("w", data=DATA, compression="gzip"), "compressed or cut short"),
        (lambda h5: h5.create_dataset("w", data=DATA, chunks=(4,), shuffle=True), "compressed or cut short"),
        (lambda h5: h5.create_dataset("w", data=DATA.reshape([16, *[1] * 15])), "not an array of numbers"),
        (lambda h5: h5.create_group("/".join("a" * 40)), "entries, or groups nested more than 32 deep"),
        (lambda h5: h5.create_dataset("w\n\x1b[0m", data=DATA), "1 names with control characters"),
    ],
)
def test_an_h5_that_keras_does_not_write(write: Callable[[Any], Any], words: str, folder: Path) -> None:
    with h5py.File(folder / "tf_model.h5", "w") as opened:
        write(opened)
    with pytest.raises(BadCheckpoint, match=words):
        open_checkpoint(folder)


def test_safetensors_of_many_dimensions_or_names(folder: Path) -> None:
    weights = folder / "model.safetensors"
    save_file({"w": DATA.reshape([16, *[1] * 20])}, weights)
    with pytest.raises(BadCheckpoint, match="21 dimensions in 'w'"):
        open_checkpoint(folder)
    text = json.dumps({f"{i:060}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(40_000)})
    weights.write_bytes(struct.pack("<Q", len(text)) + text.encode())
    with pytest.raises(BadCheckpoint, match=r"a header of [\d,]+ bytes; at most 4,194,304 are read"):
        open_checkpoint(folder)
    text = json.dumps({f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_001)})
    weights.write_bytes(struct.pack("<Q", len(text)) + text.encode())
    with pytest.raises(BadCheckpoint, match="holds 20,001 variables; at most 20,000 are read"):
        open_checkpoint(folder)
    save_file({"w\u2028\x9b31m": DATA}, weights)
    with pytest.raises(
        BadCheckpoint, match=r"1 names with control characters or of more than 500 characters: 'w\\u2028\\x9b31m'"
    ):
        open_checkpoint(folder)


# -- configs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("num_hidden_layers", 100_000_000, "'num_hidden_layers' is 100000000, more than the 128 that are converted"),
        ("num_hidden_layers", 10**4000, "'num_hidden_layers' is 1000000000"),
        ("vocab_size", 10**4000, "'vocab_size' is 10000000.*…, more than the 2,147,483,648"),
        ("hidden_size", 4 * 10**3000, "'hidden_size' is 4000"),
        ("intermediate_size", 2**40, "'intermediate_size' is 1099511627776, more than"),
        ("max_position_embeddings", [[]] * 10_000, "max_position_embeddings' is .*…, not a positive"),
        ("hidden_act", ["gelu"], "'hidden_act' is "),
        ("layer_norm_eps", 10**4000, "'layer_norm_eps' is "),
    ],
)
def test_numbers_of_a_config_are_bounded(key: str, value: Any, words: str, tmp_path: Path) -> None:
    write_odd(tmp_path)
    change_config(tmp_path, **{key: value})
    with pytest.raises(BadConfig, match=words) as caught:
        inspect_checkpoint(tmp_path)
    assert len(str(caught.value)) < 2000


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "bert_config.json").read_bytes())
    (folder / "bert_config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("layout", ["albert", "albert_brightmart"])
def test_layers_that_share_a_block_are_bounded_too(layout: str, tmp_path: Path) -> None:
    write_odd(tmp_path, family=layout)
    change_config(tmp_path, num_hidden_layers=100_000_000)
    with pytest.raises(BadConfig, match="more than the 128 that are converted"):
        inspect_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"hidden_size": ' + b"[" * 40 + b"]" * 40 + b"}", "nested more than 32 deep"),
        (b'{"hidden_size": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"hidden_size": [' + b"[]," * 300_000 + b"[]]}", "may hold 600,00. values"),
        (b'{"hidden_size": "' + b"a" * (5 << 20) + b'"}', "more than 4,194,304 bytes"),
    ],
)
def test_a_config_that_costs_more_than_it_says(text: bytes, words: str, folder: Path) -> None:
    save_file(ONE, folder / "model.safetensors")
    (folder / "config.json").write_bytes(text)
    with pytest.raises(BadConfig, match=words):
        open_checkpoint(folder)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_table_without_rows(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Its rows would be what the config leaves out."""
    write_odd(tmp_path / "tf1")
    arrays = write_transformers(tmp_path / "hf", write_odd(tmp_path / "tf1"))
    arrays["bert.embeddings.word_embeddings.weight"] = np.zeros(shape, np.float32)
    save_file(arrays, tmp_path / "hf" / "model.safetensors")
    config = json.loads((tmp_path / "hf" / "config.json").read_bytes())
    del config["vocab_size"]
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    if shape:
        assert not inspect_checkpoint(tmp_path / "hf").complete
    else:
        with pytest.raises(BadConfig, match="no 'vocab_size'"):
            inspect_checkpoint(tmp_path / "hf")


# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["http://[::1", "http://[", "//[x]/y.zip", "a" * 300, "a" * 300 + ".zip", "/", "."])
def test_a_path_that_is_none(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", path]) == 2
    assert main(["export", path, "--name", "x", "--out", "out"]) == 2
    assert "BadCheckpoint: no checkpoint" in capsys.readouterr().err
    with pytest.raises(BadCheckpoint, match="no checkpoint"):
        open_checkpoint(Path(f"{path}\0"))


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model.safetensors",
        "m.index",
        "other.bin",
        "m.data-00000-of-00001",
        "model.safetensors.index.json",
    ],
)
def test_a_pipe_is_not_waited_for(name: str, folder: Path) -> None:
    write_index(folder, (b"w", entry()))
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    try:
        open_checkpoint(folder)
    except (BadCheckpoint, BadConfig):
        return
    assert name in ("model.safetensors", "other.bin", "model.safetensors.index.json")  # beside the real one


def test_a_config_without_end(folder: Path) -> None:
    write_index(folder, (b"w", entry()))
    with pytest.raises(BadConfig, match="it is a directory, a pipe or a device, not a file"):
        open_checkpoint(folder, Path("/dev/zero"))
