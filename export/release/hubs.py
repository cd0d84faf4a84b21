"""What differs between the hubs: how a repository's files are listed, how a revision is pinned, who may read it.

Hugging Face: https://huggingface.co/docs/hub/api. ModelScope: the addresses that its own client uses and documents,
modelscope/hub/file_download.py and api.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from zoo.basics.untrusted import parse_json
from zoo.errors import BadArgument, DownloadFailed
from zoo.registry.entry import HubSource
from zoo.transport.small import read_bytes

_MOST_LISTING = 64 << 20  # bytes
_MOST_VALUES = 200_000
_COMMIT = re.compile("[0-9a-f]{40}")
_TOKEN = re.compile("[!-~]*")


class Listed(NamedTuple):
    """The size and the sha256 of a file, as a repository lists them; Hugging Face has the sha256 of large files."""

    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class Hub:
    """One hub. `listing` is the address of a list of files, and `read` makes of its JSON what `Listed` says.

    `commit` is the address of the facts of a revision, "sha" among them; None if there is none.
    """

    listing: Callable[[Any], str]
    read: Callable[[Any], dict[str, tuple[Any, Any]]]
    commit: Callable[[Any], str] | None
    headers: Callable[[], dict[str, str]]
    advice: str


def _authorization() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN", "").strip()
    if not _TOKEN.fullmatch(token):
        raise BadArgument("HF_TOKEN is not a token of Hugging Face: it has spaces or other characters than ASCII.")
    return {"Authorization": f"Bearer {token}"} if token else {}


HUBS = {
    "huggingface": Hub(
        listing=lambda source: (
            f"{source.endpoint}/api/models/{source.repository}/tree/{quote(source.revision, safe='')}?recursive=true"
        ),
        read=lambda found: {
            each["path"]: ((each.get("lfs") or {}).get("oid"), each.get("size"))
            for each in found
            if each["type"] == "file"
        },
        commit=lambda source: (
            f"{source.endpoint}/api/models/{source.repository}/revision/{quote(source.revision, safe='')}"
        ),
        headers=_authorization,
        advice="HF_ENDPOINT names another host with the same repositories, such as https://hf-mirror.com; HF_TOKEN is "
        "for repositories that not everybody may read.",
    ),
    "modelscope": Hub(
        listing=lambda source: (
            f"{source.endpoint}/api/v1/models/{source.repository}/repo/files?"
            + urlencode({"Revision": source.revision, "Recursive": "True"})
        ),
        read=lambda found: {
            each["Path"]: (each.get("Sha256") or None, each.get("Size"))
            for each in found["Data"]["Files"]
            if each["Type"] == "blob"
        },
        commit=None,
        headers=dict,
        advice="MODELSCOPE_DOMAIN names another domain, such as www.modelscope.ai.",
    ),
}


def listing(source: HubSource) -> Mapping[str, Listed] | None:
    """Return the files of a repository by path; None when there is no listing, as on many mirrors."""
    hub = hub_of(source)
    try:
        listed = hub.read(_json(hub.listing(source), hub))
        return {
            str(path): Listed(sha256 if isinstance(sha256, str) else None, size if isinstance(size, int) else None)
            for path, (sha256, size) in listed.items()
        }
    except (DownloadFailed, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextmanager
def advised(source: HubSource) -> Iterator[None]:
    """Add to a DownloadFailed of the block what a person can do about this hub."""
    try:
        yield
    except DownloadFailed as error:
        raise DownloadFailed(f"{str(error).rstrip('.')}. {hub_of(source).advice}") from None


def pinned(source: HubSource) -> HubSource:
    """Return a source with the commit that its revision means now; as it is where the hub does not say.

    Raises DownloadFailed if the hub does not answer at all.
    """
    hub = hub_of(source)
    if hub.commit is None or _COMMIT.fullmatch(source.revision):
        return source
    try:
        commit = _json(hub.commit(source), hub)["sha"]
    except DownloadFailed as error:
        if ": HTTP " in str(error):  # an answer, as 404: many mirrors know no such address
            return source
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        return source
    return at(source, commit) if isinstance(commit, str) and _COMMIT.fullmatch(commit) else source


def at(source: HubSource, revision: str) -> HubSource:
    """Return a source with another revision."""
    return source.model_copy(update={"revision": revision})


def hub_of(source: HubSource) -> Hub:
    return HUBS[source.kind]  # type: ignore[attr-defined]


def _json(url: str, hub: Hub) -> Any:
    return parse_json(read_bytes(url, _MOST_LISTING, hub.headers()), _MOST_VALUES)
