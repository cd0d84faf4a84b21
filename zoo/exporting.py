"""From a fitted Keras model to an archive: `zoo.export`. The builder, a package of its own, does the work."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.registry.registry import Registry


def export(
    model: Any,
    name: str,
    out: str | Path,
    *,
    labels: Sequence[str] | None = None,
    task: str | None = None,
    scores: str | None = None,
    tokenizer: str | Path | None = None,
    max_length: int | None = None,
    licence: str | None = None,
    registry: Registry | str | Path | None = None,
) -> Path:
    """Return the path of a new text archive, `OUT/NAME.tar.gz`, made of a Keras 3 model that was fitted.

        vectors = zoo.TextEncoder("albert_tiny").keras_model(trainable=True)
        model = keras.Model(vectors.input, keras.layers.Dense(2, activation="softmax")(vectors.output))
        archive = zoo.export(model, "my_reviews", "dist", labels=["bad", "good"])  # after compile and fit

    `labels` name the classes, of texts or of their tokens, in the order of the last layer's numbers. `task`,
    "classification", "token_classification" or "vector", and `scores`, "softmax", "sigmoid" or "identity", say what a
    last layer without activation gives. A model of ids needs the `tokenizer` that made them, and `max_length` in
    tokens. docs/text.md says which layers there may be.
    Raises BadArgument, Unsupported for a layer that no archive has, VerificationFailed, CannotWrite.
    """
    exporter = next(iter(entry_points(group="zoo.exporters", name="keras")), None)
    if exporter is None:
        raise ZooError("the builder of archives is not installed: run `pip install bert-zoo` again.")
    exporter.load()(
        model,
        name,
        Path(out),
        labels=labels,
        task=task,
        scores=scores,
        tokenizer=tokenizer,
        max_length=max_length,
        licence=licence,
        registry=registry,
    )
    return Path(out) / f"{name}.tar.gz"
