"""An archive of a tokenizer with rules of its own: what it offers, its card, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from export.cards import tokenizer_card
from export.options import TokenizerRequest
from export.saved_model.root import write_saved_model
from tests.runtimes.operations import TOKENIZER_OPS
from tests.runtimes.test_operations import unknown_to_2_9
from tests.tokenizer.rulesets import OTHER
from tests.tokenizer.test_tokenizer_contract import strings
from tokenizer.module import Preprocessor, Tokenizer
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import AddedTokenRecord, TokenizerCard, parse_card, read_card, to_json, write_card
from zoo.contract import INPUT_WORD_IDS
from zoo.errors import BadArchive, VerificationFailed
from zoo.loading.verify import GOLDEN, verify
from zoo.safety import check_ops

ENTRIES = ["h", "##i", "<s>", "</s>", "<unk>", "你", "好", "你好", "糖", "尿", "é", "e", "a", "##b", "!", "<pad>"]
ADDED = {"[ENT]": {}, "糖尿": {"normalized": True, "rstrip": True}, "ab": {"single_word": True, "lstrip": True}}
SPELLINGS = {name: spelling for name, spelling in OTHER.items() if name != "[MASK]"}


@dataclass(frozen=True)
class Source:
    """Of tokenizer.source.TokenizerConfig what a card needs."""

    vocabulary: Vocabulary
    rules: TokenizerRules
    lower_case_reason: str
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def source_of(file: Path, chinese: bool) -> Source:
    vocabulary = Vocabulary((*ENTRIES, *ADDED))
    added = tuple(AddedToken(token, len(ENTRIES) + n, **flags) for n, (token, flags) in enumerate(ADDED.items()))
    file.write_text("".join(f"{entry}\n" for entry in vocabulary.entries), encoding="utf-8")
    rules = TokenizerRules(True, False, chinese, SPELLINGS, added).checked(vocabulary)
    return Source(vocabulary, rules, "given", (file,), ("a note",))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("rules"), Tokenizer)


def written(place: Path, root: type, chinese: bool = True) -> Path:
    source: Any = source_of(place / "vocab.txt", chinese)
    directory = place / "archive"
    write_saved_model(lambda: root(source.vocabulary, source.rules), directory)
    request = TokenizerRequest(place / "vocab.txt", "ruled", place)
    kind = {Tokenizer: "tokenizer", Preprocessor: "preprocess"}[root]
    write_card(tokenizer_card(request, source, kind, "ruled", directory), directory)
    return directory


def test_verified(directory: Path) -> None:
    assert verify(directory).compared > 15


@pytest.mark.slow
def test_of_chinese_words(tmp_path: Path) -> None:
    assert verify(written(tmp_path, Preprocessor, chinese=False)).compared > 15


def test_operations(directory: Path) -> None:
    assert {*read_card(directory).ops} <= TOKENIZER_OPS
    assert not unknown_to_2_9(directory)


def test_what_it_offers(directory: Path) -> None:
    tokenizer = tf.saved_model.load(str(directory))
    number = {entry: number for number, entry in enumerate([*ENTRIES, *ADDED])}
    special = tokenizer.tokenize.get_special_tokens_dict()
    assert {name: int(number) for name, number in special.items()} == {
        "vocab_size": len(number),
        "padding_id": number["<pad>"],
        "start_of_sequence_id": number["<s>"],
        "end_of_segment_id": number["</s>"],
    }
    assert strings(tokenizer(["HI[ENT]É", "你"], special_tokens=True)) == [
        ["<s>", "h", "##i", "[ENT]", "é", "</s>"],
        ["<s>", "你", "</s>", "", "", ""],
    ]
    packed = tokenizer.preprocess([["hi", "ab abb ab"]], seq_length=12)
    tokens = ["<s>", "h", "##i", "</s>", "ab", "a", "##b", "##b", "ab", "</s>", "<pad>", "<pad>"]
    assert packed[INPUT_WORD_IDS].numpy().tolist() == [[number[token] for token in tokens]]
    assert tokenizer.detokenize(packed[INPUT_WORD_IDS]).numpy().tolist() == [b"hi ab abb ab"]
    pieces, starts, limits = tokenizer.tokenize_with_offsets(["a  ab 糖\u200b尿  你"])
    assert pieces.to_list() == [[[number[token]] for token in ("a", "ab", "糖尿", "你")]]
    assert (starts.to_list(), limits.to_list()) == ([[[0], [1], [6], [17]]], [[[1], [5], [17], [20]]])


def test_card(directory: Path) -> None:
    card = read_card(directory)
    assert isinstance(card, TokenizerCard)
    assert (card.lower_case, card.strip_accents, card.tokenize_chinese_chars) == (True, False, True)
    assert card.special_tokens == {name: ENTRIES.index(spelling) for name, spelling in SPELLINGS.items()}
    assert [token.content for token in card.added_tokens] == [*ADDED]
    assert card.added_tokens[1].rstrip and card.notes == ["a note"]
    shown = {token for golden in card.certificate for token in golden.ids}
    assert shown >= {token.id for token in card.added_tokens}


def test_card_of_before(directory: Path) -> None:
    """The first archives' cards say nothing of accents: they went where capitals went."""
    stated = read_card(directory).model_dump(mode="json")
    for field in ("strip_accents", "tokenize_chinese_chars", "added_tokens", "notes"):
        del stated[field]
    card = parse_card(to_json(stated).encode(), "card.json")
    assert isinstance(card, TokenizerCard)
    assert (card.strip_accents, card.tokenize_chinese_chars, card.added_tokens) == (True, True, [])


@pytest.mark.parametrize(
    "changed",
    [
        {"added_tokens": []},
        {"added_tokens": [AddedTokenRecord(content="a", id=12)]},
        {"tokenize_chinese_chars": False},
        {"special_tokens": {"[UNK]": 0}},
        {"special_tokens": {"[UNK]": 99}},
    ],
    ids=str,
)
def test_model_of_other_rules_is_refused(directory: Path, changed: Mapping[str, Any]) -> None:
    card = read_card(directory)
    with pytest.raises(BadArchive, match="WordPiece model"):
        check_ops(directory, card.model_copy(update=changed))


def test_other_ids_of_added_tokens_are_found(directory: Path) -> None:
    card = read_card(directory)
    assert isinstance(card, TokenizerCard)
    wrong = [golden.model_copy(update={"ids": golden.ids[::-1]}) for golden in card.certificate[-1:]]
    with pytest.raises(VerificationFailed, match="other ids for 1 of 1 golden texts"):
        GOLDEN["tokenizer"].repeat(tf.saved_model.load(str(directory)), wrong, card)
