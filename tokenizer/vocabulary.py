"""The vocabulary: entries in the order of their ids, as a vocab.txt lists them. Nothing here knows about TensorFlow.

The rules are those of the original BERT (load_vocab in google-research/bert) wherever it can read a file: the last of
repeated lines counts, and white space around an entry does not belong to it. Files that the original cannot read, such
as UTF-16, are understood where their meaning is certain. Every rule that a file needed is a note of the vocabulary.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from zoo.archive.wordpiece_model import CLS, CONTINUATION, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, vocabulary_sha256
from zoo.basics.untrusted import BadInput, read_small
from zoo.errors import BadVocabulary

__all__ = ["CLS", "CONTINUATION", "MASK", "PAD", "SEP", "SPECIAL_TOKENS", "STANDARD", "UNK", "Vocabulary", "some"]

STANDARD: Mapping[str, str] = {token: token for token in SPECIAL_TOKENS}  # BERT's name of a special token -> spelling
PROBLEMS_SHOWN = 10
MOST_BYTES = 16 << 20  # multilingual BERT's vocabulary has 1 MB
_MOST_ENTRIES = 1_000_000  # multilingual BERT's has 119,547
_LONGEST = 1_000  # characters of an entry; words of more than 200 become [UNK] in any case
_WITH_ID = re.compile(r"(.*)\t([0-9]{1,7})")


@dataclass(frozen=True)
class Vocabulary:
    """Entries, all of them different; the place of an entry is its id.

        vocabulary = Vocabulary.read(Path("vocab.txt"))
        vocabulary.entries[101]  # '[CLS]'
        vocabulary.special_tokens["[CLS]"]  # 101

    An id that no text can reach, such as that of a blank line, has the entry "[no token 60]": it holds spaces, and a
    token never does. `spellings` says what the special tokens are called here: {"[PAD]": "<pad>", …}. `notes` are
    sentences about the file for the card.
    """

    entries: tuple[str, ...]
    spellings: Mapping[str, str] = field(default_factory=lambda: dict(STANDARD))
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def read(cls, path: Path, spellings: Mapping[str, str] = STANDARD, added: Collection[str] = ()) -> Vocabulary:
        """Return the vocabulary of a vocab.txt: one entry a line, in UTF-8 or, with its mark, UTF-16.

        Only '\\n' and '\\r\\n' end a line: Chinese BERT's entries 343 and 13502 hold U+2028, at which str.splitlines()
        would break the line and shift every later id. Lines such as "[CLS]<TAB>1", as ERNIE has them, state their ids.
        The special tokens have to be there, or among the tokens that other files add; only [MASK] may be missing.

        Raises BadVocabulary with the line numbers of every problem found.
        """
        lines, notes, problems = _read_lines(path)
        entries = _in_order_of_ids(lines, notes, problems)
        stripped = [_stripped(entry) for entry in entries]
        if changed := [new for new, old in zip(stripped, entries, strict=True) if new != old]:
            notes.append(
                f"white space around {len(changed):,} of the vocabulary's entries ({some(map(repr, changed))}) is not "
                "part of them, as in the original BERT; transformers keeps it, and then no text reaches them"
            )
        return cls._checked(stripped, notes, problems, path, spellings, added)

    @classmethod
    def of_ids(
        cls, ids: Mapping[str, int], path: Path, spellings: Mapping[str, str] = STANDARD, added: Collection[str] = ()
    ) -> Vocabulary:
        """Return the vocabulary that maps tokens to ids, as the tokenizer.json at `path` has it. Raises BadVocabulary.

        Vocabulary.of_ids({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "你": 4}, path).entries[4]  # "你"
        """
        by_id: dict[int, str] = {}
        problems = []
        for token, number in ids.items():
            if not isinstance(number, int) or not 0 <= number < _MOST_ENTRIES:
                problems.append(f"{token!r:.80} has the id {number!r:.40}; an id is a whole number below 1,000,000")
            elif number in by_id:
                problems.append(f"{by_id[number]!r:.80} and {token!r:.80} both have the id {number:,}")
            else:
                by_id[number] = token
        entries = [by_id.get(number, "") for number in range(max(by_id, default=-1) + 1)]
        return cls._checked(entries, [], problems, path, spellings, added)

    @classmethod
    def _checked(
        cls,
        entries: Sequence[str],
        notes: list[str],
        problems: list[str],
        path: Path,
        spellings: Mapping[str, str],
        added: Collection[str],
    ) -> Vocabulary:
        """Return a vocabulary of entries that may be blank or repeated. Raises BadVocabulary if there are problems."""
        problems = [*problems, *_too_long(entries), *_absent(entries, spellings, added)]
        used = max((number for number, entry in enumerate(entries, start=1) if entry), default=0)
        if blank := len(entries) - used:
            notes.append(f"blank lines at the vocabulary's end are left out: {blank:,}")
        if problems:
            more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
            raise BadVocabulary(f"{path} is not a WordPiece vocabulary: {'; '.join(problems[:PROBLEMS_SHOWN])}{more}.")
        entries, about_ids = _each_once(entries[:used])
        if spellings[MASK] not in {*entries, *added}:
            about_ids.append(f"the vocabulary has no {spellings[MASK]}")
        return cls(tuple(entries), dict(spellings), (*notes, *about_ids))

    def with_added(self, tokens: Mapping[str, int]) -> Vocabulary:
        """Return the vocabulary with tokens behind its entries: `vocabulary.with_added({"[ENT]": 21128})`."""
        entries = [*self.entries, *("" for _ in range(len(self), max(tokens.values(), default=-1) + 1))]
        for token, number in tokens.items():
            entries[number] = token
        return replace(self, entries=tuple(_each_once(entries)[0]))

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the entries, each followed by '\\n': the same with or without the file's last newline."""
        return vocabulary_sha256(self.entries)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every entry."""
        return {entry: number for number, entry in enumerate(self.entries)}

    @property
    def has_mask(self) -> bool:
        """Whether a token stands for a masked word."""
        return self.spellings[MASK] in self.ids

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The ids of [PAD], [UNK], [CLS], [SEP] and [MASK], by these names; a vocabulary may lack [MASK]."""
        there = {
            name: self.ids[self.spellings[name]] for name in SPECIAL_TOKENS if self.spellings.get(name) in self.ids
        }
        if missing := [name for name in SPECIAL_TOKENS if name not in there and name != MASK]:
            raise BadVocabulary(f"The vocabulary of {len(self):,} entries has no {', '.join(missing)}.")
        return there


