"""Reads the SentencePiece model of a directory, and the files of transformers beside it. No TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizer.hugging_face import (
    ADDED_FILE,
    CONFIG_FILE,
    KEYS,
    MODEL_FILE,
    SPECIAL_FILE,
    HuggingFaceFiles,
    added_tokens,
    content_of,
    read_object,
)
from tokenizer.rules import TokenizerRules
from tokenizer.sentencepiece import SentencePiece
from tokenizer.stated_rules import JSON_CLASSES, SENTENCEPIECE_CLASSES
from tokenizer.tokenizer_json import JSON_FILE, unigram_ids
from tokenizer.vocabulary import CLS, SEP, Vocabulary, some
from zoo.archive.sentencepiece_model import MOST_BYTES, USER_DEFINED, Numbering, read_sentencepiece
from zoo.basics.untrusted import BadInput, read_small
from zoo.errors import BadConfig, BadVocabulary, Unsupported

_MODEL_TYPES: Mapping[str, Numbering] = {"albert": "own", "camembert": "camembert", "xlm-roberta": "fairseq"}
# The names under which transformers keeps a model; google-research/albert has 30k-clean.model.
PIECES_FILES = ("spiece.model", "sentencepiece.bpe.model", "sentencepiece.model")
_WITHOUT = "Or export the encoder without string tokens (`--vocab none`), and give it the ids of its own tokenizer"


@dataclass(frozen=True)
class SentencePieceSource:
    """A SentencePiece tokenizer: its vocabulary and rules, the reason for `lower_case`, the files read, and notes."""

    vocabulary: Vocabulary
    rules: TokenizerRules
    lower_case_reason: str
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def find_model(path: Path) -> Path | None:
    """Return the .model file that a path names, or that the tokenizer of a directory needs; None for WordPiece.

    Raises BadVocabulary if several models lie in the directory.
    """
    try:
        if path.is_file():
            return path if path.suffix == ".model" else None
        models = sorted(path.glob("*.model"))
    except OSError:  # for example a name that is too long; whoever reads a vocabulary there says so
        return None
    if not models or (_stated_numbering(path) is None and any(path.glob("vocab*.txt"))):
        return None
    usual = [path / name for name in PIECES_FILES if path / name in models]
    if not usual and len(models) > 1:
        names = ", ".join(file.name for file in models)
        raise BadVocabulary(f"{path} holds several models: {names}. Give the path of the one to use.")
    return (usual or models)[0]


def read_sentencepiece_source(path: Path, cased: bool | None = None) -> SentencePieceSource | None:
    """Return the SentencePiece tokenizer of a .model file or a directory; None where there is a WordPiece tokenizer.

        read_sentencepiece_source(Path("xlm-roberta-base")).vocabulary.entries[250_001]  # "<mask>"

    `cased`, if given, overrides `do_lower_case`. A file stands for itself: the files beside it are not read. Raises
    BadVocabulary and BadConfig for files that cannot be read or contradict each other, and Unsupported for models and
    settings that cannot be followed.
    """
    file = find_model(path)
    if file is None:
        return None
    folder = path if path.is_dir() else None
    own = _read_model(file, _stated_numbering(folder) if folder else None)
    beside = _beside(folder or file.parent, folder is not None, own.layout.roles)
    lower_case, strip_accents, reason = _case(beside, own.numbering, cased)
    own = replace(own, remove_space=own.prepares and _flag(beside, "remove_space", True))
    tokens = own.tokens()
    stated = {token for token in (content_of(each) for each, _, _ in beside.listed()) if isinstance(token, str)}
    vocabulary = Vocabulary.of_ids(tokens, file, beside.spellings, stated)
    added = added_tokens(beside, vocabulary, tokens)
    vocabulary = vocabulary.with_added({token.content: token.id for token in added.values()})
    if folder and (folder / JSON_FILE).is_file():
        _check_same(vocabulary, file, folder / JSON_FILE)
    # The model finds its user-defined pieces by itself; transformers lists them as added tokens, too.
    defined = {piece.text for piece in own.model.pieces if piece.type == USER_DEFINED}
    usual = {*beside.spellings.values(), *own.layout.first, *own.layout.roles.values(), *defined}
    others = tuple(token for token in added.values() if token.content not in usual)
    if odd := [token.content for token in others if token.single_word or (token.normalized and own.prepares)]:
        raise Unsupported(
            f"{beside.folder}: the added tokens {some(odd)} are looked for in prepared texts or as single words. A "
            "SentencePiece tokenizer cannot do that here. A copy of the files without these tokens can be exported."
        )
    rules = TokenizerRules(
        lower_case,
        strip_accents,
        tokenize_chinese_chars=False,
        special_tokens={name: vocabulary.spellings[name] for name in vocabulary.special_tokens},
        added_tokens=others,
        sentencepiece=own,
    ).checked(vocabulary)
    return SentencePieceSource(vocabulary, rules, reason, (file, *beside.files), (*vocabulary.notes, *_notes(own)))


def _read_model(file: Path, numbering: Numbering | None) -> SentencePiece:
    """Return the model in a file. Raises BadVocabulary, and Unsupported if it cannot be run or numbered."""
    try:
        data = read_small(file, MOST_BYTES)
        model = read_sentencepiece(data)
    except OSError as error:
        raise BadVocabulary(f"Cannot read {file}: {error.strerror or error}.") from None
    except BadInput as error:
        raise Unsupported(f"{file} cannot be used: {error}. {_WITHOUT}.") from None
    texts = {piece.text for piece in model.pieces}
    if numbering is None and not {CLS, SEP} <= texts:
        raise Unsupported(
            f"nothing says how {file} numbers its tokens: it has no {CLS} and {SEP}, as the model of ALBERT has. Give "
            f"the model's directory, whose {MODEL_FILE} says it by 'model_type': {', '.join(_MODEL_TYPES)}. {_WITHOUT}."
        )
    prepares = numbering in (None, "own")
    if prepares and "," not in texts:
        raise Unsupported(f"{file} has no piece ',', which ALBERT's code cuts numbers with. {_WITHOUT}.")
    return SentencePiece(data, model, numbering or "own", prepares)


def _stated_numbering(folder: Path) -> Numbering | None:
    """Return how a directory's files say that pieces are numbered, None if they name no SentencePiece tokenizer."""
    model = read_object(folder / MODEL_FILE)
    name = read_object(folder / CONFIG_FILE).get("tokenizer_class") or model.get("tokenizer_class")
    if name is None or name in JSON_CLASSES:
        return _MODEL_TYPES.get(str(model.get("model_type")))
    return SENTENCEPIECE_CLASSES.get(re.sub("Tokenizer(Fast)?$", "", str(name)))


