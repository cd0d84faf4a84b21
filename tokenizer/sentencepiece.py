"""The rules of a SentencePiece tokenizer beside its model: ids, preparation of texts, packing. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tokenizer.vocabulary import CLS, MASK, PAD, SEP, UNK, Vocabulary
from zoo.archive.sentencepiece_model import SPACE, Numbering, SentencePieceModel


@dataclass(frozen=True)
class Layout:
    """How a family of models numbers the pieces of its SentencePiece model, and how it packs texts.

    `first` are the tokens of the ids from 0; `shift` is added to the number of every other piece, and the unknown one
    becomes the last of `first`. Without `first` a piece's number is its id. `last` is the token behind all pieces.
    """

    roles: Mapping[str, str]  # BERT's name of a special token -> its usual spelling
    first: tuple[str, ...] = ()
    shift: int = 0
    last: str | None = None
    separators: int = 1  # between two texts
    has_types: bool = True


_FAIRSEQ = {PAD: "<pad>", UNK: "<unk>", CLS: "<s>", SEP: "</s>", MASK: "<mask>"}
# Sources: AlbertTokenizer, XLMRobertaTokenizer and CamembertTokenizer of transformers 4.57.
LAYOUTS: Mapping[Numbering, Layout] = {
    "own": Layout({PAD: "<pad>", UNK: "<unk>", CLS: "[CLS]", SEP: "[SEP]", MASK: "[MASK]"}),
    "fairseq": Layout(_FAIRSEQ, ("<s>", "<pad>", "</s>", "<unk>"), 1, "<mask>", 2, False),
    "camembert": Layout(
        _FAIRSEQ, ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"), 4, "<mask>", 2, False
    ),
}


def is_of_sentencepiece(vocabulary: Vocabulary) -> bool:
    """Return whether a vocabulary is that of a SentencePiece model: of XLM-R's entries every second begins a word."""
    return sum(entry.startswith(SPACE) for entry in vocabulary.entries) > len(vocabulary) / 10


@dataclass(frozen=True)
class SentencePiece:
    """A SentencePiece model as a tokenizer uses it, and the bytes of its .model file.

    `prepares` says that texts go through ALBERT's own steps before the model: bytes that are not UTF-8 are skipped,
    characters are decomposed (NFKD), and a piece such as "2019," is cut into "2019" and ",". Accents, capitals and
    white space follow the rules of the tokenizer (`TokenizerRules`) and `remove_space`.
    """

    data: bytes
    model: SentencePieceModel
    numbering: Numbering
    prepares: bool = False
    remove_space: bool = False

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.numbering]

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """The id of every piece, in the order of the pieces' numbers."""
        layout, model = self.layout, self.model
        if not layout.first:
            return tuple(range(len(model.pieces)))
        special = {token: number for number, token in enumerate(layout.first)}
        ids = [special.get(piece.text, number + layout.shift) for number, piece in enumerate(model.pieces)]
        ids[model.unknown] = special[layout.roles[UNK]]
        return tuple(ids)

    def tokens(self) -> dict[str, int]:
        """Return token -> id of the whole vocabulary: `{"<s>": 0, "<pad>": 1, …, "<mask>": 250001}` for XLM-R."""
        layout, pieces = self.layout, self.model.pieces
        tokens = {token: number for number, token in enumerate(layout.first)}
        tokens |= {piece.text: number for piece, number in zip(pieces, self.ids, strict=True)}
        if layout.last is not None:
            tokens[layout.last] = len(pieces) + layout.shift
        return tokens
