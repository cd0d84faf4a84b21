"""`zoo publish` and `zoo check-links`: a finished zoo to where people fetch from, and whether everything answers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.basics.display import counted, size, table
from zoo.commands.common import Run, add_json, add_registry, print_json
from zoo.fetching.registries import read_registry
from zoo.publishing.links import DEFAULT_TIMEOUT, Finding, check_links, links_of
from zoo.publishing.publish import Publication, publish


def publish_command(parser: argparse.ArgumentParser) -> Run:
    """Copy a finished directory to another or to a URL: archives first, the registry last, no archive changed.

    zoo publish dist s3://bucket/zoo --dry-run
    """
    parser.add_argument("dist", metavar="DIST", type=Path)
    parser.add_argument("destination", metavar="DEST", help="a directory, or a URL of fsspec: s3://…, sftp://…")
    parser.add_argument("--dry-run", action="store_true", help="compare everything; write nothing")
    parser.add_argument(
        "--on-request",
        action="store_true",
        help="models too whose licence lets nobody hand them on: for yourself",
    )
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        publication = publish(
            arguments.dist, arguments.destination, dry_run=arguments.dry_run, on_request=arguments.on_request
        )
        print_json(publication.to_dict()) if arguments.json else print(_summary(publication))
        if publication.gone:
            print(f"No longer in the registry there: {', '.join(publication.gone)}.", file=sys.stderr)
        return 0

    return run


def check_links_command(parser: argparse.ArgumentParser) -> Run:
    """Ask every URL of a registry whether it answers; exit code 2 when one that should does not.

    zoo check-links --registry https://host/zoo/registry.json
    """
    parser.add_argument("--jobs", metavar="N", type=_positive, default=8, help="how many at once; 2 of one host")
    parser.add_argument("--timeout", metavar="SECONDS", type=_positive, default=DEFAULT_TIMEOUT)
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        findings = check_links(links_of(registry), jobs=arguments.jobs, timeout=arguments.timeout)
        failed = [finding for finding in findings if finding.fails]
        if arguments.json:
            links = [finding.to_dict() for finding in findings]
            print_json({"registry": registry.place, "checked": len(findings), "failed": len(failed), "links": links})
        else:
            print(_findings(findings))
        return 2 if failed else 0

    return run


def _summary(publication: Publication) -> str:
    rows = [
        (name, "write" if publication.dry_run else "written", size(count))
        for name, count in publication.written.items()
    ]
    rows += [(name, f"left out: {reason}", "") for name, reason in publication.left_out.items()]
    lines = [table(("file", "", "size"), rows)] if rows else []
    did = "would be written" if publication.dry_run else "written"
    amount = size(sum(publication.written.values()))
    files = counted(len(publication.written), "file")
    total = f"{publication.destination}: {files} {did}, {amount}; {len(publication.same)} were there"
    return "\n".join([*lines, total])


def _findings(findings: list[Finding]) -> str:
    rows = [(each.state, each.link.kind, ", ".join(each.link.models), each.text) for each in findings]
    if not rows:
        return "no URLs"
    failed, dead = (sum(each.state == state for each in findings) for state in ("FAILED", "dead"))
    total = f"{counted(len(findings), 'URL')}, {failed} failed" + (f", {dead} of the history dead" if dead else "")
    return f"{table(('', 'what', 'models', 'URL'), rows)}\n{total}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number
