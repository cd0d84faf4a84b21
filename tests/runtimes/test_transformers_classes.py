"""Classes of transformers as save_pretrained writes them: exact, or refused, with and without what the config tells.

Skipped without ZOO_TRANSFORMERS_PYTHONS, and for those of its interpreters that have no torch.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from export.encoder.encoder import Encoder
from export.heads import HEADS
from export.inspect import inspect_checkpoint
from export.options import NO_VOCABULARY, EncoderRequest
from export.planning import plan_encoder
from scripts.architectures import ARCHITECTURES
from tests.export.families.test_siblings import CONVERTED, TOLERANCE
from zoo.contract import MASKED_POSITIONS
from zoo.errors import ZooError

PYTHONS = [path for path in os.environ.get("ZOO_TRANSFORMERS_PYTHONS", "").split(":") if path]
pytestmark = pytest.mark.skipif(
    not PYTHONS, reason="ZOO_TRANSFORMERS_PYTHONS names no Python with transformers; `scripts/test-runtimes` makes some"
)

_KINDS = ("Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
# Runs in the other Python, in a folder that gets "roberta ForMaskedLM/", "roberta ForMaskedLM untied/", ….
_PROGRAM = """
import inspect, json, os, sys
try:
    import torch, transformers
except ImportError:
    sys.exit("no torch")
import numpy as np
transformers.logging.set_verbosity_error()
sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
sizes |= {"intermediate_size": 56, "max_position_embeddings": 40}
asked = json.load(sys.stdin)
for model_type, more in asked["types"].items():
    for kind in asked["kinds"]:
        try:
            auto = getattr(transformers, "AutoModel" + kind.removeprefix("Model"))
            config = transformers.CONFIG_MAPPING[model_type]
            auto.from_config(config(**sizes | more))
        except (KeyError, ValueError, ImportError):  # this version has no such class
            continue
        for name, tied in (("", True), (" untied", False)) if kind == "ForMaskedLM" else (("", True),):
            model = auto.from_config(config(**sizes | more | ({} if tied else {"tie_word_embeddings": False}))).eval()
            draw = torch.Generator().manual_seed(7)
            with torch.no_grad():
                for each, values in sorted(model.named_parameters()):
                    if values.requires_grad:  # else sines and cosines of RoFormer
                        values.copy_(torch.randn(values.shape, generator=draw) * 0.2 + ("norm" in each.lower()))
            folder = f"{model_type} {kind}{name}"
            model.save_pretrained(folder)
            mask = (np.arange(9) < [[9], [8], [5]]).astype(np.int64)
            padding = (1 - mask) * (getattr(model.config, "pad_token_id", 0) or 0)
            ids = np.random.default_rng(3).integers(5, 99, (3, 9)) * mask + padding
            types = (np.arange(9) > 3) * mask * (getattr(model.config, "type_vocab_size", 0) > 1)
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
            encoder = getattr(model, model.base_model_prefix, model)
            found = {}
            for part in (encoder, model) if model_type in asked["converted"] else ():
                takes = inspect.signature(part.forward).parameters
                with torch.no_grad():
                    tensors = {key: torch.tensor(value) for key, value in given.items() if key in takes}
                    answer = part(**tensors, return_dict=True)
                found |= {key: value.numpy() for key, value in answer.items() if torch.is_tensor(value)}
            np.savez(folder + "/answers.npz", **given, **found)
"""


@pytest.fixture(scope="module", params=PYTHONS)
def classes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("classes")
    asked = json.dumps({"types": dict(ARCHITECTURES), "kinds": _KINDS, "converted": [*CONVERTED]})
    done = subprocess.run([request.param, "-c", _PROGRAM], input=asked, cwd=place, capture_output=True, text=True)
    if "no torch" in done.stderr:
        pytest.skip("this Python has no torch")
    assert not done.returncode, done.stderr[-2000:]
    return sorted(place.iterdir())


@pytest.mark.parametrize("without", [(), ("model_type",), ("architectures",), ("model_type", "architectures")])
def test_each_is_exact_or_refused(classes: list[Path], without: tuple[str, ...]) -> None:
    said = {folder: json.loads((folder / "config.json").read_text()) for folder in classes}
    outcomes = {}
    for folder, config in said.items():
        told = {key: value for key, value in config.items() if key not in without}
        (folder / "config.json").write_text(json.dumps(told))
        outcomes[folder.name] = _outcome(folder, told)
        (folder / "config.json").write_text(json.dumps(config))
    assert {name: found for name, found in outcomes.items() if isinstance(found, float) and found > TOLERANCE} == {}
    if len(without) < 2:
        exact = {name.partition(" ")[0] for name, found in outcomes.items() if isinstance(found, float)}
        assert exact == CONVERTED.keys() & {name.partition(" ")[0] for name in outcomes}  # 5 has no NEZHA


def _outcome(folder: Path, config: dict[str, object]) -> float | str:
    """Return the largest difference from transformers' answers, or the message of a refusal."""
    import tensorflow as tf

    try:
        seen = inspect_checkpoint(folder)
        pooler = "first_token" if "first_token" in (seen.export_options or ()) else None
        leave_out = ("splinter_qass.*",) if "splinter_qass.*" in (seen.export_options or ()) else ()
        how = {"vocab": NO_VOCABULARY, "pooler": pooler, "leave_out": leave_out}
        found = plan_encoder(EncoderRequest(folder, "odd", folder, **how))  # type: ignore[arg-type]
        plan = found.plan.checked("odd")
    except ZooError as error:
        return str(error)
    encoder = Encoder(
        found.config, {each.ours: tf.Variable(plan.read(each, found.checkpoint)) for each in plan.variables}
    )
    theirs = np.load(folder / "answers.npz")
    mask = theirs["attention_mask"]
    answer = encoder.encode(
        *(tf.constant(theirs[key].astype(np.int32)) for key in ("input_ids", "attention_mask", "token_type_ids"))
    )
    pairs = []
    if "last_hidden_state" in theirs.files:
        pairs.append((answer["sequence_output"], theirs["last_hidden_state"] * mask[..., None]))
    if "pooler_output" in theirs.files:
        pairs.append((answer["pooled_output"], theirs["pooler_output"]))
    if found.heads == ("mlm",):
        positions = {MASKED_POSITIONS: tf.ones([3, 1], tf.int32)}
        pairs.append((HEADS["mlm"].compute(encoder, answer, positions)["mlm_logits"], theirs["logits"][:, 1:2]))
    return max(float(np.abs(ours - other).max()) for ours, other in pairs)
