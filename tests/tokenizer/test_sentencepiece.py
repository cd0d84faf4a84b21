"""SentencePiece tokenizers: ids and offsets equal those of its own package and of ALBERT's code, files, packing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from export.oracle.sentencepiece import ReferenceSentencePiece
from tests.tokenizer.conftest import Compared
from tests.tokenizer.sentencepiece_models import model, recorded, source, write_files
from tokenizer.prepared import Preparation
from tokenizer.rules import TokenizerRules
from tokenizer.sentencepiece_graph import SentencePieceGraph
from tokenizer.source import TokenizerConfig, read_tokenizer_source, read_vocabulary
from zoo.archive.sentencepiece_model import UNKNOWN, _message
from zoo.contract import INPUT_MASK, INPUT_TYPE_IDS, INPUT_WORD_IDS
from zoo.errors import BadConfig, BadVocabulary, Unsupported, ZooError

Columns = list[list[list[int]]]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, TokenizerConfig]:
    place = tmp_path_factory.mktemp("models")
    return {name: source(name, place / name) for name in ("xlmr", "albert")}


@pytest.fixture(scope="module")
def graph(sources: Mapping[str, TokenizerConfig]) -> Callable[..., SentencePieceGraph]:
    made: dict[Any, SentencePieceGraph] = {}

    def graph(name: str, in_text: bool = False) -> SentencePieceGraph:
        if (name, in_text) not in made:
            made[name, in_text] = SentencePieceGraph(sources[name].vocabulary, sources[name].rules, in_text)
        return made[name, in_text]

    return graph


def reference(config: TokenizerConfig, in_text: bool = False) -> ReferenceSentencePiece:
    own, rules = config.rules.sentencepiece, config.rules
    assert own is not None
    whole = {token.content: token.id for token in rules.whole_tokens(config.vocabulary, in_text)}
    how = (rules.lower_case, rules.strip_accents, own.remove_space, rules.special_ids(config.vocabulary), whole)
    return ReferenceSentencePiece(own.data, own.numbering, *how)


def traced(graph: SentencePieceGraph, texts: list[bytes]) -> Columns:
    return [list(columns) for columns in zip(*(each.to_list() for each in graph.with_offsets(texts)), strict=True)]


def test_as_the_package(graph: Callable[..., SentencePieceGraph], compared: Compared) -> None:
    """XLM-R: 0 <unk>, 1 <s>, 2 </s> of the model are 3, 0, 2; the others lie one higher."""
    texts, expected = recorded()["texts"], recorded()["xlmr"]
    number = {0: 3, 1: 0, 2: 2}
    expected = [[[number.get(n, n + 1) for n in ids], starts, limits] for ids, starts, limits in expected]
    xlmr = graph("xlmr")
    assert xlmr.pieces(tf.constant(texts)).to_list() == [ids for ids, _, _ in expected]
    assert traced(xlmr, texts) == expected
    compared("texts with the package sentencepiece", len(texts))


def test_as_alberts_code(graph: Callable[..., SentencePieceGraph], sources: Mapping[str, TokenizerConfig]) -> None:
    """Ids as recorded; offsets as the oracle has them, since no other code states any."""
    texts, albert = recorded()["texts"], graph("albert")
    assert albert.pieces(tf.constant(texts)).to_list() == recorded()["albert_prepared"]
    expected = [
        [*map(list, zip(*pieces, strict=True))] or [[], [], []]
        for pieces in map(reference(sources["albert"]).pieces, texts)
    ]
    assert traced(albert, texts) == expected


@pytest.mark.parametrize("name", ["xlmr", "albert"])
def test_the_oracle(name: str) -> None:
    """The reference of certificates cuts as the package does, cuts of equal scores included."""
    oracle = ReferenceSentencePiece(model(name), "own")
    for text, expected in zip(recorded()["texts"], recorded()[name], strict=True):
        parts = oracle.cut(text)
        assert [[p.number for p in parts], [p.start for p in parts], [p.limit for p in parts]] == expected, text


def test_equal_scores() -> None:
    """The scores make 40 of these texts' cuts equal after rounding: sums are rounded after they are compared."""
    message = _message("ModelProto")()
    message.normalizer_spec.add_dummy_prefix = False
    message.pieces.add(piece=b"<unk>", type=UNKNOWN)
    for piece, score in {b"q": -5.2551, b"qq": -8.4954, b"qqq": -11.4495}.items():
        message.pieces.add(piece=piece, score=score)
    data = message.SerializeToString()
    texts = [b"q" * count for count in range(2, 120)]
    found = tf_text.SentencepieceTokenizer(data).tokenize(texts).to_list()
    oracle = ReferenceSentencePiece(data, "own")
    assert found == [[part.number for part in oracle.cut(text)] for text in texts]


