"""The files that transformers keeps beside a vocabulary, and the ids that follow from all of them together.

If the files contradict each other, the file counts that transformers follows when it loads its fast tokenizer (tried
with 4.57 and 5.24). If its versions follow different files, the export stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from tokenizer.rules import AddedToken
from tokenizer.tokenizer_json import JSON_FILE, TokenizerJson, read_tokenizer_json
from tokenizer.vocabulary import CLS, MASK, PAD, SEP, STANDARD, UNK, Vocabulary, ids_in_transformers, some
from zoo.basics.untrusted import parse_json, read_small
from zoo.errors import BadConfig, BadVocabulary

CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"
MODEL_FILE = "config.json"
# Files that the digest of a tokenizer's inputs covers. Of config.json only the class of the tokenizer is read.
FILES = (CONFIG_FILE, SPECIAL_FILE, ADDED_FILE, JSON_FILE)
_MOST_BYTES = 4 << 20  # a tokenizer_config.json has some kilobytes, and some more with a thousand added tokens
_MOST_VALUES = 200_000

# In the order in which transformers adds those that the vocabulary lacks. None: not a special token of BERT.
KEYS: Mapping[str, str | None] = {
    "bos_token": None,
    "eos_token": None,
    "unk_token": UNK,
    "sep_token": SEP,
    "pad_token": PAD,
    "cls_token": CLS,
    "mask_token": MASK,
}
# 'model_type' -> the class that transformers takes if no file names one, where it reads a vocab.txt in its own way.
_CLASS_OF_MODEL: Mapping[str, str] = {"roformer": "RoFormerTokenizer"}
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


@dataclass(frozen=True)
class HuggingFaceFiles:
    """The statements of a directory's files about its tokenizer; a file that is missing states nothing."""

    folder: Path
    settings: Mapping[str, Any]  # tokenizer_config.json
    special_tokens_map: Mapping[str, Any]
    added_tokens: Mapping[str, Any]
    json: TokenizerJson | None
    model_class: Any  # 'tokenizer_class' of config.json, or the class that transformers takes for its 'model_type'
    files: tuple[Path, ...]

    @cached_property
    def named(self) -> Mapping[str, Any]:
        """Key -> special token: {"cls_token": "[CLS]", …}, of tokenizer_config.json and special_tokens_map.json.

        transformers reads special_tokens_map.json, and puts it over tokenizer_config.json, only where
        tokenizer_config.json has no added_tokens_decoder.
        """
        own = {key: self.settings[key] for key in (*KEYS, *_LISTS) if self.settings.get(key) is not None}
        if "added_tokens_decoder" in self.settings:
            return own
        return own | {key: value for key, value in self.special_tokens_map.items() if key in (*KEYS, *_LISTS)}

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """BERT's name of each special token -> its spelling. Raises BadConfig if two files contradict each other."""
        stated = {name: self._content(key) for key, name in KEYS.items() if name and self.named.get(key) is not None}
        in_json = self.json.special_tokens() if self.json else {}
        wrong = [
            f"{spelling!r} in {JSON_FILE}, {stated[name]!r} in {CONFIG_FILE} or {SPECIAL_FILE}"
            for name, spelling in in_json.items()
            if stated.get(name, spelling) != spelling
        ]
        if wrong:
            raise BadConfig(
                f"{self.folder} spells special tokens in two ways: {'; '.join(wrong)}. Versions of transformers follow "
                "different files here. Correct the file that is wrong."
            )
        return {**STANDARD, **in_json, **stated}

    def _content(self, key: str) -> str:
        content = content_of(self.named[key])
        if not isinstance(content, str) or not content:
            raise BadConfig(f"{self.folder}: {key}={content!r:.80} should be a token. Correct the file.")
        return content

    def listed(self) -> Iterator[tuple[Any, Any, str]]:
        """Yield the tokens that the files add, in the order in which transformers adds them: token, id, file."""
        if self.json:
            for token in self.json.added_tokens:
                yield token, token.get("id"), JSON_FILE
        decoder = self.settings.get("added_tokens_decoder")
        if decoder is not None:
            for number, token in _by_id(lambda: decoder.items(), CONFIG_FILE):
                yield token, number, CONFIG_FILE
            return
        special = {token for token in map(content_of, self.special()) if isinstance(token, str)}
        for number, token in _by_id(lambda: ((n, t) for t, n in self.added_tokens.items()), ADDED_FILE):
            is_special = token in special
            yield {"content": token, "special": is_special, "normalized": not is_special}, number, ADDED_FILE

    def special(self) -> Iterator[Any]:
        """Yield the special tokens in transformers' order. It adds [MASK] even where no file names it."""
        for key in KEYS:
            if self.named.get(key) is not None:
                yield self.named[key]
            elif key == "mask_token":
                yield MASK
        for key in _LISTS:
            tokens = self.named.get(key) or []
            if not isinstance(tokens, dict | list):
                raise BadConfig(f"{self.folder}: {key}={tokens!r:.80} should be a list of tokens. Correct the file.")
            yield from tokens.values() if isinstance(tokens, dict) else tokens


