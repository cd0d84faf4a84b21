"""Checkpoints of training runs: weights beside numbers, texts and optimisers, one or two levels down."""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.readers import open_checkpoint
from scripts import checkpoint_writers as writers
from tests.export.conftest import odd_config
from zoo.errors import BadCheckpoint, Unsupported

BIAS = "bert.pooler.dense.bias"
ONE = {BIAS: np.arange(6, dtype=np.float32)}
DATA = Path(__file__).parents[1] / "data"
BESIDE: dict[str, Any] = {
    "epoch": 3,
    "best": np.float64(0.93),
    "losses": np.arange(3.0),
    "args": argparse.Namespace(lr=1e-4, output=pathlib.PurePosixPath("/x")),
    "labels": collections.OrderedDict(a=1),
    "counts": collections.defaultdict(int, a=1),
    "seen": {1, 2},
    "kept": frozenset([1]),
    "raw": b"xyz",
    "none": None,
    "rates": {0.5: 1, None: 2},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(odd_config(model_type="bert")), encoding="utf-8")
    return tmp_path


both = pytest.mark.parametrize("write", [writers.write_torch_zip, writers.write_torch_legacy])


@both
@pytest.mark.parametrize("path", [("state_dict",), ("model",), ("module",), ("run", "net")])
def test_weights_are_found_beside_harmless_values(write: Any, path: tuple[str, ...], folder: Path) -> None:
    write(folder / "best.pt", ONE, writers.training_pickle(ONE, path, **BESIDE))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.shapes == {BIAS: (6,)}
    np.testing.assert_array_equal(checkpoint.read(BIAS), ONE[BIAS])
    where = "".join(f"['{key}']" for key in path)
    found, left_out = checkpoint.facts
    assert found == f"the weights are the 1 tensors of {where} in best.pt"
    assert "'epoch' (number)" in left_out and "'args' (argparse.Namespace)" in left_out and "'raw'" in left_out


def test_a_state_dict_alone_has_nothing_to_say(folder: Path) -> None:
    writers.write_torch_zip(folder / "model.pth", ONE)
    assert open_checkpoint(folder).facts == ()


def groups(**fragments: bytes) -> bytes:
    """A pickle of a dictionary, from the pickles of its values without protocol and final dot."""
    return b"\x80\x02}(" + b"".join(text(key) + fragment for key, fragment in fragments.items()) + b"u."


def text(key: str) -> bytes:
    return b"X" + struct.pack("<I", len(key)) + key.encode()


def state(arrays: dict[str, np.ndarray]) -> bytes:
    return writers.state_dict_pickle(arrays)[2:-1]


def test_the_state_of_an_optimiser_is_not_taken_for_weights(folder: Path) -> None:
    slots = b"}(" + text("state") + b"}K\0" + state(ONE) + b"s" + text("param_groups") + b"]u"
    writers.write_torch_zip(folder / "best.pt", ONE, groups(optimizer=slots, model=state(ONE)))
    assert "left out of best.pt, because they are no weights of the model: 'optimizer' (state of an optimiser)" in (
        open_checkpoint(folder).facts
    )
    writers.write_torch_zip(folder / "best.pt", ONE, b"\x80\x02" + slots + b".")
    with pytest.raises(
        BadCheckpoint, match="holds the state of an optimiser and no weights. Give the file of the model"
    ):
        open_checkpoint(folder)


def test_the_largest_group_counts_and_rivals_are_listed(folder: Path) -> None:
    head, other = ({BIAS: np.arange(size, dtype=np.float32)} for size in (2, 5))
    writers.write_torch_zip(folder / "best.pt", ONE, groups(head=state(head), model=state(ONE)))
    assert open_checkpoint(folder).shapes == {BIAS: (6,)}
    writers.write_torch_zip(folder / "best.pt", ONE, groups(teacher=state(ONE), student=state(other)))
    with pytest.raises(
        BadCheckpoint, match=r"2 groups of weights: \['teacher'\], \['student'\].*Save the one"
    ) as caught:
        open_checkpoint(folder)
    assert "torch.save(torch.load('best.pt', weights_only=False)['student'], 'state.pt')" in str(caught.value)


def test_two_names_of_the_same_tensors_are_one(folder: Path) -> None:
    writers.write_torch_zip(folder / "best.pt", ONE, groups(model=state(ONE), ema=state(ONE)))
    assert "['ema'] in best.pt holds the same tensors again" in open_checkpoint(folder).facts


class Classifier:
    """Stands for a module of somebody's project."""


