"""`zoo.export` arrives here: a fitted Keras model in, a verified text archive out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.fitted.plan import plan_fitted
from export.fitted.task import Asked
from export.pipeline import export_text
from zoo.registry.entry import Entry


def export_keras(model: Any, name: str, out: Path, **options: Any) -> dict[str, Entry]:
    """Return name and registry entry of the archive of a fitted model; `options` are those of `zoo.export`."""
    asked = Asked(**{each: options.pop(each) for each in ("labels", "task", "scores", "max_length")})
    return export_text(plan_fitted(model, name, out, asked, **options))
