"""The goals of this project: a table of what is compared with which peers, and the ratio that should be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.results import Results, ratio

TF = ("hf_tf", "hf_saved_model", "model_garden", "keras_hub")
EVERYBODY = (*TF, "onnxruntime", "torch")
HF, ORT = ("hf_saved_model",), ("onnxruntime",)
THREADS = 2


@dataclass(frozen=True)
class Goal:
    """The best peer's seconds or MiB, divided by ours, should be at least `bound`: 2.0 means twice as fast or small."""

    what: str
    section: str
    model: str
    case: str
    theirs: tuple[str, ...]
    bound: float
    measure: str = "s"
    ours: str = "ours"
    their_case: str = ""  # the same as ours if empty


@dataclass(frozen=True)
class Outcome:
    """A goal, the peer with the smallest ratio, and that ratio with its quartiles.

    The times themselves are not compared between peers, because peers may have run at different times of the day.
    """

    goal: Goal
    peer: str
    ratio: tuple[float, float, float]

    @property
    def met(self) -> bool:
        return self.ratio[0] >= self.goal.bound


def _onnx(what: str, model: str, case: str, theirs: str, most: float, ours: str = "zoo_onnx") -> Goal:
    """Return a goal for the inverse ratio of what `zoo convert --to onnx` makes."""
    return Goal(what, "inference", model, case, (theirs,), 1 / most, ours=ours)


def _dense(what: str, model: str, case: str, theirs: tuple[str, ...], most: float) -> Goal:
    """Return a goal for the inverse ratio: our time should be at most `most` times theirs."""
    return Goal(what, "inference", model, f"dense {case}", theirs, 1 / most)


_ROW, _INT8 = "dense 1 x 16", "zoo_onnx_int8"
_REAL, _TRIMMED = "real 32 x 128", "trimmed 32 x 128"
_STEP_REAL, _STEP_DENSE = "real 16 x 128", "dense 16 x 128"
_TF_TRAINERS = ("hf_tf", "model_garden", "keras_hub")
_RUST = ("hf_tokenizers",)
_MEMORY = "peak MiB"

