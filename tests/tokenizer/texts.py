"""Texts and a vocabulary that tell tokenizers apart. Nothing here imports TensorFlow."""

from __future__ import annotations

import functools
import random
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@functools.cache
def assigned() -> list[str]:
    """Return every character that this Python's Unicode tables know, surrogates left out."""
    return [char for char in map(chr, range(0x110000)) if unicodedata.category(char) not in ("Cn", "Cs")]


def trap_vocabulary() -> list[str]:
    """Return entries that show every character: each one and its folded form, alone and as a '##' piece.

    Only ideographs, Hangul syllables and private use are a sample. Longer pieces make greedy matching matter. A Python
    with newer tables of Unicode has more characters, and of all others the same entries.
    """
    kept = random.Random(1)
    many = {"Co": 2, "Lo": 100}  # in a thousand
    chars: dict[str, None] = dict.fromkeys("\u2028\u2029，Ａａ你好天气很空北京")
    for char in assigned():
        category = unicodedata.category(char)
        if category == "Cc" or zlib.crc32(char.encode()) % 1000 >= many.get(category, 1000):
            continue
        chars |= dict.fromkeys((char, *char.lower(), *unicodedata.normalize("NFD", char.lower())))
    entries = [*SPECIAL[:3], "<S>", *SPECIAL[3:], "##", "#", *chars, *(f"##{char}" for char in chars)]
    letters = "abcdeéαβσςжяกขΣAB"
    for _ in range(3000):
        word = "".join(kept.choices(letters, k=kept.randint(2, 4)))
        entries += [word, f"##{word}"]
    entries += [
        "un",
        "##aff",
        "##able",
        "a b",
        "你好",
        "好天",
        "##好天",
        "a你",
        "##[SEP]",
        "[mask]",
        "，。",
        "##，",
        "...",
        "##..",
        "a.b",
        "##.b",
        "c++",
        "\x01",
        "a\x01",
        "\x01444\x01",
    ]
    return list(dict.fromkeys(entries))


def mixtures(count: int, seed: int, chars: Sequence[str]) -> Iterator[str]:
    """Yield random texts: Chinese with full-width punctuation, words, accents, controls and any other character."""
    rng = random.Random(seed)
    ideographs = [chr(code) for code in range(0x4E00, 0x4E00 + 400)]
    pools = (
        ideographs,
        list("，。！？（）、；：“”‘’《》【】…—～￥％＆＠ＡＢｃｄ１２３ 　"),
        list("abcdefghijklmnopqrstuvwxyzABCDE0123456789"),
        list("ÀÉîöüñçßøÅİıΑΣσςЖйёกำ\u0301\u0308\u0327\u302e\u302f\u1baa가힣ﬁﬀ"),
        list(" \t\n\r\x00\x01\x07\x1c\x85\u00a0\u00ad\u200b\u200d\u2028\u2029\u3000\ufeff\ufffd"),
        list("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
        ["😀", "🇨🇳", "👩\u200d👩", "𝔄", "𐐀", "𠀀", "[MASK]", "[SEP]", "##", "unaffable"],
        chars,
    )
    weights = (8, 3, 6, 3, 2, 2, 1, 2)
    for _ in range(count):
        runs = rng.choices(pools, weights, k=rng.randint(0, 12))
        yield "".join("".join(rng.choices(run, k=rng.randint(1, 5))) for run in runs)


def plain_texts(count: int, seed: int) -> Iterator[str]:
    """Yield texts of ASCII, ideographs and Chinese punctuation alone: every pair of ASCII marks, then random ones."""
    ascii_chars = [chr(code) for code in range(0x20, 0x7F)]
    marks = [char for char in ascii_chars if not char.isalnum()]
    yield from (f"{a}{b}天{b}{b}{a}x" for a in marks for b in marks)
    rng = random.Random(seed)
    pools = (
        [chr(code) for code in range(0x4E00, 0x4E00 + 400)],
        ascii_chars,
        list("，。！？；：、…—·“”‘’（）《》〈〉【】「」『』"),
        ["[MASK]", "...", "a.b", "c++", "unaffable", "C++", "，。", "x" * 199, "Y" * 202],
    )
    for _ in range(count):
        runs = rng.choices(pools, (6, 6, 3, 1), k=rng.randint(0, 9))
        yield "".join("".join(rng.choices(run, k=rng.randint(1, 5))) for run in runs)


def long_words() -> list[str]:
    """Return words of 199 to 202 characters, and far more, of one to four bytes each; alone and in company."""
    letters = ("x", "é", "ж", "ก", "𐐀", "𝔄", "e\u0301", "İ", "한")
    sizes = (66, 67, 100, 101, 199, 200, 201, 202, 799, 801, 5000)
    words = [letter * size for letter in letters for size in sizes]
    words += ["".join(letters[:6]) * 33 + "x" * more for more in (1, 2, 3)]
    return words + [f"甲{word}，{'y' * 200} {word[:200]}乙" for word in words]
