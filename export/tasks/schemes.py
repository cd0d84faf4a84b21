"""What the labels of tokens say: to which kind of entity a token belongs, and whether an entity begins or ends there.

| scheme | labels of a person's name of three tokens | of one token |
|---|---|---|
| BIO | B-PER I-PER I-PER | B-PER |
| BIOES | B-PER I-PER E-PER | S-PER |
| BMES | B-PER M-PER E-PER | S-PER |
| plain | PER PER PER | PER |

In labels of a letter alone, as models that split Chinese into words have them (B I, or B M E S), the kind is "".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.archive.task import Scheme

OUTSIDE = "O"  # the label of tokens that belong to no entity
_LETTERS = "BIMES"


class TokenLabel(NamedTuple):
    """A label of tokens, taken apart: ("PER", begins=True, ends=False) for B-PER."""

    kind: str
    begins: bool
    ends: bool


def scheme_of(labels: Sequence[str]) -> Scheme:
    """Return the scheme that labels follow, by the letters before their first hyphen.

    scheme_of(["O", "B-PER", "I-PER"])  # "BIO"
    """
    letters = {letter for letter, _ in _taken_apart(labels)}
    if not letters & {"B", "I"}:  # an E-mail begins with a letter too
        return "plain"
    return "BMES" if "M" in letters else "BIOES" if letters & {"E", "S"} else "BIO"


def token_labels(labels: Sequence[str], scheme: Scheme) -> list[TokenLabel]:
    """Return every label taken apart. Labels without a letter of the scheme are plain: they neither begin nor end."""
    known = "" if scheme == "plain" else _LETTERS
    found = []
    for label, (letter, kind) in zip(labels, _taken_apart(labels), strict=True):
        letter, kind = (letter, kind) if letter and letter in known else ("", label)
        found.append(TokenLabel(kind, letter in ("B", "S"), letter in ("E", "S")))
    return found


def _taken_apart(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return the letter and the kind of every label, ("", label) for one without a letter."""
    alone = {*labels} <= {*_LETTERS, OUTSIDE} and "B" in labels
    return [
        (label[0], label[2:])
        if label[:1] in _LETTERS and (label[1:2] == "-" or (alone and label != OUTSIDE))
        else ("", label)
        for label in labels
    ]
