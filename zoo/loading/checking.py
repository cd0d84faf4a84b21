"""Compares an unpacked archive with its card: briefly before every load, and all bytes for `zoo verify`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.archive.card import Card
from zoo.archive.digests import check_files, file_digests
from zoo.basics.background import BackgroundCalls
from zoo.contract import CARD_FILE
from zoo.fetching.cache import check_sizes

_WEIGHTS = "variables/variables.data-"


def check_before_load(directory: Path, card: Card) -> None:
    """Compare the sizes of all files with the card, and the sha256 of every file but the weights.

    The weights are nearly all of the bytes, and reading them twice would slow down loading. TensorFlow itself compares
    the checksum (CRC-32C) of every variable that it reads. These checksums are stored in the index, whose sha256 is
    compared here. Raises DamagedArchive, which lists every file that differs, weights included.
    """
    check_sizes(directory, card)
    if not _others_are_right(directory, card):
        check_files(directory, card)


@contextmanager
def checking(directory: Path, card: Card) -> Iterator[None]:
    """Compare the sha256 of every file with the card: the weights while the block runs, all other files before it.

        with checking(directory, card):
            prepare(directory, card)
            model = load_directory(directory, card.name, card.needs)

    Use the block's result only after the block has ended without an error. Raises DamagedArchive, which lists every
    file that differs, also in the place of an error that the damage causes in the block.
    """
    with BackgroundCalls() as background:
        background.do(check_files, directory, card)
        if not _others_are_right(directory, card):
            background.wait()
        try:
            yield
        finally:
            background.wait()


def _others_are_right(directory: Path, card: Card) -> bool:
    weights = {name for name in card.files if name.startswith(_WEIGHTS)}
    others = {name: digest for name, digest in card.files.items() if name not in weights}
    return file_digests(directory, without={CARD_FILE, *weights}) == others
