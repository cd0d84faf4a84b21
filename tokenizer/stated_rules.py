"""Finds the rules for texts that the files of a tokenizer state: case, accents, Chinese characters; and the reasons."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizer.hugging_face import CONFIG_FILE, HuggingFaceFiles
from tokenizer.rules import TokenizerRules
from tokenizer.tokenizer_json import FAST_WORD_LIMIT, JSON_FILE, NO_MODEL, NO_TOKENIZER, TextRules
from tokenizer.vocabulary import Vocabulary
from zoo.archive.sentencepiece_model import Numbering
from zoo.archive.wordpiece_model import WORD_LIMIT
from zoo.errors import BadConfig, Unsupported

# Classes of transformers that run BERT's algorithm over a vocabulary. Their settings lie in tokenizer_config.json, and
# where that is silent, the defaults of the class count, even if tokenizer.json says otherwise.
WORDPIECE_CLASSES = frozenset(
    f"{family}Tokenizer{fast}"
    for family in (
        *("Bert", "ConvBert", "DistilBert", "Electra", "LayoutLM", "Lxmert", "MobileBert", "RetriBert", "SqueezeBert"),
        *("DPRContextEncoder", "DPRQuestionEncoder", "DPRReader"),
    )
    for fast in ("", "Fast")
)
# Classes that follow tokenizer.json in everything.
JSON_CLASSES = frozenset({"PreTrainedTokenizerFast", "TokenizersBackend"})
# Families of classes that read a SentencePiece model -> how they number its pieces.
SENTENCEPIECE_CLASSES: Mapping[str, Numbering] = {"Albert": "own", "Camembert": "camembert", "XLMRoberta": "fairseq"}
# Other classes that people have -> the reason why their ids are not those of BERT's algorithm.
_OTHER_CLASSES: Mapping[str, str] = {
    "BertJapanese": "cuts Japanese words with MeCab or Sudachi first",
    "Funnel": "gives [CLS] a type of its own",
    "MPNet": "puts two separators between the texts of a pair",
    "RoCBert": "adds ids of shapes and sounds",
    "RoFormer": "cuts Chinese words with jieba first",
    "Roberta": "reads byte pairs",
}
# Settings that transformers' fast tokenizers do not follow, only its slow ones did -> the value that changes nothing.
_NOT_FOLLOWED: Mapping[str, Any] = {"do_basic_tokenize": True, "never_split": []}


@dataclass(frozen=True)
class _Stated:
    """The settings in the files, None for a missing one; the name of the setting for case, and the file with it."""

    lower_case: bool | None
    strip_accents: bool | None
    tokenize_chinese_chars: bool
    key: str
    file: str


def stated_rules(
    vocabulary: Vocabulary, beside: HuggingFaceFiles | None, cased: bool | None
) -> tuple[TokenizerRules, str, list[str]]:
    """Return the rules for texts, the reason for `lower_case`, and notes for the card.

    `cased`, if given, decides case and accents. Without files beside a vocabulary, BERT's defaults count. Raises
    BadConfig for settings of a wrong type, Unsupported for settings that BERT's algorithm does not have.
    """
    stated, replaced, notes = _Stated(None, None, True, "do_lower_case", CONFIG_FILE), "", []
    if beside and beside.files:
        stated, replaced = _of_files(beside)
        notes = _notes(beside)
    elif beside:
        _class_of(beside)
    if cased is not None:
        reason = "asked for: cased" if cased else "asked for: uncased"
        return TokenizerRules(not cased, not cased, stated.tokenize_chinese_chars), reason, notes
    lower_case, reason = _case(vocabulary, stated)
    accents = lower_case if stated.strip_accents is None else stated.strip_accents
    return TokenizerRules(lower_case, accents, stated.tokenize_chinese_chars), reason + replaced, notes


# -- files ------------------------------------------------------------------------------------------------------------


def _of_files(beside: HuggingFaceFiles) -> tuple[_Stated, str]:
    """Return the settings that count, and words for the settings in tokenizer.json that they replace."""
    settings, name = beside.settings, _class_of(beside)
    in_json = beside.json.text_rules() if beside.json else None
    if name in JSON_CLASSES:
        if in_json is None:
            raise Unsupported(
                f"{beside.folder}: {name} keeps its rules in {JSON_FILE}, which is not here. Add that file, or export "
                "the vocabulary alone: give the path of the vocab.txt, and --cased or --uncased."
            )
        own = (in_json.lower_case, in_json.strip_accents, in_json.tokenize_chinese_chars)
        return _Stated(*own, "lowercase", JSON_FILE), ""
    values = [settings.get(key) for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")]
    if not all(value is None or isinstance(value, bool) for value in values):
        raise BadConfig(
            f"{beside.folder / CONFIG_FILE}: do_lower_case, strip_accents and tokenize_chinese_chars should each be "
            f"true, false or null, are {values!r:.200}. Correct the file."
        )
    stated = _Stated(values[0], values[1], values[2] is not False, "do_lower_case", CONFIG_FILE)
    replaced = _replaced(stated, in_json) if in_json else []
    if not replaced:
        return stated, ""
    return stated, f"; transformers puts the settings and defaults of {name} over {', '.join(replaced)} in {JSON_FILE}"


def _replaced(stated: _Stated, in_json: TextRules) -> list[str]:
    """Return the settings of tokenizer.json that those of a class replace: ["lowercase=false"]."""
    lower_case = stated.lower_case is not False
    pairs = {
        "lowercase": (in_json.lower_case, lower_case),
        "strip_accents": (in_json.strip_accents, stated.strip_accents),
        "handle_chinese_chars": (in_json.tokenize_chinese_chars, stated.tokenize_chinese_chars),
    }
    return [f"{key}={_in_json(theirs)}" for key, (theirs, ours) in pairs.items() if theirs != ours]


def _class_of(beside: HuggingFaceFiles) -> str:
    """Return the class whose rules count. Raises Unsupported for one that does not run BERT's algorithm."""
    name = beside.settings.get("tokenizer_class") or beside.model_class or "BertTokenizer"
    if isinstance(name, str) and name in WORDPIECE_CLASSES | JSON_CLASSES:
        return name
    family = re.sub("Tokenizer(Fast)?$", "", name) if isinstance(name, str) else ""
    if family in SENTENCEPIECE_CLASSES:
        raise Unsupported(f"{beside.folder}: tokenizer_class={name!r:.80} has a SentencePiece model, {NO_MODEL}")
    why = _OTHER_CLASSES.get(family, "is not known to run BERT's algorithm")
    raise Unsupported(f"{beside.folder}: tokenizer_class={name!r:.80} {why}. {NO_TOKENIZER}.")


