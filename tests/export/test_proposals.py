"""Every option that a message or `zoo inspect` proposes is followed, until the export goes or nothing is proposed."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from export.certificate import golden_arrays
from export.encoder.encoder import Encoder
from export.inspect import inspect_checkpoint
from export.options import EncoderRequest, add_options, request_from
from export.planning import PlannedEncoder, plan_encoder
from export.weights.leftovers import AVERAGE
from scripts.layouts import LAYOUTS, albert_transformers_arrays, bert, transformers_arrays
from scripts.random_checkpoint import random_arrays, write_arrays, write_vocabulary
from tests.export.conftest import SCALE, VOCABULARY, export_and_load, odd_config
from zoo.archive.card import EncoderCard, read_card
from zoo.command import main
from zoo.errors import BadCheckpoint, BadConfig, ZooError

Arrays = dict[str, np.ndarray]
SMALL = {"num_hidden_layers": 2}


def torch_bert(seed: int = 1, **config: Any) -> Arrays:
    return transformers_arrays(random_arrays(bert(odd_config(**SMALL, **config)), seed, SCALE))


def bare(seed: int = 1) -> Arrays:
    return {name.removeprefix("bert."): array for name, array in torch_bert(seed).items() if name.startswith("bert.")}


def without(arrays: Arrays, *words: str) -> Arrays:
    return {name: array for name, array in arrays.items() if not any(word in name for word in words)}


def under(prefix: str, arrays: Arrays) -> Arrays:
    return {prefix + name: array for name, array in arrays.items()}


def more(*names: str) -> Arrays:
    return {name: np.ones((2, 3), np.float32) for name in names}


def torch_folder(folder: Path, arrays: Arrays, **config: Any) -> Path:
    folder.mkdir(parents=True)
    config = odd_config(**{"model_type": "bert", "hidden_act": "gelu", **SMALL, **config})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(arrays, folder / "model.safetensors")
    write_vocabulary(folder / "vocab.txt", VOCABULARY)
    return folder


def with_byte_pairs(folder: Path) -> Path:
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}))
    return folder


def tf1_folder(folder: Path, arrays: Arrays, prefix: str = "model.ckpt") -> Path:
    write_arrays(folder, odd_config(**SMALL), arrays, prefix)
    write_vocabulary(folder / "vocab.txt", VOCABULARY)
    return folder


def tf1_bert(seed: int = 1) -> Arrays:
    shapes = {name: shape for name, shape in bert(odd_config(**SMALL)).items() if name.startswith("bert/")}
    return random_arrays(shapes, seed, SCALE)


# -- following --------------------------------------------------------------------------------------------------------

PARSER = argparse.ArgumentParser(exit_on_error=False)
add_options(PARSER, EncoderRequest)


def options_in(message: str) -> list[list[str]]:
    """The words of every step between backquotes: options to add, or a path instead of the one that was given."""
    return [shlex.split(step) for step in re.findall("`(.*?)`", message)]


def with_step(path: Path, given: list[str], step: list[str]) -> tuple[Path, list[str]]:
    return (path, [*given, *step]) if step[0].startswith("-") else (Path(step[0]), given)


def planned(path: Path, given: list[str]) -> PlannedEncoder:
    request = request_from(PARSER.parse_args([str(path), "--name", "n", "--out", "o", *given]), EncoderRequest)
    found = plan_encoder(request)
    found.plan.checked("n")
    return found


def followed(path: Path, given: list[str] | None = None) -> Iterable[PlannedEncoder]:
    """Every plan that one reaches by following the steps that errors propose."""
    given = given or []
    try:
        found = planned(path, given)
    except ZooError as error:
        steps = options_in(str(error))
        assert len(given) < 12 and steps, f"stuck after {given}: {error}"
        for step in steps:
            yield from followed(*with_step(path, given, step))
    else:
        yield found


def by_inspect(path: Path, given: dict[str, Any] | None = None) -> Iterable[PlannedEncoder]:
    """Every plan that one reaches by the commands that inspect prints, or by the steps in its errors."""
    try:
        inspection = inspect_checkpoint(path, **(given or {}))
    except BadCheckpoint as error:
        for option, value in options_in(str(error)):
            yield from by_inspect(path, {**(given or {}), option.removeprefix("--"): value})
        return
    command = inspection.export_command
    assert command, inspection
    words = shlex.split(command)
    assert words[:2] == ["zoo", "export"] and words[3:7] == ["--name", "NAME", "--out", "DIR"]
    yield planned(Path(words[2]), words[7:])


SITUATIONS: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    # what was saved -> how, and the reasons for what is left out beside heads that are known
    "a classifier": (
        lambda p: torch_folder(p, {**torch_bert(), **more("fc.weight", "fc.bias")}),
        {"left out by request"},
    ),
    "lstm and crf": (
        lambda p: torch_folder(p, {**torch_bert(), **more("lstm.a.w", "lstm.a.b", "crf.t", "crf.s", "scale")}),
        {"left out by request"},
    ),
    "wrapped, and a head within the wrapper": (
        lambda p: torch_folder(p, under("module.", {**torch_bert(), **more("fc.weight", "out.0.weight")})),
        {"left out by request"},
    ),
    "no pooler": (lambda p: torch_folder(p, without(torch_bert(), "pooler", "seq_rel")), set()),
    "half a pooler": (lambda p: torch_folder(p, without(torch_bert(), "pooler.dense.bias")), {"pooler not asked for"}),
    "no pooler, a next-sentence head and a crf": (
        lambda p: torch_folder(p, {**without(torch_bert(), "pooler"), **more("crf.t", "crf.s")}),
        {"left out by request"},
    ),
    "two towers": (
        lambda p: torch_folder(p, {**under("query_encoder.", bare(1)), **under("doc_encoder.", bare(2))}),
        {"another encoder under 'query_encoder.'", "another encoder under 'doc_encoder.'"},
    ),
    "teacher and student without poolers, and a projection": (
        lambda p: torch_folder(
            p,
            {
                **under("student.bert.", without(bare(1), "pooler")),
                **under("teacher.bert.", without(bare(2), "pooler")),
                **more("projection.weight", "teacher.fc.weight"),
            },
        ),
        {"another encoder under 'student.bert.'", "another encoder under 'teacher.bert.'", "left out by request"},
    ),
    "a bare encoder beside a wrapped one": (
        lambda p: torch_folder(p, {**bare(1), **under("ema.", bare(2))}),
        {"another encoder, without a prefix", "another encoder under 'ema.'"},
    ),
    "odd names": (
        lambda p: torch_folder(
            p, {**torch_bert(), **more("a b.w", "-x.w", "c,d", "e*f", "g[0].w", "h'i", "--leave-out")}
        ),
        {"left out by request"},
    ),
    "bare, of no stated type, without pooler": (
        lambda p: torch_folder(p, without(bare(), "pooler"), model_type="", embedding_size=32),
        set(),
    ),
    "albert with a crf": (
        lambda p: torch_folder(
            p,
            {
                **albert_transformers_arrays(
                    random_arrays(LAYOUTS["albert"](odd_config(**SMALL, embedding_size=20, num_hidden_groups=1)))
                ),
                **more("crf_layer.transitions", "crf_layer.start"),
            },
            model_type="albert",
            embedding_size=20,
        ),
        {"left out by request"},
    ),
    "a tokenizer of byte pairs": (lambda p: with_byte_pairs(torch_folder(p, torch_bert())), set()),
    "layers of a TF1 script": (
        lambda p: tf1_folder(p, {**tf1_bert(), **more("dense/kernel", "dense/bias", "crf_loss/transitions")}),
        {"left out by request"},
    ),
    "a TF-Hub module with slots and a head": (
        lambda p: tf1_folder(
            p,
            {
                **under("module/", tf1_bert()),
                **more("output_weights", "output_bias", "module/bert/pooler/dense/kernel/Adam", "beta1_power"),
            },
        ),
        {"optimiser slot", "training counter"},
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_proposed_works(situation: str, tmp_path: Path) -> None:
    write, reasons = SITUATIONS[situation]
    path = write(tmp_path / "saved")
    found, printed = [*followed(path)], [*by_inspect(path)]
    heads = {"head of a fine-tuned task", "masked-language-model head", "next-sentence head"}
    assert {reason for each in found for reason in each.plan.left_out} - heads == reasons
    assert len(found) == len(printed)
    for by_error, by_command in zip(found, printed, strict=True):
        assert by_error.plan.left_out == by_command.plan.left_out
        assert by_error.plan.variables == by_command.plan.variables


def test_exit_codes_of_inspect_and_export_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 if the printed command works, 2 if none is printed."""
    path = torch_folder(tmp_path / "crf", {**without(torch_bert(), "pooler"), **more("crf.t")})
    export = ["export", str(path), "--name", "NAME", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main(["inspect", str(path)]) == 0
    command = capsys.readouterr().out.splitlines()[-1].split("export", 1)[1]
    assert command.endswith("--pooler first_token --leave-out 'crf.*'")
    assert main(export) == 2
    assert "`--pooler first_token --leave-out 'crf.*'`" in capsys.readouterr().err
    assert main([*export, *shlex.split(command.split("--out DIR")[1])]) == 0
    broken = torch_folder(tmp_path / "broken", without(torch_bert(), "layer.1.output.dense"))
    assert main(["inspect", str(broken)]) == main([*export[:1], str(broken), *export[2:]]) == 2
    towers = torch_folder(tmp_path / "towers", {**under("q.", bare()), **under("k.", bare())})
    assert main(["inspect", str(towers)]) == main([*export[:1], str(towers), *export[2:]]) == 2
    assert main(["inspect", str(towers), "--prefix", "k."]) == 0
    assert "under 'k.'" in (out := capsys.readouterr().out) and out.rstrip().endswith("--out DIR --prefix k.")
    assert "the encoder lies under 'k.' in the checkpoint" in out
    assert main(["inspect", str(towers), "--prefix", "k.", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["prefix"] == "k." and len(shown["left_out"]["another encoder under 'q.'"]) == len(bare())


def test_several_steps_of_a_training(tmp_path: Path) -> None:
    for step in (0, 343, 1000):
        tf1_folder(tmp_path, tf1_bert(seed=step), f"model.ckpt-{step}")
    with pytest.raises(
        BadCheckpoint,
        match=r"several checkpoints.*: model.ckpt-0.index, .*instead of the directory: `\S*model.ckpt-1000.index` or `",
    ):
        planned(tmp_path, [])
    read = [found.checkpoint.files[1].name for found in followed(tmp_path)]
    assert read == ["model.ckpt-1000.index", "model.ckpt-343.index", "model.ckpt-0.index"]


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    path = torch_folder(tmp_path / "saved", {**torch_bert(), **more("fc.weight")})
    with pytest.raises(
        BadConfig, match="no variable has a name like 'fc'. The names begin with 'bert.', 'cls.', 'fc.'"
    ):
        planned(path, ["--leave-out", "fc"])


# -- numbers ----------------------------------------------------------------------------------------------------------


def outputs(found: PlannedEncoder) -> dict[str, float]:
    """How far the encoder of a plan is from the oracle, which finds the variables by itself."""
    golden = golden_arrays(found.checkpoint, found.config, found.heads, under=found.under)
    variables = {each.ours: tf.constant(found.plan.read(each, found.checkpoint)) for each in found.plan.variables}
    encoder = Encoder(found.config, variables)
    encoded = encoder(*(tf.constant(golden[f"0/input_{name}"]) for name in ("word_ids", "mask", "type_ids")))
    return {
        "sequence": float(np.max(np.abs(encoded.outputs[-1] - golden["0/sequence_output"]))),
        "pooled": float(np.max(np.abs(encoded.pooled - golden["0/pooled_output"]))),
    }


@pytest.mark.parametrize("scope", ["module.bert.", "0.auto_model.", "encoder.", ""])
def test_the_oracle_finds_the_same_encoder(scope: str, tmp_path: Path) -> None:
    """Beside it lies another one, under a published prefix, and heads of both."""
    other = {**torch_bert(2)} if scope != "" else under("teacher.", torch_bert(2))
    heads = {name: array for name, array in torch_bert(3).items() if name.startswith("cls.")}
    place = "module." if scope == "module.bert." else scope
    path = torch_folder(tmp_path / "saved", {**other, **under(scope, bare(1)), **under(place, heads)})
    found = planned(path, ["--prefix", scope])
    assert found.heads == ("mlm", "nsp") and max(outputs(found).values()) < 5e-6
    golden = golden_arrays(found.checkpoint, found.config, found.heads, under=found.under)
    alone = planned(torch_folder(tmp_path / "alone", {**under("bert.", bare(1)), **heads}), [])
    expected = golden_arrays(alone.checkpoint, alone.config, alone.heads, under=alone.under)
    assert golden.keys() == expected.keys() >= {"0/mlm_logits", "0/nsp_logits"}
    for name, array in expected.items():
        np.testing.assert_array_equal(golden[name], array)


def test_the_oracle_finds_old_norms_and_electra_under_a_scope(tmp_path: Path) -> None:
    old = {name.replace("LayerNorm", "layer_norm"): array for name, array in tf1_bert().items()}
    assert max(outputs(planned(tf1_folder(tmp_path / "old", old), [])).values()) < 5e-6
    config = odd_config(**SMALL, embedding_size=20, generator_hidden_size=24, generator_intermediate_size=28)
    arrays = under("module/", random_arrays(LAYOUTS["electra"](config), 1, SCALE))
    write_arrays(tmp_path / "electra", config, arrays)
    write_vocabulary(tmp_path / "electra/vocab.txt", VOCABULARY)
    found = planned(tmp_path / "electra", ["--pooler", "discriminator"])
    assert found.heads == ("discriminator",) and max(outputs(found).values()) < 5e-6


def test_an_archive_of_averages_under_a_scope(tmp_path: Path) -> None:
    """The certificate of the export compares with the averages too; the card says which weights were taken."""
    plain, averages = under("module/", tf1_bert(1)), under("module/", tf1_bert(2))
    extra = more("dense/kernel", "dense/bias")
    path = tf1_folder(tmp_path / "both", {**plain, **{name + AVERAGE: a for name, a in averages.items()}, **extra})
    encoder = export_and_load(path, tmp_path / "out", averages=True, leave_out=("dense/*",), heads=())
    card = read_card(tmp_path / "out/odd")
    assert isinstance(card, EncoderCard)
    assert card.left_out == {
        "left out by request": ["dense/bias", "dense/kernel"],
        "plain weights; the averaged ones were taken": sorted(plain),
    }
    assert "the encoder lies under 'module/bert/' in the checkpoint" in card.notes
    assert "the averaged weights (ExponentialMovingAverage) were taken, not the plain ones" in card.notes
    (word,) = (v for v in encoder.variables if v.name.startswith("bert/embeddings/word_embeddings"))
    np.testing.assert_array_equal(word, averages["module/bert/embeddings/word_embeddings"])
    taken = planned(path, ["--leave-out", "dense/*"])
    assert max(outputs(taken).values()) < 5e-6
    assert [*taken.plan.left_out] == ["averaged weights; --averages takes them", "left out by request"]
