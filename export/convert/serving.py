"""A directory that TensorFlow Serving takes as it is: NAME/VERSION for each model, warm-up requests, models.config."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from export.convert.asked import converter_versions
from export.convert.check import TOLERANCE, Comparison, answers, as_numpy, batches, compare
from export.convert.report import ConversionReport, stated
from export.saved_model.text_model import flat
from zoo.archive.card import EncoderCard, TextCard, TokenizerCard, to_json, write_card
from zoo.archive.digests import check_files, sha256_and_size
from zoo.archive.permissions import make_writable
from zoo.basics.files import written_directory, written_file
from zoo.contract import CONVERSION_FILE, SERVING_SIGNATURE, TASKS, TEXT, TOKENS_SIGNATURE, VECTOR
from zoo.errors import VerificationFailed, first_line
from zoo.loading.load import load_checked, load_directory, prepare
from zoo.loading.matching import EncoderWithTokenizer, FoundEncoder, FoundText

CONFIG_FILE = "models.config"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
PLACE = "/models"  # where the Docker image of TensorFlow Serving looks for models
Inputs = Mapping[str, Any]  # input of a signature -> array
ServedCard: TypeAlias = EncoderCard | TokenizerCard | TextCard


def write_serving(model: FoundEncoder | FoundText, out: Path) -> ConversionReport:
    """Return the report of a new version of a text archive, or of an encoder and its tokenizer, in `out`.

        write_serving(find_pair("albert_tiny"), Path("serving"))  # serving/albert_tiny/1, …/bert_tokenizer_chinese/1

    Earlier versions stay, the new one gets the next number. models.config names every model of `out`. The warm-up
    requests of the new version are read back and run through its signatures.

    Raises VerificationFailed, CannotWrite, and ZooError without tensorflow-serving-api.
    """
    used, start = converter_versions("serving"), time.monotonic()
    found: list[tuple[Path, ServedCard]] = [(model.directory, model.card)]
    if isinstance(model, EncoderWithTokenizer):
        found.append((model.tokenizer_directory, model.tokenizer_card))
    models = [(directory, card, _next_version(out / card.name)) for directory, card in found]
    with ExitStack() as stack:  # the versions of encoder and tokenizer appear both or not at all
        works = [stack.enter_context(written_directory(place)) for _, _, place in models]
        for work, (directory, card, _) in zip(works, models, strict=True):
            _fill(work, directory, card)
        comparison = _compared(model, works[0])
    with written_file(out / CONFIG_FILE) as temporary:
        temporary.write_text(models_config(out), encoding="utf-8")
    files = [file for _, _, place in models for file in place.rglob("*") if file.is_file()]
    names = sorted(file.relative_to(out).as_posix() for file in [*files, out / CONFIG_FILE])
    report = ConversionReport(
        **stated(model, "serving", None, start, used),
        comparison=comparison,
        not_verified=None,
        tokenizer=None,
        left_out=_left_out(model),
        notes=["TensorFlow Serving itself was not run"],
        files={name: sha256_and_size(out / name) for name in names},
    )
    with written_file(out / CONVERSION_FILE) as temporary:
        temporary.write_text(to_json(report.to_dict()), encoding="utf-8")
    return report


def _left_out(model: FoundEncoder | FoundText) -> list[str]:
    """Return the parts that no signature calls."""
    if isinstance(model, FoundText):
        return [".tokenizer", ".encoder", *([".query", ".passage"] if model.card.task.prompts else []), "training"]
    return [f"head .{head}" for head in model.card.exported_heads]


def models_config(out: Path) -> str:
    """Return the text of a models.config for every model below `out`, as the image of TensorFlow Serving sees them."""
    names = sorted(place.name for place in out.iterdir() if not place.name.startswith(".") and _versions(place))
    models = (
        f'  config {{\n    name: "{name}"\n    base_path: "{PLACE}/{name}"\n    model_platform: "tensorflow"\n  }}\n'
        for name in names
    )
    return f"model_config_list {{\n{''.join(models)}}}\n"


# -- one version ------------------------------------------------------------------------------------------------------


def _fill(work: Path, directory: Path, card: ServedCard) -> None:
    """Copy the archive's files into a new version, and add warm-up requests and their digest on the card."""
    check_files(directory, card)
    prepare(directory, card)
    shutil.copytree(directory, work, dirs_exist_ok=True)
    make_writable(work)  # files of the cache are read-only
    write_warmup(_requests(directory, card), card.name, work / WARMUP_FILE)
    files = {**card.files, WARMUP_FILE: sha256_and_size(work / WARMUP_FILE)}
    write_card(card.model_copy(update={"files": files}), work)
    _run_warmup(load_directory(work, card.name, card.needs), work / WARMUP_FILE, card.name)


