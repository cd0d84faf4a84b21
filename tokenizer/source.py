"""Where a tokenizer comes from: a vocab.txt or a Hugging Face directory, and the one question of case."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """All that decides a tokenizer's ids, why it lower-cases or not, and the files that were read to know it."""

    vocabulary: Vocabulary
    lower_case: bool
    lower_case_reason: str
    files: tuple[Path, ...]


def read_tokenizer_source(path: Path, cased: bool | None = None) -> TokenizerConfig:
    """Return the tokenizer that a vocab.txt, or a Hugging Face directory with one, describes.

        config = read_tokenizer_source(Path("chinese-roberta-wwm"))
        config.lower_case, config.lower_case_reason  # True, "do_lower_case in tokenizer_config.json"

    `cased` decides when given. Raises BadVocabulary for files that are missing or broken, BadConfig for a
    tokenizer_config.json that is no JSON object, Unsupported for settings under which ids would differ from ours.
    """
    file = vocabulary_file(path)
    config_file = path / CONFIG_FILE if path.is_dir() else None
    if config_file is None or not config_file.exists():
        vocabulary = Vocabulary.read(file)
        return TokenizerConfig(vocabulary, *_case(vocabulary, cased, {}), files=(file,))
    settings = _read_settings(config_file)
    vocabulary = Vocabulary.read(file)
    lower_case, reason = _case(vocabulary, cased, settings)
    _refuse_what_differs(settings, lower_case, config_file)
    return TokenizerConfig(vocabulary, lower_case, reason, files=(file, config_file))


def vocabulary_file(path: Path) -> Path:
    """Return `path` itself if it is a file, else the vocab.txt, or the only vocab*.txt, of that directory."""
    try:
        if path.is_file():
            return path
        is_directory = path.is_dir()
    except OSError as error:  # a name that no file system takes
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
        raise BadConfig(f"Cannot read {path}: {error}. Mend it, or give the vocab.txt itself.") from None
    if not isinstance(settings, dict):
        raise BadConfig(f"{path} should be a JSON object, is a {type(settings).__name__}.")
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
        # MacBERT and others ship do_lower_case=false over Chinese BERT's uncased vocabulary: every capital -> [UNK].
        return True, f"{CONFIG_FILE} says do_lower_case=false, but the vocabulary holds no capitals"
    return False, f"do_lower_case=false in {CONFIG_FILE}"


def _capitals(vocabulary: Vocabulary) -> int:
    """How many entries only a cased text can reach, names in brackets ([CLS], <S>) not counted."""
    names = re.compile(r"\[.+\]|<.+>")
    return sum(entry != entry.lower() and not names.fullmatch(entry) for entry in vocabulary.entries)


# -- settings -----------------------------------------------------------------------------------------------------


def _refuse_what_differs(settings: Mapping[str, Any], lower_case: bool, path: Path) -> None:
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
            f"{path} asks for what the original BERT tokenizer does not do: {'; '.join(refused)}. "
            "Give the vocab.txt itself to export the original tokenizer over it."
        )


def _holds(fits: Callable[[Any], bool], value: Any) -> bool:
    """Whether a setting fits; one of another type than transformers writes, a number for a list, does not."""
    try:
        return fits(value)
    except (TypeError, AttributeError):
        return False


def _content(token: Any) -> Any:
    """The text of a token, which transformers writes plainly or as {"content": …, "lstrip": …}."""
    return token.get("content") if isinstance(token, dict) else token
