"""The rules by which a tokenizer turns texts into ids, whichever file stated them. Nothing here knows TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tokenizer.vocabulary import SPECIAL_TOKENS


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text as a whole, before the text is split into words: AddedToken("[ENT]", 21128).

    `lstrip` and `rstrip` let the token swallow the white space before and after it; with `single_word` it is found only
    where no letter, digit or underscore stands next to it; with `normalized` it is looked for in the normalised text
    (lower case, accents stripped), else in the text as given. Source: AddedToken of Hugging Face's tokenizers.
    """

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = False


@dataclass(frozen=True)
class TokenizerRules:
    """Everything but the vocabulary that decides the ids of a text.

    `special_tokens` maps BERT's name of a special token to its spelling in the vocabulary: {"[PAD]": "<pad>", …}. A
    token that the vocabulary lacks, as [MASK] may be, is not in it.
    """

    lower_case: bool
    strip_accents: bool
    tokenize_chinese_chars: bool = True
    special_tokens: Mapping[str, str] = field(default_factory=lambda: {token: token for token in SPECIAL_TOKENS})
    added_tokens: tuple[AddedToken, ...] = ()
