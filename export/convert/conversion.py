"""Converts an archive for another runtime, runs the result there, and compares it with the archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.convert.asked import check_asked, check_calibrate, converter_versions, replaced_directory
from export.convert.check import Comparison, NoRuntime, compare
from export.convert.formats import FORMATS, Format, Quantized
from export.convert.report import ConversionReport, stated, with_files
from export.convert.samples import check_samples, sample_batches
from export.convert.subject import Subject, encoder_subject
from export.convert.text_subject import text_subject
from export.convert.tokenizer_file import check_tokenizer
from zoo.basics.progress import progress
from zoo.errors import VerificationFailed, ZooError, first_line
from zoo.loading.matching import FoundEncoder, FoundText

# kind of the archive -> what of it is converted
SUBJECTS: Mapping[str, Callable[[Any], Subject]] = {"encoder": encoder_subject, "text": text_subject}


@dataclass(frozen=True)
class Conversion:
    """The arguments of `zoo convert`."""

    model: FoundEncoder | FoundText
    to: str
    out: Path
    quantize: Quantized = None
    force: bool = False
    calibrate: Sequence[str] | None = None  # texts that int8 is chosen by and measured on


def convert_model(asked: Conversion) -> ConversionReport:
    """Return the report of `OUT`, a directory with the model in another format, its tokenizer.json and conversion.json.

        convert_model(Conversion(find_pair("albert_tiny"), "onnx", Path("albert_tiny-onnx")))

    The new model is run in its runtime and compared with the archive and with the original computation: an encoder on
    the golden inputs and on random ones, a text archive on its golden texts. Only then the directory appears, complete
    or not at all; `force` replaces an earlier conversion. Raises VerificationFailed if the outputs differ, ZooError if
    a converter is not installed, BadArgument, CannotWrite.
    """
    format, used = ready(asked)
    model, card, start = asked.model, asked.model.card, time.monotonic()
    label = f"{card.name} to {asked.to}"
    with replaced_directory(asked.out) as work, progress(label, 3, unit="steps") as advance:
        subject = SUBJECTS[card.kind](model)
        advance(1)
        tokenizer = subject.write_tokenizer(work)
        samples = sample_batches(asked, subject, work) if asked.quantize else None
        with _reported(f"{label}: the converter fails"):
            drift = format.write(subject.root, work, samples)
        advance(1)
        with _reported(f"{label}: the converted model does not run"):
            tolerance = None if asked.quantize else card.certificate.tolerance
            comparison, reason = _compared(format, work, subject, tolerance)
        advance(1)
        return written_report(
            asked,
            work,
            start,
            used,
            comparison=comparison,
            not_verified=reason,
            tokenizer=tokenizer,
            int8=drift,
            left_out=subject.left_out,
            notes=subject.notes,
        )


def written_report(
    asked: Conversion, work: Path, start: float, used: Mapping[str, str], **found: Any
) -> ConversionReport:
    """Write conversion.json into `work`, which holds the other files already; return the report.

    `start` is what time.monotonic() was when the work began, `used` has the versions of packages beside ours; `found`
    are the other fields of the report.
    """
    return with_files(work, {**stated(asked.model, asked.to, asked.quantize, start, used), **found})


def ready(asked: Conversion) -> tuple[Format, dict[str, str]]:
    """Return a format and the versions of its converters. Raises every error that can be known before the work."""
    check_asked(asked.to, asked.quantize, asked.force, asked.out)
    check_tokenizer(asked.model)
    if asked.calibrate is not None:
        check_calibrate(asked.to, asked.quantize)
    check_samples(asked)
    return FORMATS[asked.to], converter_versions(asked.to)


def _compared(
    format: Format, work: Path, subject: Subject, tolerance: float | None
) -> tuple[Comparison | None, str | None]:
    """Return the comparison, or the reason why there is none: the runtime is not installed."""
    try:
        outputs = format.run(work, subject.questions)
    except NoRuntime as error:
        return None, str(error)
    found = [*map(subject.compared, subject.questions, outputs)]
    return compare(subject.questions, subject.archive, found, tolerance, subject.original, subject.relative), None


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turn whatever a converter or a runtime raises into VerificationFailed."""
    try:
        yield
    except (ZooError, OSError):
        raise
    except Exception as error:
        raise VerificationFailed(f"{what}: {first_line(error)}") from error
