"""Writes what transformers' pipeline answers with tiny token classifiers, for the tests of entities in texts.

    PYTHONPATH=. /path/to/python/with/torch -m scripts.token_answers tests/export/data/token_answers.json.gz
    PYTHONPATH=. /path/to/python/with/torch -m scripts.token_answers hard.json.gz 2000

Cases are as in scripts/text_answers.py; with a number, they are of that many hard texts, which
`python -m scripts.token_answers compare hard.json.gz` compares with text models made here. Written with transformers
4.57.6 and pytorch-crf 0.7.2, which decodes the cases with a CRF.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

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


def main(file: Path, count: int | None) -> None:
    texts = SENTENCES if count is None else hard(count)
    cases = {f"tokens: {name}": classifier(*how, texts) for name, how in CLASSIFIERS.items()}
    cases["tokens: bert with a crf"] = classifier(*CLASSIFIERS["bert"], texts, crf=True)
    file.write_bytes(gzip.compress(json.dumps(cases, ensure_ascii=False).encode(), mtime=0))


def hard(count: int) -> list[str]:
    """Return texts of hard characters, and words and marks that the tokenizer knows, in random order."""
    random = np.random.default_rng(5)
    parts = [*"你好北京，。！?a1", "the ", "hotel", " was ", "un", "aff", "able", *(f" w{n} " for n in range(68))]
    parts += ["  ", "\t", "\u3000", *(each for text in HARD for each in text.split() if len(each) < 40)]
    return ["".join(random.choice(parts, random.integers(1, 30))) for _ in range(count)]


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
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
