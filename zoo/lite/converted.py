"""A text archive in ONNX, a directory: model.onnx, tokenizer.json, and conversion.json, which says how to call both.

Read without pydantic and cards, which would take longer than loading a small model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.basics.untrusted import parse_json, read_small
from zoo.contract import CONVERSION_FILE, LEAST_TOKENS, ONNX_FILE, TOKENIZER_FILE, VECTOR
from zoo.errors import BadArchive, BadArgument, DamagedArchive, first_line

_MOST_BYTES = 1 << 20
_MOST_VALUES = 10_000


@dataclass(frozen=True)
class TokenRules:
    """Where tokenizer.json is, and what its model does with texts besides."""

    directory: Path
    name: str
    max_length: int  # tokens, with [CLS] and [SEP]
    truncation: str  # how pairs are cut: see zoo.archive.task.Truncation
    lower_case: bool


@dataclass(frozen=True)
class ConvertedText(TokenRules):
    """A text archive of vectors in ONNX. `prompts` maps a name, such as "query", to the text put before a text."""

    prompts: Mapping[str, str]
    default_prompt: str | None
    pooling: str
    normalize: bool
    digests: tuple[str, str]  # sha256 of the model and of tokenizer.json, as conversion.json states them

    @property
    def prompt(self) -> str:
        """The text that is put before each text of a call."""
        return self.prompts.get(self.default_prompt or "", "")


def read_converted(directory: Path) -> ConvertedText:
    """Return what conversion.json says, after the sizes of both other files have been compared with it.

    Raises BadArchive without a readable conversion.json, BadArgument for a conversion that gives no vectors or runs
    elsewhere, DamagedArchive for files that are missing or have another size.
    """
    place = directory / CONVERSION_FILE
    try:
        stated = parse_json(read_small(place, _MOST_BYTES), _MOST_VALUES)
    except (OSError, ValueError) as error:
        raise BadArchive(
            f"{place} cannot be read: {error}. zoo.lite takes what `zoo convert NAME --to onnx` writes."
        ) from None
    try:
        return _converted(directory, stated)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadArchive(f"{place} is not as `zoo convert` writes it: {first_line(error)}.") from None


def _converted(directory: Path, stated: Any) -> ConvertedText:
    name, format, task = stated["name"], stated["format"], stated.get("task")
    if format != "onnx":
        raise BadArgument(f"{directory} is {name} in the format {format}; zoo.lite runs ONNX: `zoo convert --to onnx`.")
    if task is None or task["name"] != VECTOR:
        found = "an encoder" if task is None else f"a text archive of the task {task['name']}"
        raise BadArgument(
            f"{directory} is {found}, which gives no vectors of texts; zoo.lite takes a text archive of vectors: "
            "`zoo export … --kind text --task vector`, then `zoo convert … --to onnx`."
        )
    _check_sizes(directory, stated["files"])
    prompts = {str(key): _is(str, prompt) for key, prompt in task["prompts"].items()}
    if _is(int, task["max_length"]) < LEAST_TOKENS:
        raise TypeError(f"max_length {task['max_length']}")
    return ConvertedText(
        directory=directory,
        name=_is(str, name),
        max_length=task["max_length"],
        truncation=_is(str, task["truncation"]),
        lower_case=_is(bool, task["lower_case"]),
        prompts=prompts,
        default_prompt=task["default_prompt"],
        pooling=_is(str, task["pooling"]),
        normalize=_is(bool, task["normalize"]),
        digests=(_is(str, stated["files"][ONNX_FILE]["sha256"]), _is(str, stated["files"][TOKENIZER_FILE]["sha256"])),
    )


def _check_sizes(directory: Path, files: Mapping[str, Any]) -> None:
    wrong = []
    for name in (ONNX_FILE, TOKENIZER_FILE):
        path, size = directory / name, _is(int, files[name]["size"])
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif (found := path.stat().st_size) != size:
            wrong.append(f"{name} has {found:,} bytes, should have {size:,}")
    if wrong:
        raise DamagedArchive(f"{directory} is damaged: {'; '.join(wrong)}. Convert or fetch it again.")


def _is(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r:.40} is no {kind.__name__}")
    return value
