"""Writes the files of sentence-transformers from a card: how the encoder's outputs become the vector of a text.

`export/readers/sentence_transformers.py` reads them, and has the words for the poolings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.readers.sentence_transformers import MODES, MODULES_FILE, PROMPTS_FILE
from zoo.archive.card import EncoderCard, SentenceVectors, to_json

SETTINGS_FILE = "sentence_bert_config.json"
_TYPES = "sentence_transformers.models."  # as all versions read them


def write_sentence_files(card: EncoderCard, directory: Path) -> str | None:
    """Write the files for an encoder whose card states how vectors are made; return why not, None if all is well."""
    stated = card.sentence
    if stated is None:
        return None
    known = {ours: key for key, _, ours in MODES}
    beyond = [*stated.beyond_encoder, *(f"pooling {kind}" for kind in stated.pooling.split("+") if kind not in known)]
    if beyond:
        return f"sentence-transformers' files (its vectors need more than the encoder: {'; '.join(beyond)})"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] * stated.normalize)]
    pooled = stated.pooling.split("+")
    files: dict[str, object] = {
        MODULES_FILE: [
            {"idx": number, "name": str(number), "path": path, "type": _TYPES + word}
            for number, (path, word) in enumerate(modules)
        ],
        SETTINGS_FILE: {"max_seq_length": stated.max_length, "do_lower_case": stated.lower_case},
        PROMPTS_FILE: _prompts(stated),
        "1_Pooling/config.json": {
            "word_embedding_dimension": card.sizes.hidden_size,
            **{key: ours in pooled for key, _, ours in MODES},
            "include_prompt": stated.include_prompt,
        },
    }
    for path, _ in modules[1:]:
        (directory / path).mkdir()
    for name, content in files.items():
        (directory / name).write_text(to_json(content), encoding="utf-8")
    return None


def _prompts(stated: SentenceVectors) -> dict[str, Any]:
    return {
        "prompts": stated.prompts,
        "default_prompt_name": stated.default_prompt,
        "similarity_fn_name": stated.similarity,
    }
