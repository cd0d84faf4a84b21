"""The rules by which a tokenizer turns texts into ids, from any file. Nothing here knows TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokenizer.sentencepiece import SentencePiece
from tokenizer.vocabulary import CLS, CONTINUATION, PAD, SEP, SPECIAL_TOKENS, STANDARD, UNK, Vocabulary
from zoo.errors import Unsupported

NEEDED = (PAD, UNK, CLS, SEP)  # a vocabulary may lack [MASK]
MOST_ADDED = 12_000  # bytes of all added tokens: at 15,000, RE2 has no memory left and becomes a hundred times slower
_MOST_SHOWN = 5
Ops = Literal["text", "core"]  # a graph with operations of tensorflow-text, or of TensorFlow alone


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text as a whole, before the text is split into words: AddedToken("[ENT]", 21128).

    `lstrip` and `rstrip` let the token swallow the white space before and after it; with `single_word` it is found only
    where no letter, digit or underscore stands next to it; with `normalized` it is looked for in the normalised text
    (lower case, accents stripped), else in the text as given. Source: AddedToken of Hugging Face's tokenizers.

    `in_vocabulary` says that the vocabulary itself has the token, as it has "hello". Words and pieces of words may be
    the token then, even where it is not found as a whole. A token that was added behind the vocabulary is found as a
    whole or not at all.
    """

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = False
    in_vocabulary: bool = False


@dataclass(frozen=True)
class TokenizerRules:
    """Everything but the vocabulary that decides the ids of a text.

    `special_tokens` maps BERT's name of a special token to its spelling in the vocabulary: {"[PAD]": "<pad>", …}. A
    token that the vocabulary lacks, as [MASK] may be, is not in it. With `sentencepiece` its model cuts texts
    instead of BERT's algorithm; then case and accents are those of its preparation of texts.
    """

    lower_case: bool
    strip_accents: bool
    tokenize_chinese_chars: bool = True
    special_tokens: Mapping[str, str] = field(default_factory=lambda: dict(STANDARD))
    added_tokens: tuple[AddedToken, ...] = ()
    sentencepiece: SentencePiece | None = None

    @classmethod
    def original(cls, lower_case: bool) -> TokenizerRules:
        """Return the rules of the original BERT tokenizer: it strips accents if it lower-cases."""
        return cls(lower_case=lower_case, strip_accents=lower_case)

    def special_ids(self, vocabulary: Vocabulary) -> dict[str, int]:
        """Return BERT's name of each special token -> its id: {"[PAD]": 0, …}."""
        return {name: vocabulary.ids[spelling] for name, spelling in self.special_tokens.items()}

    @property
    def has_usual_tokens_alone(self) -> bool:
        """Whether there are no added tokens, and the special tokens are BERT's five with their usual spelling.

        These five have a cheaper way through the graph than added tokens (see `tokenizer.wordpiece`).
        """
        return not self.added_tokens and dict(self.special_tokens) == STANDARD

    def whole_tokens(self, vocabulary: Vocabulary, special_tokens_in_text: bool) -> tuple[AddedToken, ...]:
        """Return the tokens that are found in a text as a whole: added ones, and if asked for the special ones too."""
        if not special_tokens_in_text:
            return self.added_tokens
        ids, added = self.special_ids(vocabulary), {token.content for token in self.added_tokens}
        special = (
            AddedToken(spelling, ids[name], special=True, in_vocabulary=True)
            for name, spelling in self.special_tokens.items()
            if spelling not in added
        )
        return (*self.added_tokens, *special)

    def checked(self, vocabulary: Vocabulary) -> TokenizerRules:
        """Return the rules. Raises Unsupported, which lists every rule that no graph over `vocabulary` can follow."""
        problems = [*self._problems(vocabulary.entries)]
        if problems:
            more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
            raise Unsupported(
                f"The tokenizer has rules that cannot be followed: {'; '.join(problems[:_MOST_SHOWN])}{more}. "
                "A copy of the files without these tokens can be exported; then texts that hold one get other ids."
            )
        return self

    def _problems(self, entries: Sequence[str]) -> Iterator[str]:
        known = set(entries)
        for name in NEEDED:
            if name not in self.special_tokens:
                yield f"no token has the role of {name}"
        for name, spelling in self.special_tokens.items():
            if name not in SPECIAL_TOKENS:
                yield f"{name!r} is no special token of BERT"
            elif spelling not in known:
                yield f"{name} is spelled {spelling!r}, which is not in the vocabulary of {len(entries):,} entries"
        if (size := sum(len(token.content.encode()) for token in self.added_tokens)) > MOST_ADDED:
            yield (
                f"the {len(self.added_tokens):,} added tokens have {size:,} bytes together; tokens of at most "
                f"{MOST_ADDED:,} bytes can be found in a text"
            )
        for token in self.added_tokens:
            for problem in _odd_added(token, entries):
                yield f"the added token {token.content[:50]!r} {problem}"


def _odd_added(token: AddedToken, entries: Sequence[str]) -> Iterator[str]:
    content = token.content
    if not 0 <= token.id < len(entries):
        yield f"has the id {token.id:,}, but the vocabulary has {len(entries):,} entries"
    elif entries[token.id] != content:
        yield f"has the id {token.id:,}, but the vocabulary has {entries[token.id][:50]!r} there"
    if not content or content != content.strip():
        yield "is empty, or begins or ends with white space"
    elif content.startswith(CONTINUATION):
        yield f"begins with {CONTINUATION!r}, as pieces inside of words do"
    elif any(char < " " or char == "\x7f" for char in content):
        yield "holds a control character"