def _beside(folder: Path, reads: bool, roles: Mapping[str, str]) -> HuggingFaceFiles:
    """Return what transformers' files state, with the usual names of special tokens where they state none."""
    names = (CONFIG_FILE, SPECIAL_FILE, ADDED_FILE)
    settings, special, added = (read_object(folder / name) if reads else {} for name in names)
    usual = {key: roles[name] for key, name in KEYS.items() if name}
    files = tuple(folder / name for name in (*names, JSON_FILE) if reads and (folder / name).exists())
    found = HuggingFaceFiles(folder, {**usual, **settings}, special, added, None, None, files)
    for key in ("split_special_tokens", "sp_model_kwargs"):
        if found.settings.get(key):
            raise Unsupported(
                f"{folder / CONFIG_FILE} says {key}={found.settings[key]!r:.80}, which our tokenizer does not have. "
                f"{_WITHOUT}."
            )
    return found


def _case(beside: HuggingFaceFiles, numbering: Numbering, cased: bool | None) -> tuple[bool, bool, str]:
    """Return whether texts are lower-cased, whether accents go, and the reason. Only ALBERT's code does that."""
    if numbering != "own":
        if cased is False:
            raise Unsupported("the SentencePiece model decides about capitals here: leave --uncased away.")
        return False, False, "the SentencePiece model decides"
    if cased is not None:
        return not cased, not cased, "asked for: cased" if cased else "asked for: uncased"
    stated = f"do_lower_case in {CONFIG_FILE}" if "do_lower_case" in beside.settings else "ALBERT's default"
    return _flag(beside, "do_lower_case", True), not _flag(beside, "keep_accents", False), stated


def _flag(beside: HuggingFaceFiles, key: str, usual: bool) -> bool:
    value = beside.settings.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadConfig(
            f"{beside.folder / CONFIG_FILE}: {key}={value!r:.80} should be true or false. Correct the file."
        )
    return usual if value is None else value


def _check_same(vocabulary: Vocabulary, file: Path, json: Path) -> None:
    """Raise BadVocabulary if a tokenizer.json gives other ids than the model beside it."""
    different = [
        f"{token!r} is {vocabulary.ids.get(token, 'nothing')} by {file.name}, {number} in {JSON_FILE}"
        for token, number in unigram_ids(json).items()
        if vocabulary.ids.get(token) != number
    ]
    if different:
        raise BadVocabulary(
            f"{file} and {json} give different ids for {len(different):,} tokens: {some(different)}. Remove the file "
            "that the model was not trained with."
        )


def _notes(own: SentencePiece) -> Iterator[str]:
    yield (
        "texts are cut by SentencePiece's unigram model; of cuts with equal scores the one counts that sentencepiece "
        "up to 0.2.1 chooses, as tensorflow-text does"
    )
    if own.prepares:
        yield (
            "texts are prepared as google-research/albert does it; transformers also replaces `` and '' by a quotation "
            "mark"
        )