@pytest.mark.parametrize(("lower", "accents", "space"), [(True, False, True), (False, True, False), (True, True, True)])
def test_traced_texts_are_the_prepared_ones(lower: bool, accents: bool, space: bool) -> None:
    steps = Preparation(TokenizerRules(lower, accents), remove_space=space)
    texts = tf.constant([*recorded()["texts"], "  ΟΔΥΣΣΕΥΣ\u3000 e\u0323\u0301 \u1e69 \x1c", "  "])
    characters = steps.traced(texts)
    assert (characters.joined(tf.size(texts, tf.int64)) == steps.prepared(texts)).numpy().all()


@pytest.mark.parametrize("name", ["xlmr", "albert"])
def test_special_tokens_in_text(
    name: str, graph: Callable[..., SentencePieceGraph], sources: Mapping[str, TokenizerConfig]
) -> None:
    mask, sep = (sources[name].rules.special_tokens[role] for role in ("[MASK]", "[SEP]"))
    given = [f"Paris is{mask} of {sep}{sep}France", mask, "", "none", f" {mask} ", f"\x01{mask}é".encode() + b"\xff"]
    texts = [text if isinstance(text, bytes) else text.encode() for text in given]
    oracle = reference(sources[name], in_text=True)
    expected = [[*map(list, zip(*oracle.pieces(text), strict=True))] or [[], [], []] for text in texts]
    assert traced(graph(name, in_text=True), texts) == expected
    assert graph(name, in_text=True).pieces(tf.constant(texts)).to_list() == [ids for ids, _, _ in expected]
    assert sources[name].rules.special_ids(sources[name].vocabulary)["[MASK]"] in expected[0][0]
    assert len(graph(name).pieces(tf.constant(texts[1:2])).values) > 1


def test_xlmr_packs_with_two_separators_and_no_types(graph: Callable[..., SentencePieceGraph]) -> None:
    """<s> A </s></s> B </s>; the room is shared round robin."""
    xlmr = graph("xlmr")
    one, two = xlmr.pieces(tf.constant(["a model", "an archive of texts"])).to_list()
    rows = {
        key: value.numpy().tolist()
        for key, value in xlmr.packed(tf.constant([["a model", "an archive of texts"]]), 20).items()
    }
    row = [0, *one, 2, 2, *two, 2]
    assert rows[INPUT_WORD_IDS] == [row + [1] * (20 - len(row))]
    assert rows[INPUT_MASK] == [[1] * len(row) + [0] * (20 - len(row))] and not any(rows[INPUT_TYPE_IDS][0])
    assert xlmr.packed(tf.constant([["a model", "an archive of texts"]]), 8)[INPUT_WORD_IDS].numpy().tolist() == [
        [0, *one[:2], 2, 2, *two[:2], 2]
    ]
    assert xlmr.packed(tf.constant(["a model"]), 5)[INPUT_WORD_IDS].numpy().tolist() == [[0, *one[:3], 2]]


# -- files ------------------------------------------------------------------------------------------------------------


