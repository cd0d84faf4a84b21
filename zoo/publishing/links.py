"""Every URL of a registry, and whether it answers: HEAD, then the first byte where HEAD is refused."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import requests

from zoo.basics.progress import progress
from zoo.basics.urls import is_offline, local_path, shown
from zoo.errors import DownloadFailed
from zoo.registry.entry import Entry, HuggingFaceSource, NoteSource, UrlSource
from zoo.registry.registry import Registry
from zoo.transport.http import Cut, Refused, Slow, session, told

Kind = Literal["archive", "source", "huggingface", "note", "history"]

DEFAULT_TIMEOUT = 30  # seconds without a byte
_CONNECT = 10.0  # seconds
_A_HOST = 2  # how many of one host are asked at once
_IN_WORDS = re.compile(r"https?://[^\s\"'<>()\u3000-\u303f\uff00-\uffef]+")
_RANGE = re.compile(r"bytes \d+-\d+/(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Link:
    """One URL, what it is for and which models name it; `size` is what the registry says of an archive's."""

    url: str
    kind: Kind
    models: tuple[str, ...]
    size: int | None = None


@dataclass(frozen=True)
class Finding:
    """What a URL answered: `said` is the reason when it is not `ok`."""

    link: Link
    ok: bool
    said: str
    status: int | None = None
    length: int | None = None
    redirected_to: str | None = None

    @property
    def fails(self) -> bool:
        """True when this should have answered; what the predecessor published does so no longer."""
        return not self.ok and self.link.kind != "history"

    @property
    def state(self) -> Literal["ok", "FAILED", "dead"]:
        """In a word: 'dead' is known to be so."""
        return "ok" if self.ok else "FAILED" if self.fails else "dead"

    @property
    def text(self) -> str:
        """The URL with where it leads and what is wrong with it."""
        leads = f" → {self.redirected_to}" if self.redirected_to else ""
        return f"{shown(self.link.url)}{leads}" + ("" if self.ok else f": {self.said}")

    def to_dict(self) -> dict[str, Any]:
        """Return what `zoo check-links --json` prints of it."""
        link = {"url": shown(self.link.url), "kind": self.link.kind, "models": list(self.link.models)}
        answer = {"status": self.status, "said": self.said, "redirected_to": self.redirected_to}
        return {**link, "state": self.state, **answer, "length": self.length, "expected_length": self.link.size}


# -- which --------------------------------------------------------------------------------------------------------


def links_of(registry: Registry) -> list[Link]:
    """Return every URL of a registry once, with all models that name it; archives first, history last.

    Where an archive is local, its file is what answers.
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
        elif isinstance(source, HuggingFaceSource):
            yield Link(source.page, "huggingface", ())
    for url in _IN_WORDS.findall(" ".join(words)):
        yield Link(url.rstrip(".,:;"), "note", ())
    for published in entry.history:
        yield Link(published.url, "history", ())


# -- whether ------------------------------------------------------------------------------------------------------


def check_links(links: Sequence[Link], *, jobs: int = 8, timeout: float = DEFAULT_TIMEOUT) -> list[Finding]:
    """Return what each link answered, in their order.

        [finding.text for finding in check_links(links_of(read_registry())) if finding.fails]

    At most `jobs` are asked at once, two of one host; a busy server is asked again. Redirects are followed, from https
    to https only. An archive fails when the length it has there is another than the registry's. Raises DownloadFailed
    when ZOO_OFFLINE forbids all this.
    """
    if is_offline() and any(link.url.startswith("http") for link in links):
        raise DownloadFailed("links cannot be checked, ZOO_OFFLINE forbids the network. Run it with ZOO_OFFLINE=0.")
    findings: dict[str, Finding] = {}
    stop = threading.Event()
    with progress("checking links", len(links), unit=" links") as advance:

        def ask(lane: Sequence[Link]) -> None:
            with session() as http:
                for link in lane:
                    if stop.is_set():
                        return
                    findings[link.url] = _asked(link, http, timeout)
                    advance(1)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                list(pool.map(ask, _lanes(links)))
            except BaseException:  # Ctrl-C: those on their way are waited for, the others left
                stop.set()
                raise
    return [findings[link.url] for link in links]


def _lanes(links: Sequence[Link]) -> list[list[Link]]:
    """Return what is asked one after the other: a host has so many lanes as it may be asked at once."""
    hosts: defaultdict[str, list[Link]] = defaultdict(list)
    for link in links:
        hosts[link.url.split("/")[2] if "://" in link.url else ""].append(link)
    return [lane for those in hosts.values() for start in range(_A_HOST) if (lane := those[start::_A_HOST])]


def _asked(link: Link, http: requests.Session, timeout: float) -> Finding:
    try:
        with told(Refused):
            path = local_path(link.url)
        if path is not None:
            there = path.is_file()
            size = path.stat().st_size if there else None
            return _compared(Finding(link, there, "there" if there else "no such file", length=size))
        try:
            finding = _answered("HEAD", link, http, timeout)
        except Slow:
            raise
        except Cut as cut:  # some servers know no HEAD and hang up
            finding = Finding(link, False, str(cut))
        refused = not finding.ok and (finding.status is None or finding.status < 500 or finding.status == 501)
        if refused or (link.size is not None and finding.length != link.size):
            finding = _answered("GET", link, http, timeout)
    except Refused as error:
        return Finding(link, False, str(error))
    return _compared(finding)


def _answered(method: str, link: Link, http: requests.Session, timeout: float) -> Finding:
    """Return what a request is answered, its body left where it is. Raises Refused."""
    headers = {"Range": "bytes=0-0"} if method == "GET" else {}
    patience = (min(_CONNECT, timeout), timeout)
    with (
        told(Refused),
        http.request(
            method, link.url, headers=headers, timeout=patience, stream=True, allow_redirects=True
        ) as response,
    ):
        leads = shown(response.url) if response.history else None
        said = f"HTTP {response.status_code} {response.reason}".rstrip()
        return Finding(link, response.ok, said, response.status_code, _length(response), leads)


def _length(response: requests.Response) -> int | None:
    if found := _RANGE.fullmatch(response.headers.get("Content-Range", "")):
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == requests.codes.ok and _LENGTH.fullmatch(length) else None


def _compared(finding: Finding) -> Finding:
    """Fail an archive that has another length than it should; one whose server names none is taken for right."""
    length, size = finding.length, finding.link.size
    if not finding.ok or None in (length, size) or length == size:
        return finding
    return replace(finding, ok=False, said=f"has {length:,} bytes, the registry says {size:,}")
