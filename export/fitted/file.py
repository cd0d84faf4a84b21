"""A .keras file with a fitted zoo.KerasLayer in it, for `zoo export`: loaded by Keras itself, then planned."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from export.limits import ZIP_ERRORS, opened_zip
from export.options import EncoderRequest, given_options
from export.planning import PlannedText
from zoo.errors import BadArgument, BadCheckpoint, ZooError, first_line

_CHUNK, _MOST_CHUNKS = 1 << 20, 64  # of a config; the graph in it has about 400,000 bytes
_OPTIONS = {"name", "licence", "kind", "task", "labels", "max_length"}


def is_fitted(path: Path) -> bool:
    """Return whether a path is a .keras file with a layer of this zoo in it. Keras is not imported."""
    if path.suffix != ".keras" or not path.is_file():
        return False
    try:
        with opened_zip(path) as file, file.open("config.json") as config:
            chunks = iter(lambda: config.read(_CHUNK), b"")
            return b'"zoo>KerasLayer"' in b"".join(islice(chunks, _MOST_CHUNKS))
    except (KeyError, BadCheckpoint, *ZIP_ERRORS):
        return False


def plan_keras_file(request: EncoderRequest) -> PlannedText:
    """Return the plan of the text archive of a .keras file.

    Raises BadArgument for options that are of checkpoints alone, BadCheckpoint if Keras cannot load the file, and what
    `plan_fitted` does.
    """
    others = [f"--{name.replace('_', '-')}" for name in sorted(given_options(request).keys() - _OPTIONS)]
    others += ["--kind"] if request.kind not in (None, "text") else []
    if others:
        raise BadArgument(f"{request.checkpoint} is a fitted Keras model without {', '.join(others)}: leave that out.")
    labels = None if request.labels is None else _lines(request.labels)
    import keras

    from export.fitted.plan import plan_fitted  # which imports zoo.KerasLayer, so that Keras knows it
    from export.fitted.task import Asked

    try:
        model = keras.saving.load_model(request.checkpoint)
    except ZooError:
        raise
    except Exception as error:  # whatever Keras raises about a file
        raise BadCheckpoint(f"{request.checkpoint} is not loaded by Keras: {first_line(error)}.") from error
    asked = Asked(labels, request.task, None, request.max_length)
    licence = request.licence if "licence" in given_options(request) else None
    try:
        return plan_fitted(model, request.name, request.out, asked, licence=licence)
    except BadArgument as error:
        path, out = str(request.checkpoint), str(request.out)
        line = f"zoo.export(keras.saving.load_model({path!r}), {request.name!r}, {out!r}, …)"
        raise BadArgument(f"{error} In Python: {line}") from None


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"--labels {file} cannot be read: {error}.") from None
