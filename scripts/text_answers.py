"""Writes what transformers and sentence-transformers answer to texts with tiny models, for the tests of text archives.

    /path/to/python/with/torch -m scripts.text_answers tests/export/data/text_answers.json.gz

Each case holds the files that `save_pretrained` or `save` wrote, names and shapes of the weights, which
`sibling_weights` gives again without torch, and the answers to `TEXTS`. Written with transformers 4.57.6 and
sentence-transformers 5.7.0.
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

from scripts.architectures import _SIZES, ARCHITECTURES, sibling_weights

VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "##好", "，", "。", "！", "北", "京", "a", "##a", "bc"),
    *("un", "##aff", "##able", "cafe", "!", ",", ".", "the", "hotel", "was", "bad", "good", "1", "##2", "?"),
    *(f"w{number}" for number in range(68)),
]
_LONG = "你好，北京！the hotel was good. " * 12  # more than the 40 positions
TEXTS = [
    "你好",
    "",
    "The hotel was BAD!",
    "Café unaffable 12 a",
    "你好，\u200b北京😀。",
    "w1 w2 [SEP] w3 [MASK]",
    _LONG,
]
PAIRS = [["你好", "北京！"], ["", "a"], [_LONG, "good"], ["good", _LONG], [_LONG, f"{_LONG}！"], [f"{_LONG}！", _LONG]]
_ROBERTA = {**ARCHITECTURES["roberta"], "pad_token_id": 0, "max_position_embeddings": 41}  # with BERT's vocabulary

# case -> model type, its config beyond the sizes, the number of classes
CLASSIFIERS: Mapping[str, tuple[str, dict[str, Any], int]] = {
    "bert": ("bert", {}, 3),
    "bert of several labels": ("bert", {"problem_type": "multi_label_classification"}, 3),
    "bert of regression": ("bert", {"problem_type": "regression"}, 1),
    "bert of one class": ("bert", {}, 1),
    "albert": ("albert", ARCHITECTURES["albert"], 2),
    "electra": ("electra", ARCHITECTURES["electra"], 2),
    "roberta": ("roberta", _ROBERTA, 2),
    "distilbert": ("distilbert", ARCHITECTURES["distilbert"], 4),
    "ernie": ("ernie", ARCHITECTURES["ernie"], 2),
    "roformer": ("roformer", {**ARCHITECTURES["roformer"], "hidden_act": "relu"}, 2),
    "nezha": ("nezha", ARCHITECTURES["nezha"], 2),
}
# case -> words of Pooling, width and activation of a dense layer, whether the vector is normalised
VECTORS: Mapping[str, tuple[list[str], tuple[int, str] | None, bool]] = {
    "cls": (["cls"], None, True),
    "mean": (["mean"], None, False),
    "max and dense": (["max"], (24, "Tanh"), True),
    "mean_sqrt_len_tokens": (["mean_sqrt_len_tokens"], (40, "Identity"), False),
    "weightedmean": (["weightedmean"], None, True),
    "lasttoken and dense": (["lasttoken"], (20, "ReLU"), False),
    "cls and mean": (["cls", "mean"], (16, "GELU"), True),
}


def main(file: Path) -> None:
    cases = {f"classifier: {name}": classifier(*how, [*TEXTS, *PAIRS]) for name, how in CLASSIFIERS.items()}
    cases |= {f"vector: {name}": vectors(*how, TEXTS) for name, how in VECTORS.items()}
    file.write_bytes(gzip.compress(json.dumps(cases, ensure_ascii=False).encode(), mtime=0))


def _tokenizer() -> Any:
    transformers = import_module("transformers")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        return transformers.BertTokenizerFast(str(Path(folder, "vocab.txt")), model_max_length=40)


def _filled(model: Any) -> None:
    """Give the parameters of a model the numbers of `sibling_weights`, by the names in its file."""
    torch = import_module("torch")
    state = {name: list(value.shape) for name, value in model.state_dict().items() if value.is_floating_point()}
    state = {name: shape for name, shape in state.items() if "embed_positions" not in name}
    model.load_state_dict({name: torch.tensor(array) for name, array in sibling_weights(state).items()}, strict=False)


def classifier(
    model_type: str, more: Mapping[str, Any], classes: int, texts: Sequence[str | list[str]]
) -> dict[str, Any]:
    """Return a case: for each text or pair the logits, and the scores of the pipeline."""
    torch, transformers = import_module("torch"), import_module("transformers")
    names = {number: f"class {number}" for number in range(classes)}
    config = transformers.CONFIG_MAPPING[model_type](**{**_SIZES, **more, "id2label": names, "label2id": {}})
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    _filled(model)
    tokenizer = _tokenizer()
    if model_type in ("distilbert", "roberta"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    answers = []
    for text in texts:
        pair = [text] if isinstance(text, str) else text
        inputs = tokenizer(*pair, truncation=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0].numpy().tolist()
        asked = {"text": text} if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
        scores = {each["label"]: each["score"] for each in pipeline(asked, truncation=True)}
        answers.append({"logits": logits, "scores": [scores[name] for name in names.values()]})
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return _stored(Path(folder), answers)


def vectors(words: list[str], dense: tuple[int, str] | None, normalised: bool, texts: Sequence[str]) -> dict[str, Any]:
    """Return a case: for each text its vector, and that of the text as a query."""
    torch, transformers = import_module("torch"), import_module("transformers")
    library, modules = import_module("sentence_transformers"), import_module("sentence_transformers.models")
    config = transformers.BertConfig(**_SIZES)
    bert = transformers.BertModel(config).eval()
    _filled(bert)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "saved")
        bert.save_pretrained(folder)
        _tokenizer().save_pretrained(folder)
        first = modules.Transformer(folder, max_seq_length=30)
        parts = [first, modules.Pooling(32, pooling_mode=words[0] if len(words) == 1 else words)]
        if dense:
            layer = modules.Dense(32 * len(words), dense[0], activation_function=getattr(torch.nn, dense[1])())
            _filled(layer)
            parts.append(layer)
        parts += [modules.Normalize()] if normalised else []
        model = library.SentenceTransformer(modules=parts, device="cpu", prompts={"query": "a 1: ", "document": ""})
        answers = [{"vector": vector.tolist()} for vector in model.encode([*texts])]
        model.save(str(place))
        stored = _stored(place, answers)
        return {**stored, "query": model.encode([*texts], prompt_name="query").tolist()}


def _stored(folder: Path, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return files of text, and names and shapes of weights, in a directory."""
    load = import_module("safetensors.numpy").load_file
    files, weights = {}, {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            weights[name] = {key: list(array.shape) for key, array in sorted(load(path).items())}
        elif path.is_file() and path.name not in ("README.md", "tokenizer.json"):
            files[name] = path.read_text(encoding="utf-8")
    rounded = [{key: np.round(value, 8).tolist() for key, value in answer.items()} for answer in answers]
    return {"files": files, "weights": weights, "answers": rounded}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
