"""Reading the files of a tokenizer: which file counts, and what is said where they are broken or disagree."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tokenizer.directories import (
    BERT,
    CASED,
    DIRECTORIES,
    GENERIC,
    PLAIN,
    SIZE,
    UNCASED,
    Directory,
    decoder,
    tokenizer_json,
    vocab_txt,
)
from tokenizer.rules import AddedToken
from tokenizer.source import read_tokenizer_source, read_vocabulary
from zoo.errors import BadConfig, BadVocabulary, Unsupported, ZooError

GOOD = tuple(UNCASED)
CAPITALS = tuple(CASED)


def directory(path: Path, entries: tuple[str, ...] = GOOD, name: str = "vocab.txt", **settings: Any) -> Path:
    (path / name).write_text(vocab_txt(entries), encoding="utf-8")
    if settings:
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize("name", DIRECTORIES)
def test_settings_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    known = DIRECTORIES[name]
    config = read_tokenizer_source(known.write(tmp_path))
    rules, vocabulary = config.rules, config.vocabulary
    assert (rules.lower_case, rules.strip_accents) == (known.lower_case, known.strip_accents)
    assert rules.tokenize_chinese_chars == known.tokenize_chinese_chars
    assert rules.special_tokens == known.special
    assert rules.added_tokens == tuple(AddedToken(**vars(token)) for token in known.added)
    for token in rules.added_tokens:
        assert vocabulary.entries[token.id] == token.content
    assert read_vocabulary(tmp_path).vocabulary == vocabulary
    assert {file.name for file in config.files} == {*known.files}
    assert bool(known.departs) == ("but the vocabulary holds no capitals" in config.lower_case_reason)


# -- case -------------------------------------------------------------------------------------------------------------


OVER = "transformers puts the settings and defaults of BertTokenizer over lowercase=false"


@pytest.mark.parametrize(
    ("entries", "cased", "settings", "lower_case", "reason"),
    [
        (GOOD, None, {}, True, "BERT's default"),
        (CAPITALS, None, {}, True, "BERT's default; 56 entries hold capitals"),
        (GOOD, True, {"do_lower_case": True}, False, "asked for: cased"),
        (GOOD, False, {"do_lower_case": False, "strip_accents": False}, True, "asked for: uncased"),
        (GOOD, None, {"do_lower_case": True, **BERT}, True, "do_lower_case in tokenizer_config.json"),
        (GOOD, None, {"do_lower_case": False}, True, "do_lower_case=false, but the vocabulary holds no capitals"),
        (CAPITALS, None, {"do_lower_case": False}, False, "do_lower_case=false in tokenizer_config.json"),
        (GOOD, None, {"strip_accents": None, "never_split": None}, True, "BERT's default"),
    ],
)
def test_case_and_its_reason(
    tmp_path: Path,
    entries: tuple[str, ...],
    cased: bool | None,
    settings: dict[str, Any],
    lower_case: bool,
    reason: str,
) -> None:
    config = read_tokenizer_source(directory(tmp_path, entries, **settings), cased=cased)
    assert (config.lower_case, config.rules.strip_accents) == (lower_case, lower_case)
    assert reason in config.lower_case_reason
    assert config.vocabulary.entries == entries
    names = ["vocab.txt", "tokenizer_config.json"][: 1 + bool(settings)]
    assert [file.name for file in config.files] == names


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (BERT, OVER),
        ({}, OVER),
        (BERT | {"do_lower_case": False}, "do_lower_case=false in tokenizer_config.json"),
        (GENERIC, "lowercase=false in tokenizer.json"),
    ],
)
def test_the_reason_names_the_file_that_counts(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    Directory({"tokenizer.json": tokenizer_json(CASED, lowercase=False), "tokenizer_config.json": settings}).write(
        tmp_path
    )
    assert reason in read_tokenizer_source(tmp_path).lower_case_reason


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    directory(tmp_path, CAPITALS, do_lower_case=False)
    config = read_tokenizer_source(tmp_path / "vocab.txt")
    assert (config.lower_case, config.files) == (True, (tmp_path / "vocab.txt",))
    Directory({"tokenizer.json": tokenizer_json(CASED, lowercase=False)}).write(tmp_path)
    config = read_tokenizer_source(tmp_path / "tokenizer.json")
    assert (config.lower_case, config.files) == (False, (tmp_path / "tokenizer.json",))
    assert config.vocabulary.entries == CAPITALS


def test_the_only_vocabulary_of_another_name(tmp_path: Path) -> None:
    directory(tmp_path, name="vocab_chinese.txt")
    assert read_tokenizer_source(tmp_path).files == (tmp_path / "vocab_chinese.txt",)
    directory(tmp_path, name="vocab_small.txt")
    with pytest.raises(BadVocabulary, match=r"several vocabularies: vocab_chinese.txt, vocab_small.txt. Give the path"):
        read_tokenizer_source(tmp_path)


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"never_split": ["a.b"]}, r'never_split=\["a.b"\] in tokenizer_config.json is not followed'),
        ({"do_basic_tokenize": False}, "do_basic_tokenize=false .* fast tokenizer does not follow it"),
        ({"padding_side": "left"}, "padding stands behind the text"),
        ({"model_max_length": 512}, "words of 101 to 200 characters are split into pieces"),
    ],
)
def test_settings_that_are_not_followed_are_noted(tmp_path: Path, settings: dict[str, Any], note: str) -> None:
    config = read_tokenizer_source(directory(tmp_path, **settings))
    assert re.search(note, "; ".join(config.notes))


def test_no_note_about_words_where_transformers_follows_bert(tmp_path: Path) -> None:
    content = tokenizer_json()
    content["model"]["max_input_chars_per_word"] = 200
    Directory({"tokenizer.json": content}).write(tmp_path)
    assert read_tokenizer_source(tmp_path).notes == ()


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tokenizer_class": "RoFormerTokenizer"}, "cuts Chinese words with jieba"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "MeCab"),
        ({"tokenizer_class": "MyTokenizer"}, "is not known to run BERT's algorithm"),
        ({"tokenizer_class": ["BertTokenizer"]}, "is not known"),
        ({"split_special_tokens": True}, "split_special_tokens=true"),
    ],
)
def test_other_tokenizers_are_refused_but_their_ids_are_read(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    directory(tmp_path, **settings)
    with pytest.raises(Unsupported, match=f"{words}.*export the encoder alone"):
        read_tokenizer_source(tmp_path)
    assert read_vocabulary(tmp_path).vocabulary.entries == GOOD


@pytest.mark.parametrize("settings", [{"do_lower_case": True}, {}])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "cuts Japanese words"),
        ({"model_type": "roformer"}, "cuts Chinese words"),
        ({"model_type": "roformer", "tokenizer_class": "BertTokenizer"}, None),
        ({"model_type": ["roformer"]}, None),
    ],
)
def test_the_class_may_stand_in_the_config_of_the_model(
    tmp_path: Path, settings: dict[str, Any], model: dict[str, Any], words: str | None
) -> None:
    directory(tmp_path, **settings)
    (tmp_path / "config.json").write_text(json.dumps(model))
    if words is None:
        assert read_tokenizer_source(tmp_path).vocabulary.entries == GOOD
        return
    with pytest.raises(Unsupported, match=words):
        read_tokenizer_source(tmp_path)
    assert read_tokenizer_source(tmp_path / "vocab.txt").vocabulary.entries == GOOD, "a file stands for itself"


def changed(**parts: Any) -> dict[str, Any]:
    return tokenizer_json() | parts


def with_model(**parts: Any) -> dict[str, Any]:
    return changed(model=tokenizer_json()["model"] | parts)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (with_model(continuing_subword_prefix="@@"), "continuing_subword_prefix='@@'"),
        (with_model(max_input_chars_per_word=50), "max_input_chars_per_word=50"),
        (changed(pre_tokenizer={"type": "Whitespace"}), "the pre-tokeniser Whitespace"),
        (
            changed(pre_tokenizer=None, normalizer=None),
            r"\(there is none\).*\(there is none\) does nothing",
        ),
        (changed(normalizer={"type": "NFKC"}), "the normaliser NFKC does NFKC"),
        (tokenizer_json(clean_text=False), "does handle_chinese_chars, strip_accents, lowercase, where"),
        (
            changed(
                normalizer={
                    "type": "Sequence",
                    "normalizers": [{"type": "Lowercase"}, {"type": "BertNormalizer", "lowercase": False}],
                }
            ),
            "the normaliser Lowercase \\+ BertNormalizer",
        ),
    ],
)
def test_rules_of_tokenizer_json_that_are_not_berts(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    Directory({"tokenizer.json": content}).write(tmp_path)
    with pytest.raises(Unsupported, match=f"{words}.*export the encoder alone"):
        read_tokenizer_source(tmp_path)
    assert read_vocabulary(tmp_path).vocabulary.entries == GOOD


def _template(**parts: Any) -> dict[str, Any]:
    return changed(post_processor=tokenizer_json()["post_processor"] | parts)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, Unsupported, "the model 'BPE' .merges of byte"),
        ({"model": {"vocab": {}, "merges": []}}, Unsupported, "'BPE'"),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, Unsupported, "SentencePiece's unigram.*spiece.model"),
        ({"model": {"type": "WordPiece", "vocab": ["a"]}}, BadConfig, "should be an object of tokens"),
        ([], BadConfig, "should hold a JSON object with a 'model'"),
        ("{", BadConfig, "Cannot read"),
        (changed(added_tokens=[5]), BadConfig, "'added_tokens' should be a list of objects"),
        (_template(type="RobertaProcessing"), Unsupported, "the post-processor 'RobertaProcessing'"),
        (_template(pair=_template()["post_processor"]["pair"][:3]), Unsupported, "does not wrap texts as BERT's"),
        (_template(special_tokens={}), BadConfig, "its post-processor is not as"),
        (
            _template(special_tokens={t: {"ids": [1]} for t in ("[CLS]", "[SEP]")}),
            BadConfig,
            "'\\[CLS\\]' is 3, there 1",
        ),
    ],
)
def test_tokenizer_json_without_ids_for_us(tmp_path: Path, content: Any, error: type[ZooError], words: str) -> None:
    Directory({"tokenizer.json": content}).write(tmp_path)
    with pytest.raises(error, match=words):
        read_vocabulary(tmp_path)


def test_bert_processing_is_a_post_processor_too(tmp_path: Path) -> None:
    ids = {token: UNCASED.index(token) for token in ("[SEP]", "[CLS]")}
    post = {"type": "BertProcessing", "sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]}
    Directory({"tokenizer.json": changed(post_processor=post)}).write(tmp_path)
    assert read_vocabulary(tmp_path).vocabulary.special_tokens["[SEP]"] == ids["[SEP]"]


# -- files that disagree ----------------------------------------------------------------------------------------------

_ENT = {"content": "[ENT]", **PLAIN}


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        (
            {"vocab.txt": vocab_txt(UNCASED[::-1]), "tokenizer.json": tokenizer_json()},
            BadVocabulary,
            rf"different ids for {SIZE - SIZE % 2} tokens: '</s>' is 0 in vocab.txt, {SIZE - 1} in tokenizer.json",
        ),
        (
            {"vocab.txt": vocab_txt([*UNCASED, "x1"]), "tokenizer.json": tokenizer_json()},
            BadVocabulary,
            rf"for 1 tokens: 'x1' is {SIZE} in vocab.txt, nothing in tokenizer.json. transformers follows",
        ),
        (
            {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": BERT | {"cls_token": "<s>"}},
            BadConfig,
            r"two ways: '\[CLS\]' in tokenizer.json, '<s>' in tokenizer_config.json",
        ),
        (
            {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": BERT | {"unk_token": "</s>"}},
            BadConfig,
            r"two ways: '\[UNK\]' in tokenizer.json, '</s>' in tokenizer_config.json",
        ),
        (
            {"vocab.txt": vocab_txt(), "tokenizer_config.json": BERT | decoder((SIZE + 5, "[ENT]", {}))},
            BadVocabulary,
            rf"tokenizer_config.json says that '\[ENT\]' is {SIZE + 5}, and .* gives {SIZE}.*save_pretrained",
        ),
        (
            {"vocab.txt": vocab_txt(), "added_tokens.json": {"hello": SIZE}},
            BadVocabulary,
            rf"added_tokens.json says that 'hello' is {SIZE}, .* gives {UNCASED.index('hello')}",
        ),
        (
            {"tokenizer.json": tokenizer_json(added=[{**_ENT, "id": 3}])},
            BadVocabulary,
            r"tokenizer.json says that '\[ENT\]' is 3",
        ),
        (
            {"vocab.txt": vocab_txt(["a", *UNCASED]), "tokenizer_config.json": {"additional_special_tokens": ["[Q]"]}},
            BadVocabulary,
            rf"gives '\[Q\]' the id {SIZE}, which is that of '</s>'",
        ),
    ],
)
def test_files_that_disagree(tmp_path: Path, files: dict[str, Any], error: type[ZooError], words: str) -> None:
    Directory(files).write(tmp_path)
    with pytest.raises(error, match=words):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize("number", ["1e400", "99.7", "true", "null"])
def test_added_tokens_whose_ids_are_none(tmp_path: Path, number: str) -> None:
    (directory(tmp_path) / "added_tokens.json").write_text(f'{{"[ENT]": {number}}}')
    with pytest.raises(BadConfig, match="added_tokens.json: the added tokens should be ids and tokens"):
        read_tokenizer_source(tmp_path)


@pytest.mark.parametrize("listed", ["added_tokens", "special_tokens_map"])
def test_thousands_of_added_tokens_are_refused_in_seconds(tmp_path: Path, listed: str) -> None:
    tokens = [f"<{number}>" for number in range(20_000)]
    ids = {token: SIZE + number for number, token in enumerate(tokens)}
    content = ids if listed == "added_tokens" else {"additional_special_tokens": tokens}
    (directory(tmp_path) / f"{listed}.json").write_text(json.dumps(content))
    start = time.perf_counter()
    with pytest.raises(Unsupported, match="the 20,000 added tokens have 128,890 bytes together"):
        read_tokenizer_source(tmp_path)
    assert time.perf_counter() - start < 10


def test_the_move_for_files_that_disagree_works(tmp_path: Path) -> None:
    Directory({"vocab.txt": vocab_txt(UNCASED[::-1]), "tokenizer.json": tokenizer_json()}).write(tmp_path)
    with pytest.raises(BadVocabulary, match=f"directory: {tmp_path}/tokenizer.json or {tmp_path}/vocab.txt"):
        read_vocabulary(tmp_path)
    assert read_vocabulary(tmp_path / "tokenizer.json").vocabulary.entries == GOOD
    assert read_vocabulary(tmp_path / "vocab.txt").vocabulary.entries == GOOD[::-1]


def test_white_space_in_both_files_is_as_transformers_has_it(tmp_path: Path) -> None:
    entries = [*UNCASED, "salut "]
    Directory({"vocab.txt": vocab_txt(entries), "tokenizer.json": tokenizer_json(entries)}).write(tmp_path)
    assert read_vocabulary(tmp_path).vocabulary.entries == tuple(entries)
    (tmp_path / "tokenizer.json").unlink()
    assert read_vocabulary(tmp_path).vocabulary.entries == (*GOOD, "salut")


def test_added_tokens_follow_the_ids_of_fewer_tokens(tmp_path: Path) -> None:
    config = read_tokenizer_source(DIRECTORIES["added in three files"].write(tmp_path))
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<e1>")
    fewer = config.of_kept(type(config.vocabulary)(names))
    assert [(token.content, token.id) for token in fewer.rules.added_tokens] == [("<e1>", 5)]
