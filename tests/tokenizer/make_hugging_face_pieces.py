"""Writes data/hugging_face_pieces.json.gz: what transformers' fast tokenizer makes of texts under the rule sets.

    python -m tests.tokenizer.make_hugging_face_pieces

Pieces and no ids: the vocabulary of a Python with newer tables of Unicode has more entries between the same ones.

Run it in an environment with transformers 4.57; TensorFlow is not needed. Texts in which transformers leaves the
original algorithm on purpose (`leaves_the_original`) are left out. Special tokens are always whole tokens there, so
texts that hold one are left out too where our rule set splits them.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.tokenizer.rulesets import PLAIN, RULE_SETS, RuleSet, texts, vocabulary

FILE = Path(__file__).parent / "data" / "hugging_face_pieces.json.gz"
COUNT = 250


def leaves_the_original(text: str) -> bool:
    """Return whether transformers drops or folds a character otherwise than the original BERT.

    It drops characters of private use and unassigned ones, lowers every capital sigma to σ, and takes words of more
    than 100 characters for unknown (the original: 200).
    """
    return (
        "Σ" in text
        or any(unicodedata.category(char) in ("Co", "Cn", "Cs") for char in text)
        or any(len(word) > 100 for word in text.split())
    )


def is_compared(rules: RuleSet, text: str) -> bool:
    """Return whether a text is one that both have to treat alike."""
    if leaves_the_original(text):
        return False
    return rules.special_tokens_in_text or not any(token in text for token in rules.special_tokens.values())


def pieces(rules: RuleSet, given: Sequence[str]) -> list[list[str]]:
    """Return transformers' pieces of texts, without [CLS] and [SEP]."""
    tokenizer, entries = fast_tokenizer(rules), vocabulary(rules)
    ids = tokenizer(list(given), add_special_tokens=False)["input_ids"]
    return [[entries[each] for each in row] for row in ids]


def fast_tokenizer(rules: RuleSet) -> Any:
    """Return transformers' fast tokenizer with the rules."""
    from transformers import AddedToken, BertTokenizerFast

    names = {f"{name[1:-1].lower()}_token": None for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    names |= {f"{name[1:-1].lower()}_token": spelling for name, spelling in rules.special_tokens.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        behind = {*rules.added} - {*vocabulary(RuleSet())}
        file.write_text("".join(f"{entry}\n" for entry in vocabulary(rules) if entry not in behind), encoding="utf-8")
        tokenizer = BertTokenizerFast(
            vocab_file=str(file),
            do_lower_case=rules.lower_case,
            strip_accents=rules.strip_accents,
            tokenize_chinese_chars=rules.tokenize_chinese_chars,
            **names,
        )
    for content, flags in rules.added.items():  # one by one: special tokens would come first
        special = flags.get("special", False)
        tokenizer.add_tokens(AddedToken(content, **{"normalized": True, **flags}), special_tokens=special)
    found = {token: tokenizer.convert_tokens_to_ids(token) for token in rules.added}
    assert found == {token: vocabulary(rules).index(token) for token in rules.added}, "added tokens have other ids"
    return tokenizer


def main(count: int = COUNT, file: Path = FILE) -> None:
    """Write texts once, and for every rule set the pieces of those that are compared."""
    given = [*PLAIN, *texts(count, seed=8)]
    result = {
        name: [
            found if is_compared(rules, text) else None for text, found in zip(given, pieces(rules, given), strict=True)
        ]
        for name, rules in RULE_SETS.items()
    }
    file.parent.mkdir(exist_ok=True)
    content = json.dumps({"texts": given, "pieces": result}, separators=(",", ":")).encode()
    file.write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main(*(int(sys.argv[1]), Path(sys.argv[2])) if len(sys.argv) > 1 else ())