def _notes(beside: HuggingFaceFiles) -> list[str]:
    """Return notes: settings that are not followed, and where transformers itself leaves BERT's algorithm."""
    settings = beside.settings
    if settings.get("split_special_tokens"):
        raise Unsupported(
            f"{beside.folder / CONFIG_FILE} says split_special_tokens=true, which our tokenizer does not have. "
            f"{NO_TOKENIZER}."
        )
    notes = [
        f"{key}={_in_json(settings[key]):.80} in {CONFIG_FILE} is not followed, as transformers' fast tokenizer does "
        "not follow it"
        for key, usual in _NOT_FOLLOWED.items()
        if settings.get(key) not in (None, usual)
    ]
    if settings.get("padding_side", "right") != "right":
        notes.append(f"padding_side={settings['padding_side']!r:.20} is not followed: padding stands behind the text")
    if not beside.json or beside.json.word_limit == FAST_WORD_LIMIT:
        notes.append(
            f"words of {FAST_WORD_LIMIT + 1} to {WORD_LIMIT} characters are split into pieces, as in the original "
            "BERT; transformers makes them [UNK]"
        )
    return notes


def _in_json(value: Any) -> str:
    """Return a setting as JSON writes it: true for True, null for None."""
    return json.dumps(value, ensure_ascii=False)


# -- case -------------------------------------------------------------------------------------------------------------


def _case(vocabulary: Vocabulary, stated: _Stated) -> tuple[bool, str]:
    capitals = _capitals(vocabulary)
    if stated.lower_case is None:
        doubt = f"; {capitals:,} entries hold capitals, which only a cased tokenizer reaches" if capitals else ""
        return True, f"BERT's default{doubt}"
    if stated.lower_case:
        return True, f"{stated.key} in {stated.file}"
    if not capitals:
        # MacBERT and others ship Chinese BERT's uncased vocabulary with do_lower_case=false. If that were obeyed,
        # every word with a capital would become [UNK].
        return True, f"{stated.file} says {stated.key}=false, but the vocabulary holds no capitals"
    return False, f"{stated.key}=false in {stated.file}"


def _capitals(vocabulary: Vocabulary) -> int:
    """Return how many entries hold capitals. Names in brackets, such as [CLS] and <S>, are not counted."""
    names = re.compile(r"\[.+\]|<.+>")
    return sum(entry != entry.lower() and not names.fullmatch(entry) for entry in vocabulary.entries)
