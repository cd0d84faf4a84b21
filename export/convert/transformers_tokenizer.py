"""Writes the files of a tokenizer that transformers' AutoTokenizer loads, with the ids of our tokenizer.

tokenizer.json has the rules. Only the class PreTrainedTokenizerFast follows it in everything: BertTokenizer of
transformers 5 has rules of its own. tokenizer_config.json, special_tokens_map.json and added_tokens.json name the
tokens, and vocab.txt is for programs that read nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.convert.report import TokenizerReport
from export.convert.tokenizer_file import rules_of, write_text_tokenizer, write_tokenizer
from export.readers.own_archive import VOCABULARY_FILE
from tokenizer.hugging_face import ADDED_FILE, CONFIG_FILE, SPECIAL_FILE
from tokenizer.rules import AddedToken
from tokenizer.sentencepiece import is_of_sentencepiece
from tokenizer.vocabulary import STANDARD, Vocabulary
from zoo.archive.card import GoldenText, TextCard, TokenizerFacts, to_json
from zoo.contract import TOKENIZER_FILE
from zoo.errors import BadVocabulary
from zoo.loading.matching import EncoderWithTokenizer, FoundEncoder

_SPLIT = (
    "a literal special token in a text, such as [MASK], is split like any other word, as by the archive's tokenizer: "
    "AutoTokenizer.from_pretrained(DIR, split_special_tokens=False) keeps it whole"
)
_ALONE = (
    f"no tokenizer was given: {VOCABULARY_FILE} alone says nothing of capitals, and transformers takes the defaults of "
    "BertTokenizer, which lower-cases. Name the tokenizer with --tokenizer"
)
_SENTENCEPIECE = (
    "the vocabulary is that of a SentencePiece model, so no vocab.txt is written: put the published model's own .model "
    "and tokenizer files into the directory"
)
_NO_VOCABULARY = "the archive holds no vocabulary: there is none in the directory, and no tokenizer"


def write_tokenizer_files(
    encoder: Any, model: FoundEncoder, vocabulary: Vocabulary | None, takes_types: bool, directory: Path
) -> tuple[TokenizerReport | None, list[str]]:
    """Write the files of an encoder's tokenizer; return the report of tokenizer.json, and notes for users.

    Without a tokenizer the vocabulary is written alone, without a vocabulary nothing is. `vocabulary` is that of the
    archive, `encoder` the loaded archive. Raises what `write_tokenizer` does.
    """
    report = write_tokenizer(encoder, model, directory)
    if report is None or not isinstance(model, EncoderWithTokenizer) or vocabulary is None:
        if vocabulary is None:
            return None, [_NO_VOCABULARY]
        if is_of_sentencepiece(vocabulary):
            return None, [_SENTENCEPIECE]
        return None, [_ALONE if _write_vocabulary(vocabulary, (), directory) else _NO_VOCABULARY]
    card = model.tokenizer_card
    return report, _write_files(card, vocabulary, model.card.sizes.position_limit, takes_types, directory)


def write_text_tokenizer_files(
    card: TextCard, vocabulary: Vocabulary, golden: Sequence[GoldenText], takes_types: bool, directory: Path
) -> tuple[TokenizerReport, list[str]]:
    """Write the files of a text archive's tokenizer; return the report of tokenizer.json, and notes for users."""
    report = write_text_tokenizer(card, vocabulary, golden, directory, cuts=False)
    return report, _write_files(card.tokenizer, vocabulary, card.task.max_length, takes_types, directory)


def _write_files(
    card: TokenizerFacts, vocabulary: Vocabulary, limit: int, takes_types: bool, directory: Path
) -> list[str]:
    """Write all files but tokenizer.json; return notes for users."""
    _, whole = rules_of(card, vocabulary)
    behind = [token for token in whole if not token.in_vocabulary]
    _write_vocabulary(vocabulary, behind, directory)
    special = _special_tokens(card, vocabulary)
    files: dict[str, Mapping[str, Any]] = {
        CONFIG_FILE: _settings(card, special, whole, limit, takes_types),
        SPECIAL_FILE: special,
        **({ADDED_FILE: {token.content: token.id for token in behind}} if behind else {}),
    }
    for name, content in files.items():
        (directory / name).write_text(to_json(content), encoding="utf-8")
    if not card.special_tokens_in_text:
        _unmark_special(directory / TOKENIZER_FILE)
    return [] if card.special_tokens_in_text else [_SPLIT]


def _special_tokens(card: TokenizerFacts, vocabulary: Vocabulary) -> dict[str, str]:
    """Return {"cls_token": "[CLS]", …}."""
    return {f"{name.strip('[]').lower()}_token": vocabulary.entries[id] for name, id in card.special_tokens.items()}


def _settings(
    card: TokenizerFacts, special: Mapping[str, str], whole: tuple[AddedToken, ...], limit: int, takes_types: bool
) -> dict[str, Any]:
    """Return tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": limit,
        "model_input_names": ["input_ids", *(["token_type_ids"] if takes_types else []), "attention_mask"],
        "split_special_tokens": not card.special_tokens_in_text,
        "clean_up_tokenization_spaces": False,
        # tokenizer.json has these three, too. They are for programs that read vocab.txt.
        "do_lower_case": card.lower_case,
        "strip_accents": card.strip_accents,
        "tokenize_chinese_chars": card.tokenize_chinese_chars,
        **special,
        "added_tokens_decoder": {
            **{
                str(number): _token(AddedToken(content, number, special=True), True)
                for number, content in zip(card.special_tokens.values(), special.values(), strict=True)
            },
            **{str(each.id): _token(each, card.special_tokens_in_text) for each in whole},
        },
    }


def _token(token: AddedToken, may_be_special: bool) -> dict[str, Any]:
    flags = {flag: getattr(token, flag) for flag in ("lstrip", "normalized", "rstrip", "single_word")}
    return {"content": token.content, **flags, "special": token.special and may_be_special}


def _unmark_special(file: Path) -> None:
    """Say of no added token that it is special: with split_special_tokens, transformers would split it in texts."""
    content = json.loads(file.read_bytes())
    for token in content["added_tokens"]:
        token["special"] = False
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_vocabulary(vocabulary: Vocabulary, behind: list[AddedToken] | tuple[()], directory: Path) -> bool:
    """Write vocab.txt without the tokens that were added behind the vocabulary; return whether it can be written.

    A line feed or white space in an entry would be lost, and a token between others cannot be left out.
    """
    count = len(vocabulary) - len(behind)
    entries = vocabulary.entries[:count]
    file = directory / VOCABULARY_FILE
    file.write_bytes("".join(f"{entry}\n" for entry in entries).encode())
    try:
        read = Vocabulary.read(file, {**STANDARD, **vocabulary.spellings}, [token.content for token in behind])
        same = read.entries == entries and all(token.id >= count for token in behind)
    except BadVocabulary:
        same = False
    if not same:
        file.unlink()
    return same
