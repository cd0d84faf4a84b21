"""The options of `zoo export` and `zoo export-tokenizer`: each is one field below, and everything else derives from it.

A field's name, type and default are the option's; a Literal lists the values that are allowed. `bool | None` is a pair
such as --cased and --uncased. The metadata of a field:

    help        text for --help of `zoo export` (or `zoo export-tokenizer`), and of `zoo add`
    metavar     name of the value in --help: the K of `--layers K`
    repeatable  True for an option that may be given several times, each time with one value or several: `a,b`
    positional  True for an argument without dashes: the checkpoint of `zoo export checkpoint`
    build_help  text for --help of `zoo build`; without this text, `zoo build` does not have the option
    card_note   sentence that the card states when the option is given
    place       True for an option that only says where files lie: the archive does not depend on it
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tokenizer.rules import Ops
from zoo.archive.activation import Activation
from zoo.archive.card import Pooler, Stored
from zoo.contract import HEADS, Pooling, TaskName
from zoo.registry.entry import NOT_STATED

_NAME = {"help": "name of the archive and of its registry entry"}
_OUT = {"help": "gets NAME.tar.gz and registry.json", "metavar": "DIR", "place": True}
_LICENCE = {"help": "licence of the weights, for card and registry"}


NO_VOCABULARY = Path("none")  # --vocab none
Made = Literal["text", "encoder", "all"]  # what `zoo export` makes of a checkpoint


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How an encoder is exported, whichever encoder it is."""

    licence: str = field(default=NOT_STATED, metadata=_LICENCE)
    layers: int | None = field(default=None, metadata={"help": "keep the first K layers", "metavar": "K"})
    config: Path | None = field(default=None, metadata={"help": "config file, where the directory has none or several"})
    vocab: Path | None = field(
        default=None,
        metadata={
            "help": "vocab.txt, .model, tokenizer.json or a directory, where the checkpoint has none or several; or "
            "none: the encoder takes ids alone, no string tokens"
        },
    )
    activation: Activation | None = field(default=None, metadata={"help": "override what the release means"})
    pooler: Pooler | None = field(default=None, metadata={"help": "what pooled_output is"})
    family: str | None = field(
        default=None, metadata={"help": "which one, where a checkpoint holds several (electra_generator, …)"}
    )
    prefix: str | None = field(
        default=None,
        metadata={"help": "which encoder, where a checkpoint holds several: how its names begin", "metavar": "P"},
    )
    averages: bool = field(
        default=False,
        metadata={
            "help": "take the averaged weights (…/ExponentialMovingAverage), not the plain ones",
            "card_note": "the averaged weights (ExponentialMovingAverage) were taken, not the plain ones",
        },
    )
    leave_out: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "leave out the variables whose whole names match: 'fc.*' (* any characters, ? one, [ab] a or b)",
            "metavar": "PATTERN",
            "repeatable": True,
        },
    )
    heads: tuple[str, ...] | None = field(
        default=None,
        metadata={"help": f"{','.join(HEADS)} or none; without it, those whose weights look trained"},
    )
    dtype: Stored = field(
        default="float32",
        metadata={
            "help": "store matrices in half precision, and multiply in bfloat16",
            "build_help": "of every encoder",
        },
    )
    recompute: bool = field(
        default=False,
        metadata={
            "help": "in training, compute layers again: less memory, more time",
            "build_help": "of every encoder, as `zoo export` has it",
            "card_note": "in training, most of each layer is computed once more in the backward pass: less memory, "
            "more time",
        },
    )
    keep_tokens: Path | None = field(
        default=None, metadata={"help": "keep these tokens alone, one a line", "metavar": "FILE"}
    )
    cased: bool | None = field(default=None, metadata={"help": "of the tokenizer that comes with the encoder"})
    task: TaskName | None = field(
        default=None, metadata={"help": "of a text archive, where it is another than the files beside the weights say"}
    )
    pooling: str | None = field(
        default=None,
        metadata={
            "help": f"of a text archive: {', '.join(get_args(Pooling))}, or several as in first+max",
            "metavar": "P",
        },
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "of a text archive: most tokens of a text, [CLS] and [SEP] included", "metavar": "N"},
    )
    prompts: Mapping[str, str] | None = field(
        default=None,
        metadata={
            "help": "of a text archive of vectors: put a text before texts, 'query=查询: '; once for each prompt",
            "metavar": "NAME=TEXT",
        },
    )
    labels: Path | None = field(
        default=None, metadata={"help": "of a text archive: the names of the classes, one a line", "metavar": "FILE"}
    )


