"""Ids of hubs as handles: hf://owner/name of Hugging Face and ms://owner/name of ModelScope, each with @revision."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.basics.urls import HUB_SCHEMES
from zoo.errors import BadArgument
from zoo.registry.entry import HuggingFaceSource, ModelScopeSource

_ID = re.compile(r"(hf|ms)://([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(?:@([^@\s]+))?/?")


def hub_source(handle: str | Path) -> HuggingFaceSource | ModelScopeSource | None:
    """Return the repository that a handle means, None if it is no id of a hub.

        hub_source("hf://BAAI/bge-base-zh-v1.5@a1b2c3").revision  # "a1b2c3"; "main" without one

    Raises BadArgument for an id that names no repository.
    """
    if not str(handle).startswith(HUB_SCHEMES):
        return None
    if (found := _ID.fullmatch(str(handle))) is None:
        raise BadArgument(
            f"{handle!r} is no id of a repository: write hf://owner/name, or hf://owner/name@revision; ms:// for "
            "ModelScope."
        )
    hub, repository, revision = found.groups()
    stated = {"revision": revision} if revision else {}
    if hub == "ms":
        return ModelScopeSource(kind="modelscope", repository=repository, **stated)
    return HuggingFaceSource(kind="huggingface", repository=repository, **stated)
