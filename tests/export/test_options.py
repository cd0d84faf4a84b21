"""An option of an export is one field: every command, request, build key and card knows it from there."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.options import EncoderOptions, EncoderRequest, TokenizerRequest, add_options, given_options, request_from
from tests.conftest import ROOT
from tests.export.conftest import write_odd
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.unpack import unpack
from zoo.registry.recipes import option_words

# One value for every option, none of them the default.
_ENCODER: dict[str, Any] = {
    "licence": "MIT",
    "layers": 2,
    "config": Path("a/config.json"),
    "vocab": Path("a/vocab.txt"),
    "activation": "relu",
    "pooler": "first_token",
    "family": "electra",
    "prefix": "doc_encoder.",
    "averages": True,
    "leave_out": ("fc.*", "lstm.*"),
    "heads": ("mlm", "nsp"),
    "dtype": "bfloat16",
    "recompute": True,
    "keep_tokens": Path("a/tokens.txt"),
    "cased": False,
    "prompts": {"query": "查询: ", "passage": "a=b, c"},
}
_TOKENIZER: dict[str, Any] = {"licence": "MIT", "cased": True, "special_tokens_in_text": True, "ops": "core"}


def parsed(request: Any, words: list[str]) -> Any:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, request)
    return request_from(parser.parse_args(words), request)


# -- one field, everywhere ---------------------------------------------------------------------------------------------


def test_words_of_a_command_are_the_request_again() -> None:
    """zoo/ writes the words of `zoo info` without knowing the options of export/: the commands have to take them."""
    for request, options in ((EncoderRequest, _ENCODER), (TokenizerRequest, _TOKENIZER)):
        whole = request(Path("x"), "odd", Path("dist"), **options)
        assert given_options(whole) == {"name": "odd", **options}
        assert parsed(request, ["x", "--out", "dist", *option_words(given_options(whole))]) == whole
    twice = parsed(EncoderOptions, ["--leave-out", "fc.*", "--leave-out", "lstm.*,crf.*"])
    assert twice == EncoderOptions(leave_out=("fc.*", "lstm.*", "crf.*")) and parsed(EncoderOptions, []).leave_out == ()
    assert parsed(EncoderOptions, option_words({"heads": ()})) == EncoderOptions(heads=())
    assert given_options(EncoderOptions()) == {} and option_words({}) == []


def test_a_command_without_an_option_leaves_the_default() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, EncoderOptions, "build_help")
    arguments = parser.parse_args(["--dtype", "float16"])
    assert vars(arguments) == {"dtype": "float16", "recompute": False}
    assert request_from(arguments, EncoderOptions) == EncoderOptions(dtype="float16")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--name", "n"], "--out"),
        (["x", "--name", "n", "--out", "o", "--dtype", "int8"], "choose from float32, bfloat16, float16"),
        (["x", "--name", "n", "--out", "o", "--layers", "all"], "invalid int value: all"),
        (["x", "--name", "n", "--out", "o", "--cased", "--uncased"], "not allowed with argument --cased"),
    ],
)
def test_wrong_words_are_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, EncoderRequest)
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert said in capsys.readouterr().err.replace("'", "")  # Python 3.12 and later do not quote the choices


# -- a further option --------------------------------------------------------------------------------------------------

_LOUDNESS = """
    loudness: int = field(
        default=1, metadata={"help": "how loud", "build_help": "how loud all are", "card_note": "It is loud."}
    )
"""
_RUN = """
import contextlib, io, json, sys
from pathlib import Path
from zoo.command import main

def printed(*words):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main(list(words))
    return text.getvalue()

helps = {command: printed(command, "--help") for command in ("export", "export-tokenizer")}
assert "tensorflow" not in sys.modules
helps |= {command: printed(command, "--help") for command in ("add", "build")}

from export import pipeline, planning
asked = []
plan = planning.plan_encoder

def recorded(request, opened=None):
    asked.append(request.loudness)
    return plan(request, opened)

pipeline.plan_encoder = planning.plan_encoder = recorded
build = ["build", "odd", "--registry", "rows.json", "--out", "dist", "--sources", "."]
adding = ["add", "odd", "--name", "added", "--out", "added", "--no-tokenizer", "--heads", "none", "--loudness", "5"]
loud = ["--loudness", "4"]
printed("export", "odd", "--name", "odd", "--out", "exported", "--dry-run", "--loudness", "3")
printed(*build, *loud)
plans = [json.loads(printed(*build, "--dry-run", "--json", *more)) for more in (loud, [])]
printed(*adding)
result = {"helps": helps, "asked": asked, "dry runs": [each["steps"][0]["what"] for each in plans]}
Path("result.json").write_text(json.dumps(result))
"""


@pytest.mark.slow
def test_a_further_option_is_one_field_in_one_file(tmp_path: Path) -> None:
    """Follow the recipe of CONTRIBUTING in a copy of export/: nothing but options.py is changed."""
    shutil.copytree(ROOT / "export", tmp_path / "export", ignore=shutil.ignore_patterns("__pycache__"))
    options, before = tmp_path / "export/options.py", "    recompute: bool = field("
    text = options.read_text(encoding="utf-8")
    assert text.count(before) == 1
    options.write_text(text.replace(before, _LOUDNESS.strip("\n") + "\n" + before), encoding="utf-8")
    write_odd(tmp_path / "odd", num_hidden_layers=1)
    row = {"kind": "encoder", "recipe": {"heads": []}, "sources": [{"kind": "note", "text": "it lies here"}]}
    (tmp_path / "rows.json").write_text(json.dumps({"models": {"odd": row}}))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert "--loudness LOUDNESS" in result["helps"]["export"] and "how loud all are" in result["helps"]["build"]
    assert "--loudness LOUDNESS" in result["helps"]["add"] and "loudness" not in result["helps"]["export-tokenizer"]
    assert result["asked"] == [3, 4, 5], "of zoo export, zoo build and zoo add"
    assert result["dry runs"] == ["unchanged", "export"], "with the same loudness, with the default"
    added = json.loads((tmp_path / "added/registry.json").read_text())["models"]["added"]
    assert added["sources"] == [{"kind": "note", "text": "`zoo add odd --loudness 5`"}]
    unpack(tmp_path / "dist/odd.tar.gz", tmp_path / "unpacked")
    card = read_card(tmp_path / "unpacked")
    assert isinstance(card, EncoderCard) and "It is loud." in card.notes
