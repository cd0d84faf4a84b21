"""Reads the tokenizer of a vocab.txt, a .model, a tokenizer.json or a directory of transformers: ids and settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tokenizer.hugging_face import HuggingFaceFiles, read_hugging_face, vocabulary_of
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.sentencepiece_files import read_sentencepiece_source
from tokenizer.stated_rules import stated_rules
from tokenizer.tokenizer_json import JSON_FILE, read_tokenizer_json
from tokenizer.vocabulary import Vocabulary
from zoo.errors import BadVocabulary


@dataclass(frozen=True)
class VocabularySource:
    """The ids of a tokenizer, without its rules: its vocabulary, the tokens added to it, and the files read."""

    vocabulary: Vocabulary
    added_tokens: tuple[AddedToken, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class TokenizerConfig:
    """Vocabulary and rules of a tokenizer, the reason for `lower_case`, the files read, and notes for the card."""

    vocabulary: Vocabulary
    rules: TokenizerRules
    lower_case_reason: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def lower_case(self) -> bool:
        return self.rules.lower_case

    def of_kept(self, vocabulary: Vocabulary) -> TokenizerConfig:
        """Return the same rules over a vocabulary that kept some of the tokens only."""
        kept = [
            replace(token, id=vocabulary.ids[token.content])
            for token in self.rules.added_tokens
            if token.content in vocabulary.ids
        ]
        return replace(self, vocabulary=vocabulary, rules=replace(self.rules, added_tokens=tuple(kept)))


def read_vocabulary(path: Path) -> VocabularySource:
    """Return the vocabulary of a vocab.txt, a tokenizer.json or a directory, with the tokens that other files add.

        read_vocabulary(Path("chinese-roberta-wwm")).vocabulary.entries[101]  # "[CLS]"

    A file stands for itself: the files beside it are not read. Raises BadVocabulary for files that are missing, broken
    or that contradict each other, BadConfig for broken JSON, Unsupported for a tokenizer.json of another model.
    """
    if pieces := read_sentencepiece_source(path):
        return VocabularySource(pieces.vocabulary, pieces.rules.added_tokens, pieces.files)
    return _read_ids(path)[0]


def read_tokenizer_source(path: Path, cased: bool | None = None) -> TokenizerConfig:
    """Return the settings of the tokenizer in a vocab.txt, a tokenizer.json, or in a directory of transformers.

        config = read_tokenizer_source(Path("chinese-roberta-wwm"))
        config.lower_case, config.lower_case_reason  # True, "do_lower_case in tokenizer_config.json"

    `cased`, if given, overrides the files. Raises what `read_vocabulary` does, and Unsupported for settings that would
    give other ids than ours.
    """
    if pieces := read_sentencepiece_source(path, cased):
        return TokenizerConfig(pieces.vocabulary, pieces.rules, pieces.lower_case_reason, pieces.files, pieces.notes)
    found, beside = _read_ids(path)
    vocabulary = found.vocabulary
    rules, reason, notes = stated_rules(vocabulary, beside, cased)
    rules = replace(rules, special_tokens=_there(vocabulary), added_tokens=found.added_tokens)
    rules.checked(vocabulary)
    return TokenizerConfig(vocabulary, rules, reason, found.files, (*vocabulary.notes, *notes))


def vocabulary_file(path: Path) -> Path | None:
    """Return `path` itself if it is a file, else the vocab.txt, or the only vocab*.txt, of that directory.

    None: the vocabulary of the directory lies in its tokenizer.json. Raises BadVocabulary if there is neither.
    """
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
    if (path / JSON_FILE).is_file():
        return None
    if found:
        names = ", ".join(file.name for file in found)
        raise BadVocabulary(f"{path} holds several vocabularies: {names}. Give the path of the one to use.")
    names = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
    raise BadVocabulary(
        f"{path} holds no vocab.txt, no .model and no {JSON_FILE} (it holds {names}). Give a vocab.txt, or a "
        "directory with one."
    )


def _read_ids(path: Path) -> tuple[VocabularySource, HuggingFaceFiles | None]:
    """Return the ids, and the files beside the vocabulary; None for a vocab.txt that stands for itself."""
    file = vocabulary_file(path)
    if file == path and not file.name.endswith(".json"):
        vocabulary = Vocabulary.read(file)
        return VocabularySource(vocabulary, (), (file,)), None
    if file == path:
        beside = HuggingFaceFiles(path.parent, {}, {}, {}, read_tokenizer_json(path), "TokenizersBackend", (path,))
        file = None
    else:
        beside = read_hugging_face(path)
    vocabulary, added = vocabulary_of(beside, file)
    files = (*([file] if file else []), *beside.files)
    return VocabularySource(vocabulary, added, files), beside


def _there(vocabulary: Vocabulary) -> dict[str, str]:
    """Return the special tokens that the vocabulary has, by BERT's names."""
    return {name: vocabulary.spellings[name] for name in vocabulary.special_tokens}
