"""conversion.json: which archive was converted with which packages, and how far the outputs differ."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from export.convert.check import Comparison
from export.convert.drift import Drift
from export.versions import versions
from zoo.archive.card import FileDigest, to_json
from zoo.archive.digests import file_digests
from zoo.basics.display import size, table
from zoo.contract import CONVERSION_FILE
from zoo.loading.matching import FoundEncoder, FoundText


@dataclass(frozen=True)
class TokenizerReport:
    """The tokenizer.json beside a model. `compared` golden texts had the right ids; None: they were not compared."""

    name: str
    vocabulary_sha256: str
    lower_case: bool
    special_tokens_in_text: bool
    compared: int | None
    differences: Sequence[str]


@dataclass(frozen=True)
class ConversionReport:
    """The result of a conversion. Without `comparison`, `not_verified` says why the outputs were not compared."""

    name: str
    format: str
    quantized: str | None
    archive_sha256: str  # for a directory outside of the cache the sha256 of its card, which has that of every file
    comparison: Comparison | None
    not_verified: str | None
    tokenizer: TokenizerReport | None
    left_out: Sequence[str]
    notes: Sequence[str]
    versions: Mapping[str, str]
    seconds: float
    int8: Drift | None = None
    task: Mapping[str, Any] | None = None  # of a text archive: labels, limit, prompts and the other fields of its card
    files: Mapping[str, FileDigest] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what conversion.json holds and `zoo convert --json` prints."""
        files = {name: digest.model_dump() for name, digest in self.files.items()}
        return {**asdict(self), "files": files}

    def __str__(self) -> str:
        files = ", ".join(f"{name} {size(digest.size)}" for name, digest in self.files.items())
        lines = [f"{self.name} as {' '.join(filter(None, (self.format, self.quantized)))}: {files}"]
        if (found := self.comparison) is not None:
            lines += _distances(found)
        if self.int8 is not None:
            lines.append(str(self.int8))
        if self.not_verified:
            lines.append(f"not verified: {self.not_verified}")
        if self.tokenizer is not None:
            compared = self.tokenizer.compared
            said = (
                "not compared: there is no `tokenizers` here" if compared is None else f"{compared} golden texts agree"
            )
            lines.append(f"tokenizer.json of {self.tokenizer.name}: {said}")
        if self.left_out:
            lines.append(f"left out: {', '.join(self.left_out)}")
        return "\n".join([*lines, *self.notes])


def _distances(found: Comparison) -> list[str]:
    """Return a sentence, and a table with a row for each output. Texts have neither scale nor cosine."""
    judge = "original" if found.from_original else "archive"
    allowed = "this is the drift" if found.tolerance is None else f"{found.tolerance:g} from the {judge} allowed"
    columns = [
        ("from the original", found.from_original, ".2g"),
        ("archive from the original", found.archive_from_original, ".2g"),
        ("from the archive", found.differences, ".2g"),
        ("scale", found.scale, ".3g"),
        ("least cosine", found.cosine, ".7f"),
    ]
    shown = [column for column in columns if column[1]]
    rows = [
        (name, *(format(of[name], form) if name in of else "" for _, of, form in shown)) for name in found.differences
    ]
    said = f"{len(found.batches)} batches compared, {allowed}; the largest differences:"
    return [said, table(("output", *(head for head, _, _ in shown)), rows)]


def stated(
    model: FoundEncoder | FoundText, format: str, quantized: str | None, start: float, used: Mapping[str, str]
) -> dict[str, Any]:
    """Return the fields of a report that are the same for every format, by their names.

    `start` is what time.monotonic() was when the work began; `used` has the versions of packages beside ours.
    """
    task = model.card.task.model_dump(mode="json", exclude={"reasons"}) if isinstance(model, FoundText) else None
    return {
        "name": model.card.name,
        "format": format,
        "quantized": quantized,
        "archive_sha256": model.sha256,
        "task": task,
        "versions": {**versions(), **used},
        "seconds": round(time.monotonic() - start, 1),
    }


def with_files(directory: Path, facts: Mapping[str, Any]) -> ConversionReport:
    """Write conversion.json into a directory; return the report, with the digests of the directory's files."""
    report = ConversionReport(**facts, files=file_digests(directory))
    (directory / CONVERSION_FILE).write_text(to_json(report.to_dict()), encoding="utf-8")
    return report