@both
def test_a_whole_model_is_refused_with_the_line_that_saves_its_weights(write: Any, folder: Path) -> None:
    model = Classifier()
    model.__dict__["training"] = True
    for value, line in (
        (model, "torch.load('model.pt', weights_only=False).state_dict(), 'state.pt')"),
        ({"epoch": 1, "net": model}, "torch.load('model.pt', weights_only=False)['net'].state_dict(), 'state.pt')"),
    ):
        write(folder / "model.pt", {}, pickle.dumps(value, 2))
        with pytest.raises(BadCheckpoint, match=r"asks for '.*Classifier', .*nothing of it was run") as caught:
            open_checkpoint(folder)
        assert line in str(caught.value)


def test_a_config_of_one_s_own_is_refused_with_the_line_that_leaves_it_behind(folder: Path) -> None:
    pickled = groups(config=pickle.dumps(Classifier(), 2)[2:-1], model=state(ONE))
    writers.write_torch_zip(folder / "model.pt", ONE, pickled)
    with pytest.raises(BadCheckpoint, match=r"weights_only=False\)\['model'\], 'state.pt'"):
        open_checkpoint(folder)


def test_torchscript_is_refused_with_its_own_line(folder: Path) -> None:
    writers.write_torch_zip(folder / "traced.pt", ONE, None, **{"constants.pkl": b"\x80\x02)."})
    with pytest.raises(BadCheckpoint, match=r"TorchScript.*torch.jit.load\('traced.pt'\).state_dict\(\)"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"torch._utils\n_rebuild_qtensor", "quantised tensors"),
        (b"torch._utils\n_rebuild_tensor_v3", "numbers of torch.float8_e4m3fn"),
    ],
)
def test_quantised_tensors_are_refused_by_name(name: bytes, words: str, folder: Path) -> None:
    call = b"c" + name + b"\n(NK\0))\x89}ctorch\nfloat8_e4m3fn\ntR"
    writers.write_torch_zip(folder / "q.pt", {}, b"\x80\x02}K\0" + call + b"s.")
    with pytest.raises(
        BadCheckpoint, match=rf"{words}. Quantised weights are not converted: export the model that was"
    ):
        open_checkpoint(folder)


def test_tensors_without_numbers_are_told(folder: Path) -> None:
    call = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n))\x89tR"
    writers.write_torch_zip(folder / "m.pt", {}, b"\x80\x02}X\x01\0\0\0w" + call + b"s.")
    with pytest.raises(BadCheckpoint, match="holds tensors of the device 'meta'.*Load the weights before saving them"):
        open_checkpoint(folder)


def test_matrices_of_eight_bits_are_refused_and_vectors_are_not(folder: Path) -> None:
    pickled = writers.state_dict_pickle(ONE).replace(b"FloatStorage", b"CharStorage")
    eight = {BIAS: np.arange(6, dtype=np.int8)}
    writers.write_torch_zip(folder / "q.pt", eight, pickled)
    assert open_checkpoint(folder).read(BIAS).dtype == np.int8
    matrix = {"w": np.ones((2, 3), np.float32)}
    pickled = writers.state_dict_pickle(matrix).replace(b"FloatStorage", b"CharStorage")
    writers.write_torch_zip(folder / "q.pt", {"w": np.ones((2, 3), np.int8)}, pickled)
    with pytest.raises(Unsupported, match=r"q.pt stores matrices in 8 bits: w. Quantised weights are not converted"):
        open_checkpoint(folder)


def test_many_groups_cost_little(folder: Path) -> None:
    """One dictionary under many keys is looked at once, and so is one with as many tensors as the file may name."""
    shared = state(ONE) + b"q\1"
    more = b"".join(b"J" + i.to_bytes(4, "little") + b"h\1" for i in range(60_000))
    writers.write_torch_zip(folder / "best.pt", ONE, b"\x80\x02}(K\0" + shared + more + b"u.")
    assert [*open_checkpoint(folder).shapes] == [BIAS]


# Written by torch 2.14: "epoch", "best" (of numpy), "args" (a Namespace), "optimizer", and "model" with w and b in half
@pytest.mark.parametrize("file", ["torch_2_14_training.pt", "torch_2_14_training_legacy.pt"])
def test_genuine_checkpoints_of_a_training_run(file: str, folder: Path) -> None:
    (folder / "best.pt").write_bytes((DATA / file).read_bytes())
    checkpoint = open_checkpoint(folder)
    np.testing.assert_array_equal(checkpoint.read("w"), np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(checkpoint.read("b"), np.array([0.5, -2], np.float16))
    assert "'optimizer' (state of an optimiser)" in checkpoint.facts[1]
