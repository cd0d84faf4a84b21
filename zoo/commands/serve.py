"""`zoo serve`: a built zoo over http, as hub.load and `zoo --registry` take it."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import urljoin

from zoo.archive.kinds import KINDS
from zoo.commands.common import Run
from zoo.contract import REGISTRY_FILE
from zoo.errors import ZooError
from zoo.publishing.serve import server
from zoo.registry.writing import own_registry


def serve_command(parser: argparse.ArgumentParser) -> Run:
    """Serve a directory of archives, and its catalogue page where there is one, until Ctrl-C.

    zoo serve dist
    zoo serve dist --host 0.0.0.0 --port 8080
    """
    parser.add_argument("dist", metavar="DIST", type=Path, help="what `zoo build` or `zoo export` filled")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 answers every machine that reaches this one")
    parser.add_argument("--port", type=int, default=8500, help="0 takes a free one")

    def run(arguments: argparse.Namespace) -> int:
        with server(arguments.dist, arguments.host, arguments.port) as http:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(arguments.host, arguments.host)
            base = f"http://{f'[{host}]' if ':' in host else host}:{http.server_port}/"
            print("\n".join([f"{arguments.dist} is at {base}", *usage(arguments.dist, base)]), flush=True)
            try:
                http.serve_forever()
            except KeyboardInterrupt:  # how it is meant to end
                print()
        return 0

    return run


def usage(dist: Path, base: str) -> list[str]:
    """Return how the first built model with weights is used from there, or else the first built one."""
    try:
        registry = own_registry(dist / REGISTRY_FILE)
    except ZooError as error:
        return [f"no names: {error}"]
    models = registry.models.items()
    built = [(not KINDS[entry.kind].has_weights, name, entry.archive) for name, entry in models if entry.archive]
    if not built:
        return [f"{REGISTRY_FILE} names no archive yet."]
    _, name, archive = min(built, key=lambda each: each[:2])
    return [f"hub.load({urljoin(base, archive.urls[0])!r})", f"zoo fetch {name} --registry {base}{REGISTRY_FILE}"]
