"""How many functions of ours run between `zoo.load` and the first byte of an answer: few enough to follow."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

import zoo
from tests.conftest import ROOT
from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo

MOST = 9
HANDLES: dict[str, Callable[[str, SmallZoo], dict[str, Any]]] = {
    "name": lambda base, made: {"handle": "small", "registry": base + "registry.json"},
    "URL": lambda base, made: {"handle": base + "small.tar.gz"},
    "URL with its sha256": lambda base, made: {"handle": base + "small.tar.gz", "sha256": made.digest.sha256},
}


class FirstByte(BaseException):
    """Ends `zoo.load` when the first byte of the archive has been read."""


def our_functions() -> list[str]:
    """Return the functions of this project that are running, the innermost last; those of tests are left out."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(str(ROOT / "zoo")):
            found.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return found[::-1]


@pytest.mark.parametrize("case", HANDLES)
@pytest.mark.parametrize("mirror", [False, True], ids=["one source", "and a mirror"])
def test_few_functions_between_load_and_the_first_byte(
    case: str, mirror: bool, small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = HANDLES[case](server.serve_directory(small_zoo.registry.parent), small_zoo)
    if mirror:
        monkeypatch.setenv("ZOO_MIRROR", str(server.url))
    stacks: list[list[str]] = []
    receive, read = socket.socket.recv_into, urllib3.HTTPResponse.read1

    def recv_into(own: socket.socket, *rest: Any) -> int:
        stacks.append(our_functions())
        return receive(own, *rest)

    def read1(own: urllib3.HTTPResponse, *rest: Any, **options: Any) -> bytes:
        chunk = read(own, *rest, **options)
        if chunk and "read_bytes" not in our_functions():  # which reads the registry
            stacks.append(our_functions())
            raise FirstByte
        return chunk

    monkeypatch.setattr(socket.socket, "recv_into", recv_into)
    monkeypatch.setattr(urllib3.HTTPResponse, "read1", read1)
    with pytest.raises(FirstByte):
        zoo.load(**arguments)
    stacks = [stack for stack in stacks if stack and "read_bytes" not in stack]  # the server's thread receives, too
    assert len(stacks) >= 2, "the headers, and the first byte of the body"
    assert all(stack[0] == "load" and stack.count("download") == 1 for stack in stacks)
    longest = max(stacks, key=len)
    assert len(longest) <= MOST, " > ".join(longest)
