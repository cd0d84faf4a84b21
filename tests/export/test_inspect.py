"""`zoo inspect`: what it says of every family, of heads fresh and trained, of incomplete checkpoints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from export.families import FAMILIES as ALL
from export.inspect import Inspection, inspect_checkpoint
from export.readers import open_checkpoint
from export.weights.head_state import _ROLES, MOST_READ, head_state, read_head_state
from export.weights.vectors import VECTORS
from tests.export.conftest import FAMILIES, VOCABULARY, write_odd, write_transformers
from zoo.archive.card import HeadState
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.errors import BadCheckpoint, BadConfig

Arrays = dict[str, np.ndarray]

# -- a head's statistics ----------------------------------------------------------------------------------------------


def truncated_normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """google-research/bert's create_initializer(0.02), by TensorFlow itself."""
    return tf.random.stateless_truncated_normal(shape, [seed, 1], stddev=0.02).numpy()


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """transformers' `_init_weights`."""
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


def mlm_head(kernel: np.ndarray, moved: float = 0.0) -> Arrays:
    """A masked-language-model head, by our names; `moved` is how far training moved biases and norm."""
    width = kernel.shape[1]
    noise = np.random.default_rng(9).normal(0, 1, (4, width)).astype(np.float32) * np.float32(moved)
    return {
        "mlm/dense/kernel": kernel,
        "mlm/dense/bias": noise[0],
        "mlm/norm/gamma": 1 + noise[1],
        "mlm/norm/beta": noise[2],
        "mlm/output/output_bias": noise[3],
    }


SHAPES = [(32, 32), (32, 20), (312, 128), (768, 768)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("initialiser", [truncated_normal, normal])
def test_fresh_heads_are_random(shape: tuple[int, int], initialiser: Callable[..., np.ndarray]) -> None:
    states = {head_state(mlm_head(initialiser(shape, seed))) for seed in range(5)}
    assert states == {"random"}


def test_fresh_head_of_electra_whose_last_layer_has_another_initialiser() -> None:
    limit = np.sqrt(6 / (256 + 1))
    head = {
        "discriminator/dense/kernel": truncated_normal((256, 256)),
        "discriminator/dense/bias": np.zeros(256, np.float32),
        "discriminator/output/kernel": np.random.default_rng(2).uniform(-limit, limit, (256, 1)).astype(np.float32),
        "discriminator/output/bias": np.zeros(1, np.float32),
    }
    assert head_state(head) == "random"


def trained_kernel(shape: tuple[int, ...]) -> np.ndarray:
    """Wider than a fresh one and with the heavy tails that training leaves."""
    return (np.random.default_rng(5).standard_t(5, shape) * 0.03).astype(np.float32)


def test_trained_heads() -> None:
    assert head_state(mlm_head(trained_kernel((312, 128)), moved=0.1)) == "trained"


@pytest.mark.parametrize(
    "kernel",
    [
        trained_kernel((64, 64)),
        normal((64, 64)) * 1.2,
        normal((64, 64)) + 0.003,
        np.random.default_rng(1).laplace(0, 0.02 / np.sqrt(2), (312, 312)),  # the right deviation, another form
        truncated_normal((312, 312)) / 0.8796,
    ],
    ids=["wider", "a fifth wider", "shifted", "another form", "rescaled"],
)
def test_kernel_that_follows_no_initialiser_beside_untouched_biases_is_unknown(kernel: np.ndarray) -> None:
    assert head_state(mlm_head(kernel)) == "unknown"
    assert head_state(mlm_head(kernel, moved=0.1)) == "trained"


def test_disagreement_is_unknown() -> None:
    assert head_state(mlm_head(truncated_normal((312, 128)), moved=0.1)) == "unknown"  # biases alone
    half = mlm_head(trained_kernel((312, 128)), moved=0.1)
    half["mlm/output/output_bias"][:] = 0  # one of several was put back
    assert head_state(half) == "unknown"


def test_head_with_only_kernels() -> None:
    name = "nsp/rows"
    assert head_state({name: truncated_normal((2, 312))}) == "random"
    assert head_state({name: trained_kernel((2, 312))}) == "unknown", "another initialiser is no training"


def test_scale_of_the_initialiser_can_be_another() -> None:
    head = mlm_head(truncated_normal((312, 128)) * 5)
    assert head_state(head, initializer_range=0.1) == "random"
    assert head_state(head) == "unknown"


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64], ids=str)
def test_kinds_of_floating_numbers(dtype: Any) -> None:
    for expected, head in (
        ("random", mlm_head(truncated_normal((312, 312)))),
        ("trained", mlm_head(trained_kernel((312, 312)), moved=0.1)),
    ):
        assert head_state({name: array.astype(dtype) for name, array in head.items()}) == expected