def read_hugging_face(folder: Path) -> HuggingFaceFiles:
    """Return what transformers' files in a directory state. Raises BadConfig, and Unsupported for another model."""
    there = [folder / name for name in FILES if (folder / name).exists()]
    model = read_object(folder / MODEL_FILE)
    return HuggingFaceFiles(
        folder,
        settings=read_object(folder / CONFIG_FILE),
        special_tokens_map=read_object(folder / SPECIAL_FILE),
        added_tokens=read_object(folder / ADDED_FILE),
        json=read_tokenizer_json(folder / JSON_FILE) if folder / JSON_FILE in there else None,
        model_class=model.get("tokenizer_class") or _CLASS_OF_MODEL.get(str(model.get("model_type"))),
        files=tuple(there),
    )


def vocabulary_of(found: HuggingFaceFiles, file: Path | None) -> tuple[Vocabulary, tuple[AddedToken, ...]]:
    """Return the vocabulary of a directory and its added tokens, the five special ones left out.

    `file` is its vocab.txt, if there is one; tokenizer.json has to give the same ids. Added tokens that the vocabulary
    lacks lie behind its entries. Raises BadVocabulary and BadConfig, which name every difference.
    """
    stated = [content_of(token) for token, _, _ in found.listed()]
    names = {token for token in stated if isinstance(token, str)}
    if found.json:
        if file is not None:
            _check_same(ids_in_transformers(file), file, found.json)
        known = found.json.ids
        vocabulary = Vocabulary.of_ids(found.json.ids, found.json.path, found.spellings, names)
    elif file is not None:
        known = ids_in_transformers(file)
        vocabulary = Vocabulary.read(file, found.spellings, names)
    else:
        raise BadVocabulary(f"{found.folder} holds neither a vocab.txt nor a {JSON_FILE}.")
    added = added_tokens(found, vocabulary, known)
    vocabulary = vocabulary.with_added({token.content: token.id for token in added.values()})
    special = set(found.spellings.values())
    return vocabulary, tuple(token for token in added.values() if token.content not in special)


def content_of(token: Any) -> Any:
    """Return the text of a token, which transformers writes as "[CLS]" or as {"content": "[CLS]", "lstrip": …}."""
    return token.get("content") if isinstance(token, dict) else token


