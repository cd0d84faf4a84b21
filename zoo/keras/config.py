"""The configs of a Keras layer of ours as they stand in a .keras file: which keys there are, and of which type.

Such a file may come from anybody. A config brings the graph along, so it has no say in where anything is to be had:
it names no registry and no URL to fetch, and nothing that it says loosens a check.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from zoo.errors import BadConfig

REGISTERED = "zoo>Origin"  # how Keras names the class in a file
_MOST_GRAPH = 64 << 20  # letters of base64; a graph of ours has some 400,000

_Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > _MOST_GRAPH:
        raise ValueError(f"should be a text of at most {_MOST_GRAPH:,} letters")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ValueError(f"is no base64 ({error})") from None


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OriginConfig(_Config):
    """What a config says of where its SavedModel came from. Files of bert-zoo 0.1.0 may have `registry`: not read."""

    handle: _Text
    name: _Text
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    graph: Annotated[bytes, BeforeValidator(_decoded)]
    registry: Any = None


class LayerConfig(_Config):
    """What a config says of a layer. Keras itself looks at `dtype` and `activity_regularizer`."""

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
    """Return the config of an origin. Raises BadConfig, which lists all that is wrong."""
    return _checked(OriginConfig, config, "the record of the model in it")


def layer_config(config: Any, layer: type, base: type) -> dict[str, Any]:
    """Return the config of a `layer`, `base` or a class derived from it, whose own arguments are let pass.

    Raises BadConfig, which lists all keys that there are not, missing ones and those of another type.
    """
    mine, theirs = (inspect.signature(kind.__init__).parameters for kind in (layer, base))  # type: ignore[misc]
    own = {*mine} - {*theirs}
    given = dict(config) if isinstance(config, Mapping) else config
    known = {key: value for key, value in given.items() if key not in own} if isinstance(given, dict) else given
    _checked(LayerConfig, known, "the config of the layer")
    return given


def recorded(handle: Any) -> Any:
    """Return the config of the origin that is under "handle" in a file. Raises BadConfig for anything else."""
    if isinstance(handle, Mapping) and handle.get("registered_name") == REGISTERED:
        return handle.get("config")
    found = f"an object of {str(handle.get('registered_name'))[:99]!r}" if isinstance(handle, Mapping) else None
    if isinstance(handle, str):
        found = f"{handle[:99]!r}"
    raise _bad(f'"handle" is {found or f"a {type(handle).__name__}"} and not the record with the graph')


def _checked(kind: type[Any], config: Any, what: str) -> Any:
    try:
        return kind.model_validate(config)
    except ValidationError as error:
        problems = [_problem(found) for found in error.errors(include_url=False, include_input=False)]
        raise _bad(f"{what}: {'; '.join(dict.fromkeys(problems[:9]))}") from None


def _problem(error: Mapping[str, Any]) -> str:
    key = repr(str(error["loc"][0])[:99]) if error["loc"] else "it"
    words = {"extra_forbidden": f"{key} is no key of it", "missing": f"{key} is missing"}
    return words.get(error["type"], f"{key}: {str(error['msg']).removeprefix('Value error, ')}")


def _bad(found: str) -> BadConfig:
    return BadConfig(
        f"this Keras config is not as zoo.KerasLayer writes it; {found}. It was changed, or a later bert-zoo wrote it: "
        "take your copy of the file, or make the layer anew, zoo.KerasLayer(NAME), and load the weights into that."
    )