def _next_version(place: Path) -> Path:
    return place / str(max(_versions(place), default=0) + 1)


def _versions(place: Path) -> list[int]:
    return [int(each.name) for each in place.iterdir() if each.name.isdecimal()] if place.is_dir() else []


def _compared(model: FoundEncoder | FoundText, place: Path) -> Comparison:
    """Compare the new version, loaded by the tag "serve" like TensorFlow Serving does, with the archive."""
    served = tf.saved_model.load(str(place), tags=["serve"]).signatures[SERVING_SIGNATURE]
    if isinstance(model, FoundText):
        given = {TEXT: _texts(model.card)}
        answer = load_checked(model.directory, model.card)(tf.constant(given[TEXT]))
        named = answer if isinstance(answer, Mapping) else {VECTOR: answer}
        expected = {name: as_numpy(flat(value)) for name, value in named.items()}
        return compare([given], [expected], [_answers(served, given)], TOLERANCE)
    asked = batches(model.directory, model.card)
    found = [_answers(served, batch) for batch in asked]
    return compare(asked, answers(load_checked(model.directory, model.card), asked), found, TOLERANCE)


def _answers(signature: Any, inputs: Inputs) -> dict[str, Any]:
    outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: as_numpy(value) for name, value in outputs.items()}


def _texts(card: TextCard) -> np.ndarray:
    """Return the golden texts that the signature takes: single ones [B], or, of a task of pairs, all pairs [B, 2]."""
    width = 2 if TASKS[card.task.name].takes == "pairs" else 1
    rows = [text for text in card.certificate.texts if len(text) == width]
    return np.array(rows, object) if width == 2 else np.array([text for [text] in rows], object)


# -- warm-up ----------------------------------------------------------------------------------------------------------


def _requests(directory: Path, card: ServedCard) -> list[tuple[str, Inputs]]:
    """Return (signature, inputs) of each warm-up request: TensorFlow Serving runs them before it answers others."""
    if isinstance(card, EncoderCard):
        asked = [(SERVING_SIGNATURE, batch) for batch in batches(directory, card)]
        if not card.string_tokens:
            return asked
        return [*asked, (TOKENS_SIGNATURE, {"args_0": np.array([["[CLS]", "[UNK]", "[SEP]", ""]])})]
    if isinstance(card, TextCard):
        return [(SERVING_SIGNATURE, {TEXT: _texts(card)})]
    texts = [golden.text[0] for golden in card.certificate if len(golden.text) == 1]
    return [(SERVING_SIGNATURE, {TEXT: np.array(texts)})]


def write_warmup(requests: Sequence[tuple[str, Inputs]], name: str, file: Path) -> None:
    """Write requests as TensorFlow Serving's warm-up file, a TFRecord of PredictionLog."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString(deterministic=True))


def read_warmup(file: Path) -> Iterator[tuple[str, Inputs]]:
    """Yield signature and inputs of each request of a warm-up file."""
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


def _run_warmup(loaded: Any, file: Path, name: str) -> None:
    for signature, inputs in read_warmup(file):
        try:
            _answers(loaded.signatures[signature], inputs)
        except Exception as error:  # whatever TensorFlow raises about a call
            raise VerificationFailed(f"a warm-up request of {name} does not run: {first_line(error)}") from error