GOALS: Sequence[Goal] = (
    _dense("BERT-base, 32 x 128, against HF", "bert", "32 x 128", HF, 0.95),
    _dense("BERT-base, 32 x 128, against ONNX Runtime", "bert", "32 x 128", ORT, 0.95),
    _dense("BERT-base, 1 x 128, against HF", "bert", "1 x 128", HF, 0.95),
    _dense("BERT-base, 1 x 128, against ONNX Runtime", "bert", "1 x 128", ORT, 1.10),
    _dense("albert_tiny, 32 x 128, against HF", "albert_tiny", "32 x 128", HF, 0.95),
    _dense("albert_tiny, 1 x 128, against HF", "albert_tiny", "1 x 128", HF, 0.80),
    _dense("albert_tiny, 1 x 128, against ONNX Runtime", "albert_tiny", "1 x 128", ORT, 1.0),
    Goal("real lengths padded to 128", "inference", "bert", _REAL, EVERYBODY, 3.8),
    Goal("the same, the peer's caller trims", "inference", "bert", _REAL, EVERYBODY, 1.8, their_case=_TRIMMED),
    Goal("real lengths, ours in bfloat16", "inference", "bert", _REAL, EVERYBODY, 7.0, ours="ours_bfloat16"),
    _onnx("ONNX, real lengths, against ONNX Runtime", "bert", _REAL, "onnxruntime", 0.26),
    _onnx("ONNX, real lengths, against our archive", "bert", _REAL, "ours", 1.05),
    _onnx("ONNX int8, real lengths, against our archive", "bert", _REAL, "ours", 0.42, _INT8),
    _onnx("ONNX int8, real lengths, against CTranslate2 int8", "bert", _REAL, "ctranslate2_int8", 0.75, _INT8),
    _onnx("ONNX, 32 x 128, against ONNX Runtime", "bert", "dense 32 x 128", "onnxruntime", 1.05),
    _onnx("ONNX, albert_tiny, 1 x 16, against our archive", "albert_tiny", _ROW, "ours", 0.27),
    _onnx("ONNX int8, albert_tiny, 1 x 16, against our archive", "albert_tiny", _ROW, "ours", 0.15, _INT8),
    _onnx("ONNX, albert_tiny, real lengths, against our archive", "albert_tiny", _REAL, "ours", 0.6),
    _onnx("ONNX int8, albert_tiny, real lengths, against our archive", "albert_tiny", _REAL, "ours", 0.4, _INT8),
    Goal("tokenizer, 1,024 texts", "tokenizer", "albert_tiny", "1024 texts", _RUST, 6.0),
    Goal("tokenizer, 32 texts", "tokenizer", "albert_tiny", "32 texts", _RUST, 1.8),
    Goal("loading BERT-base, TensorFlow peers", "load", "bert", "load", TF, 1.7, "load s"),
    Goal("loading BERT-base, every peer", "load", "bert", "load", EVERYBODY, 1.7, "load s"),
    Goal("a step on real lengths", "training", "bert", _STEP_REAL, _TF_TRAINERS, 2.5),
    Goal("a step on dense batches", "training", "bert", _STEP_DENSE, _TF_TRAINERS, 1.0),
    Goal("peak memory, dense", "training", "bert", _STEP_DENSE, _TF_TRAINERS, 1.0, _MEMORY),
    Goal("recompute: memory", "training", "bert", _STEP_DENSE, ("ours",), 1 / 0.7, _MEMORY, "ours_recompute"),
    Goal("recompute: time", "training", "bert", _STEP_DENSE, ("ours",), 1 / 1.3, ours="ours_recompute"),
    Goal("frozen against trainable", "training", "bert", _STEP_DENSE, ("ours",), 2.5, ours="ours_frozen"),
    Goal("last:2 against trainable", "training", "bert", _STEP_DENSE, ("ours",), 1.5, ours="ours_last_2"),
)
GOAL_CASES = frozenset(name for goal in GOALS for name in (goal.case, goal.their_case))


def outcomes(results: Results, threads: int = THREADS) -> list[Outcome]:
    """Return every goal for which both sides were measured."""
    found = []
    for goal in GOALS:
        ours = results.get(goal.section, goal.model, threads, goal.case, goal.ours, goal.measure)
        case = goal.their_case or goal.case
        theirs = [results.get(goal.section, goal.model, threads, case, peer, goal.measure) for peer in goal.theirs]
        each = [Outcome(goal, their.peer, ratio(ours, their)) for their in theirs if ours and their]
        found += sorted(each, key=lambda outcome: outcome.ratio[0])[:1]
    return found


def limits(results: Results, threads: int = THREADS) -> list[tuple[str, float, float]]:
    """Return (what, found, at most) of the goals that are not ratios to a peer, where they were measured."""
    found: list[tuple[str, float, float]] = []
    sums = (
        ("export of BERT-base, verified and packed, s", ("export s",), 25.0),
        ("digests and unpacking, of every archive once, s", ("unpack s",), 2.5),
        ("digests, unpacking and the whole certificate, s", ("unpack s", "verify s"), 2.5),
    )
    for what, measures, most in sums:
        records = [results.get("archive", "bert", threads, "archive", "ours", measure) for measure in measures]
        if all(record is not None for record in records):
            found.append((what, sum(record.median for record in records if record is not None), most))
    memory = results.get("load", "bert", threads, "load", "ours", "memory after load MiB")
    weights = results.get("archive", "bert", threads, "archive", "ours", "directory MiB")
    if memory is not None and weights is not None:
        found.append(("memory after load, times the weights", memory.median / weights.median, 1.15))
    differences = results.select(section="agreement", measure="different", peer="ours")
    found += [(f"other ids than BERT's own, of {record.case}", record.median, 0.0) for record in differences]
    return found
