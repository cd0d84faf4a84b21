"""Writes what transformers' pipelines answer with tiny models, for the tests of span answers and of [MASK] tokens.

    /path/to/python/with/torch -m scripts.span_answers tests/export/data/span_answers.json.gz

Cases are as in scripts/text_answers.py. Written with transformers 4.57.6.
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

from scripts.architectures import _SIZES, ARCHITECTURES, sibling_weights
from scripts.text_answers import _stored, _tokenizer

QUESTIONS = [
    ["你好", "北京，你好！the hotel was good."],
    ["was?", "Café unaffable 12 a, The HOTEL"],
    ["你", "好"],
    ["a 12", "北京\u200b😀 Cafe\u0301 w1 w2 unaffable! bca bca w3 好好 the hotel"],
    ["w1 w2", "\u3000 w3\tw4 w5 W3 w6, w7 w8 w3 好"],
]
MASKED = [
    "你[MASK]，北京！",
    "the [MASK] was [MASK].",
    "[MASK]",
    "Café w1 [mask] w2 [MASK]unaffable",
    "🙂[MASK] [SEP] a12 [MASK]",
]
_TYPES = ("bert", "albert", "electra", "distilbert")


def main(file: Path) -> None:
    cases = {f"span: {kind}": spans(kind, QUESTIONS) for kind in _TYPES}
    cases |= {f"masks: {kind}": masks(kind, MASKED) for kind in _TYPES}
    file.write_bytes(gzip.compress(json.dumps(cases, ensure_ascii=False).encode(), mtime=0))


def _model(kind: str, auto: str) -> tuple[Any, Any]:
    transformers = import_module("transformers")
    config = transformers.CONFIG_MAPPING[kind](**{**_SIZES, **ARCHITECTURES[kind]})
    model = getattr(transformers, auto).from_config(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        names = import_module("safetensors.numpy").load_file(Path(folder, "model.safetensors"))
    shapes = {name: list(array.shape) for name, array in names.items()}  # without tied matrices
    torch = import_module("torch")
    filled = {name: torch.tensor(array) for name, array in sibling_weights(shapes).items()}
    model.load_state_dict(filled, strict=False)
    model.tie_weights()
    tokenizer = _tokenizer()
    if kind == "distilbert":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return model, tokenizer


def spans(kind: str, questions: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return a case: for each question the pipeline's answer, bytes of the context, and the logits [T, 2]."""
    torch, transformers = import_module("torch"), import_module("transformers")
    model, tokenizer = _model(kind, "AutoModelForQuestionAnswering")
    pipeline = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
    answers = []
    for question, context in questions:
        found = pipeline(question=question, context=context, max_answer_len=30)
        with torch.no_grad():
            outputs = model(**tokenizer(question, context, return_tensors="pt"))
        places = {name: len(context[: found[end]].encode()) for name, end in (("start", "start"), ("limit", "end"))}
        logits = torch.stack([outputs.start_logits[0], outputs.end_logits[0]], 1).numpy()
        answers.append({"answer": found["answer"], **places, "score": found["score"], "logits": logits.tolist()})
    return _case(model, tokenizer, answers)


def masks(kind: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return a case: for each text the tokens and scores [M, 5] of the pipeline."""
    transformers = import_module("transformers")
    model, tokenizer = _model(kind, "AutoModelForMaskedLM")
    pipeline = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=5)
    answers = []
    for text in texts:
        found = pipeline(text)
        rows = found if isinstance(found[0], list) else [found]
        names = [tokenizer.convert_ids_to_tokens([each["token"] for each in row]) for row in rows]
        answers.append({"token": names, "score": [[each["score"] for each in row] for row in rows]})
    return _case(model, tokenizer, answers)


def _case(model: Any, tokenizer: Any, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return {**_stored(Path(folder), []), "answers": list(answers)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
