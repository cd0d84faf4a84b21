"""Tokenizer directories in transformers itself: the settings that we read, and the ids of 5,000 texts.

Skipped without ZOO_TRANSFORMERS_PYTHONS: interpreters, joined by colons, that have transformers (4 or 5).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from export.options import TokenizerRequest
from export.pipeline import export_tokenizer
from tests.tokenizer.directories import DIRECTORIES
from tokenizer.source import read_tokenizer_source
from zoo.archive.unpack import unpack
from zoo.errors import Unsupported
from zoo.loading.load import load

PYTHONS = [path for path in os.environ.get("ZOO_TRANSFORMERS_PYTHONS", "").split(":") if path]
TEXTS = int(os.environ.get("ZOO_TRANSFORMERS_TEXTS", "5000"))

pytestmark = pytest.mark.skipif(
    not PYTHONS, reason="ZOO_TRANSFORMERS_PYTHONS names no Python with transformers; `scripts/test-runtimes` makes some"
)

_FLAGS = ("content", "id", "lstrip", "rstrip", "single_word", "normalized", "special")
# Runs in the other Python: reads {"folders": {name: path}, "texts": […]}, prints what transformers makes of them.
_PROGRAM = """
import json, sys
import transformers
transformers.logging.set_verbosity_error()
asked, answers = json.load(sys.stdin), {}
for name, folder in asked["folders"].items():
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    answers[name] = {
        "vocabulary": tokenizer.get_vocab(),
        "normalizer": state["normalizer"],
        "added": {each["content"]: each for each in state["added_tokens"]},
        "special": [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id],
        "ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in asked["texts"]],
    }
print("\\n" + json.dumps(answers))
"""


def texts(count: int) -> Iterator[str]:
    """Yield random texts of words, Chinese, accents and added tokens, without characters of later Unicode versions."""
    rng = random.Random(11)
    pools = (
        list("你好今天气怎么样我是中国人北京大学龘"),
        list("，。！？（）,.!?()-'\"#@ \t\n\u3000\u200b"),
        ["hello", "world", "playing", "bert", "Hello", "WORLD", "unaffable", "2023", "x1", "played", "The"],
        ["café", "Café", "CAFÉ", "naïve", "Zürich", "cafe\u0301", "Straße", "ñandú"],
        ["[ENT]", "<e1>", "foobar", "FooBar", "[Q]", "[BOS]", "</s>", "<s>", "a.b", "[MASK]", "[SEP]", "[ent]"],
    )
    for _ in range(count):
        runs = rng.choices(pools, (5, 3, 5, 2, 2), k=rng.randint(0, 10))
        yield "".join(rng.choice(run) + rng.choice(("", "", " ")) for run in runs)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("tokenizers")
    made = {name: known.write(place / str(number)) for number, (name, known) in enumerate(DIRECTORIES.items())}
    for folder in made.values():
        (folder / "config.json").write_text('{"model_type": "bert"}')
    return made


@pytest.fixture(scope="module", params=PYTHONS)
def transformers(request: pytest.FixtureRequest, folders: dict[str, Path]) -> dict[str, Any]:
    """Return what one version of transformers makes of every directory that it can load."""
    python = [request.param, "-c"]
    version = subprocess.run(
        [*python, "import transformers; print(transformers.__version__)"], check=True, capture_output=True, text=True
    ).stdout
    major = int(version.partition(".")[0])
    asked = {name: str(folders[name]) for name, known in DIRECTORIES.items() if major in known.versions}
    question = json.dumps({"folders": asked, "texts": [*texts(TEXTS)]})
    done = subprocess.run([*python, _PROGRAM], input=question, check=True, capture_output=True, text=True)
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # packages print warnings before it
    return answers


@pytest.mark.parametrize("name", DIRECTORIES)
def test_settings(name: str, folders: dict[str, Path], transformers: dict[str, Any]) -> None:
    known = DIRECTORIES[name]
    if name not in transformers:
        pytest.skip("this version of transformers cannot load it")
    config, theirs = read_tokenizer_source(folders[name]), transformers[name]
    entries, added = config.vocabulary.ids, config.rules.added_tokens
    ids = {token: number for token, number in theirs["vocabulary"].items() if token in entries}
    assert ids == {token: number for token, number in entries.items() if token in theirs["vocabulary"]}
    assert all(token in entries or not token or token == "[MASK]" for token in theirs["vocabulary"])
    special = config.vocabulary.special_tokens
    assert theirs["special"] == [special[token] for token in ("[CLS]", "[SEP]", "[PAD]", "[UNK]")]
    flags = {token.content: {key: vars(token)[key] for key in _FLAGS} for token in added}
    left = {content: each for content, each in theirs["added"].items() if content not in known.special.values()}
    assert flags == {content: each for content, each in left.items() if content != "[MASK]"}
    rules, stated = config.rules, theirs["normalizer"]
    if stated["type"] == "BertNormalizer" and not known.departs:
        accents = stated["strip_accents"]
        found = (stated["lowercase"], stated["lowercase"] if accents is None else accents)
        assert found == (rules.lower_case, rules.strip_accents)
        assert stated["handle_chinese_chars"] == rules.tokenize_chinese_chars


@pytest.fixture(scope="module")
def exported(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """exported("cased") is the unpacked tokenizer archive of that directory, made once.

    It keeps special tokens in texts whole, as transformers does. Raises Unsupported.
    """
    place = tmp_path_factory.mktemp("archives")

    def exported(name: str) -> Path:
        out = place / folders[name].name
        if not out.exists():
            export_tokenizer(TokenizerRequest(folders[name], "words", out, special_tokens_in_text=True))
            unpack(out / "words.tar.gz", out / "words")
        return out / "words"

    return exported


@pytest.mark.parametrize("name", DIRECTORIES)
def test_ids(name: str, exported: Callable[[str], Path], transformers: dict[str, Any]) -> None:
    import tensorflow as tf

    if name not in transformers:
        pytest.skip("this version of transformers cannot load it")
    if DIRECTORIES[name].departs:
        pytest.skip(DIRECTORIES[name].departs)
    try:
        archive = exported(name)
    except Unsupported as error:
        pytest.skip(str(error))
    asked = [*texts(TEXTS)]
    found = load(archive).tokenize(tf.constant(asked)).merge_dims(1, 2).to_list()
    pairs = zip(asked, found, transformers[name]["ids"], strict=True)
    wrong = [(text, ours, theirs) for text, ours, theirs in pairs if ours != theirs]
    assert not wrong, f"{len(wrong)} of {TEXTS} texts have other ids, for example {wrong[:3]}"
