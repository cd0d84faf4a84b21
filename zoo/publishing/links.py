"""Finds every URL of a registry and checks whether it answers: with HEAD, and if that fails by asking for one byte."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

import requests

from zoo.basics.progress import progress
from zoo.basics.side_by_side import side_by_side
from zoo.basics.urls import is_offline, local_path, shown
from zoo.errors import DownloadFailed
from zoo.registry.entry import Entry, NoteSource, PyPISource, UrlSource
from zoo.registry.registry import Registry
from zoo.transport.http import errors_become
from zoo.transport.refusals import Cut, Refused, Slow
from zoo.transport.sessions import session

Kind = Literal["archive", "source", "huggingface", "note", "history"]

DEFAULT_TIMEOUT = 30  # seconds without a byte
_CONNECT = 10.0  # seconds
_A_HOST = 2  # requests that one host gets at the same time
_IN_WORDS = re.compile(r"https?://[^\s\"'<>()\u3000-\u303f\uff00-\uffef]+")
_RANGE = re.compile(r"bytes \d+-\d+/(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Link:
    """One URL, its purpose, the models that name it, and for an archive the size that the registry states."""

    url: str
    kind: Kind
    models: tuple[str, ...]
    size: int | None = None


@dataclass(frozen=True)
class Finding:
    """The answer of one URL. `said` is its status, as 'HTTP 200 OK', or the reason why it is not `ok`."""

    link: Link
    ok: bool
    said: str
    status: int | None = None
    length: int | None = None
    redirected_to: str | None = None

    @property
    def fails(self) -> bool:
        """True when the URL is not ok, but should be. The predecessor's archives, kind 'history', may be gone."""
        return not self.ok and self.link.kind != "history"

    @property
    def state(self) -> Literal["ok", "FAILED", "dead"]:
        """'ok', 'FAILED', or 'dead' for a URL of the history that no longer answers."""
        return "ok" if self.ok else "FAILED" if self.fails else "dead"

    @property
    def text(self) -> str:
        """The URL, the URL it redirects to, and the reason why it is not ok: 'https://a → https://b: HTTP 404'."""
        leads = f" → {self.redirected_to}" if self.redirected_to else ""
        return f"{shown(self.link.url)}{leads}" + ("" if self.ok else f": {self.said}")

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `zoo check-links --json` prints."""
        link = {"url": shown(self.link.url), "kind": self.link.kind, "models": list(self.link.models)}
        answer = {"status": self.status, "said": self.said, "redirected_to": self.redirected_to}
        return {**link, "state": self.state, **answer, "length": self.length, "expected_length": self.link.size}


# -- the URLs of a registry --------------------------------------------------------------------------------------


def links_of(registry: Registry) -> list[Link]:
    """Return every URL of a registry once, with all models that name it; archives first, history last.

    The URL of an archive on this machine is a file URL.
    """
    found: dict[str, Link] = {}
    order: list[Kind] = ["archive", "source", "huggingface", "note", "history"]
    each = [(name, link) for name, entry in sorted(registry.models.items()) for link in _links(entry, registry)]
    for name, link in sorted(each, key=lambda pair: order.index(pair[1].kind)):
        before = found.get(link.url, link)
        found[link.url] = replace(before, models=(*dict.fromkeys([*before.models, name]),))
    return list(found.values())


def _links(entry: Entry, registry: Registry) -> Iterator[Link]:
    for url in registry.urls(entry):
        yield Link(url, "archive", (), entry.archive.size if entry.archive else None)
    words = [entry.description]
    for source in entry.sources:
        if isinstance(source, NoteSource):
            words.append(source.text)
            continue
        words.append(source.reason)
        if isinstance(source, UrlSource):
            yield Link(source.url, "source", ())
        else:
            yield Link(source.page, "source" if isinstance(source, PyPISource) else "huggingface", ())
    for url in _IN_WORDS.findall(" ".join(words)):
        yield Link(url.rstrip(".,:;"), "note", ())
    for published in entry.history:
        yield Link(published.url, "history", ())


# -- their answers ------------------------------------------------------------------------------------------------


def check_links(links: Sequence[Link], *, jobs: int = 8, timeout: float = DEFAULT_TIMEOUT) -> list[Finding]:
    """Return the answer of each link, in the order of the links.

        [finding.text for finding in check_links(links_of(read_registry())) if finding.fails]

    At most `jobs` requests are made at once, and two to one host; a busy server is asked again. Redirects are followed,
    from https only to https. An archive also fails when its length is not the one in the registry. Raises
    DownloadFailed when ZOO_OFFLINE forbids the network.
    """
    if is_offline() and any(link.url.startswith("http") for link in links):
        raise DownloadFailed("links cannot be checked, ZOO_OFFLINE forbids the network. Run it with ZOO_OFFLINE=0.")
    free = {_host(link): threading.Semaphore(_A_HOST) for link in links}
    with session() as http, progress("checking links", len(links), unit=" links") as advance:

        def ask(link: Link) -> tuple[Link, Finding]:
            with free[_host(link)]:
                finding = _asked(link, http, timeout)
            advance(1)
            return link, finding

        findings = dict(side_by_side(ask, _hosts_in_turn(links), jobs))
    return [findings[link] for link in links]


def _host(link: Link) -> str:
    return link.url.split("/")[2] if "://" in link.url else ""


def _hosts_in_turn(links: Sequence[Link]) -> list[Link]:
    """Return the links sorted: the first of every host, then the second of every host, and so on.

    Otherwise all threads would wait for the same host while the other hosts are idle.
    """
    hosts = defaultdict[str, list[Link]](list)
    for link in links:
        hosts[_host(link)].append(link)
    return [link for row in zip_longest(*hosts.values()) for link in row if link is not None]


def _asked(link: Link, http: requests.Session, timeout: float) -> Finding:
    """Return the answer of one URL, or whether the file of a local archive is there."""
    try:
        with errors_become(Refused):
            path = local_path(link.url)
        if path is not None:
            there = path.is_file()
            size = path.stat().st_size if there else None
            return _compared(Finding(link, there, "there" if there else "no such file", length=size))
        try:
            finding = _answered("HEAD", link, http, timeout)
        except Slow:
            raise
        except Cut as cut:  # some servers do not know HEAD and close the connection
            finding = Finding(link, False, str(cut))
        refused = not finding.ok and (finding.status is None or finding.status < 500 or finding.status == 501)
        if refused or (link.size is not None and finding.length != link.size):
            finding = _answered("GET", link, http, timeout)
    except Refused as error:
        return Finding(link, False, str(error))
    return _compared(finding)


def _answered(method: str, link: Link, http: requests.Session, timeout: float) -> Finding:
    """Return the answer to one request, without reading its body. Raises Refused."""
    headers = {"Range": "bytes=0-0"} if method == "GET" else {}
    patience = (min(_CONNECT, timeout), timeout)
    with (
        errors_become(Refused),
        http.request(
            method, link.url, headers=headers, timeout=patience, stream=True, allow_redirects=True
        ) as response,
    ):
        leads = shown(response.url) if response.history else None
        said = f"HTTP {response.status_code} {response.reason}".rstrip()
        return Finding(link, response.ok, said, response.status_code, _length(response), leads)


def _length(response: requests.Response) -> int | None:
    """Return the length of the whole file that a server states, as in 'Content-Range: bytes 0-0/693'."""
    if found := _RANGE.fullmatch(response.headers.get("Content-Range", "")):
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == requests.codes.ok and _LENGTH.fullmatch(length) else None


def _compared(finding: Finding) -> Finding:
    """Return the finding, failed if an archive has another length than it should. A server may state no length."""
    length, size = finding.length, finding.link.size
    if not finding.ok or None in (length, size) or length == size:
        return finding
    return replace(finding, ok=False, said=f"has {length:,} bytes, the registry says {size:,}")