def test_what_tells_nothing() -> None:
    assert head_state({}) == "absent"
    kernel = "nsp/rows"
    for values in (np.zeros((2, 312), np.int8), np.full((2, 312), np.nan), np.zeros((0, 312)), np.zeros((2, 3))):
        assert head_state({kernel: values}) == "unknown"
    for values in (np.zeros((64, 64), np.int8), np.full((64, 64), np.nan)):
        assert head_state(mlm_head(values)) == head_state(mlm_head(values, moved=0.1)) == "unknown"


def test_every_leaf_says_what_initialised_it() -> None:
    assert all(_ROLES.keys() == layout.leaves.keys() - {VECTORS} for family in ALL for layout in family.layouts)


class Listing:
    """A checkpoint of which only what is read counts."""

    config: Mapping[str, Any] = {}

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self.shapes = {name.replace("__", "/"): shape for name, shape in shapes.items()}
        self.was_read: list[str] = []

    def read(self, name: str) -> np.ndarray:
        self.was_read.append(name)
        return np.zeros(self.shapes[name], np.float32)


def test_a_head_beyond_the_bound_is_not_read() -> None:
    rows = MOST_READ // 4 // 1024
    within, beyond = (Listing(head__kernel=(rows - more, 1024), head__bias=(1024,)) for more in (1, 0))
    names = {"mlm/dense/kernel": "head/kernel", "mlm/dense/bias": "head/bias"}
    assert read_head_state(names, beyond) == "unknown" and not beyond.was_read  # type: ignore[arg-type]
    read_head_state(names, within)  # type: ignore[arg-type]
    assert within.was_read == ["head/kernel", "head/bias"]


# -- checkpoints ------------------------------------------------------------------------------------------------------


def rewrite(directory: Path, change: Callable[[Arrays], None]) -> None:
    """Save a TF1 checkpoint once more with other variables."""
    prefix = str(directory / "bert_model.ckpt")
    reader = tf.train.load_checkpoint(prefix)
    arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    change(arrays)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )


def refreshed(arrays: Arrays) -> None:
    """Initialise the heads anew, as re-saving a checkpoint did to those of the wwm models."""
    for name, array in arrays.items():
        if name.startswith(("cls/", "discriminator_predictions/")):
            if name.endswith(("kernel", "output_weights")):
                arrays[name] = truncated_normal(array.shape, seed=len(name))
            else:
                arrays[name] = np.full_like(array, 1 if name.endswith("gamma") else 0)


def drop(*names: str) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        for name in names:
            del arrays[name]

    return change


def said(inspection: Inspection) -> dict[str, str]:
    """The sheet as a mapping of its first lines."""
    facts = (line.split("  ", 1) for line in str(inspection).splitlines() if not line.startswith(" "))
    return {name: value.strip() for name, value in facts}


BOTH: dict[str, HeadState] = {"mlm": "trained", "nsp": "trained"}
DISCRIMINATOR: dict[str, HeadState] = {"discriminator": "trained"}
ERF, TANH = "'gelu' means gelu with erf", "'gelu' means gelu with tanh"

# what is written -> family, (layers, blocks, embedding size), activation, pooler, heads
EXPECTED: dict[str, tuple[str, tuple[int, int, int], str, str, dict[str, HeadState]]] = {
    "bert": ("bert", (3, 3, 32), ERF, "dense", BOTH),
    "albert": ("albert", (3, 1, 20), TANH, "dense", BOTH),
    "albert of two groups": ("albert", (5, 2, 20), TANH, "dense", BOTH),
    "albert with relu": ("albert", (3, 1, 20), "'relu' means relu", "dense", BOTH),
    "albert without projection": ("albert", (3, 1, 32), TANH, "dense", BOTH),
    "albert_brightmart": ("albert_brightmart", (3, 1, 20), TANH, "dense", BOTH),
    "electra": ("electra", (3, 3, 20), ERF, "first_token", DISCRIMINATOR),
    "electra without projection": ("electra", (3, 3, 32), ERF, "first_token", DISCRIMINATOR),
}


def test_every_family_is_expected() -> None:
    assert EXPECTED.keys() == FAMILIES.keys()


