"""The card: what an archive says of itself, kept in assets.extra/card.json."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from zoo.archive.activation import Activation
from zoo.archive.kinds import KINDS
from zoo.archive.sentence import SentenceVectors
from zoo.archive.sentencepiece_model import Numbering
from zoo.archive.task import TextTask
from zoo.archive.wordpiece_model import UNK, model_bytes
from zoo.basics.untrusted import BadInput, check_cost, made_later, read_small
from zoo.contract import CARD_FILE, CONVERSION_FILE
from zoo.errors import BadArchive

HeadState = Literal["trained", "absent", "random", "unknown"]
Stored = Literal["float32", "bfloat16", "float16"]  # what matrices are stored in
Computed = Literal["float32", "bfloat16"]  # what matrix products are computed in
Pooler = Literal["dense", "first_token", "discriminator"]
# How the order of tokens counts: by a table; by turning queries and keys, or values too; by vectors of distances.
Positions = Literal["absolute", "rotary", "rotary_values", "relative"]


CARD_FORMAT: Final = 1  # grows when an older reader would misunderstand a new card; fields that are only added leave it


class _Record(BaseModel):
    """A part of a card. Fields that this version does not know are ignored: a later one may have added them."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class FileDigest(_Record):
    """Identity of one file: hexadecimal sha256 and size in bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Source(_Record):
    """Where the numbers came from: format of the checkpoint and the digest of every file that was read."""

    format: str
    files: dict[str, FileDigest]

    @property
    def sha256(self) -> str:
        """Digest of the names and digests of all files: the identity of what was read."""
        return hashlib.sha256(to_json({name: file.sha256 for name, file in self.files.items()}).encode()).hexdigest()


class EncoderSizes(_Record):
    """Everything that decides the arithmetic of an encoder.

    `layers` is what runs, `blocks` the distinct sets of weights.
    """

    layers: int
    blocks: int
    hidden_size: int
    embedding_size: int
    heads: int
    intermediate_size: int
    vocab_size: int
    position_limit: int
    type_vocab_size: int
    activation: Activation
    layer_norm_epsilon: float
    hidden_dropout: float
    attention_dropout: float
    positions: Positions = "absolute"
    always_projects: bool = Field(
        default=False, description="whether embeddings are projected although they are as wide as the hidden size"
    )


class Derivation(_Record):
    """How a model differs from the one its checkpoint holds, and by how much its outputs do.

    `parent_sha256` is the digest of the checkpoint's files taken together, `Source.sha256` of the whole model's card.
    """

    parent_sha256: str
    stored_in: Stored = "float32"
    computed_in: Computed = "float32"
    kept_tokens: int | None = None
    layers_cut: int = 0
    drift: dict[str, float] = Field(
        description="output -> largest difference between what the archive computes and its parent; as on a certificate"
    )


class EncoderCertificate(_Record):
    """Largest absolute difference of each output against an independent forward pass of the source checkpoint.

    `shapes` are the (batch, length) pairs that were compared; their inputs and reference outputs lie in
    assets.extra/golden.npz, so that the comparison can be repeated anywhere. Differences are rounded up to one digit.
    """

    shapes: list[tuple[int, int]]
    tolerance: float
    max_difference: dict[str, float]


def _with_width(part: object) -> object:
    """Return a part as it is written today: the exporters of the first months wrote the name alone."""
    return (part, None) if isinstance(part, str) else part


Part = Annotated[tuple[str, int | None], BeforeValidator(_with_width)]  # name and width


class Card(_Record):
    """The fields that the card of every archive has, whatever its kind."""

    kind: str
    format: Literal[1] = CARD_FORMAT
    name: str
    vocabulary_sha256: str | None = None
    source: Source
    licence: str = "not stated"
    needs: list[str] = []
    ops: list[str]
    versions: dict[str, str]
    files: dict[str, FileDigest]


class ModelCard(Card):
    """The fields of every card of an archive with the weights of an encoder."""

    family: str
    sizes: EncoderSizes
    activation_reason: str
    mlm_activation: Activation | None = Field(
        default=None, description="activation in the masked-language-model head, if the archive has this head"
    )
    padding_id: int = Field(default=0, description="the id that is no token where no mask is given")
    special_tokens: dict[str, int] = Field(
        default={}, description="BERT's name of each special token -> its id; cards that lack it mean the usual names"
    )
    string_tokens: bool = Field(default=True, description="whether it takes string tokens, as a tokenizer gives them")
    truncated_from: int | None = None
    derivation: Derivation | None = None
    pooler: str
    notes: list[str] = []
    heads: dict[str, HeadState] = Field(description="what the checkpoint has, whether exported or not")
    exported_heads: list[str] = []
    parameters: int
    left_out: dict[str, list[str]] = Field(description="reason -> checkpoint variables left out for it")
    variables: dict[str, list[Part]] = Field(
        description="variable of the archive -> checkpoint variables that lie beside each other in it, along its last "
        "axis, each with its width there; widths that are missing are equal ones"
    )
    sentence: SentenceVectors | None = None

    @property
    def stored_in(self) -> Stored:
        """What its matrices are stored in."""
        return self.derivation.stored_in if self.derivation else "float32"


class EncoderCard(ModelCard):
    """Card of an encoder archive."""

    kind: Literal["encoder"] = "encoder"
    certificate: EncoderCertificate


class GoldenText(_Record):
    """One text (or pair) and what the original algorithm makes of it."""

    text: list[str]
    ids: list[int]


class AddedTokenRecord(_Record):
    """A token that is found in a text as a whole, before the text is split; see `tokenizer.rules.AddedToken`."""

    content: str
    id: int = Field(ge=0)
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = False
    in_vocabulary: bool = False


class SentencePieceFacts(_Record):
    """The SentencePiece model of a tokenizer, and how its pieces become ids and rows.

    `numbering` is how ids follow from the numbers of pieces: "own", "fairseq" as in XLM-R, or "camembert". `prepares`
    says that texts go through the steps of ALBERT's own code around the model, `remove_space` that one of these makes
    white space single spaces. `separators` stand between two texts.
    """

    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    pieces: int = Field(ge=1)
    numbering: Numbering
    prepares: bool
    remove_space: bool
    separators: int = Field(ge=1, le=2)


class TokenizerFacts(_Record):
    """Everything but the vocabulary that decides the ids of a text."""

    lower_case: bool
    lower_case_reason: str
    strip_accents: bool
    tokenize_chinese_chars: bool = True
    special_tokens: dict[str, int] = Field(
        description="BERT's name of a special token -> its id, whatever its spelling there; [MASK] may be missing"
    )
    special_tokens_in_text: bool
    added_tokens: list[AddedTokenRecord] = []
    sentencepiece: SentencePieceFacts | None = Field(
        default=None, description="the model that cuts texts in the place of BERT's algorithm"
    )


class TokenizerCard(TokenizerFacts, Card):
    """Card of a tokenizer or preprocess archive."""

    kind: Literal["tokenizer", "preprocess"]
    notes: list[str] = []
    vocab_size: int
    vocabulary_sha256: str
    needs: list[str] = list(KINDS["tokenizer"].needs)
    certificate: list[GoldenText]

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, stated: Any) -> Any:
        """Add what the cards of the first archives do not state: accents went where capitals went."""
        if isinstance(stated, dict) and "lower_case" in stated:
            return {"strip_accents": stated["lower_case"], **stated}
        return stated

    def model_of(self, entries: Sequence[str]) -> bytes:
        """Return the bytes of the WordPiece model that an archive with this card and vocabulary has to hold."""
        added = {token.id: token.in_vocabulary for token in self.added_tokens}
        return model_bytes(entries, self.special_tokens.get(UNK), not self.tokenize_chinese_chars, added)


class TextCertificate(_Record):
    """Golden texts (or pairs) and the largest difference of each output from what the original computation answers.

    The answers lie in assets.extra/golden.npz. Labels and places in texts are equal. Differences are rounded up to one
    digit.
    """

    texts: list[Annotated[list[str], Field(min_length=1, max_length=2)]] = Field(min_length=1)
    in_doubt: list[list[str]] = Field(default=[], description="left out: two labels are as good as equal there")
    tolerance: float
    max_difference: dict[str, float]
    keras_difference: dict[str, float] = Field(
        default={}, description="the same, from what the fitted Keras model itself answers to the texts that it takes"
    )


class FittedFrom(_Record):
    """The archive whose weights were fitted in Keras, and the layers that Keras had behind it: "dense (Dense)"."""

    parent: str
    parent_sha256: str | None = Field(default=None, description="sha256 of the parent's archive, if it is known")
    parent_card_sha256: str = Field(description="sha256 of the parent's card, which states the sha256 of every file")
    layers: list[str]


class TextCard(ModelCard):
    """Card of a text archive: an encoder, its tokenizer, and what is made of their outputs."""

    kind: Literal["text"] = "text"
    vocabulary_sha256: str
    tokenizer: TokenizerFacts
    task: TextTask
    fitted_from: FittedFrom | None = None
    certificate: TextCertificate

    @model_validator(mode="after")
    def _limit_fits(self) -> TextCard:
        if self.task.max_length > (most := self.sizes.position_limit):
            raise ValueError(f"the limit is {self.task.max_length:,} tokens, and the encoder takes {most:,}")
        return self


class OnnxCard(Card):
    """Card of a text archive of vectors in ONNX, which `zoo.lite` reads; `parent` is the text archive's name."""

    kind: Literal["onnx"] = "onnx"
    vocabulary_sha256: str
    parent: str
    parent_sha256: str
    hidden_size: int
    task: TextTask
    certificate: TextCertificate


