"""Compares an unpacked archive with its card while TensorFlow loads it: every file, at every load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.archive import check_files, file_digests
from zoo.aside import Aside
from zoo.card import EncoderCard, TokenizerCard
from zoo.contract import CARD_FILE

_WEIGHTS = "variables/variables.data-"


@contextmanager
def checking(directory: Path, card: EncoderCard | TokenizerCard) -> Iterator[None]:
    """Compare the sha256 of every file with the card: before the block; that of the weights while the block runs.

        with checking(directory, card):
            prepare(directory, card)
            model = load_directory(directory, card.name, card.needs)

    The weights are nearly all of the bytes, and TensorFlow leaves time beside it: they are read in a second thread, and
    the block's result counts only when the comparison has ended well. Raises DamagedArchive, which lists everything
    that differs, also when the block itself fails because of it.
    """
    weights = {name for name in card.files if name.startswith(_WEIGHTS)}
    with Aside() as aside:
        aside.do(check_files, directory, card)
        others = {name: digest for name, digest in card.files.items() if name not in weights}
        if file_digests(directory, without={CARD_FILE, *weights}) != others:
            aside.wait()
        try:
            yield
        finally:
            aside.wait()
