"""Archives of today in TensorFlows of yesterday: the same ids, and outputs to 1e-5.

Skipped without ZOO_OLD_PYTHONS: interpreters, joined by colons, that have tensorflow and tensorflow-text.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.export.conftest import write_odd
from tests.runtimes import answers
from tests.runtimes.conftest import NO_OLD_PYTHONS, OLD_PYTHONS, TEXT_ARCHIVES, save_texts
from tests.runtimes.operations import ENCODER_OPS, KNOWN_TO_2_9, TEXT_ARCHIVE_OPS, TOKENIZER_OPS
from tests.tokenizer.texts import mixtures

pytestmark = pytest.mark.skipif(not OLD_PYTHONS, reason=NO_OLD_PYTHONS)

HARD_TEXTS = json.loads((ROOT / "tests/data/hard_texts.json").read_text(encoding="utf-8"))
# What is exported beside a plain BERT: name -> family and options.
ENCODERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {"heads": ("mlm", "nsp")}),
    "electra": ("electra", {"heads": ("discriminator",)}),
    "recompute": ("bert", {"recompute": True, "heads": ()}),
    "half": ("bert", {"dtype": "float16", "heads": ()}),
    "brain": ("bert", {"dtype": "bfloat16", "heads": ()}),
}
# Products of bfloat16 are rounded differently from one TensorFlow to the next: 8 bits of precision, three layers.
TOLERANCES = {"brain": 0.1}
GRADIENTS = 1e-3  # of the largest one, which sums of squares make large; float16 is what varies most


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from export.options import EncoderRequest
    from export.pipeline import export_encoder
    from export.saved_model.root import write_saved_model
    from tokenizer.module import Preprocessor, Tokenizer
    from tokenizer.rules import TokenizerRules
    from tokenizer.vocabulary import Vocabulary
    from zoo.archive.unpack import unpack

    place = tmp_path_factory.mktemp("archives")
    for name, (family, options) in ENCODERS.items():
        write_odd(place / f"{name}_checkpoint", family=family)
        export_encoder(EncoderRequest(place / f"{name}_checkpoint", name, place, **options))
        unpack(place / f"{name}.tar.gz", place / name)
    vocabulary = Vocabulary(tuple(HARD_TEXTS["vocabulary"]))
    for name, root in (("tokenizer", Tokenizer), ("preprocessor", Preprocessor)):
        write_saved_model(lambda root=root: root(vocabulary, TokenizerRules.original(lower_case=True)), place / name)
    write_saved_model(lambda: Tokenizer(vocabulary, TokenizerRules.original(lower_case=False), True), place / "cased")
    ids = np.random.default_rng(7).integers(5, 99, (3, 7))
    mask = np.array([[1] * 7, [1] * 4 + [0] * 3, [1, 1, 0, 1, 0, 1, 1]])
    letters = sorted({letter for text in HARD_TEXTS["texts"] for letter in text["text"]})
    texts = [*(text["text"] for text in HARD_TEXTS["texts"]), *mixtures(200, 5, letters)]
    path = place / "questions.json"
    content = {
        "encoders": {name: str(place / name) for name in ENCODERS},
        "text_archives": {name: str(save_texts(name, place)) for name in TEXT_ARCHIVES},
        "tokenizers": {name: str(place / name) for name in ("tokenizer", "cased")},
        "preprocessors": {"preprocessor": str(place / "preprocessor")},
        "inputs": {"input_word_ids": ids.tolist(), "input_mask": mask.tolist(), "input_type_ids": (mask * 0).tolist()},
        "tokens": [["[CLS]", "你", "好", "[SEP]", "w7", "[SEP]"], ["[CLS]", "w1", "吗", "##好", "[SEP]", ""]],
        "texts": texts,
        "pairs": list(zip(texts[:50], texts[50:100], strict=True)),
        "operations": sorted(ENCODER_OPS | TOKENIZER_OPS | TEXT_ARCHIVE_OPS),
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


Ask = Callable[[str], Mapping[str, np.ndarray]]


@pytest.fixture(scope="module")
def ask(questions: Path) -> Ask:
    """ask(python) is what the TensorFlow of that interpreter answers, asked once."""
    asked: dict[str, Mapping[str, np.ndarray]] = {}

    def ask(python: str) -> Mapping[str, np.ndarray]:
        if python not in asked:
            out = questions.parent / f"answers-{len(asked)}.npz"
            command = [python, "-W", "ignore", answers.__file__, str(questions), str(out)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-4000:]
            asked[python] = dict(np.load(out))
        return asked[python]

    return ask


@pytest.mark.parametrize("python", OLD_PYTHONS)
def test_the_answers_are_the_same(python: str, ask: Ask) -> None:
    ours, theirs = ask(sys.executable), ask(python)
    assert str(ours["version"]) != str(theirs["version"])
    wrong = [f"{name} by {found:.2g}" for name, found, allowed in differences(ours, theirs) if not found <= allowed]
    assert not wrong, f"TensorFlow {theirs['version']}: {'; '.join(wrong)}"


def differences(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float, float]]:
    """Yield answer, largest difference and what is allowed; ids, tokens and shapes have to be equal."""
    assert ours.keys() == theirs.keys() and len(ours) > 300
    for name in ours.keys() - {"version", "attributes"}:
        one, other = ours[name], theirs[name]
        model, question, _ = name.split("/")
        if one.shape != other.shape or one.dtype.kind != "f":
            yield name, 0.0 if np.array_equal(one, other) else np.inf, 0.0
        else:
            scale = np.max(np.abs(one), initial=1.0) if question == "gradients" else 1.0
            allowed = GRADIENTS if question == "gradients" else 1e-5
            yield name, float(np.max(np.abs(one - other), initial=0) / scale), TOLERANCES.get(model, allowed)


@pytest.mark.parametrize("python", [*OLD_PYTHONS[:1], sys.executable])
def test_ids_are_those_of_the_original_tokenizer(python: str, ask: Ask) -> None:
    packed = ask(python)["preprocessor/call/2"]  # keys sorted: mask, types, ids; texts before pairs
    assert len(packed) > len(HARD_TEXTS["texts"])
    for text, row in zip(HARD_TEXTS["texts"], packed, strict=False):
        if len(text["ids"]) <= len(row):
            assert [*row[: len(text["ids"])]] == text["ids"], text["text"]


@pytest.mark.parametrize("python", OLD_PYTHONS)
def test_every_operation_is_known(python: str, ask: Ask) -> None:
    answered = ask(python)
    known = json.loads(str(answered["attributes"]))
    recorded = json.loads(KNOWN_TO_2_9.read_text(encoding="utf-8"))
    assert not [f"{op}.{name}" for op, names in recorded.items() for name in {*names} - {*known.get(op, ())}]
    if str(answered["version"]).startswith("2.9."):
        assert known == recorded
