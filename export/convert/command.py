"""`zoo convert`: an archive for another runtime; TensorFlow is imported when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from export.convert.asked import TARGETS, check_asked, check_calibrate, converter_versions, read_texts
from zoo.archive.card import TextCard
from zoo.basics.display import sheet
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.commands.common import add_json, add_registry, print_json
from zoo.errors import BadArgument
from zoo.loading.load import find_model
from zoo.loading.matching import EncoderWithTokenizer, FoundEncoder, FoundText, find_encoder, find_pair

Run = Callable[[argparse.Namespace], int]


def convert_command(parser: argparse.ArgumentParser) -> Run:
    """Write a model for ONNX, TFLite, TensorFlow.js, TensorFlow Serving or transformers, and compare it.

    zoo convert albert_tiny --to onnx
    zoo convert dist/reviews.tar.gz --to serving --out models/reviews
    """
    parser.add_argument("model", metavar="NAME|DIR|TAR.GZ", help="an encoder or a text archive")
    parser.add_argument("--to", required=True, choices=TARGETS, help="the format")
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory to write; default ./NAME-FORMAT")
    parser.add_argument("--tokenizer", metavar="NAME_OR_PATH", help="instead of the registry's; none: without one")
    parser.add_argument("--quantize", choices=["int8"], help="for onnx and tflite; the report has the drift")
    parser.add_argument("--calibrate", type=Path, metavar="FILE", help="texts to choose int8 by, one a line")
    parser.add_argument("--force", action="store_true", help="replace an earlier conversion in DIR")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; nothing is written to DIR")
    add_registry(parser)
    add_json(parser)
    return _run


def _run(options: argparse.Namespace) -> int:
    texts = None
    if options.calibrate:
        check_calibrate(options.to, options.quantize)
        texts = read_texts(options.calibrate)
    if options.out:
        check_asked(options.to, options.quantize, options.force, options.out)
    model = _find(options)
    out = (options.out or Path(f"{model.card.name}-{options.to}")).absolute()
    check_asked(options.to, options.quantize, options.force, out)
    converter_versions(options.to)
    import_tensorflow_quietly()
    from export.convert.conversion import Conversion, convert_model, ready
    from export.convert.serving import write_serving
    from export.convert.text_to_transformers import convert_text_to_transformers, ready_text
    from export.convert.to_transformers import convert_to_transformers, ready_for_transformers

    asked = Conversion(model, options.to, out, options.quantize, options.force, texts)
    if options.to == "serving":
        report = None if options.dry_run else write_serving(model, out)
    else:
        check: Callable[[Conversion], object]
        check, convert = ready, convert_model
        if options.to == "transformers":
            is_text = isinstance(model, FoundText)
            check = ready_text if is_text else ready_for_transformers
            convert = convert_text_to_transformers if is_text else convert_to_transformers
        if options.dry_run:  # a conversion checks by itself
            check(asked)
        report = None if options.dry_run else convert(asked)
    if report is None:
        plan = _plan(model, options, out)
        print_json(plan) if options.json else print(sheet(plan))
    else:
        print_json(report.to_dict()) if options.json else print(f"{report}\n{out}")
    return 0


def _find(options: argparse.Namespace) -> FoundEncoder | FoundText:
    """Return a text archive, or an encoder, with its tokenizer unless `--tokenizer none` was given."""
    directory, card = find_model(options.model, registry=options.registry)
    if isinstance(card, TextCard):
        if options.tokenizer is not None:
            raise BadArgument(f"{options.model} has its tokenizer inside: leave --tokenizer out.")
        return FoundText(directory, card)
    if options.tokenizer == "none":
        return find_encoder(options.model, options.registry)
    try:
        return find_pair(options.model, options.tokenizer, options.registry)
    except BadArgument as error:
        raise BadArgument(f"{error} On the command line: --tokenizer NAME_OR_PATH, or --tokenizer none.") from None


def _plan(model: FoundEncoder | FoundText, options: argparse.Namespace, out: Path) -> dict[str, str]:
    tokenizer = model.tokenizer_card.name if isinstance(model, EncoderWithTokenizer) else "none"
    return {
        "model": f"{model.card.name}, sha256 {model.sha256}",
        "tokenizer": "inside" if isinstance(model, FoundText) else tokenizer,
        "format": " ".join(filter(None, (options.to, options.quantize))),
        "out": str(out),
    }
