"""Writes what transformers' pipeline answers with tiny token classifiers, for the tests of entities in texts.

    /path/to/python/with/torch -m scripts.token_answers tests/export/data/token_answers.json.gz
    /path/to/python/with/torch -m scripts.token_answers hard.json.gz 2000
    python -m scripts.token_answers compare hard.json.gz  # with the text models of this project

Cases are as in scripts/text_answers.py; with a number, some of them, of that many hard texts. Written with transformers
4.57.6 and pytorch-crf 0.7.2, which decodes the cases with a CRF.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import category

import numpy as np

from scripts.architectures import _SIZES, ARCHITECTURES
from scripts.hard_texts import TEXTS as HARD
from scripts.text_answers import _ROBERTA, TEXTS, _filled, _stored, _tokenizer

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SENTENCES = [
    *TEXTS,
    "  北京 你好好 w3 w4 w5 \t w6，w7 a12 w8 the hotel！ Cafe\u0301 unaffable bca w9",
    " ".join(f"w{number % 68}" for number in range(0, 200, 7)),
]
# case -> model type, its config beyond the sizes, the labels
CLASSIFIERS: Mapping[str, tuple[str, dict[str, Any], list[str]]] = {
    "bert": ("bert", {}, BIO),
    "albert": ("albert", ARCHITECTURES["albert"], BIO),
    "electra": ("electra", ARCHITECTURES["electra"], ["I-ORG", "O", "I-PER"]),
    "roberta": ("roberta", _ROBERTA, ["noun", "verb", "other"]),
    "distilbert": ("distilbert", ARCHITECTURES["distilbert"], BIO),
    "ernie": ("ernie", ARCHITECTURES["ernie"], BIO),
    "roformer": ("roformer", ARCHITECTURES["roformer"], BIO),
    "nezha": ("nezha", ARCHITECTURES["nezha"], BIO),
}


_HARD = ("bert", "albert", "electra")


def main(file: Path, count: int | None) -> None:
    texts = SENTENCES if count is None else hard(count)
    names = CLASSIFIERS if count is None else _HARD
    cases = {f"tokens: {name}": classifier(*CLASSIFIERS[name], texts) for name in names}
    cases["tokens: bert with a crf"] = classifier(*CLASSIFIERS["bert"], texts, crf=True)
    file.write_bytes(gzip.compress(json.dumps(cases, ensure_ascii=False).encode(), mtime=0))


def hard(count: int) -> list[str]:
    """Return texts of hard characters, and words and marks that the tokenizer knows, in random order.

    Without characters of private use and unassigned ones, which Hugging Face drops: see docs/tokenizer.md.
    """
    random = np.random.default_rng(5)
    parts = [*"你好北京，。！?a1", "the ", "hotel", " was ", "un", "aff", "able", *(f" w{n} " for n in range(68))]
    parts += ["  ", "\t", "\u3000", *(each for text in HARD for each in text.split() if len(each) < 40)]
    parts = ["".join(char for char in each if category(char) not in ("Co", "Cn")) for each in parts]
    return ["".join(random.choice(parts, random.integers(1, 30))) for _ in range(count)]


def compare(cases: Mapping[str, Any]) -> None:
    """Print, for each case, the largest difference of its numbers, and every text whose labels or places differ."""
    import tensorflow as tf

    from tests.export.tasks import conftest

    conftest.cases = lambda: cases  # type: ignore[assignment]
    for name, case in cases.items():
        texts, worst, wrong = hard(len(case["answers"])), 0.0, []
        with tempfile.TemporaryDirectory() as folder:
            model = conftest.text_model(conftest.planned_text(conftest.write_case(name, Path(folder, "saved"))))
        answer = tf.function(model.answer, autograph=False, reduce_retracing=True)
        batches = [texts[begin : begin + 100] for begin in range(0, len(texts), 100)]
        found_of = chain.from_iterable(conftest.answers(SimpleNamespace(answer=answer), batch) for batch in batches)
        for number, (text, ours, theirs) in enumerate(zip(texts, found_of, case["answers"], strict=True)):
            for output, value in theirs.items():
                found, expected = ours[output], np.asarray(value)
                if found.shape != expected.shape or expected.dtype.kind in "Ui":
                    same = [each.decode() if isinstance(each, bytes) else each for each in found.tolist()] == value
                    wrong += [] if same else [f"{number} {output}: {text!r}"]
                else:
                    worst = max(worst, float(np.abs(found - expected).max(initial=0.0)))
        print(f"{name}: {len(texts):,} texts, numbers within {worst:.1e}, {len(wrong)} wrong", *wrong[:9], sep="\n    ")


def classifier(
    model_type: str, more: Mapping[str, Any], labels: Sequence[str], texts: Sequence[str], crf: bool = False
) -> dict[str, Any]:
    """Return a case: for each text the pipeline's entities, with bytes, and the logits [T, C]."""
    torch, transformers = import_module("torch"), import_module("transformers")
    names = dict(enumerate(labels))
    config = transformers.CONFIG_MAPPING[model_type](**{**_SIZES, **more, "id2label": names, "label2id": {}})
    model = transformers.AutoModelForTokenClassification.from_config(config).eval()
    if crf:
        model.crf = import_module("torchcrf").CRF(len(labels), batch_first=True)
    _filled(model)
    tokenizer = _tokenizer()
    if model_type in ("distilbert", "roberta"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    pipeline = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple"
    )
    answers = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits
        answer: dict[str, Any] = {"logits": np.round(logits[0].numpy(), 7).tolist()}
        if crf:
            answer["token_label"] = [labels[number] for number in model.crf.decode(logits)[0]]
        else:
            found = pipeline(text)
            answer["label"] = [each["entity_group"] for each in found]
            for name, place in (("start", "start"), ("limit", "end")):
                answer[name] = [len(text[: each[place]].encode()) for each in found]
            answer["score"] = [round(float(each["score"]), 7) for each in found]
        answers.append(answer)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return {**_stored(Path(folder), []), "answers": answers}


if __name__ == "__main__":
    if sys.argv[1] == "compare":
        compare(json.loads(gzip.decompress(Path(sys.argv[2]).read_bytes())))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
