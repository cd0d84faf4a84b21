"""Makes a hostile archive of a genuine one: changed, its card right in all that it says of files and operations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from zoo.archive.card import read_card, write_card
from zoo.archive.digests import file_digests
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive
from zoo.safety import used_ops


def make_hostile(genuine: Path, directory: Path, make: Callable[[Path], object]) -> Path:
    """Return `directory`, a changed copy of an unpacked archive."""
    shutil.copytree(genuine, directory, symlinks=True)
    make(directory)
    card = read_card(directory)
    try:
        ops = used_ops(directory)
    except BadArchive:  # a message that cannot be read
        ops = card.ops
    changes = {"ops": ops, "files": file_digests(directory, without={CARD_FILE})}
    write_card(card.model_copy(update=changes), directory)
    return directory