@pytest.mark.parametrize("written", FAMILIES)
def test_every_family(written: str, tmp_path: Path) -> None:
    arrays = write_odd(tmp_path, family=written)
    family, (layers, blocks, embedding), activation, pooler, heads = EXPECTED[written]
    inspection = inspect_checkpoint(tmp_path)
    sheet = said(inspection)
    assert (inspection.family, sheet["family"], inspection.format) == (family, family, "tf1")
    assert sheet["format"].endswith(f"under '{next(iter(arrays)).partition('/')[0]}/'")
    assert sheet["layers"].startswith(f"{layers}, ")
    assert ("sharing" in sheet["layers"]) is (blocks < layers)
    sizes = inspection.config.sizes()
    assert (sizes.layers, sizes.blocks, sizes.embedding_size, sizes.hidden_size) == (layers, blocks, embedding, 32)
    assert sheet["attention heads"] == "4, as the config says; shapes cannot tell"
    assert sheet["activation"].startswith(activation)
    assert sheet["pooler"].startswith(f"{pooler}, by default")
    assert {head: state for head, state in inspection.head_states.items() if state != "absent"} == heads
    assert set(inspection.exported_heads) == heads.keys()
    assert inspection.also == (("electra_generator",) if family == "electra" else ())

    weights = {name: array for name, array in arrays.items() if not name.startswith(("generator", "global_step"))}
    assert inspection.plan.parameters == sum(array.size for array in weights.values())
    assert inspection.complete and "problems" not in sheet
    digest = sha256_of(tmp_path / "vocab.txt")
    assert sheet["vocabulary"] == f"vocab.txt, 99 entries, fits, sha256 {digest}"
    assert str(inspection).splitlines()[-1].split(maxsplit=1) == [
        "export",
        f"zoo export {tmp_path} --name NAME --out DIR",
    ]


@pytest.mark.parametrize("written", FAMILIES)
def test_fresh_heads_are_told_and_left_out(written: str, tmp_path: Path) -> None:
    write_odd(tmp_path, slots=True, family=written)
    rewrite(tmp_path, refreshed)
    inspection = inspect_checkpoint(tmp_path)
    assert inspection.complete and not inspection.exported_heads
    for head in EXPECTED[written][-1]:
        assert inspection.head_states[head] == "random"
        assert said(inspection)[f"{head} head"] == f"random, exported only with --heads {head}"
    assert any("head" in reason for reason in inspection.plan.left_out)
    assert "optimiser slot: " in str(inspection)


def test_generator_of_electra_on_request(tmp_path: Path) -> None:
    write_odd(tmp_path, family="electra")
    config = json.loads((tmp_path / "bert_config.json").read_text())
    of_generator = tmp_path / "of generator.json"
    of_generator.write_text(json.dumps(config | {"hidden_size": 24, "intermediate_size": 28}))
    inspection = inspect_checkpoint(tmp_path, of_generator, "electra_generator")
    assert inspection.complete and inspection.head_states["mlm"] == "trained"
    command = shlex.split(said(inspection)["export"])
    assert command[-4:] == ["--config", str(of_generator), "--family", "electra_generator"]


@pytest.mark.parametrize("bare", [False, True])
def test_hugging_face_directory(bare: bool, tmp_path: Path) -> None:
    arrays = write_odd(tmp_path / "tf1")
    write_transformers(tmp_path / "hf", arrays, bare=bare)
    inspection = inspect_checkpoint(tmp_path / "hf")
    sheet = said(inspection)
    assert (inspection.format, inspection.family) == ("huggingface", "bert")
    assert "model.safetensors" in sheet["files"]
    assert sheet["format"].endswith("without a prefix" if bare else "under 'bert.'")
    assert sheet["activation"].endswith("transformers computes 'gelu' with erf")
    assert inspection.also == (), "a bare BERT has the names of a bare ELECTRA"
    assert inspection.head_states == ({"mlm": "absent", "nsp": "absent"} if bare else BOTH)
    assert inspection.complete
    if not bare:
        assert inspection.plan.parameters == inspect_checkpoint(tmp_path / "tf1").plan.parameters


def test_keys_filled_in_are_noted(tmp_path: Path) -> None:
    write_odd(tmp_path)
    config = json.loads((tmp_path / "bert_config.json").read_text())
    del config["type_vocab_size"]
    (tmp_path / "bert_config.json").write_text(json.dumps(config))
    inspection = inspect_checkpoint(tmp_path)
    assert said(inspection)["notes"] == "type_vocab_size 2 is not in the config; it was read from the shapes"
    assert inspection.complete


