"""Checks the config of a zoo.KerasLayer that was read from a .keras file: its keys, and their types.

Such a file may come from anybody. The config holds the graph itself, so it needs no registry and no URL: nothing in it
causes a download or loosens a check.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from zoo.errors import BadConfig

REGISTERED = "zoo>Origin"  # how Keras names the class in a file
_MOST_GRAPH = 64 << 20  # characters of base64; a graph of this zoo has about 400,000

_Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > _MOST_GRAPH:
        raise ValueError(f"should be a text of at most {_MOST_GRAPH:,} characters")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ValueError(f"is not base64 ({error})") from None


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OriginConfig(_Config):
    """The keys of an Origin's config. Files of bert-zoo 0.1.0 may also have `registry`, which is not read."""

    handle: _Text
    name: _Text
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    graph: Annotated[bytes, BeforeValidator(_decoded)]
    registry: Any = None


class LayerConfig(_Config):
    """The keys of a layer's config. Keras itself checks `dtype` and `activity_regularizer`."""

    handle: Any
    name: _Text | None = None
    trainable: bool | str = False
    dtype: Any = None
    activity_regularizer: Any = None
    output_key: str | None = None
    arguments: dict[str, Any] | None = None
    endpoint: str | None = None
    signature: str | None = None
    signature_outputs_as_dict: bool | None = None


def origin_config(config: Any) -> OriginConfig:
    """Return the checked config of an Origin. Raises BadConfig with every wrong key."""
    return _checked(OriginConfig, config, "the record of the model in it")


def layer_config(config: Any, layer: type, base: type) -> dict[str, Any]:
    """Return the checked config of a `layer`: `base`, or a class derived from it, whose own arguments are not checked.

    Raises BadConfig with every key that is unknown, missing or of a wrong type.
    """
    mine, theirs = (inspect.signature(kind.__init__).parameters for kind in (layer, base))  # type: ignore[misc]
    own = {*mine} - {*theirs}
    given = dict(config) if isinstance(config, Mapping) else config
    known = {key: value for key, value in given.items() if key not in own} if isinstance(given, dict) else given
    _checked(LayerConfig, known, "the config of the layer")
    return given


def recorded(handle: Any) -> Any:
    """Return the config of the Origin that a layer's config holds under "handle". Raises BadConfig without one."""
    if isinstance(handle, Mapping) and handle.get("registered_name") == REGISTERED:
        return handle.get("config")
    found = f"an object of {str(handle.get('registered_name'))[:99]!r}" if isinstance(handle, Mapping) else None
    if isinstance(handle, str):
        found = f"{handle[:99]!r}"
    raise _bad(f'"handle" is {found or f"a {type(handle).__name__}"}, not the record that holds the graph')


def _checked(kind: type[Any], config: Any, what: str) -> Any:
    try:
        return kind.model_validate(config)
    except ValidationError as error:
        problems = [_problem(found) for found in error.errors(include_url=False, include_input=False)]
        raise _bad(f"{what}: {'; '.join(dict.fromkeys(problems[:9]))}") from None


def _problem(error: Mapping[str, Any]) -> str:
    """Return an error of pydantic in words: "'handle' is missing"."""
    key = repr(str(error["loc"][0])[:99]) if error["loc"] else "it"
    words = {"extra_forbidden": f"{key} is an unknown key", "missing": f"{key} is missing"}
    return words.get(error["type"], f"{key}: {str(error['msg']).removeprefix('Value error, ')}")


def _bad(found: str) -> BadConfig:
    return BadConfig(
        f"zoo.KerasLayer did not write this Keras config: {found}. The file was changed, or a later bert-zoo wrote it. "
        "Use an unchanged copy, or make the layer again, zoo.KerasLayer(NAME), and load the weights into it."
    )
