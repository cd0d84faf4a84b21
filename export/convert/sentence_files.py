"""Writes the files of sentence-transformers: how the encoder's outputs become the vector of a text.

`export/readers/sentence_transformers.py` reads them, and has the words for poolings and activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.readers.sentence_transformers import ACTIVATIONS, MODES, MODULES_FILE, PROMPTS_FILE
from zoo.archive.card import EncoderCard, to_json
from zoo.archive.sentence import SentenceVectors
from zoo.archive.task import DenseRecord, TextTask

SETTINGS_FILE = "sentence_bert_config.json"
_TYPES = "sentence_transformers.models."  # as all versions read them
_PLACES = {"Identity": "linear"}  # module of torch.nn with an activation, where it is not "activation"


@dataclass(frozen=True)
class DenseArrays:
    """A dense layer behind the pooling: kernel [inputs, outputs] and bias [outputs], None if it has none."""

    record: DenseRecord
    kernel: np.ndarray
    bias: np.ndarray | None


def sentence_files_of_card(card: EncoderCard, directory: Path) -> str | None:
    """Write the files for an encoder whose card states how vectors are made; return why not, None if all is well."""
    stated = card.sentence
    if stated is None:
        return None
    if beyond := [*stated.beyond_encoder, *unknown_poolings(stated.pooling)]:
        return f"sentence-transformers' files (its vectors need more than the encoder: {'; '.join(beyond)})"
    write_sentence_files(stated, (), card.sizes.hidden_size, directory)
    return None


def stated_vectors(task: TextTask) -> SentenceVectors:
    """Return how a text archive makes vectors, in the words of an encoder's card."""
    said = task.model_dump(include={*SentenceVectors.model_fields} & {*TextTask.model_fields})
    return SentenceVectors(**said)


def unknown_poolings(pooling: str) -> list[str]:
    """Return the poolings that sentence-transformers does not have: that of the pooler's output."""
    known = {ours for _, _, ours in MODES}
    return [f"pooling {kind}" for kind in pooling.split("+") if kind not in known]


def write_sentence_files(
    stated: SentenceVectors, dense: Sequence[DenseArrays], hidden_size: int, directory: Path
) -> None:
    """Write modules.json and the folder of each module: pooling, dense layers, normalisation."""
    words = ["Pooling"]
    for layer in dense:
        words += ["Normalize", "Dense"] if layer.record.unit_inputs else ["Dense"]
    words += ["Normalize"] if stated.normalize else []
    paths = ["", *(f"{number}_{word}" for number, word in enumerate(words, start=1))]
    pooled = stated.pooling.split("+")
    files: dict[str, object] = {
        MODULES_FILE: [
            {"idx": number, "name": str(number), "path": path, "type": _TYPES + word}
            for number, (path, word) in enumerate(zip(paths, ("Transformer", *words), strict=True))
        ],
        SETTINGS_FILE: {"max_seq_length": stated.max_length, "do_lower_case": stated.lower_case},
        PROMPTS_FILE: _prompts(stated),
        "1_Pooling/config.json": {
            "word_embedding_dimension": hidden_size,
            **{key: ours in pooled for key, _, ours in MODES},
            "include_prompt": stated.include_prompt,
        },
    }
    for path in paths[1:]:
        (directory / path).mkdir()
    places = (path for word, path in zip(words, paths[1:], strict=True) if word == "Dense")
    for path, layer in zip(places, dense, strict=True):
        files[f"{path}/config.json"] = _settings(layer)
        _write_weights(layer, directory / path / "model.safetensors")
    for name, content in files.items():
        (directory / name).write_text(to_json(content), encoding="utf-8")


def _settings(layer: DenseArrays) -> dict[str, Any]:
    inputs, outputs = layer.kernel.shape
    activation = "identity" if layer.record.activation == "linear" else layer.record.activation
    word = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == activation)
    return {
        "in_features": inputs,
        "out_features": outputs,
        "bias": layer.bias is not None,
        "activation_function": f"torch.nn.modules.{_PLACES.get(word, 'activation')}.{word}",
    }


def _write_weights(layer: DenseArrays, file: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {"linear.weight": np.ascontiguousarray(layer.kernel.T)}
    save_file(arrays if layer.bias is None else {**arrays, "linear.bias": layer.bias}, file, {"format": "pt"})


def _prompts(stated: SentenceVectors) -> dict[str, Any]:
    return {
        "prompts": stated.prompts,
        "default_prompt_name": stated.default_prompt,
        "similarity_fn_name": stated.similarity,
    }
