"""Asks transformers itself: what its classes compute with a written directory, and which ids its tokenizer gives."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from export.convert import transformers_run
from export.convert.check import Batch, NoRuntime
from zoo.contract import INPUT_MASK, INPUT_TYPE_IDS, INPUT_WORD_IDS
from zoo.errors import VerificationFailed

_SCRIPT = Path(transformers_run.__file__)
_NAMES = {INPUT_WORD_IDS: "input_ids", INPUT_MASK: "attention_mask", INPUT_TYPE_IDS: "token_type_ids"}
_INSTALL = "transformers and torch are not installed here: `pip install transformers torch`"
_INSTALL_VECTORS = "sentence-transformers is not installed here: `pip install sentence-transformers`"


@dataclass(frozen=True)
class Answered:
    """What transformers computes: `arrays` have names such as "AutoModel/0/last_hidden_state", 0 being the batch.

    `missing` are the variables of each class that the files do not have: transformers makes random ones. `ids` are
    those of the texts that were asked.
    """

    arrays: Mapping[str, np.ndarray]
    missing: Mapping[str, Sequence[str]]
    ids: Sequence[Sequence[int]] | None
    versions: Mapping[str, str]


def not_asked(error: NoRuntime) -> str:
    """Return why a report says that its files are not verified, where `ask_transformers` raised `error`."""
    return f"by transformers itself, only by the numpy forward pass over the files: {error}"


def ask_transformers(
    directory: Path,
    asked: Sequence[Batch],
    texts: Sequence[Sequence[str]] = (),
    python: str | None = None,
    sentences: Sequence[str] = (),
) -> Answered:
    """Return what transformers makes of a directory, in a process of this Python, or of another one.

    Of each batch AutoModel is asked, and every class that config.json names; of `sentences` SentenceTransformer is.
    Raises NoRuntime if one of these packages is not installed, or if this transformers lacks the class;
    VerificationFailed if it fails.
    """
    if python is None and not (find_spec("transformers") and find_spec("torch")):
        raise NoRuntime(_INSTALL)
    with tempfile.TemporaryDirectory() as work:
        arrays = {f"{n}/{_NAMES[key]}": array for n, batch in enumerate(asked) for key, array in batch.items()}
        np.savez(Path(work) / "questions.npz", **arrays)  # type: ignore[arg-type]
        (Path(work) / "texts.json").write_text(json.dumps([*map(list, texts)]), encoding="utf-8")
        (Path(work) / "sentences.json").write_text(json.dumps([*sentences]), encoding="utf-8")
        # Not by its path: then Python would look for modules in the directory of this file first.
        program = [python or sys.executable, "-c", _SCRIPT.read_text(encoding="utf-8")]
        done = subprocess.run(
            [*program, str(directory), work, work], cwd=work, capture_output=True, text=True, check=False
        )
        said = done.stderr.strip()
        if done.returncode == transformers_run.NO_PACKAGE:
            raise NoRuntime(_INSTALL_VECTORS if sentences else _INSTALL)
        if done.returncode == transformers_run.NO_CLASS:
            raise NoRuntime(said.splitlines()[-1])
        if done.returncode:
            raise VerificationFailed(f"transformers does not load what was written: {said[-500:]}")
        results = json.loads((Path(work) / "results.json").read_bytes())
        with np.load(Path(work) / "answers.npz", allow_pickle=False) as file:
            return Answered({name: file[name] for name in file.files}, **results)
