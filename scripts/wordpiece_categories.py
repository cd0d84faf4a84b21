"""Where WordPiece tokenizers differ: a row for each mistake, with texts that show it and a tokenizer that makes it.

Texts hold characters of Unicode 13 and older alone, whose properties Python 3.10 and all later ones agree on; they
come from a seed, and words from syllables, so nobody's text or vocabulary is in them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from export.oracle.wordpiece import ReferenceTokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstv" for vowel in "aeiou")
HAN = tuple(map(chr, range(0x4E00, 0x4E00 + 20_000, 97)))
ABSENT = "😶🜚丟ѣ"  # characters that the vocabulary lacks
DEAD_ENDS = "jqxz"  # letters of which the vocabulary has some pieces alone: the longest match may lead nowhere
ENTRIES = ("...", "--", "，。", "a.b", "ba-na", "c++", "#", "##", *map("".join, pairwise(HAN)))
LONG = ("w", "é", "ж", "ก", "𐐨", "Y")  # letters of one to four bytes; the vocabulary has runs of RUN of them
RUN = 20

# rules of a tokenizer: small letters for capitals, and accents dropped
RULES = {
    "uncased": {"lower_case": True, "strip_accents": True},
    "cased": {"lower_case": False, "strip_accents": False},
    "uncased, accents stay": {"lower_case": True, "strip_accents": False},
    "cased, accents go": {"lower_case": False, "strip_accents": True},
}
BOTH, KEPT = ("uncased", "cased"), ("uncased, accents stay", "cased")
LOWERED = ("uncased", "uncased", "uncased", "uncased, accents stay")  # few libraries have the last ones
FOLDED = ("uncased", "uncased", "uncased", "cased, accents go")

Wrong = Callable[[ReferenceTokenizer, str], list[str]]


@dataclass(frozen=True)
class Category:
    """A rule of the published algorithm, the mistake that others make there, texts, and that mistake."""

    why: str
    rules: Sequence[str]
    text: Callable[[Random], str]
    wrong: Wrong
    share: float = 1.0  # of the cases that other categories have


# -- texts ------------------------------------------------------------------------------------------------------------


def word(rng: Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(1, 3)))


def around(chars: Sequence[str], most: int = 3) -> Callable[[Random], str]:
    """Return a maker of texts with one to `most` of these inside, before and behind words and Chinese characters."""

    def text(rng: Random) -> str:
        parts = [rng.choice((word(rng), word(rng), rng.choice(HAN), " ", ""))]
        for _ in range(rng.randint(1, most)):
            parts += [rng.choice(chars), rng.choice((word(rng), word(rng).upper(), rng.choice(HAN), " ", "7"))]
        return "".join(parts)

    return text


def joined(*pools: Sequence[str]) -> Callable[[Random], str]:
    """Return a maker of one or two words of two to four parts, the n-th of the n-th pool; the last one repeats."""

    def text(rng: Random) -> str:
        sizes = [rng.randint(max(2, len(pools)), 4) for _ in range(rng.randint(1, 2))]
        return " ".join("".join(rng.choice(pools[min(n, len(pools) - 1)]) for n in range(size)) for size in sizes)

    return text


def sigmas(rng: Random) -> str:
    ends = rng.choices(("Σ", "Σ", "Σ.", "Σ'Σ", "Σ\u0301", "ΣΣ", "Σ\u0301Α", "Σ7", "Σ\u00ad"), k=rng.randint(1, 3))
    return " ".join("".join(rng.choices(GREEK, k=rng.randint(1, 4))) + end for end in ends)


def dead_ends(rng: Random) -> str:
    return " ".join("".join(rng.choices(DEAD_ENDS, k=rng.randint(3, 7))) for _ in range(rng.randint(1, 3)))


def spread(*ranges: tuple[int, int], step: int = 1) -> tuple[str, ...]:
    return tuple(chr(code) for first, last in ranges for code in range(first, last + 1, step))


def long_words(*sizes: int, letters: Sequence[str] = LONG) -> Callable[[Random], str]:
    """Return a maker of texts with a word of one of these sizes, and none or one beside it."""

    def text(rng: Random) -> str:
        made, beside = rng.choice(letters) * rng.choice(sizes), word(rng)
        return rng.choice((made, f"{made} {beside}", f"{beside}，{made}", f"{made}.{beside}", f"{made}{beside}"))

    return text


# -- mistakes ---------------------------------------------------------------------------------------------------------


def after(change: Callable[[str], str]) -> Wrong:
    """Return the mistake of changing the text first."""
    return lambda tokenizer, text: tokenizer.tokens(change(text))


def as_letters(chars: Sequence[str]) -> Wrong:
    """Return the mistake of taking these characters for letters, which no entry has."""
    return after(lambda text: "".join(ABSENT[-1] if char in chars else char for char in text))


def apart(chars: Sequence[str]) -> Wrong:
    """Return the mistake of making these characters words of their own."""
    return after(lambda text: "".join(f" {char} " if char in chars else char for char in text))


def without(chars: Sequence[str], instead: str = "") -> Wrong:
    return after(lambda text: "".join(instead if char in chars else char for char in text))


def any_of(*mistakes: Wrong) -> Wrong:
    """Return the first of several mistakes that changes the tokens."""

    def wrong(tokenizer: ReferenceTokenizer, text: str) -> list[str]:
        right = tokenizer.tokens(text)
        return next((found for each in mistakes if (found := each(tokenizer, text)) != right), right)

    return wrong


def by_word(pieces: Callable[[ReferenceTokenizer, str], list[str]]) -> Wrong:
    """Return the mistake of cutting words otherwise."""
    return lambda tokenizer, text: [piece for each in tokenizer.words(text) for piece in pieces(tokenizer, each)]


def at_most(longest: int, size: Callable[[str], int] = len) -> Wrong:
    """Return the mistake of another limit for the size of a word."""
    return by_word(lambda tokenizer, each: matches(tokenizer, each) if size(each) <= longest else [tokenizer.unknown])


def matches(tokenizer: ReferenceTokenizer, each: str, shortest: bool = False) -> list[str]:
    """Return the greedy matches in a word of any length."""
    found: list[str] = []
    start = 0
    while start < len(each):
        ends = range(start + 1, len(each) + 1)
        pieces = (("##" if start else "") + each[start:end] for end in (ends if shortest else reversed(ends)))
        found.append(next((piece for piece in pieces if piece in tokenizer.number), ""))
        if not found[-1]:
            return [tokenizer.unknown]
        start += len(found[-1]) - 2 * (start > 0)
    return found


def backtracking(tokenizer: ReferenceTokenizer, each: str, start: int = 0) -> list[str]:
    """Return pieces that make up the word, if any do, though the longest first do not."""
    for end in range(len(each), start, -1):
        piece = ("##" if start else "") + each[start:end]
        if piece in tokenizer.number:
            rest = backtracking(tokenizer, each, end) if end < len(each) else []
            if rest != [tokenizer.unknown]:
                return [piece, *rest]
    return [tokenizer.unknown]


def shortest(tokenizer: ReferenceTokenizer, each: str) -> list[str]:
    return matches(tokenizer, each, shortest=True)


def unknown_letters(tokenizer: ReferenceTokenizer, each: str) -> list[str]:
    parts = re.split(f"([{ABSENT}])", each)
    return [piece for part in parts if part for piece in tokenizer.pieces(part)]


def whole_first(tokenizer: ReferenceTokenizer, text: str) -> list[str]:
    """Look for what stands between spaces before it is split."""
    found: list[str] = []
    for each in text.split():
        found += [each] if each in tokenizer.number else tokenizer.tokens(each)
    return found


def special_whole(tokenizer: ReferenceTokenizer, text: str) -> list[str]:
    pattern = "(" + "|".join(map(re.escape, SPECIAL)) + ")"
    parts = re.split(pattern, text)
    return [piece for part in parts for piece in ([part] if part in SPECIAL else tokenizer.tokens(part))]


def size_in_bytes(text: str) -> int:
    return len(text.encode())


def letter_by_letter(text: str) -> str:
    return "".join(char.lower() for char in text)


def normalized(form: str) -> Wrong:
    return after(lambda text: unicodedata.normalize(form, text))


# -- characters -------------------------------------------------------------------------------------------------------

WIDE = (*spread((0xFF01, 0xFF5E)), *"ﬁﬂﬀﬃ½¼²³¹ªº①⑳ⅣⅧ㎏㎜㍿㌔ｶﾞﾊﾟｱｲ…‼℃№™ℓ″")
GREEK = tuple("ΑΒΓΔΕΛΟΠΡΤΥ")
CAPITALS = (
    *spread((0x410, 0x42F), (0x531, 0x556), (0x10400, 0x10427), (0x10A0, 0x10C5), (0x13A0, 0x13AF), (0x1E900, 0x1E921)),
    *spread((0x1C90, 0x1CBA), (0x24B6, 0x24CF), (0x2160, 0x216F)),
    *"ÀÉÎÕÜŁØÞĐŊƏǅǈΆΏѓЇҐ",
)
FOLDING = tuple("ßẞſﬁﬂŉǰΐΰևẖẗẚϐϑϕϖϰϱϵᲀᲁ") + tuple(map(chr, range(0xAB70, 0xAB80)))
CONTROLS = spread((0, 8), (0xE, 0x1B), (0x7F, 0x84), (0x86, 0x9F))
FORMATS = (
    *"\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f",
    *"\u202a\u202e\u2060\u2061\ufeff\ufffd\U000e0001\U000e0061",
)
NOT_SPACE = tuple("\x0b\x0c\x1c\x1d\x1e\x1f\x85")
LINES = ("\u2028", "\u2029")
SPACES = tuple("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
RARE_HAN = (
    *spread((0x3400, 0x4DB5), (0x20000, 0x2A6D6), (0x2A700, 0x2B734), (0x2B740, 0x2B81D), step=211),
    *spread((0x2B920, 0x2CEA1), (0xF900, 0xFA6D), (0x2F800, 0x2FA1D), step=29),
)
FIRST_OF_E = spread((0x2B820, 0x2B91F), step=3)
NOT_HAN = (
    *spread((0x3041, 0x3093), (0x30A1, 0x30F3), (0x3105, 0x312C), (0x2F00, 0x2F20), (0x2E80, 0x2E90)),
    *spread((0x2CEB0, 0x2EBE0), (0x30000, 0x3134A), step=411),
    *"々〆〇",
)
ASCII_SYMBOLS = tuple("$+<=>^`|~")
SYMBOLS = tuple("€£¥¢￥～＋＝＜＞｜＾｀°©®™→←×÷±♥☺★✓¬¨´¸˜≤≠∞√∑№℃▲●■♪﹢﹤﹩⁺₊¦")
MARKS_OF_TEXT = (
    *"‐‑–—―‘’“”„†•…‰′″‹›※‽、。〈〉《》「」『』【】〔〕〜〝〞〟﹏﹐（），．：；？！［］｛｝",
    *"·¿¡§¶«»؟،؛۔।॥๚་།፡።᠂‿⁀",
)
NEW_PUNCTUATION = (
    *spread((0x2E43, 0x2E4F), (0x1E95E, 0x1E95F), (0x11660, 0x1166C), (0x1144B, 0x1144F), (0x11C41, 0x11C45)),
    *spread((0x11A3F, 0x11A46), (0x11A9A, 0x11A9C), (0x11A9E, 0x11AA2), (0x10F55, 0x10F59), (0x16E97, 0x16E9A)),
    *"\u09fd\u0a76\u0c77\u0c84\U0001183b\U00011fff\U0001145d",
)
NEW_MARKS = spread((0x8D4, 0x8E1), (0x1DF6, 0x1DF9), (0xAFA, 0xAFF), (0x1E000, 0x1E006), (0x1E944, 0x1E94A))
ACCENTED = tuple("àâäãåçèéêëìíñòóôöùúûüÿāăćčďĕěğįłńňőřśšťůźžǎǖǘṩệấőÀÉÎÕÜŠŽȘẠ")
LATIN_MARKS = spread((0x300, 0x314), (0x323, 0x331))
OTHER_MARKS = (
    *spread((0x591, 0x5AF), (0x64B, 0x652), (0x941, 0x948), (0xE31, 0xE31), (0xE34, 0xE3A), (0xE47, 0xE4E)),
    *"\u093c\u094d\u09bc\u0a3c\u0f71\u0f72\u17b7\u17c6\u20d0\u20e3\u3099\u309a\ufe0f\ufe20",
)
SPACING_MARKS = tuple("\u0903\u093e\u093f\u0940\u09be\u0a3e\u0b3e\u0bbe\u0d3e\u17b6\u102b")
BASES = tuple("कगतनবসਕகมนกขبسشאבגд") + SYLLABLES[:5]
HANGUL = spread((0xAC00, 0xD7A3), step=331)
PRIVATE = (
    *spread((0xE000, 0xF8FF), step=397),
    *spread((0xFDD0, 0xFDEF), step=4),
    *"\U000f0000\U0010fffd\uffff\U0001ffff",
)
SEQUENCES = ("\u200d", "\ufe0f", "\ufe0f\u200d", "👩\u200d🚀", "👍🏽", "☺\ufe0f", "1\ufe0f\u20e3")
EMOJI = (*"😀🎉👍🏽👩🚀❤☺✈🇨🇳🏳🌈🤖", *SEQUENCES)

CATEGORIES = {
    "full width": Category(
        "Full-width letters, ligatures and fractions stay as they are; NFKC makes others of them.",
        BOTH, around(WIDE), normalized("NFKC"),
    ),
    "over 100": Category(
        "Words of up to 200 characters are split; others stop at 100.",
        BOTH, long_words(101, 120, 160, 180, 200), at_most(100), 0.15,
    ),
    "over 200 bytes": Category(
        "The limit of 200 counts characters, not bytes.",
        ("cased",), long_words(67, 68, 80, 99, 100, 101, letters=LONG[1:5]), at_most(200, size_in_bytes), 0.15,
    ),
    "over 200": Category(
        "A word of more than 200 characters is one [UNK]; others split it.",
        BOTH, long_words(200, 201, 202, 220), at_most(10**6), 0.15,
    ),
    "final sigma": Category(
        "A capital sigma that ends a word becomes ς, any other σ.",
        LOWERED, sigmas, after(letter_by_letter),
    ),
    "capitals": Category(
        "Every script's capitals become small letters, title case and letters beyond U+FFFF too.",
        LOWERED, around(CAPITALS), as_letters(CAPITALS), 0.3,
    ),
    "case folding": Category(
        "Lower case is not case folding: ß, ſ and ligatures stay; İ becomes i and a dot.",
        LOWERED, around((*FOLDING, "İ")), any_of(after(str.casefold), without("İ", "i")),
    ),
    "control characters": Category(
        "Control characters are removed, and what stands beside them joins; others split there, or keep them.",
        BOTH, around(CONTROLS), any_of(without(CONTROLS, " "), as_letters(CONTROLS)),
    ),
    "invisible": Category(
        "Format characters (zero width, soft hyphen, byte order mark) and U+FFFD are removed as well.",
        BOTH, around(FORMATS), any_of(without(FORMATS, " "), as_letters(FORMATS)),
    ),
    "no white space": Category(
        "Vertical tab, form feed, U+001C to U+001F and U+0085 are control characters, and no white space.",
        BOTH, around(NOT_SPACE), without(NOT_SPACE, " "),
    ),
    "line separators": Category(
        "U+2028 and U+2029 split words, though they are no spaces.",
        BOTH, around(LINES), without(LINES),
    ),
    "wide spaces": Category(
        "All of Unicode's spaces split words, not only ASCII's.",
        BOTH, around(SPACES), any_of(without(SPACES), as_letters(SPACES)),
    ),
    "rare ideographs": Category(
        "Ideographs of extensions A to E and compatibility ones are words of their own, and NFD changes the latter.",
        BOTH, around(RARE_HAN), as_letters(RARE_HAN),
    ),
    "U+2B820 to U+2B91F": Category(
        "These 256 ideographs are words of their own; a wrong digit in a copied table leaves them out.",
        BOTH, around(FIRST_OF_E), after(lambda text: re.sub("[\U0002b820-\U0002b91f]", "", text)),
    ),
    "no ideographs": Category(
        "Kana, bopomofo, 々, radicals and ideographs of extensions F and G are letters; others split there.",
        BOTH, joined(SYLLABLES, NOT_HAN), apart(NOT_HAN), 0.3,
    ),
    "ASCII symbols": Category(
        "$ + < = > ^ ` | ~ are punctuation, whatever Unicode calls them.",
        BOTH, around(ASCII_SYMBOLS), as_letters(ASCII_SYMBOLS), 0.2,
    ),
    "other symbols": Category(
        "Symbols outside ASCII (€ ￥ ～ → ×) are letters; others split there.",
        BOTH, joined(SYLLABLES, SYMBOLS, SYLLABLES), apart(SYMBOLS),
    ),
    "punctuation": Category(
        "Unicode's punctuation splits words, and each sign is a word.",
        BOTH, around(MARKS_OF_TEXT), as_letters(MARKS_OF_TEXT),
    ),
    "new punctuation": Category(
        "So do the signs of Unicode 9 to 12, which older tables lack.",
        BOTH, around(NEW_PUNCTUATION), as_letters(NEW_PUNCTUATION),
    ),
    "new marks": Category(
        "Nonspacing marks of Unicode 9 to 12 are dropped with the accents.",
        FOLDED, joined(SYLLABLES, (*NEW_MARKS, *SYLLABLES[:9])), as_letters(NEW_MARKS),
    ),
    "accents": Category(
        "Accents are dropped, composed or not, several on a letter too.",
        FOLDED, joined(SYLLABLES, (*ACCENTED, *LATIN_MARKS)), as_letters((*ACCENTED, *LATIN_MARKS)),
    ),
    "marks of other scripts": Category(
        "Nonspacing marks of every script are dropped; spacing ones stay.",
        FOLDED, joined(BASES, (*OTHER_MARKS, *SPACING_MARKS, *BASES)),
        any_of(as_letters(OTHER_MARKS), without(SPACING_MARKS)),
    ),
    "Hangul": Category(
        "Where accents are dropped, syllables become two or three letters (NFD).",
        FOLDED, joined(HANGUL), as_letters(HANGUL),
    ),
    "accents stay": Category(
        "Where accents stay, texts are not normalised: é and e with U+0301 differ.",
        KEPT, joined(SYLLABLES, (*ACCENTED, *LATIN_MARKS, *HANGUL[:9])), any_of(normalized("NFC"), normalized("NFD")),
    ),
    "special tokens": Category(
        "[MASK] in a text is three words, unless it is added; others keep it whole.",
        BOTH, around((*SPECIAL, "[mask]", "[ MASK ]")), special_whole,
    ),
    "unreachable entries": Category(
        "Text is split before it is looked up: entries like ... or ## or two ideographs are not found.",
        BOTH, lambda rng: " ".join(rng.choice((*ENTRIES, "##ba", "##na", word(rng))) for _ in range(rng.randint(1, 5))),
        whole_first, 0.2,
    ),
    "unknown letter": Category(
        "One letter without an entry makes [UNK] of the word, not of the letter.",
        BOTH, joined(SYLLABLES, (*SYLLABLES, *SYLLABLES, *ABSENT * 20)), by_word(unknown_letters), 0.2,
    ),
    "dead end": Category(
        "The longest first piece counts, also where only a shorter one leads to the end of the word.",
        BOTH, dead_ends, any_of(by_word(backtracking), by_word(shortest)), 0.2,
    ),
    "private use": Category(
        "Characters of private use and noncharacters are letters; others drop them.",
        BOTH, around(PRIVATE), without(PRIVATE),
    ),
    "emoji": Category(
        "Emoji are letters; their joiners are removed, variation selectors only with the accents.",
        BOTH, joined((*SYLLABLES, *EMOJI), EMOJI), any_of(apart(EMOJI), without("\ufe0f\u200d", " ")), 0.5,
    ),
}  # fmt: skip
