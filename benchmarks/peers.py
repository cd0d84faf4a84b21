"""The peers: a table of all programs that are measured, and the virtual environment of each."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.basics.processor import ONEDNN

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
OWN = ""  # the environment of this process

_TF2 = {"TF_USE_LEGACY_KERAS": "1", "USE_TORCH": "0"}
_KERAS3 = {"KERAS_BACKEND": "tensorflow"}
_TORCH = {"USE_TF": "0"}
_ONEDNN = {ONEDNN: "1"}
_BFLOAT16 = {"export": ["--dtype", "bfloat16"]}
_INT8 = {"convert": ["--quantize", "int8"]}
_RECOMPUTE = {"export": ["--recompute"]}
_ROUGH = 0.3  # of int8
_CTRANSLATE2 = ("c_translate", "transformers_4")
_HUB = {"layer": "hub.KerasLayer"}


@dataclass(frozen=True)
class Peer:
    """One column of the tables: a worker script, the environment it runs in and the options it is given."""

    name: str
    label: str
    worker: str  # workers/NAME.py
    venv: str = OWN  # requirements/NAME.txt
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    prepared: str = ""  # the peer whose prepared directory it reads; itself if empty
    tolerance: float = 2e-4  # of outputs whose values are around 1
    by_name: bool = False  # it runs only if `--peers` names it

    @property
    def directory(self) -> str:
        return self.prepared or self.name

    @property
    def is_ours(self) -> bool:
        return self.venv == OWN and self.name.startswith("ours")

    @property
    def script(self) -> Path:
        return HERE / "workers" / f"{self.worker}.py"


ENCODERS = (
    Peer("ours", "ours", "ours"),
    # On CPUs without AVX512-VNNI, where TensorFlow does not turn oneDNN on itself.
    Peer("ours_onednn", "ours, oneDNN on", "ours", environment=_ONEDNN, prepared="ours", by_name=True),
    Peer("ours_bfloat16", "ours, bfloat16", "ours", options=_BFLOAT16, tolerance=0.2),
    Peer("zoo_onnx", "ours, ONNX", "zoo_onnx"),
    Peer("zoo_onnx_int8", "ours, ONNX int8", "zoo_onnx", options=_INT8, tolerance=_ROUGH),
    Peer("hf_tf", "HF TF, tf.function", "hf_tf", "hf_tf", environment=_TF2),
    Peer("hf_saved_model", "HF TF, SavedModel", "hf_tf", "hf_tf", {"saved_model": True}, _TF2),
    Peer("model_garden", "Model Garden", "model_garden", "model_garden", environment=_TF2),
    Peer("keras_hub", "KerasHub", "kerashub", "keras_hub", environment=_KERAS3),
    Peer("onnxruntime", "ONNX Runtime", "onnx_runtime", "torch", environment=_TORCH),
    Peer("onnxruntime_int8", "ONNX Runtime int8", "onnx_runtime", "torch", {"int8": True}, _TORCH, tolerance=_ROUGH),
    Peer("ctranslate2", "CTranslate2", *_CTRANSLATE2, environment=_TORCH),
    Peer("ctranslate2_int8", "CTranslate2 int8", *_CTRANSLATE2, {"compute_type": "int8"}, _TORCH, tolerance=_ROUGH),
    Peer("openvino", "OpenVINO", "open_vino", "torch", {"precision": "f32"}, _TORCH),
    Peer("openvino_int8", "OpenVINO int8", "open_vino", "torch", {"int8": True}, _TORCH, tolerance=_ROUGH),
    Peer("torch", "PyTorch", "pytorch", "torch", environment=_TORCH),
)
KERAS_HUB = (
    Peer("keras_hub_as_is", "KerasHub as it is", "kerashub", "keras_hub", {"as_is": True}, _KERAS3, "keras_hub"),
    Peer("keras_hub", "KerasHub, mended", "kerashub", "keras_hub", environment=_KERAS3),
)
TRAINERS = (
    Peer("ours", "ours, zoo.KerasLayer", "ours"),
    Peer("ours_hub", "ours, hub.KerasLayer", "ours", options=_HUB, prepared="ours"),
    Peer("ours_frozen", "ours, frozen", "ours", options={"trainable": False}, prepared="ours"),
    Peer("ours_hub_frozen", "ours, hub, frozen", "ours", options={**_HUB, "trainable": False}, prepared="ours"),
    Peer("ours_last_2", "ours, last:2", "ours", options={"trainable": "last:2"}, prepared="ours"),
    Peer("ours_recompute", "ours, recompute", "ours", options=_RECOMPUTE),
    Peer("ours_bfloat16", "ours, bfloat16", "ours", options=_BFLOAT16, tolerance=0.05),
    Peer("hf_tf", "HF TF", "hf_tf", "hf_tf", environment=_TF2),
    Peer("hf_tf_frozen", "HF TF, frozen", "hf_tf", "hf_tf", {"trainable": "none"}, _TF2, prepared="hf_tf"),
    Peer("model_garden", "Model Garden", "model_garden", "model_garden", environment=_TF2),
    Peer("keras_hub", "KerasHub", "kerashub", "keras_hub", environment=_KERAS3),
    Peer("torch", "PyTorch", "pytorch", "torch", environment=_TORCH),
)
TOKENIZERS = (
    Peer("ours", "ours", "text_ours", prepared="ours_tokenizer"),
    Peer("hf_tokenizers", "HF tokenizers (Rust)", "text_rust", "torch"),
    Peer("tf_text", "tensorflow-text BertTokenizer", "text_tensorflow"),
    Peer("tf_text_fast", "tensorflow-text FastBertTokenizer", "text_tensorflow", options={"fast": True}),
    Peer("keras_hub_text", "KerasHub", "text_kerashub", "keras_hub", environment=_KERAS3),
)
_OURS_TEXTS, _SENTENCE = ("vectors_ours", OWN), ("vectors_sentence", "transformers_4")
_QINT8 = {"file": "onnx/model_qint8_avx512_vnni.onnx"}
_SHARED: Mapping[str, Any] = {"environment": _TORCH, "prepared": "sentence"}
_ONNX_TEXTS, _INT8_TEXTS = "ours_onnx_texts", "ours_int8_texts"
OURS_TEXTS = (
    Peer("ours", "`TextEncoder`", *_OURS_TEXTS, prepared="ours_texts"),
    Peer("ours_onnx", "`TextEncoder(runtime='onnx')`", *_OURS_TEXTS, {"onnx": ()}, prepared=_ONNX_TEXTS),
    Peer("ours_int8", "the same in int8", *_OURS_TEXTS, {"onnx": _INT8["convert"]}, {}, _INT8_TEXTS, _ROUGH),
)
VECTORS = (
    Peer("sentence_torch", "sentence-transformers, torch", *_SENTENCE, **_SHARED),
    Peer("sentence_onnx", "sentence-transformers, onnx", *_SENTENCE, {"file": "onnx/model.onnx"}, **_SHARED),
    Peer("sentence_int8", "sentence-transformers, onnx int8", *_SENTENCE, _QINT8, **_SHARED, tolerance=_ROUGH),
    Peer("fastembed", "FastEmbed", *_SENTENCE, {"fastembed": True}, **_SHARED),
    *OURS_TEXTS,
    Peer("ours_embed", "`zoo embed`", *_OURS_TEXTS, {"embed": True}, prepared="ours_texts"),
    Peer("ours_embed_onnx", "`zoo embed --runtime onnx`", *_OURS_TEXTS, {"embed": True, "onnx": ()}, {}, _ONNX_TEXTS),
    Peer(
        "ours_embed_int8",
        "the same in int8",
        *_OURS_TEXTS,
        {"embed": True, "onnx": _INT8["convert"]},
        {},
        _INT8_TEXTS,
        _ROUGH,
    ),
)
ONE_TEXT = (
    Peer("onnxruntime", "ONNX Runtime, HF tokenizers", "vectors_onnx", "torch", {}, _TORCH, "onnxruntime_texts"),
    *OURS_TEXTS,
)
GROWTH = ("ours", "ours_bfloat16", "hf_saved_model", "onnxruntime")
EVERY = ENCODERS + KERAS_HUB + TRAINERS + TOKENIZERS + VECTORS + ONE_TEXT
NAMES = tuple(dict.fromkeys(peer.name for peer in EVERY))
VENVS = tuple(sorted({peer.venv for peer in EVERY} - {OWN}))


def label(section: str, name: str) -> str:
    """Return the name of a peer in the tables of a section."""
    table = {"training": TRAINERS, "tokenizer": TOKENIZERS}.get(section, ENCODERS)
    return {peer.name: peer.label for peer in table}.get(name, name)


class NotInstalled(Exception):
    """An environment could not be made; the message says why."""


def install(venv: str, directory: Path, python: str = sys.executable) -> Path:
    """Return the interpreter of a peer's environment, made if it is not there or its requirements changed.

    Raises NotInstalled with pip's last words; the whole log is DIRECTORY/NAME.log.
    """
    if venv == OWN:
        return Path(sys.executable)
    home, requirements = directory / venv, REQUIREMENTS / f"{venv}.txt"
    stamp, wanted = home / "requirements-met", digest([requirements])
    interpreter = home / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{venv}.log"
    commands = [
        [python, "-m", "venv", str(home)],
        [str(interpreter), "-m", "pip", "install", "--quiet", "pip>=23"],
        [str(interpreter), "-m", "pip", "install", "--requirement", str(requirements)],
    ]
    with log.open("w") as out:
        for command in commands:
            if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode:
                errors = [line for line in log.read_text().splitlines() if "ERROR" in line] or ["see the log"]
                raise NotInstalled(f"{errors[-1].removeprefix('ERROR: ')} ({log})")
    stamp.write_text(wanted)
    return interpreter


def digest(files: Iterable[Path]) -> str:
    """Return one digest of several files' bytes."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(file.read_bytes())
    return total.hexdigest()


def environment(peer: Peer, threads: int) -> dict[str, str]:
    """Return the environment variables of a worker: number of threads, no messages, no downloads, no GPU."""
    counts = dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "RAYON_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
        ),
        str(threads),
    )
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONUNBUFFERED": "1"}
    paths = {"PYTHONPATH": str(HERE.parent)} if peer.venv == OWN else {}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | counts | quiet | paths | peer.environment