def test_only_little_is_read(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(odd)
    names: list[str] = []
    read = type(checkpoint).read

    def recorded(self: Any, name: str) -> np.ndarray:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(type(checkpoint), "read", recorded)
    inspect_checkpoint(odd)
    assert names and all(name.startswith("cls/") and "adam" not in name for name in names)


# -- what is wrong ----------------------------------------------------------------------------------------------------


def test_incomplete_checkpoint_lists_every_problem_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_odd(tmp_path)
    missing = ["bert/pooler/dense/kernel", "bert/encoder/layer_1/output/LayerNorm/gamma"]

    def damage(arrays: Arrays) -> None:
        drop(*missing)(arrays)
        arrays["bert/embeddings/position_embeddings"] = np.zeros((41, 32), np.float32)
        arrays["bert/surprise"] = np.zeros(3, np.float32)

    rewrite(tmp_path, damage)
    assert main(["inspect", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "2 missing: " in captured.out and all(name in captured.out for name in missing)
    assert "1 shape: bert/embeddings/position_embeddings is (41, 32), the config says (40, 32)" in captured.out
    assert "1 unused: bert/surprise" in captured.out
    assert captured.out.splitlines()[-1].endswith("not possible as it is, see the problems")
    assert "hidden size" in captured.out and not captured.err

    assert main(["inspect", str(tmp_path), "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert (set(problems["missing"]), problems["unused"]) == (set(missing), ["bert/surprise"])


def test_many_problems_are_counted_on_the_sheet_and_listed_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_odd(tmp_path)
    config = json.loads((tmp_path / "bert_config.json").read_text())
    (tmp_path / "bert_config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    assert main(["inspect", str(tmp_path)]) == 2
    assert "16 missing: bert/encoder/layer_3/" in (out := capsys.readouterr().out)
    assert "and 8 more (--json lists them)" in out
    assert len(inspect_checkpoint(tmp_path).problems["missing"]) == 16


def test_model_without_pooler_can_be_exported_another_way(tmp_path: Path) -> None:
    write_odd(tmp_path)
    rewrite(tmp_path, drop("bert/pooler/dense/kernel", "bert/pooler/dense/bias"))
    inspection = inspect_checkpoint(tmp_path)
    assert not inspection.complete
    assert said(inspection)["export"].endswith("--out DIR --pooler first_token")


def test_what_cannot_be_planned_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_odd(tmp_path, num_attention_heads=5, hidden_act="prelu")
    with pytest.raises(BadConfig, match=r"known here: gelu.*'hidden_size' 32 is not a multiple of .* 5"):
        inspect_checkpoint(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 2
    assert "BadConfig" in capsys.readouterr().err
    with pytest.raises(BadCheckpoint, match="no checkpoint"):
        inspect_checkpoint(tmp_path / "nowhere")


# -- the vocabulary, and JSON -----------------------------------------------------------------------------------------


def test_no_vocabulary(tmp_path: Path) -> None:
    write_odd(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    inspection = inspect_checkpoint(tmp_path)
    assert said(inspection)["vocabulary"].startswith("one of 99 entries is needed: ")
    assert "holds no vocab.txt" in said(inspection)["vocabulary"]
    assert said(inspection)["export"].endswith("--vocab FILE")
    assert inspection.complete and not inspection.vocabulary.fits


def test_vocabulary_of_another_size_and_a_broken_one(tmp_path: Path) -> None:
    write_odd(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY, "x"]), encoding="utf-8")
    inspection = inspect_checkpoint(tmp_path)
    assert "vocab.txt has 100 entries, but the model has 99 rows" in said(inspection)["vocabulary"]
    assert said(inspection)["export"].endswith("--vocab FILE")
    (tmp_path / "vocab.txt").write_text("你\n你\n", encoding="utf-8")
    assert "none of the 2 entries is [PAD]" in said(inspect_checkpoint(tmp_path))["vocabulary"]


def test_vocabulary_with_notes(tmp_path: Path) -> None:
    write_odd(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY[:4] + VOCABULARY[5:]), encoding="utf-8")
    inspection = inspect_checkpoint(tmp_path)
    first, *notes = str(inspection.vocabulary).split("\n")
    assert first.startswith("vocab.txt, 98 entries, fits, sha256 ")
    assert notes == [
        "the vocabulary has no [MASK]",
        "spare rows: the ids from 98 to 98 have weights, but no text reaches them",
    ]
    # The mlm head is trained, and an export with it would be refused.
    assert said(inspection)["export"].endswith("--heads nsp")
    assert inspection.vocabulary.fits


def test_json(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(odd), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sizes"]["heads"] == 4 and found["sizes"]["vocab_size"] == 99
    assert found["heads"].items() >= BOTH.items() and found["exported_heads"] == ["mlm", "nsp"]
    assert found["vocabulary"] == {
        "needed": 99,
        "file": "vocab.txt",
        "entries": 99,
        "sha256": sha256_of(odd / "vocab.txt"),
        "problem": None,
        "notes": [],
        "padding_id": 0,
        "has_mask": True,
        "is_foreign": False,
        "fits": True,
    }
    assert (found["complete"], found["problems"], found["also"]) == (True, {}, [])
    assert found["bytes_in_fp32"] == 4 * found["parameters"]
    assert "optimiser slot" in found["left_out"]
