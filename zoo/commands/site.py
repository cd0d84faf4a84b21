"""`zoo site`: the catalogue page, the cards and the digests of a built zoo."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.basics.display import counted
from zoo.commands.common import Run, add_json, print_json


def site_command(parser: argparse.ArgumentParser) -> Run:
    """Write the catalogue page, the cards and SHA256SUMS of a directory of archives.

    zoo site dist
    """
    parser.add_argument("dist", metavar="DIST", type=Path, help="what `zoo build` or `zoo export` filled")
    parser.add_argument(
        "--measure", action="store_true", help="time every encoder and text archive here first: DIST/speed.json"
    )
    parser.add_argument(
        "--onnxruntime-web",
        metavar="DIR",
        type=Path,
        help="package/dist of that npm package, for vectors in the page, of text archives published as ONNX",
    )
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        from zoo.site import write_site  # brings Jinja2, which the other commands have no use for
        from zoo.site.speed import measure

        if arguments.measure:
            for name, reason in measure(arguments.dist).skipped.items():
                print(f"not timed: {name}, {reason}", file=sys.stderr)
        written = write_site(arguments.dist, arguments.onnxruntime_web)
        if arguments.json:
            print_json({"written": [str(path) for path in written]})
        else:
            cards = [path for path in written if path.parent.name == "cards"]
            for path in written:
                if path not in cards:
                    print(path)
            print(f"{counted(len(cards), 'card')} in {arguments.dist / 'cards'}")
        return 0

    return run
