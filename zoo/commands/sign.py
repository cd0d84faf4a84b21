"""`zoo keygen` and `zoo sign`: keys and signatures of a published registry, in minisign's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.commands.common import Run, add_json, print_json
from zoo.minisign import read_secret_key, write_keys
from zoo.trust import VARIABLE, sign_dist


def keygen(parser: argparse.ArgumentParser) -> Run:
    """Make a key pair of minisign's kind: FILE.key, without a password, and FILE.pub."""
    parser.add_argument("file", metavar="FILE", type=Path)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        secret, public, key = write_keys(arguments.file)
        if arguments.json:
            print_json({"secret": str(secret), "public": str(public), "key": str(key), "id": key.name})
            return 0
        print(f"{VARIABLE}={key}")
        print(f"{secret} is secret, and whoever has it can sign; {public} is for everybody.", file=sys.stderr)
        return 0

    return run


def sign(parser: argparse.ArgumentParser) -> Run:
    """Sign registry.json and SHA256SUMS of a directory, or one file such as a bundle; writes FILE.minisig."""
    parser.add_argument("dist", metavar="DIST|FILE", type=Path)
    parser.add_argument("--key", metavar="FILE", type=Path, required=True, help="what `zoo keygen` has written")
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        key = read_secret_key(arguments.key)
        written = [str(path) for path in sign_dist(arguments.dist, key)]
        if arguments.json:
            print_json({"key": str(key.public), "id": key.public.name, "written": written})
        else:
            print("\n".join(written))
        return 0

    return run
