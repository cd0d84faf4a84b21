"""Archives that `zoo convert --to transformers` wrote, in transformers itself and in sentence-transformers.

Skipped without ZOO_TRANSFORMERS_PYTHONS, and for those of its interpreters that have no torch.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.convert.check import NoRuntime
from export.convert.conversion import Conversion
from export.convert.in_transformers import ask_transformers
from export.convert.text_to_transformers import convert_text_to_transformers
from export.convert.to_transformers import convert_to_transformers
from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import export_encoder, export_text, export_tokenizer
from scripts.random_checkpoint import write_tf1, write_vocabulary
from scripts.text_answers import VECTORS
from tests.conftest import ROOT
from tests.export.conftest import FAMILIES, VOCABULARY, write_odd
from tests.export.families.test_siblings import CONVERTED, write
from tests.export.tasks.conftest import planned_text, write_case
from zoo.archive.card import TextCard, read_card
from zoo.archive.unpack import unpack
from zoo.loading.load import load
from zoo.loading.matching import FoundText, find_pair

PYTHONS = [path for path in os.environ.get("ZOO_TRANSFORMERS_PYTHONS", "").split(":") if path]
pytestmark = pytest.mark.skipif(
    not PYTHONS, reason="ZOO_TRANSFORMERS_PYTHONS names no Python with transformers; `scripts/test-runtimes` makes some"
)
HARD = json.loads((ROOT / "tests/data/hard_texts.json").read_text(encoding="utf-8"))["texts"]
TEXTS = [[each["text"]] for each in HARD] + [["[MASK] 你 [SEP]w1"], ["你" * 90], [""]]
TEXTS_OF = [
    *(f"classifier: {name}" for name in ("bert", "bert of several labels", "bert of regression", "albert", "electra")),
    "classifier of TF1",
    *(f"{task}: {name}" for task in ("tokens", "span", "masks") for name in ("bert", "albert", "electra")),
    *(f"vector: {name}" for name in VECTORS),
]
_ENCODE = """
import json, sys
try:
    from sentence_transformers import SentenceTransformer
except ImportError:
    sys.exit("no sentence_transformers")
print("\\n" + json.dumps(SentenceTransformer(sys.argv[1]).encode(json.loads(sys.argv[2])).tolist()))
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("words")
    write_vocabulary(place / "vocab.txt", VOCABULARY)
    export_tokenizer(TokenizerRequest(source=place / "vocab.txt", name="words", out=place, ops="core"))
    unpack(place / "words.tar.gz", place / "words")
    return place / "words"


def archive(place: Path, checkpoint: Path, **how: Any) -> Path:
    export_encoder(EncoderRequest(checkpoint=checkpoint, name="odd", out=place, **how))
    return place / "odd.tar.gz"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "name", [*FAMILIES, *(f"{each}/bare" for each in CONVERTED if each not in ("dpr", "splinter"))]
)
def test_transformers_computes_the_same(name: str, python: str, words: Path, tmp_path: Path) -> None:
    model_type, _, kind = name.partition("/")
    if name in FAMILIES:
        write_odd(tmp_path / "in", family=name)
    else:
        write(tmp_path / "in", model_type, kind)
    model = find_pair(archive(tmp_path, tmp_path / "in"), words)
    made = tmp_path / "made"
    found = convert_to_transformers(Conversion(model, "transformers", made), python)
    reason = found.not_verified or ""
    if "not installed" in reason:
        pytest.skip("this Python has no torch")
    assert not reason or ("no NezhaModel" in reason and "transformers 5" in reason)
    if reason:
        with pytest.raises(NoRuntime):
            ask_transformers(made, [], TEXTS, python)
        return
    assert found.comparison and found.comparison.tolerance == 2e-5
    if name == "bert":
        tokenizer = load(words)
        theirs = ask_transformers(made, [], TEXTS, python).ids
        ours = tokenizer.tokenize([text for [text] in TEXTS]).merge_dims(1, 2).to_list()
        cls, sep = VOCABULARY.index("[CLS]"), VOCABULARY.index("[SEP]")
        assert theirs == [[cls, *ids, sep] for ids in ours]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", TEXTS_OF)
def test_text_archives_in_transformers(name: str, python: str, tmp_path: Path) -> None:
    """Classes with heads, and SentenceTransformer, on the golden texts of archives; labels and tokens are equal."""
    if name == "classifier of TF1":
        arrays = {key: array.shape for key, array in write_odd(tmp_path / "in").items()}
        config = json.loads((tmp_path / "in/bert_config.json").read_text())
        write_tf1(tmp_path / "in", config, {**arrays, "output_weights": (3, 32), "output_bias": (3,)})
    else:
        write_case(name, tmp_path / "in")
    how = {"task": "fill_mask"} if name.startswith("masks") else {}
    export_text(planned_text(tmp_path / "in", **how))
    unpack(tmp_path / "out/texts.tar.gz", tmp_path / "texts")
    card = read_card(tmp_path / "texts")
    assert isinstance(card, TextCard)
    model = FoundText(tmp_path / "texts", card)
    found = convert_text_to_transformers(Conversion(model, "transformers", tmp_path / "made"), python)
    if found.not_verified and "not installed" in found.not_verified:
        pytest.skip(found.not_verified)
    assert not found.not_verified and found.comparison
    print(name, found.comparison.differences, found.versions)
    assert max(found.comparison.differences.values()) <= 1e-5


@pytest.mark.parametrize("python", PYTHONS)
def test_sentence_transformers_gives_the_same_vectors(python: str, words: Path, tmp_path: Path) -> None:
    import zoo

    write_odd(tmp_path / "in")
    sentence = "sentence_transformers.models."
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": sentence + word} for n, (path, word) in enumerate(modules)
    ]
    (tmp_path / "in/modules.json").write_text(json.dumps(listed))
    (tmp_path / "in/sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))
    (tmp_path / "in/1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (tmp_path / "in/1_Pooling/config.json").write_text(json.dumps(pooling))
    packed, made = archive(tmp_path, tmp_path / "in"), tmp_path / "made"
    convert_to_transformers(Conversion(find_pair(packed, words), "transformers", made), python)
    texts = ["你好 w7", "w1 w2 w3 你", "好 " * 50]
    done = subprocess.run([python, "-c", _ENCODE, str(made), json.dumps(texts)], capture_output=True, text=True)
    if "no sentence_transformers" in done.stderr:
        pytest.skip("this Python has no sentence-transformers")
    assert not done.returncode, done.stderr[-2000:]
    theirs = np.array(json.loads(done.stdout.splitlines()[-1]))
    ours = zoo.TextEncoder(packed, tokenizer=words)(texts)
    assert np.abs(theirs - ours).max() < 1e-5
