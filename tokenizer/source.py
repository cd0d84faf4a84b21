"""Where a tokenizer comes from: a vocab.txt or a Hugging Face directory, and whether it lower-cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import SPECIAL_TOKENS, Vocabulary
from zoo.basics.untrusted import parse_json, read_small
from zoo.errors import BadConfig, BadVocabulary, Unsupported

CONFIG_FILE = "tokenizer_config.json"
_MOST_BYTES = 1 << 20  # a tokenizer_config.json has some kilobytes
_MOST_VALUES = 50_000

# Classes of transformers that run BERT's algorithm over a vocab.txt. RoFormer segments with jieba, ALBERT's and
# XLNet's read SentencePiece, RoBERTa's reads byte-level BPE.
WORDPIECE_CLASSES = frozenset(
    f"{family}Tokenizer{fast}"
    for family in ("Bert", "ConvBert", "DistilBert", "Electra", "Lxmert", "MobileBert", "RetriBert", "SqueezeBert")
    for fast in ("", "Fast")
)


@dataclass(frozen=True)
class TokenizerConfig:
    """The settings that decide a tokenizer's ids, the reason for `lower_case`, and the files that were read."""

    vocabulary: Vocabulary
    lower_case: bool
    lower_case_reason: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def rules(self) -> TokenizerRules:
        """Return the rules by which the vocabulary is used."""
        return TokenizerRules.original(self.lower_case)


def read_tokenizer_source(path: Path, cased: bool | None = None) -> TokenizerConfig:
    """Return the settings of the tokenizer in a vocab.txt, or in a Hugging Face directory with one.

        config = read_tokenizer_source(Path("chinese-roberta-wwm"))
        config.lower_case, config.lower_case_reason  # True, "do_lower_case in tokenizer_config.json"

    `cased`, if given, overrides the files. Raises BadVocabulary for files that are missing or broken, BadConfig for a
    tokenizer_config.json that is not a JSON object, Unsupported for settings that would give other ids than ours.
    """
    file = vocabulary_file(path)
    config_file = path / CONFIG_FILE if path.is_dir() else None
    if config_file is None or not config_file.exists():
        vocabulary = Vocabulary.read(file)
        return TokenizerConfig(vocabulary, *_case(vocabulary, cased, {}), files=(file,))
    settings = _read_settings(config_file)
    vocabulary = Vocabulary.read(file)
    lower_case, reason = _case(vocabulary, cased, settings)
    _refuse_unsupported(settings, lower_case, config_file)
    return TokenizerConfig(vocabulary, lower_case, reason, files=(file, config_file))


def vocabulary_file(path: Path) -> Path:
    """Return `path` itself if it is a file, else the vocab.txt, or the only vocab*.txt, of that directory."""
    try:
        if path.is_file():
            return path
        is_directory = path.is_dir()
    except OSError as error:  # for example a name that is too long for the file system
        raise BadVocabulary(f"No file or directory {str(path)[:200]}: {error.strerror}. Give a vocab.txt.") from None
    if not is_directory:
        raise BadVocabulary(f"No file or directory {path}. Give a vocab.txt, or a directory that holds one.")
    if (path / "vocab.txt").is_file():
        return path / "vocab.txt"
    found = sorted(path.glob("vocab*.txt"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found)
        raise BadVocabulary(f"{path} holds several vocabularies: {names}. Give the path of the one to use.")
    names = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
    raise BadVocabulary(f"{path} holds no vocab.txt (it holds {names}). Give a vocab.txt, or a directory with one.")


def _read_settings(path: Path) -> Mapping[str, Any]:
    try:
        settings = parse_json(read_small(path, _MOST_BYTES), _MOST_VALUES)
    except (OSError, ValueError) as error:
        raise BadConfig(f"Cannot read {path}: {error}. Correct the file, or give the vocab.txt itself.") from None
    if not isinstance(settings, dict):
        raise BadConfig(f"{path} should hold a JSON object, but holds a {type(settings).__name__}.")
    return settings


# -- case ---------------------------------------------------------------------------------------------------------


def _case(vocabulary: Vocabulary, cased: bool | None, settings: Mapping[str, Any]) -> tuple[bool, str]:
    if cased is not None:
        return not cased, "asked for: cased" if cased else "asked for: uncased"
    capitals = _capitals(vocabulary)
    stated = settings.get("do_lower_case")
    if stated is None:
        doubt = f"; {capitals:,} entries hold capitals, which only a cased tokenizer reaches" if capitals else ""
        return True, f"BERT's default{doubt}"
    if stated:
        return True, f"do_lower_case in {CONFIG_FILE}"
    if not capitals:
        # MacBERT and others ship Chinese BERT's uncased vocabulary with do_lower_case=false. If that were obeyed,
        # every word with a capital would become [UNK].
        return True, f"{CONFIG_FILE} says do_lower_case=false, but the vocabulary holds no capitals"
    return False, f"do_lower_case=false in {CONFIG_FILE}"


def _capitals(vocabulary: Vocabulary) -> int:
    """Return how many entries hold capitals. Names in brackets, such as [CLS] and <S>, are not counted."""
    names = re.compile(r"\[.+\]|<.+>")
    return sum(entry != entry.lower() and not names.fullmatch(entry) for entry in vocabulary.entries)


# -- settings -----------------------------------------------------------------------------------------------------


def _refuse_unsupported(settings: Mapping[str, Any], lower_case: bool, path: Path) -> None:
    """Raise Unsupported, which lists every setting that BERT's original tokenizer does not have."""
    allowed: dict[str, Callable[[Any], bool]] = {
        "tokenizer_class": lambda value: value in WORDPIECE_CLASSES,
        "do_basic_tokenize": lambda value: value is True,
        "tokenize_chinese_chars": lambda value: value is True,
        "strip_accents": lambda value: value == lower_case,
        "never_split": lambda value: set(value) <= set(SPECIAL_TOKENS),
        "additional_special_tokens": lambda value: {_content(token) for token in value} <= set(SPECIAL_TOKENS),
        "added_tokens_decoder": lambda value: {_content(token) for token in value.values()} <= set(SPECIAL_TOKENS),
    }
    for token in SPECIAL_TOKENS:
        allowed[f"{token[1:-1].lower()}_token"] = lambda value, token=token: _content(value) == token  # type: ignore[misc]
    refused = [
        f"{key}={repr(settings[key])[:200]}"
        for key, fits in allowed.items()
        if settings.get(key) is not None and not _holds(fits, settings[key])
    ]
    if refused:
        raise Unsupported(
            f"{path} has settings that the original BERT tokenizer lacks: {'; '.join(refused)}. "
            "Give the vocab.txt itself to export the original tokenizer over it."
        )


def _holds(fits: Callable[[Any], bool], value: Any) -> bool:
    """Return whether a setting fits. A value of an unexpected type, such as a number for a list, does not."""
    try:
        return fits(value)
    except (TypeError, AttributeError):
        return False


def _content(token: Any) -> Any:
    """Return the text of a token, which transformers writes as "[CLS]" or as {"content": "[CLS]", "lstrip": …}."""
    return token.get("content") if isinstance(token, dict) else token