def added_tokens(found: HuggingFaceFiles, vocabulary: Vocabulary, known: Mapping[str, int]) -> dict[str, AddedToken]:
    """Return content -> added token, with the id that transformers gives it: that in `known`, or the next one.

    Raises BadVocabulary where the files state other ids.
    """
    added: dict[str, AddedToken] = {}
    problems: list[str] = []
    named = {token for token in map(content_of, found.special()) if isinstance(token, str)}
    last = len(known) - 1  # the highest id so far

    def add(token: Any, stated: int | None, file: str) -> None:
        nonlocal last
        content = content_of(token)
        stated_flags = token if isinstance(token, dict) else {}
        is_token = isinstance(content, str) and content != ""
        special = stated_flags.get("special", False) or (file != JSON_FILE and is_token and content in named)
        flags = dict.fromkeys(_FLAGS, False) | {"special": special, "normalized": not special}
        flags |= {flag: stated_flags[flag] for flag in _FLAGS[:-1] if flag in stated_flags}
        if not is_token or not all(isinstance(flag, bool) for flag in flags.values()):
            problems.append(f"{file} has the token {token!r:.120}, which is not a token")
            return
        number = added[content].id if content in added else known.get(content, last + 1)
        if stated is not None and stated != number:
            problems.append(
                f"{file} says that {content!r} is {stated:,}, and transformers' fast tokenizer gives {number:,}"
            )
        elif content not in known and number < len(vocabulary):
            problems.append(
                f"transformers gives {content!r} the id {number:,}, which is that of {vocabulary.entries[number]!r}"
            )
        else:
            added[content] = AddedToken(content, number, **flags, in_vocabulary=content in known)
            last = max(last, number)

    for token, stated, place in found.listed():
        add(token, stated, place)
    mask = found.spellings[MASK]
    has_mask = mask in known or mask in added
    for token in found.special():
        if not isinstance(content := content_of(token), str) or content not in added:
            add(token, None, f"{CONFIG_FILE} or {SPECIAL_FILE}")
    if not has_mask and mask in added and added[mask].id == max(each.id for each in added.values()):
        del added[mask]  # no other id depends on it, and no weights belong to it
    if problems:
        raise BadVocabulary(
            f"{found.folder}: the files disagree about added tokens: {some(problems, 10)}. Let transformers write them "
            "again: AutoTokenizer.from_pretrained(DIR).save_pretrained(NEW)."
        )
    return added


def _check_same(ids: Mapping[str, int], file: Path, found: TokenizerJson) -> None:
    """Raise BadVocabulary if vocab.txt and tokenizer.json give different ids."""
    different = [
        f"{token!r} is {_id(ids.get(token))} in {file.name}, {_id(found.ids.get(token))} in {JSON_FILE}"
        for token in {**ids, **found.ids}
        if ids.get(token) != found.ids.get(token)
    ]
    if different:
        raise BadVocabulary(
            f"{file} and {found.path} give different ids for {len(different):,} tokens: {some(different)}. "
            f"transformers follows {JSON_FILE}. Give the one that the model was trained with instead of the directory: "
            f"{found.path} or {file}; for an encoder by --vocab."
        )


def _id(number: int | None) -> str:
    return "nothing" if number is None else str(number)


def _by_id(pairs: Callable[[], Iterable[tuple[Any, Any]]], file: str) -> list[tuple[int, Any]]:
    """Return pairs of id and token in the order of the ids; JSON writes an id that is a key as a text."""
    try:
        stated = [(number, token) for number, token in pairs()]
        if any(isinstance(number, float | bool) for number, _ in stated):
            raise TypeError
        return sorted(((int(number), token) for number, token in stated), key=itemgetter(0))
    except (AttributeError, TypeError, ValueError):
        raise BadConfig(f"{file}: the added tokens should be ids and tokens. Correct the file.") from None


def read_object(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file; {} for a file that is not there."""
    if not path.exists():
        return {}
    try:
        content = parse_json(read_small(path, _MOST_BYTES), _MOST_VALUES)
    except (OSError, ValueError) as error:
        raise BadConfig(f"Cannot read {path}: {error}. Correct the file, or remove it.") from None
    if not isinstance(content, dict):
        raise BadConfig(f"{path} should hold a JSON object, but holds a {type(content).__name__}.")
    return content
