"""Writes tokenizer.json beside a converted encoder, and compares its ids with the golden texts of the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.convert.report import TokenizerReport
from export.convert.tokenizer_json import DIFFERENCES, tokenizer_json
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import GoldenText, TextCard, TokenizerFacts
from zoo.archive.task import Truncation
from zoo.archive.tokenizer_json import file_of
from zoo.contract import TOKENIZER_FILE
from zoo.errors import Unsupported, VerificationFailed, VocabularyMismatch
from zoo.loading.matching import EncoderWithTokenizer, FoundEncoder, FoundModel

# How a pair over the limit is cut -> the nearest rule of the library, and what it does otherwise.
_CUTS: Mapping[Truncation, str] = {
    "longest_first": "LongestFirst",
    "only_second": "OnlySecond",
    "round_robin": "LongestFirst",
}
_CUT_OTHERWISE: Mapping[Truncation, tuple[str, ...]] = {
    "only_second": ("A question that alone is over the limit is cut by the archive, and an error of the library.",),
    "round_robin": (
        "Of a pair over the limit the archive keeps an odd token of the first text, the library one of the longer.",
    ),
}


def write_tokenizer(encoder: Any, model: FoundEncoder, directory: Path) -> TokenizerReport | None:
    """Write tokenizer.json for a loaded encoder and return the report of it; None without a tokenizer.

    Raises VocabularyMismatch if the encoder has another vocabulary, and VerificationFailed if the package `tokenizers`
    is installed and gives other ids than the tokenizer's card.
    """
    if not isinstance(model, EncoderWithTokenizer):
        return None
    card = model.tokenizer_card
    if not model.card.string_tokens:
        raise VocabularyMismatch(
            f"{model.card.name} holds no vocabulary that {card.name} could be compared with: it was exported without "
            "string tokens. Convert it with --tokenizer none, or export it again with --vocab FILE."
        )
    vocabulary = vocabulary_of(encoder)
    if vocabulary.sha256 != card.vocabulary_sha256:
        raise VocabularyMismatch(
            f"{model.card.name} holds a vocabulary of {len(vocabulary):,} entries, sha256 {vocabulary.sha256[:12]}…; "
            f"that of {card.name} is {card.vocabulary_sha256[:12]}…. Give its own tokenizer by --tokenizer."
        )
    return _write(card.name, card, vocabulary, card.certificate, directory)


def check_tokenizer(model: FoundModel) -> None:
    """Raise Unsupported for a tokenizer whose rules tokenizer.json is not written with."""
    facts: TokenizerFacts | None = model.tokenizer_card if isinstance(model, EncoderWithTokenizer) else None
    if isinstance(model.card, TextCard):
        facts = model.card.tokenizer
    if facts is not None and facts.sentencepiece is not None:
        raise Unsupported(
            f"tokenizer.json is written for BERT's algorithm alone, and {model.card.name} has a SentencePiece model. "
            "Convert its encoder with --tokenizer none, and take the tokenizer's own files."
        )


def write_text_tokenizer(
    card: TextCard, vocabulary: Vocabulary, golden: Sequence[GoldenText], directory: Path, cuts: bool = True
) -> TokenizerReport:
    """Write tokenizer.json for a text archive; `golden` are its golden texts and their ids. It `cuts` at the limit.

    Raises VerificationFailed if the package `tokenizers` is installed and gives other ids.
    """
    task = card.task
    truncation = {"direction": "Right", "max_length": task.max_length, "strategy": _CUTS[task.truncation], "stride": 0}
    if not cuts:
        compared = [each for each in golden if len(each.ids) < task.max_length]
    elif task.truncation == "longest_first":
        compared = [*golden]
    else:
        compared = [each for each in golden if len(each.text) == 1 or len(each.ids) < task.max_length]
    report = _write(card.name, card.tokenizer, vocabulary, compared, directory, truncation if cuts else None)
    return replace(report, differences=[*report.differences, *_CUT_OTHERWISE.get(task.truncation, ())])


def _write(
    name: str,
    facts: TokenizerFacts,
    vocabulary: Vocabulary,
    golden: Sequence[GoldenText],
    directory: Path,
    truncation: Mapping[str, Any] | None = None,
) -> TokenizerReport:
    content = {**tokenizer_json(vocabulary.entries, *rules_of(facts, vocabulary)), "truncation": truncation}
    (directory / TOKENIZER_FILE).write_bytes(file_of(content))
    return TokenizerReport(
        name=name,
        vocabulary_sha256=vocabulary.sha256,
        lower_case=facts.lower_case,
        special_tokens_in_text=facts.special_tokens_in_text,
        compared=_compare(directory / TOKENIZER_FILE, golden, name),
        differences=DIFFERENCES if facts.lower_case or facts.strip_accents else DIFFERENCES[-1:],
    )


def rules_of(card: TokenizerFacts, vocabulary: Vocabulary) -> tuple[TokenizerRules, tuple[AddedToken, ...]]:
    """Return the rules that a card states, and the tokens that texts hold as a whole."""
    spellings = {name: vocabulary.entries[number] for name, number in card.special_tokens.items()}
    added = tuple(AddedToken(**token.model_dump()) for token in card.added_tokens)
    rules = TokenizerRules(card.lower_case, card.strip_accents, card.tokenize_chinese_chars, spellings, added)
    return rules, rules.whole_tokens(vocabulary, card.special_tokens_in_text)


def vocabulary_of(encoder: Any) -> Vocabulary:
    """Return the vocabulary that a loaded encoder looks its string tokens up in."""
    table = encoder._token_ids.resource_handle
    entries, ids = tf.raw_ops.LookupTableExportV2(table_handle=table, Tkeys=tf.string, Tvalues=tf.int32)
    by_id = {
        number: entry.decode() for entry, number in zip(entries.numpy(), ids.numpy().tolist(), strict=True) if entry
    }
    return Vocabulary(tuple(by_id[number] for number in range(len(by_id))))


def _compare(file: Path, golden: Sequence[GoldenText], name: str) -> int | None:
    """Return how many golden texts have the right ids; None if the package `tokenizers` is not installed."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    tokenizer = Tokenizer.from_file(str(file))
    pairs = [(each, each.text[1] if len(each.text) == 2 else None) for each in golden]
    wrong = [each.text for each, second in pairs if tokenizer.encode(each.text[0], second).ids != each.ids]
    if wrong:
        raise VerificationFailed(f"tokenizer.json gives other ids than {name} for {len(wrong)} texts: {wrong[0]}.")
    return len(golden)
