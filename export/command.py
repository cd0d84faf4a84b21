"""The commands `zoo export`, `zoo export-tokenizer` and `zoo inspect`.

TensorFlow takes three seconds to import, so it is imported only after everything that can be refused has been checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from export.options import EncoderRequest, TokenizerRequest, add_options, request_from
from zoo.archive.card import to_json
from zoo.basics.files import check_directory
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.registry.entry import Entry

Run = Callable[[argparse.Namespace], int]
Request = TypeVar("Request", EncoderRequest, TokenizerRequest)


def export_encoder_command(parser: argparse.ArgumentParser) -> Run:
    """Turn a checkpoint into a verified archive.

    zoo export chinese_L-12_H-768_A-12 --name bert --out dist
    zoo export my_classifier --name reviews --out dist --dry-run    # what it becomes; writes nothing
    zoo export fitted.keras --name my_reviews --labels labels.txt --out dist    # of zoo.KerasLayer
    zoo export bert.zip --name bert_3 --layers 3 --kind encoder --out dist
    """
    add_options(parser, EncoderRequest)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--dry-run", action="store_true", help="print the weight plan and write nothing")
    return _run_encoder


def export_tokenizer_command(parser: argparse.ArgumentParser) -> Run:
    """Turn a vocabulary into verified tokenizer and preprocess archives.

    zoo export-tokenizer vocab.txt --name bert_tokenizer_chinese --out dist
    zoo export-tokenizer my_model --name words --ops core --out dist    # needs no tensorflow-text
    """
    add_options(parser, TokenizerRequest)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return _run_tokenizer


def inspect_command(parser: argparse.ArgumentParser) -> Run:
    """Say what a checkpoint is and how to export it; exit with 0 if the printed command works, 2 if there is none.

    zoo inspect my_model
    zoo inspect pytorch_model.bin --json
    """
    parser.add_argument("checkpoint", metavar="PATH", type=Path, help="a checkpoint, as `zoo export` takes it")
    parser.add_argument("--config", type=Path, metavar="FILE", help="where the directory has none or several")
    parser.add_argument("--family", metavar="NAME", help="which one, where a checkpoint holds several")
    parser.add_argument("--prefix", metavar="P", help="which encoder, where a checkpoint holds several")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    return _run_inspect


def _run_encoder(arguments: argparse.Namespace) -> int:
    from export.fitted.file import is_fitted, plan_keras_file
    from export.planning import PlannedEncoder, PlannedText, plan_export

    request = _asked(arguments, EncoderRequest)
    if is_fitted(request.checkpoint):
        import_tensorflow_quietly()
        planned: PlannedEncoder | PlannedText = plan_keras_file(request)
    else:
        planned = plan_export(request)
    if arguments.dry_run:
        print(to_json(planned.to_dict()).rstrip() if arguments.json else planned)
    planned.plan.checked(f"{request.name} (family {planned.family.name})")
    if isinstance(planned, PlannedEncoder) and planned.no_task:
        print(f"{request.name}: an encoder, and no text archive: {planned.no_task}", file=sys.stderr)
    elif isinstance(planned, PlannedText) and planned.doubt:
        print(f"{request.name}: {planned.doubt}", file=sys.stderr)
    if not arguments.dry_run:
        said = f"exporting {request.name} from {request.checkpoint}, and comparing it with this checkpoint."
        print(said, file=sys.stderr, flush=True)
        _print_entries(_import_pipeline().export_checkpoint(planned), arguments)
    return 0


def _asked(arguments: argparse.Namespace, request: type[Request]) -> Request:
    """Return the request; raise for a name or a place that no archive can have, before anything is read."""
    from export.planning import check_name

    asked = request_from(arguments, request)
    check_name(asked.name)
    if not getattr(arguments, "dry_run", False):
        check_directory(asked.out)
    return asked


def _run_tokenizer(arguments: argparse.Namespace) -> int:
    from export.planning import plan_tokenizer

    request = _asked(arguments, TokenizerRequest)
    planned = plan_tokenizer(request)  # raises before TensorFlow is imported
    _print_entries(_import_pipeline().export_tokenizer(request, planned), arguments)
    return 0


def _run_inspect(arguments: argparse.Namespace) -> int:
    """Print what is known of a checkpoint; return 2 if no options make an export of it possible."""
    from export.inspect import inspect_checkpoint

    inspection = inspect_checkpoint(arguments.checkpoint, arguments.config, arguments.family, arguments.prefix)
    print(to_json(inspection.to_dict()), end="") if arguments.json else print(inspection)
    return 0 if inspection.export_command else 2


def _import_pipeline() -> ModuleType:
    import_tensorflow_quietly()
    from export import pipeline

    return pipeline


def _print_entries(entries: Mapping[str, Entry], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(
            to_json({name: entry.model_dump(mode="json", exclude_none=True) for name, entry in entries.items()}), end=""
        )
        return
    for name, entry in entries.items():
        assert entry.archive is not None  # the export has just written the archive
        path = arguments.out / f"{name}.tar.gz"
        print(f"{name}: {path}, {(entry.archive.size or 0) / 2**20:.1f} MiB, sha256 {entry.archive.sha256}, verified")