class _Stated(_Record):
    """The two fields of a card that say how to read the others."""

    kind: Any = None
    format: Any = CARD_FORMAT


# name of a kind in zoo.archive.kinds -> class of its card
CARDS: dict[str, type[Card]] = {
    "encoder": EncoderCard,
    "tokenizer": TokenizerCard,
    "preprocess": TokenizerCard,
    "text": TextCard,
    "onnx": OnnxCard,
}
_MOST_BYTES = 2 << 20  # the card of 24 layers, with the names of an optimiser's slots, has 0.2 MB
_MOST_VALUES = 100_000  # that card has 4,000
_PROBLEMS_SHOWN = 5


def read_card(directory: Path) -> Card:
    """Return the card of an unpacked archive.

        card = read_card(zoo_path)
        card.sizes.layers  # 12

    Raises BadArchive when there is no card, when it does not parse, or when a later bert-zoo made it.
    """
    path = directory / CARD_FILE
    try:
        return parse_card(read_small(path, _MOST_BYTES), str(path))
    except BadInput as error:
        raise BadArchive(f"{path} does not follow the card format: {error}.") from None
    except (FileNotFoundError, NotADirectoryError):
        if (directory / CONVERSION_FILE).is_file():
            raise BadArchive(
                f"{directory} is what `zoo convert` wrote, which other runtimes run. ONNX that gives vectors of texts "
                "is for zoo.lite.TextEncoder and `zoo embed --runtime onnx`."
            ) from None
        raise BadArchive(
            f"{directory} has no {CARD_FILE}: not an archive of this zoo, or one that lost files."
        ) from None
    except OSError as error:
        raise BadArchive(f"{path} cannot be read: {error.strerror or error}. Fetch or build it again.") from None


