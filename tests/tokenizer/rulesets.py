"""Rule sets that leave the original tokenizer, a vocabulary for all of them, and texts that the rules change."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from tests.tokenizer.texts import trap_vocabulary

USUAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OTHER = MappingProxyType(
    {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
)  # spelled as in RoBERTa
NO_MASK = MappingProxyType({token: token for token in USUAL[:4]})
Flags = Mapping[str, bool]


@dataclass(frozen=True)
class RuleSet:
    """The rules of one tokenizer. `added` maps the contents of added tokens to their flags."""

    lower_case: bool = True
    strip_accents: bool = True
    tokenize_chinese_chars: bool = True
    special_tokens: Mapping[str, str] = field(default_factory=lambda: {token: token for token in USUAL})
    added: Mapping[str, Flags] = field(default_factory=dict)
    special_tokens_in_text: bool = False


GIVEN: dict[str, bool] = {"normalized": False}
FOLDED: dict[str, bool] = {"normalized": True}
BRACKETS = {"[ENT]": GIVEN, "<e1>": GIVEN, "</e1>": GIVEN}
NESTED = {"ab": GIVEN, "abc": GIVEN, "bcd": GIVEN, "cd": FOLDED, "d": GIVEN, "(": GIVEN, "...": GIVEN, "😀": GIVEN}
DOMAIN = {
    "糖尿病": FOLDED,
    "高血压": FOLDED,
    "Hello": FOLDED,
    "CAFÉ": FOLDED,
    "New York": FOLDED,
    "好": FOLDED,
    "c++": FOLDED,
}
STRIPS = {
    "[L]": {**GIVEN, "lstrip": True},
    "[R]": {**GIVEN, "rstrip": True},
    "[B]": {**GIVEN, "lstrip": True, "rstrip": True},
    "lr": {**FOLDED, "lstrip": True, "rstrip": True},
    "a.b": {**FOLDED, "rstrip": True},
}
SINGLE = {
    "ab": {**GIVEN, "single_word": True},
    "b": {**GIVEN, "single_word": True, "rstrip": True},
    "ba": GIVEN,
    "[W]": {**GIVEN, "single_word": True},
    "糖尿病": {**FOLDED, "single_word": True},
    "hello": {**FOLDED, "single_word": True, "lstrip": True},
    "é": {**FOLDED, "single_word": True},
}
SPECIAL = {"ent": FOLDED, "[ENT]": {**GIVEN, "special": True}, "ENT": {**FOLDED, "special": True}, "Ent": FOLDED}

RULE_SETS: Mapping[str, RuleSet] = MappingProxyType(
    {
        "accents stay, lower case": RuleSet(strip_accents=False),
        "accents go, cased": RuleSet(lower_case=False),
        "Chinese words": RuleSet(tokenize_chinese_chars=False),
        "Chinese words, cased, accents go": RuleSet(lower_case=False, tokenize_chinese_chars=False),
        "Chinese words, added": RuleSet(tokenize_chinese_chars=False, added={**DOMAIN, **BRACKETS, **STRIPS}),
        "spelled otherwise": RuleSet(special_tokens=OTHER),
        "spelled otherwise, in text": RuleSet(special_tokens=OTHER, special_tokens_in_text=True),
        "no mask": RuleSet(special_tokens=NO_MASK),
        "no mask, in text": RuleSet(special_tokens=NO_MASK, special_tokens_in_text=True),
        "usual, in text": RuleSet(special_tokens_in_text=True),
        "brackets": RuleSet(added=BRACKETS),
        "brackets, in text": RuleSet(added=BRACKETS, special_tokens_in_text=True),
        "nested": RuleSet(added=NESTED),
        "domain": RuleSet(added=DOMAIN),
        "domain, cased": RuleSet(lower_case=False, strip_accents=False, added=DOMAIN),
        "domain, accents stay": RuleSet(strip_accents=False, added=DOMAIN),
        "strips": RuleSet(added=STRIPS),
        "single words": RuleSet(added=SINGLE),
        "single words, Chinese words": RuleSet(added=SINGLE, tokenize_chinese_chars=False),
        "special first": RuleSet(added=SPECIAL),
        "all": RuleSet(added={**SPECIAL, **NESTED, **DOMAIN, **STRIPS, **BRACKETS}, special_tokens_in_text=True),
    }
)


@cache
def base_vocabulary() -> list[str]:
    """Return the entries of all rule sets' vocabularies, without the tokens that are added behind them."""
    words = ["##字", "糖尿", "##病", "今天天", "##气", "hello", "cafe", "café", "cd", "lr", "[no token 7]", "\x02"]
    return [*dict.fromkeys([*trap_vocabulary(), *words, *OTHER.values(), "[unused1]"])]


def vocabulary(rules: RuleSet) -> list[str]:
    """Return the entries of a rule set's vocabulary; added tokens that are no entries yet come last."""
    return [*dict.fromkeys([*base_vocabulary(), *rules.added])]


def texts(count: int, seed: int) -> Iterator[str]:
    """Yield random texts out of added tokens, their neighbours and everything that tokenizers treat specially."""
    rng = random.Random(seed)
    tokens = [content for rules in RULE_SETS.values() for content in rules.added]
    pools: tuple[Sequence[str], ...] = (
        [*tokens, *(content.upper() for content in tokens), *(content.lower() for content in tokens)],
        [*USUAL, *OTHER.values(), "[unused1]"],
        [" ", "  ", "\t", "\n", "\u3000", "\u00a0", "\u2028", "\x0b", "\x85", "\u200b", "\u00ad", "\x00"],
        list("abcdABCDlr12_'-.,()[]<>/+é\u0301\u0323ÉÀñşı"),
        list("糖尿病高血压我好今天天气，。！、丽"),
        ["unaffable", "cafe\u0301", "ΑΣ", "σΑΣ", "İ", "ⓐ", "²", "Ⅷ", "\u200d", "가", "😀", "\x01", "\x02", "x" * 99],
    )
    for _ in range(count):
        runs = rng.choices(pools, (6, 1, 3, 5, 3, 1), k=rng.randint(0, 12))
        yield "".join(rng.choice(run) for run in runs)


PLAIN = (
    "Hello world",
    "ab",
    "xabx",
    "糖尿病",
    "我有糖尿病，hello！",
    "HELLO",
    "c++",
    "New York",
    "a b c",
    "[ENT]",
    "好天气",
)
