"""An archive of a SentencePiece tokenizer: saved, verified, loaded, its card; and archives that are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.tokenizer.sentencepiece_models import exported, model
from tests.tokenizer.test_tokenizer_contract import strings
from zoo.archive.card import TokenizerCard, read_card
from zoo.archive.sentencepiece_model import _message
from zoo.archive.unpack import unpack
from zoo.contract import INPUT_WORD_IDS
from zoo.errors import BadArchive
from zoo.safety import check_ops, read_graph
from zoo.safety.form import bodies
from zoo.safety.sentencepiece import odd_sentencepiece


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sentencepiece") / "tokenizer"
    unpack(exported(tmp_path_factory) / "xlmr_tokenizer.tar.gz", directory)  # verified by the export
    return directory


def test_card(directory: Path) -> None:
    card = read_card(directory)
    assert isinstance(card, TokenizerCard) and card.sentencepiece is not None
    assert card.sentencepiece.model_sha256 == hashlib.sha256(model("xlmr")).hexdigest()
    assert (card.sentencepiece.pieces, card.sentencepiece.numbering, card.sentencepiece.separators) == (
        1200,
        "fairseq",
        2,
    )
    assert card.special_tokens == {"[PAD]": 1, "[UNK]": 3, "[CLS]": 0, "[SEP]": 2, "[MASK]": 1201}
    assert len(card.certificate) == 15
    assert (card.lower_case, card.needs, card.vocab_size) == (False, ["tensorflow_text"], 1202)


def test_what_it_offers(directory: Path) -> None:
    tokenizer = tf.saved_model.load(str(directory))
    given = ["The archive", "", "一个 archive"]
    assert strings(tokenizer(given[:1], special_tokens=True))[0][0] == "<s>"
    pieces = tokenizer.tokenize(given)
    assert pieces.shape.rank == 3 and len(pieces.to_list()[0]) == 2 and pieces.to_list()[1] == []
    packed = tokenizer.preprocess(given, seq_length=16)
    assert tokenizer.detokenize(packed[INPUT_WORD_IDS]).numpy().tolist() == [text.encode() for text in given]
    same = tokenizer.bert_pack_inputs([pieces], seq_length=16)
    assert (same[INPUT_WORD_IDS] == packed[INPUT_WORD_IDS]).numpy().all()
    two = tokenizer.bert_pack_inputs([pieces, pieces], seq_length=32)[INPUT_WORD_IDS].numpy()
    assert two[1].tolist() == [0, 2, 2, 2, *[1] * 28]
    special = {name: int(number) for name, number in tokenizer.tokenize.get_special_tokens_dict().items()}
    assert special["start_of_sequence_id"] == 0 and special["mask_id"] == 1201


# -- archives that are refused ----------------------------------------------------------------------------------------


def _model_of(change: Callable[[Any], object]) -> Callable[[Any], object]:
    def changed(node: Any) -> None:
        if node.op == "SentencepieceOp":
            message = _message("ModelProto").FromString(node.attr["model"].s)
            change(message)
            node.attr["model"].s = message.SerializeToString()

    return changed


def _constant(place: int, **values: Any) -> Callable[[Any], object]:
    """Return a change of the constant that the tokenizing operations take at a place."""

    def changed(node: Any, nodes: Any) -> None:
        if node.op in ("SentencepieceTokenizeOp", "SentencepieceTokenizeWithOffsetsOp"):
            name = node.input[place].partition(":")[0]
            tensor = next(each for each in nodes if each.name == name).attr["value"].tensor
            for field, value in values.items():
                getattr(tensor, field)[:] = [value]

    return changed


def _attribute(name: str, **values: Any) -> Callable[[Any], object]:
    def changed(node: Any) -> None:
        if node.op.startswith("Sentencepiece"):
            for field, value in values.items():
                setattr(node.attr[name], field, value)

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_model_of(lambda m: setattr(m.pieces[7], "score", 1.0)), "a SentencePiece model that its card does not name"),
        (_constant(2, int_val=5), "another nbest_size than the constant 0"),
        (_constant(4, bool_val=True), "another add_bos than the constant False"),
        (_attribute("shared_name", s=b"other"), "shares its model under a name"),
        (_attribute("return_nbest", b=True), "returns several ways to cut a text"),
    ],
)
def test_changed_archives_are_refused(directory: Path, change: Callable[..., object], words: str) -> None:
    graph = read_graph(directory).meta_graphs[0]
    for _, nodes in bodies(graph):
        for node in nodes:
            change(node, nodes) if change.__code__.co_argcount == 2 else change(node)
    assert any(words in problem for problem in odd_sentencepiece(graph, read_card(directory)))


def test_a_model_that_the_card_names_is_read(directory: Path) -> None:
    """A card is as easily changed as a model: what protects is that the model is read."""
    card = read_card(directory)
    assert isinstance(card, TokenizerCard) and card.sentencepiece is not None
    graph = read_graph(directory).meta_graphs[0]
    data = b""
    for _, nodes in bodies(graph):
        for node in nodes:
            _model_of(lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"\x00\x04\x00\x00"))(node)
            data = node.attr["model"].s if node.op == "SentencepieceOp" else data
    facts = card.sentencepiece.model_copy(update={"model_sha256": hashlib.sha256(data).hexdigest()})
    problems = odd_sentencepiece(graph, card.model_copy(update={"sentencepiece": facts}))
    assert problems == ["its SentencePiece model cannot be run: its table of characters is cut short or of an odd size"]


def test_the_whole_check_looks_at_it(directory: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    for _, nodes in bodies(saved.meta_graphs[0]):
        for node in nodes:
            _model_of(lambda m: setattr(m.pieces[7], "score", 1.0))(node)
    (changed / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(BadArchive, match="a SentencePiece model that its card does not name"):
        check_ops(changed, read_card(directory))
