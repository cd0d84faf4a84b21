"""The vocabulary: entries of a vocab.txt in the order of their ids. Nothing here knows about TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zoo.archive.wordpiece_model import CLS, CONTINUATION, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, vocabulary_sha256
from zoo.basics.untrusted import BadInput, read_small
from zoo.errors import BadVocabulary

__all__ = ["CLS", "CONTINUATION", "MASK", "PAD", "SEP", "SPECIAL_TOKENS", "UNK", "Vocabulary"]

PROBLEMS_SHOWN = 10
MOST_BYTES = 16 << 20  # multilingual BERT's vocabulary has 1 MB
_MOST_ENTRIES = 1_000_000  # multilingual BERT's has 119,547
_LONGEST = 1_000  # characters of an entry; words of more than 200 become [UNK] in any case


@dataclass(frozen=True)
class Vocabulary:
    """The entries of a vocab.txt. The place of an entry is its id.

    vocabulary = Vocabulary.read(Path("vocab.txt"))
    vocabulary.entries[101]  # '[CLS]'
    vocabulary.special_tokens["[CLS]"]  # 101
    """

    entries: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Return the vocabulary of a vocab.txt: one entry a line, UTF-8, the last newline optional.

        Only '\\n' ends a line, and nothing is stripped: Chinese BERT's entries 343 and 13502 hold U+2028, at which
        str.splitlines() would break the line and shift every later id. '\\r\\n' ends lines if the whole file uses it.

        Raises BadVocabulary with the line numbers of every problem found.
        """
        try:
            lines = _lines(read_small(path, MOST_BYTES))
        except OSError as error:
            raise BadVocabulary(f"Cannot read the vocabulary {path}: {error.strerror or error}.") from None
        except BadInput as error:
            raise BadVocabulary(f"{path} is not a WordPiece vocabulary: {error}.") from None
        entries, problems = _entries(lines)
        problems += _repeated(entries) + _absent(entries)
        if problems:
            shown = "; ".join(problems[:PROBLEMS_SHOWN])
            more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
            raise BadVocabulary(f"{path} is not a WordPiece vocabulary: {shown}{more}.")
        return cls(tuple(entries))

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the entries, each followed by '\\n': the same with or without the file's last newline."""
        return vocabulary_sha256(self.entries)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The ids of [PAD], [UNK], [CLS], [SEP] and [MASK]."""
        ids = {entry: number for number, entry in enumerate(self.entries)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise BadVocabulary(f"The vocabulary of {len(self):,} entries has no {', '.join(missing)}.")
        return {token: ids[token] for token in SPECIAL_TOKENS}


def _lines(data: bytes) -> list[bytes]:
    if (count := data.count(b"\n")) > _MOST_ENTRIES:
        raise BadInput(f"it has {count:,} lines; at most {_MOST_ENTRIES:,} are read")
    lines = data.split(b"\n")
    last = lines.pop()
    if lines and all(line.endswith(b"\r") for line in lines):
        lines = [line[:-1] for line in lines]
    return [*lines, last] if last else lines


def _entries(lines: list[bytes]) -> tuple[list[str], list[str]]:
    entries, problems = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entry = line.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"line {number} is not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start})")
            entry = ""
        else:
            if not entry:
                problems.append(f"line {number} is empty")
            elif len(entry) > _LONGEST:
                problems.append(f"line {number} has {len(entry):,} characters; an entry has at most {_LONGEST:,}")
                entry = ""
            elif number == 1 and entry.startswith("\ufeff"):
                problems.append("line 1 starts with a byte order mark (U+FEFF)")
        entries.append(entry)
    return entries, problems


def _repeated(entries: list[str]) -> list[str]:
    """Return a problem for every line that repeats an earlier one."""
    first: dict[str, int] = {}
    problems = []
    for number, entry in enumerate(entries, start=1):
        if entry and entry in first:
            problems.append(f"line {number} repeats line {first[entry]} ({entry!r})")
        first.setdefault(entry, number)
    return problems


def _absent(entries: list[str]) -> list[str]:
    """Return a problem that lists the special tokens that no line is; no problem if all are there."""
    known = set(entries)
    missing = [token for token in SPECIAL_TOKENS if token not in known]
    if not missing:
        return []
    mixed = next((number for number, entry in enumerate(entries, start=1) if entry.endswith("\r")), None)
    hint = f" (line {mixed} ends in '\\r': the file mixes two kinds of line ends)" if mixed else ""
    return [f"none of the {len(entries):,} lines is {', '.join(missing)}{hint}"]
