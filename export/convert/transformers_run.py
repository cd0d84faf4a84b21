"""Runs a written directory in transformers: `python -c "$(cat transformers_run.py)" DIR QUESTIONS RESULTS`.

It runs in a process of its own, perhaps of another Python, so it imports nothing of this project. QUESTIONS is a
directory with texts.json, whose ids are asked for, sentences.json, whose vectors are, and questions.npz, whose arrays
are named "0/input_ids"; RESULTS gets results.json and answers.npz, whose arrays are named "BertForMaskedLM/0/logits".
It exits with 3 if transformers, torch or, for vectors, sentence_transformers is not installed, with 4 if this
transformers has no such class; the last line on stderr says so.
"""

import importlib
import inspect
import json
import sys
from pathlib import Path

NO_PACKAGE, NO_CLASS = 3, 4


def main() -> None:
    folder, questions, results = map(Path, sys.argv[1:])
    try:
        numpy, torch, transformers = map(importlib.import_module, ("numpy", "torch", "transformers"))
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(NO_PACKAGE)
    transformers.logging.set_verbosity_error()
    said = json.loads((folder / "config.json").read_bytes())
    if said["model_type"] not in transformers.CONFIG_MAPPING:
        print(f"transformers {transformers.__version__} has no {said['architectures'][0]}", file=sys.stderr)
        sys.exit(NO_CLASS)
    asked = numpy.load(questions / "questions.npz")
    count = len({name.partition("/")[0] for name in asked.files})
    answers: dict = {}
    missing = {}
    for name in dict.fromkeys(["AutoModel", *said["architectures"]]):
        model, loading = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
        missing[name] = sorted(loading["missing_keys"])
        takes = inspect.signature(model.forward).parameters
        for number in range(count):
            keys = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in takes]
            tensors = {key: torch.tensor(asked[f"{number}/{key}"].astype("int64")) for key in keys}
            with torch.no_grad():
                outputs = model.eval()(**tensors, return_dict=True)
            found = {key: value for key, value in outputs.items() if torch.is_tensor(value)}
            answers |= {f"{name}/{number}/{key}": value.float().numpy() for key, value in found.items()}
    ids = None
    texts = json.loads((questions / "texts.json").read_bytes())
    if texts:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer(*text)["input_ids"] for text in texts]
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    sentences = json.loads((questions / "sentences.json").read_bytes())
    if sentences:
        try:
            library = importlib.import_module("sentence_transformers")
        except ImportError as error:
            print(error, file=sys.stderr)
            sys.exit(NO_PACKAGE)
        answers["SentenceTransformer/0/vector"] = library.SentenceTransformer(str(folder), device="cpu").encode(
            sentences
        )
        versions["sentence-transformers"] = library.__version__
    numpy.savez(results / "answers.npz", **answers)
    (results / "results.json").write_text(json.dumps({"missing": missing, "ids": ids, "versions": versions}))


if __name__ == "__main__":
    main()