def parse_card(text: bytes, place: str) -> Card:
    """Return the card that a file's bytes hold. Raises BadArchive, which names its `place`."""
    try:
        if len(text) > _MOST_BYTES:
            raise BadInput(f"it has {len(text):,} bytes, more than the {_MOST_BYTES:,} that any card needs")
        check_cost(text, _MOST_VALUES)
        stated = _Stated.model_validate_json(text)
        if later := made_later(stated.format, CARD_FORMAT):
            raise BadArchive(f"{place} {later}")
        if not isinstance(stated.kind, str):
            Card.model_validate_json(text)  # raises: the kind is missing or no text
        if (card := CARDS.get(str(stated.kind))) is None:
            raise BadArchive(
                f"{place} says that its archive is of kind {str(stated.kind)[:40]!r}, which this bert-zoo does not "
                "know: update bert-zoo."
            )
        return card.model_validate_json(text)
    except BadInput as error:
        raise BadArchive(f"{place} does not follow the card format: {error}.") from None
    except ValidationError as error:
        raise BadArchive(f"{place} does not follow the card format: {_problems(error)}.") from None


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, each['loc']))[:100]}: {each['msg'][:200]}" for each in found[:_PROBLEMS_SHOWN]]
    return "; ".join(shown) + (f"; and {len(found) - len(shown)} more" if len(found) > len(shown) else "")


def write_card(card: Card, directory: Path) -> None:
    """Write the card into an archive's directory, the same bytes for the same card."""
    path = directory / CARD_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(card.model_dump(mode="json")), encoding="utf-8")


def to_json(value: Any) -> str:
    """Return the one JSON form that every file of this project uses: sorted keys, two spaces, a final newline."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    # The name of a file that is not UTF-8 has halves of surrogate pairs, which no file in UTF-8 can hold unescaped.
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
