"""10,000 texts on which WordPiece tokenizers differ, with BERT's own answer, for tests in any project and language.

    python -m scripts.wordpiece_cases        # writes tests/data/wordpiece-cases.json again

Every case of a category tells the published algorithm (`export.oracle.wordpiece`) from a tokenizer that makes the
mistake of that category (`scripts/wordpiece_categories.py`). All comes from a seed; nobody's text is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, cycle, islice, product
from operator import sub
from pathlib import Path
from random import Random
from typing import Any

from export.oracle.wordpiece import ReferenceTokenizer
from scripts.wordpiece_categories import (
    ABSENT,
    CATEGORIES,
    DEAD_ENDS,
    ENTRIES,
    LONG,
    RULES,
    RUN,
    SPECIAL,
    SYLLABLES,
    Category,
)

FILE = Path(__file__).parents[1] / "tests" / "data" / "wordpiece-cases.json"
COUNT = 10_000
CANDIDATES = 4  # texts made for each case: most of them make no difference, or are there already
ABOUT = (
    "Texts on which implementations of BERT's WordPiece differ. tokens, ids and offsets are those of the published "
    "algorithm (google-research/bert, tokenization.py: FullTokenizer), without [CLS] and [SEP]. ids count the entries "
    "of vocabulary from 0. offsets are [start, limit) of each token in the UTF-8 bytes of text: from the first to the "
    "last character that is a part of it. rules: the original has do_lower_case, true for uncased and false for cased; "
    "strip_accents apart from it is Hugging Face's. categories: what is right there. Made from a seed by "
    "scripts/wordpiece_cases.py of bert-zoo; public domain (CC0)."
)

Case = dict[str, Any]


def main() -> None:
    FILE.write_text(written(), encoding="ascii")


def written() -> str:
    """Return the file: JSON in ASCII, because editors change characters that they cannot show, with a case a line."""
    head = {"about": ABOUT, "rules": RULES, "categories": {name: each.why for name, each in CATEGORIES.items()}}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in [*head.items(), ("vocabulary", vocabulary())]]
    return "{\n" + "\n".join(lines) + '\n"groups": [\n' + ",\n".join(map(_group, groups())) + "\n]\n}\n"


def _group(group: Mapping[str, Any]) -> str:
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in group["cases"])
    return f'{{"category": "{group["category"]}", "rules": "{group["rules"]}", "cases": [\n{rows}\n]}}'


def groups() -> Iterator[dict[str, Any]]:
    """Yield the cases of every category, those for each of its rules together."""
    oracles = {rules: ReferenceTokenizer(vocabulary(), **each) for rules, each in RULES.items()}
    taken = set[tuple[str, str]]()
    shares = [*accumulate((each.share for each in CATEGORIES.values()), initial=0.0)]
    ends = [round(COUNT * share / shares[-1]) for share in shares]
    for (name, category), size in zip(CATEGORIES.items(), map(sub, ends[1:], ends), strict=True):
        new = (key for key in candidates(name) if key not in taken)
        chosen = [*islice(((rules, text) for rules, text in new if _tells(category, oracles[rules], text)), size)]
        assert len(chosen) == size, f"{name} has {len(chosen)} cases of {size}"
        taken.update(chosen)
        for rules in dict.fromkeys(category.rules):
            yield {
                "category": name,
                "rules": rules,
                "cases": [_case(oracles[rules], text) for each, text in chosen if each == rules],
            }


def _tells(category: Category, oracle: ReferenceTokenizer, text: str) -> bool:
    return category.wrong(oracle, text) != oracle.tokens(text)


def _case(oracle: ReferenceTokenizer, text: str) -> Case:
    spans = [span for word in oracle.offsets(text.encode()) for span in word]
    offsets = [[start, limit] for _, start, limit in spans]
    return {"text": text, "tokens": oracle.tokens(text), "ids": oracle.ids(text), "offsets": offsets}


@cache
def candidates(name: str) -> Sequence[tuple[str, str]]:
    """Return texts of a category, each with the rules it is for, none twice."""
    category: Category = CATEGORIES[name]
    rng = Random(name)
    count = CANDIDATES * COUNT // len(CATEGORIES)
    return [*dict.fromkeys((rules, category.text(rng)) for rules in islice(cycle(category.rules), count))]


@cache
def vocabulary() -> list[str]:
    """Return the entries: pieces of syllables, runs of letters, pieces with dead ends, then all characters."""
    rng = Random("vocabulary")
    words = sorted({"".join(rng.choices(SYLLABLES, k=2)) for _ in range(300)})
    runs = [letter * RUN for letter in (*LONG, "e", "y")]
    dead_ends = ["".join(letters) for size in (1, 2, 3) for letters in product(DEAD_ENDS, repeat=size)]
    parts = [*SYLLABLES, *words, *runs]
    pieces = [*parts, *(f"##{part}" for part in parts)]
    pieces += [*rng.sample(dead_ends, 30), *(f"##{part}" for part in rng.sample(dead_ends, 30))]
    return [*dict.fromkeys((*SPECIAL, *ENTRIES, *pieces, *_characters()))]


def _characters() -> Iterator[str]:
    """Yield every character of the texts' words: as "x" at the beginning of a word, as "##x" further on."""
    oracles = {rules: ReferenceTokenizer(SPECIAL, **RULES[rules]) for rules in RULES}
    words = {word for name in CATEGORIES for rules, text in candidates(name) for word in oracles[rules].words(text)}
    found = {f"##{char}" if place else char for word in words for place, char in enumerate(word)}
    yield from sorted(entry for entry in found if entry[-1] not in ABSENT + DEAD_ENDS)


if __name__ == "__main__":
    main()
