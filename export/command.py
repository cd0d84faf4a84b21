"""The builder's commands `export`, `export-tokenizer` and `inspect`; TensorFlow is imported when they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from zoo.archive.card import to_json
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.registry.entry import Entry

if TYPE_CHECKING:
    from export.planning import EncoderRequest, TokenizerRequest

Run = Callable[[argparse.Namespace], int]


def export_encoder(parser: argparse.ArgumentParser) -> Run:
    """Turn a checkpoint into a verified archive."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="directory, .zip, .tar.gz, or a checkpoint's main file (.index, .safetensors, .bin, .h5)",
    )
    _add_common(parser)
    add_choices(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the weight plan and write nothing")
    return _run_encoder


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add every option that says how an encoder is exported."""
    parser.add_argument("--layers", type=int, metavar="K", help="keep the first K layers")
    parser.add_argument("--config", type=Path, help="config file, where the directory has none or several")
    parser.add_argument("--vocab", type=Path, help="vocabulary file, where the directory has none or several")
    parser.add_argument("--activation", choices=["gelu", "gelu_tanh", "relu"], help="override what the release means")
    parser.add_argument("--pooler", choices=["dense", "first_token", "discriminator"], help="what pooled_output is")
    parser.add_argument("--family", help="which one, where a checkpoint holds several (electra_generator, …)")
    parser.add_argument("--heads", help="mlm,nsp,discriminator or none; without it, those whose weights look trained")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="store matrices in half precision, and multiply in bfloat16",
    )
    parser.add_argument(
        "--recompute", action="store_true", help="in training, compute layers again: less memory, more time"
    )
    parser.add_argument("--keep-tokens", type=Path, metavar="FILE", help="keep these tokens alone, one a line")
    _add_case(parser, "of the tokenizer that comes with the encoder")


def export_tokenizer(parser: argparse.ArgumentParser) -> Run:
    """Turn a vocabulary into verified tokenizer and preprocess archives."""
    parser.add_argument("vocabulary", type=Path, help="vocab.txt or a Hugging Face directory")
    _add_common(parser)
    _add_case(parser, "keep capitals and accents, or lower-case and strip")
    parser.add_argument(
        "--special-tokens-in-text", action="store_true", help="keep a literal [MASK] or [SEP] in text whole"
    )
    return _run_tokenizer


def inspect(parser: argparse.ArgumentParser) -> Run:
    """Say what a checkpoint is and what an export would make of it, from names, shapes and a look at its heads."""
    parser.add_argument("checkpoint", metavar="PATH", type=Path, help="whatever `zoo export` takes")
    parser.add_argument("--config", type=Path, metavar="FILE", help="where the directory has none or several")
    parser.add_argument("--family", metavar="NAME", help="which one, where a checkpoint holds several")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    return _run_inspect


def _add_case(parser: argparse.ArgumentParser, what: str) -> None:
    case = parser.add_mutually_exclusive_group()
    case.add_argument("--cased", dest="cased", action="store_true", default=None, help=what)
    case.add_argument("--uncased", dest="cased", action="store_false", help=what)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="name of the archive and of its registry entry")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets NAME.tar.gz and registry.json")
    parser.add_argument("--licence", default="not stated", help="licence of the weights, for card and registry")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def request_of(words: Sequence[str]) -> EncoderRequest | TokenizerRequest:
    """Return what the words of a command ask for: `request_of(["export", "bert.zip", "--name", "bert", …])`."""
    command, *arguments = words
    parser = argparse.ArgumentParser(prog=f"zoo {command}")
    if command == "export":
        export_encoder(parser)
        return _encoder_request(parser.parse_args(arguments))
    export_tokenizer(parser)
    return _tokenizer_request(parser.parse_args(arguments))


def _encoder_request(options: argparse.Namespace) -> EncoderRequest:
    made: EncoderRequest = _import_builder().EncoderRequest(
        checkpoint=options.checkpoint,
        name=options.name,
        out=options.out,
        config=options.config,
        vocabulary=options.vocab,
        layers=options.layers,
        activation=options.activation,
        pooler=options.pooler,
        family=options.family,
        heads=_heads(options.heads),
        dtype=options.dtype,
        recompute=options.recompute,
        keep_tokens=options.keep_tokens,
        cased=options.cased,
        licence=options.licence,
    )
    return made


def _tokenizer_request(options: argparse.Namespace) -> TokenizerRequest:
    made: TokenizerRequest = _import_builder().TokenizerRequest(
        source=options.vocabulary,
        name=options.name,
        out=options.out,
        cased=options.cased,
        special_tokens_in_text=options.special_tokens_in_text,
        licence=options.licence,
    )
    return made


def _run_encoder(options: argparse.Namespace) -> int:
    pipeline, request = _import_builder(), _encoder_request(options)
    if options.dry_run:
        planned = pipeline.plan_encoder(request)
        print(to_json(planned.plan.to_dict()).rstrip() if options.json else planned.plan)
        planned.plan.checked(f"{request.name} (family {planned.family.name})")
        return 0
    _report(pipeline.export_encoder(request), options)
    return 0


def _run_tokenizer(options: argparse.Namespace) -> int:
    _report(_import_builder().export_tokenizer(_tokenizer_request(options)), options)
    return 0


def _heads(given: str | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return () if given == "none" else tuple(given.split(","))


def _run_inspect(options: argparse.Namespace) -> int:
    """Exit code 2 says that an export as it stands would be refused; the sheet says why."""
    import_tensorflow_quietly()
    from export.inspect import inspect_checkpoint

    inspection = inspect_checkpoint(options.checkpoint, options.config, options.family)
    print(to_json(inspection.to_dict()), end="") if options.json else print(inspection)
    return 0 if inspection.complete else 2


def _import_builder() -> ModuleType:
    import_tensorflow_quietly()
    from export import pipeline

    return pipeline


def _report(entries: Mapping[str, Entry], options: argparse.Namespace) -> None:
    if options.json:
        print(
            to_json({name: entry.model_dump(mode="json", exclude_none=True) for name, entry in entries.items()}), end=""
        )
        return
    for name, entry in entries.items():
        assert entry.archive is not None  # it was just built
        path = options.out / entry.archive.urls[0]
        print(f"{name}: {path}, {(entry.archive.size or 0) / 2**20:.1f} MiB, sha256 {entry.archive.sha256}, verified")