def ids_in_transformers(path: Path) -> dict[str, int]:
    """Return the ids of a vocab.txt as transformers reads it: white space and blank lines count. Raises BadVocabulary.

    It gives the first added token the number of these entries as its id.
    """
    return {entry: number for number, entry in enumerate(_in_order_of_ids(_read_lines(path)[0], [], []))}


def some(words: Iterable[object], most: int = 5) -> str:
    """Return the first words of a list, and how many more there are: "a, b, c, d, e and 7 more"."""
    every = [str(word) for word in words]
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


# -- lines ------------------------------------------------------------------------------------------------------------


def _read_lines(path: Path) -> tuple[list[str], list[str], list[str]]:
    try:
        return _lines(read_small(path, MOST_BYTES))
    except OSError as error:
        raise BadVocabulary(f"Cannot read the vocabulary {path}: {error.strerror or error}.") from None
    except BadInput as error:
        raise BadVocabulary(f"{path} is not a WordPiece vocabulary: {error}.") from None


def _lines(data: bytes) -> tuple[list[str], list[str], list[str]]:
    """Return the lines without their ends, notes, and problems."""
    notes, problems = [], []
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError as error:
            raise BadInput(f"it begins with the mark of UTF-16, but is not UTF-16 ({error})") from None
        notes.append("the vocabulary is stored in UTF-16")
    elif data.startswith(codecs.BOM_UTF8):
        data = data.removeprefix(codecs.BOM_UTF8)
        notes.append("the byte order mark at the vocabulary's beginning is not part of its first entry")
    if (count := data.count(b"\n")) > _MOST_ENTRIES:
        raise BadInput(f"it has {count:,} lines; at most {_MOST_ENTRIES:,} are read")
    lines = []
    for number, raw in enumerate(data.split(b"\n"), start=1):
        try:
            lines.append(raw.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            problems.append(f"line {number} is not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start})")
            lines.append("")
    if not lines[-1]:
        lines.pop()  # nothing comes behind the last newline
    return lines, notes, problems


def _in_order_of_ids(lines: list[str], notes: list[str], problems: list[str]) -> list[str]:
    """Return the entries of lines, which may state their ids as ERNIE's do: "[CLS]<TAB>1"."""
    stated = [match for line in lines if (match := _WITH_ID.fullmatch(line))]
    if not lines or len(stated) < len(lines):
        return lines
    by_id = {int(match[2]): match[1] for match in stated}
    if sorted(by_id) == list(range(len(lines))):
        notes.append("every line of the vocabulary states its id behind a tab")
        return [by_id[number] for number in range(len(lines))]
    problems.append(
        f"every line ends in a tab and a number, but the numbers are not the ids 0 to {len(lines) - 1:,} (the first is "
        f"{stated[0][2]}). If they are counts, and the lines lie in the order of the ids, remove them: "
        "`cut -f1 FILE > vocab.txt`"
    )
    return [match[1] for match in stated]


def _stripped(entry: str) -> str:
    """Return an entry without the white space around it.

    The original strips every line. Here an entry of white space alone, or of '##' and white space, stays as it is: no
    text reaches such an entry in the original either, and the entries of Chinese BERT stay as they are published.
    """
    return entry.strip() if entry.strip() not in ("", CONTINUATION) else entry


def _too_long(entries: Sequence[str]) -> list[str]:
    return [
        f"line {number} has {len(entry):,} characters; an entry has at most {_LONGEST:,}"
        for number, entry in enumerate(entries, start=1)
        if len(entry) > _LONGEST
    ]


# -- entries ----------------------------------------------------------------------------------------------------------


def _each_once(entries: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the entries, with a stand-in for each that is blank or repeated, as no text can reach it; and notes."""
    last = {entry: number for number, entry in enumerate(entries)}
    blank = [number for number, entry in enumerate(entries) if not entry]
    repeated = [number for number, entry in enumerate(entries) if entry and last[entry] != number]
    notes = []
    if blank:
        notes.append(f"the vocabulary has no token for {_ids(blank)}: no text reaches it")
    if repeated:
        tokens = some(f"{entries[number]!r} ({number:,} and {last[entries[number]]:,})" for number in repeated)
        notes.append(
            f"the vocabulary repeats {tokens}: the last line counts, as in the original BERT and in transformers, and "
            f"no text reaches {_ids(repeated)}"
        )
    result = list(entries)
    for number in (*blank, *repeated):
        result[number] = _stand_in(number, last)
    return result, notes


def _stand_in(number: int, known: Mapping[str, int]) -> str:
    """Return an entry for an id without a token, which is none of the known ones."""
    entry = f"[no token {number}]"
    while entry in known:
        entry += " "
    return entry


def _absent(entries: Sequence[str], spellings: Mapping[str, str], added: Collection[str]) -> list[str]:
    """Return a problem that lists the special tokens that no entry is; no problem if only [MASK] is missing."""
    known = {*entries, *added}
    missing = [spelling for name, spelling in spellings.items() if spelling not in known and name != MASK]
    if not missing:
        return []
    likely = [
        entry for entry in entries[:1_000] if re.fullmatch(r"<.{1,8}>|\[.{1,8}\]", entry) and "unused" not in entry
    ]
    hint = (
        f" (it has {some(likely)}; a tokenizer_config.json beside it may say which of these is which: "
        '"cls_token": "<s>", …)'
        if likely
        else ""
    )
    return [f"none of the {len(entries):,} entries is {', '.join(missing)}{hint}"]


def _ids(numbers: Sequence[int]) -> str:
    return f"{'id' if len(numbers) == 1 else 'ids'} {some(f'{number:,}' for number in numbers)}"