@dataclass(frozen=True)
class EncoderRequest(EncoderOptions):
    """One encoder to export: the options, what is read, the archive's name, where the archive goes."""

    checkpoint: Path = field(
        metadata={
            "help": "directory (a SavedModel, or an archive of this project, too), .zip, .tar.gz, or a checkpoint's "
            "main file (.index, .safetensors, .bin, .pt, .pth, .ckpt, .h5, or .index.json for shards)",
            "positional": True,
            "place": True,
        }
    )
    name: str = field(metadata=_NAME)
    out: Path = field(metadata=_OUT)
    kind: Made | None = field(
        default=None,
        metadata={
            "help": "text, encoder, or all: text, encoder and tokenizer; without it, text if the checkpoint has a task "
            "and a tokenizer that fits, else encoder"
        },
    )


@dataclass(frozen=True)
class TokenizerRequest:
    """One vocabulary to export, as a tokenizer archive and a preprocess archive."""

    source: Path = field(
        metadata={
            "help": "vocab.txt, the .model of SentencePiece, or a Hugging Face directory",
            "metavar": "vocabulary",
            "positional": True,
            "place": True,
        }
    )
    name: str = field(metadata=_NAME)
    out: Path = field(metadata=_OUT)
    licence: str = field(default=NOT_STATED, metadata=_LICENCE)
    # None: the tokenizer_config.json beside the vocabulary decides, else the vocabulary itself.
    cased: bool | None = field(default=None, metadata={"help": "keep capitals and accents, or lower-case and strip"})
    special_tokens_in_text: bool = field(
        default=False, metadata={"help": "keep a literal [MASK] or [SEP] in text whole"}
    )
    ops: Ops = field(
        default="text",
        metadata={
            "help": "core: operations of TensorFlow alone, so that the archives load without tensorflow-text",
            "card_note": "all operations are TensorFlow's own: the archive loads without tensorflow-text",
        },
    )


Options = TypeVar("Options", bound=EncoderOptions | TokenizerRequest)


def add_options(parser: argparse.ArgumentParser, request: type[Options], help_key: str = "help") -> None:
    """Add one argument to a parser for every field with a help text; those that have to be given come first.

    add_options(parser, EncoderRequest)
    add_options(parser, EncoderOptions, "build_help")  # --dtype and --recompute, in the words of `zoo build`
    """
    types = get_type_hints(request)
    for each in sorted(fields(request), key=lambda each: each.default is not MISSING):
        if help_key not in each.metadata:
            continue
        name, kind, text = each.name, types[each.name], each.metadata[help_key]
        word = name.replace("_", "-")
        if kind is bool:
            parser.add_argument(f"--{word}", action="store_true", help=text)
        elif kind == bool | None:
            pair = parser.add_mutually_exclusive_group()
            pair.add_argument(f"--{word}", dest=name, action="store_true", default=None, help=text)
            pair.add_argument(f"--un{word}", dest=name, action="store_false", default=None, help=text)
        else:
            value = {**_value(kind), "metavar": each.metadata.get("metavar"), "help": text}
            if each.metadata.get("positional"):
                parser.add_argument(name, **value)
            elif each.metadata.get("repeatable"):
                parser.add_argument(f"--{word}", action="extend", default=[], **value)
            elif each.default is MISSING:
                parser.add_argument(f"--{word}", required=True, **value)
            else:
                parser.add_argument(f"--{word}", default=each.default, **value)


def request_from(arguments: argparse.Namespace, request: type[Options]) -> Options:
    """Return the request that parsed arguments state; an option that the command does not have keeps its default."""
    given: dict[str, Any] = {
        each.name: getattr(arguments, each.name) for each in fields(request) if each.name in arguments
    }
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return request(**given)


def given_options(options: EncoderOptions | TokenizerRequest) -> dict[str, Any]:
    """Return the options that decide what an archive holds and differ from their defaults.

    given_options(EncoderRequest(Path("bert.zip"), "bert_3", Path("dist"), layers=3))  # {"layers": 3, "name": "bert_3"}
    """
    deciding = {each.name: each.default for each in fields(options) if not each.metadata.get("place")}
    return {name: value for name, usual in deciding.items() if (value := getattr(options, name)) != usual}


def card_notes(options: EncoderOptions | TokenizerRequest) -> list[str]:
    """Return the sentences that the card states about the options that were given."""
    given, notes = given_options(options), {each.name: each.metadata.get("card_note") for each in fields(options)}
    return [note for name, note in notes.items() if note and name in given]


class _Named(argparse.Action):
    """Collects the values NAME=TEXT of an option that is given several times: {"query": "q: "}."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, *_: Any) -> None:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise argparse.ArgumentError(self, f"{value!r} is not NAME=TEXT")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), name: text})


def _value(annotation: Any) -> dict[str, Any]:
    """Return how argparse reads a value: {"type": int} for `int | None`, {"choices": ("a", "b")} for a Literal."""
    kinds = get_args(annotation)
    kind = next(each for each in kinds if each is not NoneType) if NoneType in kinds else annotation
    if get_origin(kind) is Mapping:
        return {"action": _Named}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"type": _names if get_origin(kind) is tuple else kind}


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a text: ("mlm", "nsp") for "mlm,nsp", () for "none"."""
    return () if text == "none" else tuple(text.split(","))
