"""`zoo keygen` and `zoo sign`: keys and signatures of a published registry, in minisign's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.commands.common import Run, add_json, print_json
from zoo.contract import REGISTRY_FILE, TRUSTED_KEY
from zoo.publishing.signing import sign_dist
from zoo.registry.writing import own_registry
from zoo.trust.minisign import SUFFIX, read_secret_key, write_keys


def keygen_command(parser: argparse.ArgumentParser) -> Run:
    """Make a key pair of minisign's kind: FILE.key, without a password, and FILE.pub.

    zoo keygen release
    """
    parser.add_argument("file", metavar="FILE", type=Path)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        secret, public, key = write_keys(arguments.file)
        if arguments.json:
            print_json({"secret": str(secret), "public": str(public), "key": str(key), "id": key.name})
            return 0
        print(f"{TRUSTED_KEY}={key}")
        print(f"{secret} is secret, and whoever has it can sign; {public} is for everybody.", file=sys.stderr)
        return 0

    return run


def sign_command(parser: argparse.ArgumentParser) -> Run:
    """Number and sign registry.json, and SHA256SUMS, of a directory, or one file such as a bundle: FILE.minisig.

    zoo sign dist --key release.key
    """
    parser.add_argument("dist", metavar="DIST|FILE", type=Path)
    parser.add_argument("--key", metavar="FILE", type=Path, required=True, help="what `zoo keygen` has written")
    parser.add_argument(
        "--number", metavar="N", type=_not_negative, help="of the registry; by default one more when it has changed"
    )
    parser.add_argument(
        "--expires-in", metavar="DAYS", type=_not_negative, help="for how long the registry is good; 0 is for ever"
    )
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        key = read_secret_key(arguments.key)
        files = sign_dist(arguments.dist, key, number=arguments.number, expires_in=arguments.expires_in)
        written = [str(path) for path in files]
        is_registry = files[0].name == REGISTRY_FILE + SUFFIX
        registry = own_registry(files[0].with_name(REGISTRY_FILE)) if is_registry else None
        if arguments.json:
            facts = {"number": registry.number, "expires": registry.expires} if registry else {}
            print_json({"key": str(key.public), "id": key.public.name, "written": written, **facts})
            return 0
        print("\n".join(written))
        if registry:
            print(
                f"registry.json is number {registry.number}; it expires {registry.expires or 'never'}.", file=sys.stderr
            )
        return 0

    return run


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number