def test_ids_of_families(sources: Mapping[str, TokenizerConfig], tmp_path: Path) -> None:
    """The numbers of transformers' XLMRobertaTokenizer, AlbertTokenizer and CamembertTokenizer."""
    entries = sources["xlmr"].vocabulary.entries
    assert (entries[:4], entries[-1], len(entries)) == (("<s>", "<pad>", "</s>", "<unk>"), "<mask>", 1202)
    assert sources["albert"].vocabulary.entries[:6] == ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "(")
    folder = write_files("xlmr", tmp_path)
    (folder / "config.json").write_text('{"model_type": "camembert"}')
    french = read_tokenizer_source(folder)
    ids = {name: french.vocabulary.ids[name] for name in ("<pad>", "<unk>", "<s>", "</s>", "<mask>")}
    assert ids == {"<pad>": 1, "<unk>": 3, "<s>": 5, "</s>": 6, "<mask>": 1204}
    assert french.rules.sentencepiece and french.rules.sentencepiece.ids[:4] == (3, 5, 6, 7)
    assert read_vocabulary(folder).vocabulary == french.vocabulary


def test_alberts_settings(tmp_path: Path) -> None:
    folder = write_files("albert", tmp_path)
    assert (read_tokenizer_source(folder).lower_case, read_tokenizer_source(folder).rules.strip_accents) == (True, True)
    (folder / "tokenizer_config.json").write_text(
        '{"do_lower_case": false, "keep_accents": true, "remove_space": false}'
    )
    rules = read_tokenizer_source(folder).rules
    assert (
        rules.sentencepiece
        and (rules.lower_case, rules.strip_accents, rules.sentencepiece.remove_space) == (False,) * 3
    )
    assert read_tokenizer_source(folder, cased=False).lower_case
    alone = read_tokenizer_source(folder / "spiece.model")
    assert alone.files == (folder / "spiece.model",) and alone.lower_case


def _write(name: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))

    return change


def _no_model(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "sentencepiece.bpe.model").unlink()
        for each in changes:
            each(folder)

    return change


def _broken(folder: Path) -> None:
    (folder / "sentencepiece.bpe.model").write_bytes(b"\x0a")


_XLMR_CLASS = _write("tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer"})
_UNIGRAM = {"model": {"type": "Unigram", "vocab": [["<s>", 0.0], ["</s>", 0.0]]}}
_PUT = r"put the published one \(sentencepiece.bpe.model"
REFUSED: Mapping[str, tuple[Callable[[Path], None], type[ZooError], str]] = {
    "broken": (_broken, Unsupported, "cannot be used: .*--vocab none"),
    "no type": (_write("config.json", {}), Unsupported, "nothing says how .* albert, camembert, xlm-roberta"),
    "no model": (_no_model(_XLMR_CLASS, _write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n")), Unsupported, _PUT),
    "json alone": (_no_model(_write("tokenizer.json", _UNIGRAM)), Unsupported, _PUT),
    "other ids": (
        _write("tokenizer.json", _UNIGRAM),
        BadVocabulary,
        "'</s>' is 2 by sentencepiece.bpe.model, 1 in tokenizer.json",
    ),
    "sampling": (
        _write("tokenizer_config.json", {"sp_model_kwargs": {"nbest_size": 3}}),
        Unsupported,
        "sp_model_kwargs=",
    ),
    "added": (_write("added_tokens.json", {"[ENT]": 7}), BadVocabulary, r"'\[ENT\]' is 7, and .* gives 1,202"),
    "json": (_write("tokenizer_config.json", "["), BadConfig, "tokenizer_config.json"),
}


@pytest.mark.parametrize(("change", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(change: Callable[[Path], None], kind: type[ZooError], words: str, tmp_path: Path) -> None:
    folder = write_files("xlmr", tmp_path)
    change(folder)
    with pytest.raises(kind, match=words):
        read_tokenizer_source(folder)


def test_added_tokens_are_whole(tmp_path: Path) -> None:
    folder = write_files("xlmr", tmp_path)
    (folder / "added_tokens.json").write_text('{"[ENT]": 1202}')
    config = read_tokenizer_source(folder)
    assert config.vocabulary.entries[1202] == "[ENT]" and [token.content for token in config.rules.added_tokens] == [
        "[ENT]"
    ]
    pieces = SentencePieceGraph(config.vocabulary, config.rules, False).pieces(tf.constant(["a[ENT]b"])).to_list()
    assert pieces == [reference(config).ids("a[ENT]b")] and 1202 in pieces[0]


def test_uncased_is_albert_alone(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="leave --uncased away"):
        read_tokenizer_source(write_files("xlmr", tmp_path), cased=False)
