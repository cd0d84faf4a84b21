"""Connections to servers. Apart from `http`, since requests takes 0.1 s to import and a local file needs none of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from zoo.transport import http
from zoo.transport.patience import PatientAdapter
from zoo.transport.refusals import Refused
from zoo.version import __version__

_REDIRECTS = 10


class _Retry(urllib3.Retry):
    """What `session` repeats. The class tells the log of our requests from that of others in this process."""


def _is_of_others(record: logging.LogRecord) -> bool:
    """Return whether urllib3 logs something else than a retry of ours, which our errors and progress tell in words."""
    return not any(isinstance(each, _Retry) for each in record.args or ())


logging.getLogger("urllib3.connectionpool").addFilter(_is_of_others)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the URL that a redirect leads to. Raises Refused when the redirect gives up encryption."""
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and urlsplit(urljoin(resp.url, target)).scheme != "https":
            resp.close()
            raise Refused(f"not followed, it leads from https to unencrypted {urljoin(resp.url, target)}")
        return target


@contextmanager
def session(headers: Mapping[str, str] | None = None) -> Iterator[requests.Session]:
    """Yield a session that repeats a request after a failed connection or a busy server.

    `headers` go with every request; Authorization not with one that a redirect leads to another host.

    It uses the proxies that the environment names (https_proxy, no_proxy, …).
    """
    retry = _Retry(
        total=3,
        connect=1,
        read=False,  # `download` repeats these: it keeps the bytes that arrived, and may try another source
        backoff_factor=http.PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
        respect_retry_after_header=False,  # it may say an hour; a person should decide to wait that long
    )
    with _Session() as made:
        made.headers.update({"User-Agent": f"bert-zoo/{__version__}", "Accept-Encoding": "identity", **(headers or {})})
        made.max_redirects = _REDIRECTS
        for scheme in ("http://", "https://"):
            made.mount(scheme, PatientAdapter(max_retries=retry))
        yield made
