"""Compares an unpacked archive with its card: before every load, and of all bytes while it is verified."""

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

    The weights are nearly all of the bytes, and to read them twice would make loading slower.
    TensorFlow compares a checksum (CRC-32C) of each variable that it reads; those stand in the index, whose sha256 is
    compared here. Raises DamagedArchive, which lists everything that differs, weights too.
    """
    check_sizes(directory, card)
    if not _others_are_right(directory, card):
        check_files(directory, card)


@contextmanager
def checking(directory: Path, card: Card) -> Iterator[None]:
    """Compare the sha256 of every file with the card: before the block; that of the weights while the block runs.

        with checking(directory, card):
            prepare(directory, card)
            model = load_directory(directory, card.name, card.needs)

    The block's result counts only when the comparison has ended well. Raises DamagedArchive, which lists everything
    that differs, also when the block itself fails because of it.
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
