"""Reads tokenizer.json, the file of Hugging Face's tokenizers: its vocabulary, its added tokens and its rules.

Only BERT's tokenizer is understood: the model WordPiece, the normaliser BertNormalizer, the pre-tokeniser
BertPreTokenizer. Anything else is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizer.vocabulary import CLS, CONTINUATION, PAD, SEP, UNK
from zoo.archive.wordpiece_model import WORD_LIMIT
from zoo.basics.untrusted import parse_json, read_small
from zoo.errors import BadConfig, Unsupported

JSON_FILE = "tokenizer.json"
FAST_WORD_LIMIT = 100  # characters; transformers makes [UNK] of a longer word, the original BERT of more than 200
_MOST_BYTES = 64 << 20  # that of LaBSE, with 501,153 entries, has 13 MB
_MOST_VALUES = 4_000_000

NO_TOKENIZER = (
    "No option gives its ids: export the encoder alone (`zoo export`), and give it the ids of its own tokenizer"
)

NO_MODEL = (
    "which is read from the .model file of SentencePiece: put the published one (sentencepiece.bpe.model or "
    "spiece.model) into the directory."
)

# Other models of the tokenizers library than WordPiece -> how they make pieces.
_OTHER_MODELS = {
    "BPE": "merges of byte or character pairs",
    "Unigram": "SentencePiece's unigram model",
    "WordLevel": "whole words alone",
}
# The steps of BertNormalizer, in its order. A sequence of other normalisers may have the same steps.
_STEPS = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")


@dataclass(frozen=True)
class TextRules:
    """The settings of BertNormalizer. `strip_accents` None means: the same as `lower_case`."""

    lower_case: bool
    strip_accents: bool | None
    tokenize_chinese_chars: bool


@dataclass(frozen=True)
class TokenizerJson:
    """A tokenizer.json with a WordPiece model; its other parts are looked at when they are asked for."""

    path: Path
    content: Mapping[str, Any]

    @property
    def ids(self) -> Mapping[str, int]:
        """Token -> id, the added tokens left out."""
        found: Mapping[str, int] = self.content["model"]["vocab"]
        return found

    @property
    def added_tokens(self) -> Sequence[Mapping[str, Any]]:
        """The added tokens with their ids and flags: {"id": 0, "content": "[PAD]", "special": true, …}."""
        listed = self.content.get("added_tokens") or []
        if not isinstance(listed, list) or not all(map(_is_added, listed)):
            raise BadConfig(
                f"{self.path}: 'added_tokens' should be a list of objects, each with an 'id', which is a whole number, "
                "and a 'content', which is a text. Correct the file."
            )
        return listed

    @property
    def word_limit(self) -> Any:
        """The number of characters above which a word becomes [UNK]."""
        return self.content["model"].get("max_input_chars_per_word", FAST_WORD_LIMIT)

    def special_tokens(self) -> dict[str, str]:
        """Return BERT's names -> the spellings that the file states: {"[UNK]": "<unk>", "[CLS]": "<s>", …}."""
        found = {UNK: self.content["model"].get("unk_token", UNK)}
        padding = self.content.get("padding")
        if isinstance(padding, dict) and isinstance(padding.get("pad_token"), str):
            found[PAD] = padding["pad_token"]
        post = self.content.get("post_processor")
        found |= {} if post is None else _wrapping(post, self)
        if not all(isinstance(token, str) for token in found.values()):
            raise BadConfig(f"{self.path}: special tokens should be texts, are {found!r:.200}. Correct the file.")
        return found

    def text_rules(self) -> TextRules:
        """Return the rules of the normaliser. Raises Unsupported, which names every part that is not BERT's."""
        model, problems = self.content["model"], []
        prefix = model.get("continuing_subword_prefix", CONTINUATION)
        if prefix != CONTINUATION:
            problems.append(f"continuing_subword_prefix={prefix!r}, where BERT has '##'")
        if self.word_limit not in (FAST_WORD_LIMIT, WORD_LIMIT):
            problems.append(
                f"max_input_chars_per_word={self.word_limit!r}, where BERT has {WORD_LIMIT} and transformers "
                f"{FAST_WORD_LIMIT}"
            )
        parts = _parts(self.content.get("pre_tokenizer"), "pretokenizers")
        if [part.get("type") for part in parts] != ["BertPreTokenizer"]:
            problems.append(f"the pre-tokeniser {_names(parts)}, where BERT has BertPreTokenizer")
        steps = list(_steps(_parts(self.content.get("normalizer"), "normalizers")))
        unknown = [step for step in steps if step not in _STEPS]
        if unknown or sorted(steps, key=_STEPS.index) != steps or "clean_text" not in steps:
            names = _names(_parts(self.content.get("normalizer"), "normalizers"))
            problems.append(
                f"the normaliser {names} does {', '.join(steps) or 'nothing'}, where BERT's does {', '.join(_STEPS)}, "
                "in this order, and all but clean_text may be left out"
            )
        if problems:
            raise Unsupported(
                f"{self.path} describes another tokenizer than BERT's: {'; '.join(problems)}. {NO_TOKENIZER}."
            )
        accents: bool | None = "strip_accents" in steps
        if accents == ("lowercase" in steps) and _states_no_accents(self.content.get("normalizer")):
            accents = None
        return TextRules("lowercase" in steps, accents, "handle_chinese_chars" in steps)


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """Return what a tokenizer.json holds. Raises BadConfig for a broken one, Unsupported if its model is another."""
    content, model, kind = _content(path)
    if kind != "WordPiece":
        how = f" ({_OTHER_MODELS[kind]})" if kind in _OTHER_MODELS else ""
        move = NO_MODEL if kind == "Unigram" else "and only WordPiece can be exported."
        raise Unsupported(f"{path} holds a tokenizer of the model {kind!r:.40}{how}, {move}")
    if not isinstance(model.get("vocab"), dict):
        raise BadConfig(f"{path}: the 'vocab' of its model should be an object of tokens and ids. Correct the file.")
    return TokenizerJson(path, content)


def unigram_ids(path: Path) -> dict[str, int]:
    """Return token -> id of a tokenizer.json with a Unigram model, added tokens too; {} for one of another model.

    Raises BadConfig for a broken file.
    """
    content, model, kind = _content(path)
    if kind != "Unigram":
        return {}
    try:
        ids = {str(token): number for number, (token, _) in enumerate(model["vocab"])}
    except (KeyError, TypeError, ValueError):
        raise BadConfig(f"{path}: the 'vocab' of its model should be a list of tokens with scores.") from None
    return ids | {token["content"]: token["id"] for token in TokenizerJson(path, content).added_tokens}


def _content(path: Path) -> tuple[Any, Mapping[str, Any], str]:
    """Return the content of a tokenizer.json, its model and the type of the model. Raises BadConfig."""
    try:
        content = parse_json(read_small(path, _MOST_BYTES), _MOST_VALUES)
    except (OSError, ValueError) as error:
        raise BadConfig(f"Cannot read {path}: {error}. Correct the file.") from None
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise BadConfig(f"{path} should hold a JSON object with a 'model', as Hugging Face's tokenizers write it.")
    # The first versions of tokenizers wrote no type.
    return content, model, str(model.get("type") or ("BPE" if "merges" in model else "WordPiece"))


# -- parts ------------------------------------------------------------------------------------------------------------


def _is_added(token: Any) -> bool:
    return isinstance(token, dict) and isinstance(token.get("content"), str) and type(token.get("id")) is int


def _parts(part: Any, listed_in: str) -> list[Mapping[str, Any]]:
    """Return a normaliser or pre-tokeniser as the list of its parts; a sequence has several."""
    if part is None:
        return []
    if isinstance(part, dict) and part.get("type") == "Sequence":
        inner = part.get(listed_in)
        if isinstance(inner, list):
            return [each for one in inner for each in _parts(one, listed_in)]
    return [part if isinstance(part, dict) else {"type": repr(part)[:40]}]


def _names(parts: Sequence[Mapping[str, Any]]) -> str:
    return " + ".join(str(part.get("type"))[:40] for part in parts) or "(there is none)"


def _steps(normalisers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the steps of a list of normalisers in order; for a normaliser that BERT has no step for, its name."""
    types = [str(each.get("type")) for each in normalisers]
    for place, (kind, settings) in enumerate(zip(types, normalisers, strict=True)):
        if kind == "BertNormalizer":
            accents = settings.get("strip_accents")
            stated = {**settings, "strip_accents": settings.get("lowercase", True) if accents is None else accents}
            yield from (step for step in _STEPS if stated.get(step, True))
        elif kind == "Lowercase":
            yield "lowercase"
        elif kind == "StripAccents" and types[place - 1 : place] == ["NFD"]:
            yield "strip_accents"
        elif not (kind == "NFD" and types[place + 1 : place + 2] == ["StripAccents"]):
            yield kind


def _states_no_accents(normaliser: Any) -> bool:
    """Return whether a normaliser is a BertNormalizer that leaves it to `lowercase` whether accents are stripped."""
    parts = _parts(normaliser, "normalizers")
    return len(parts) == 1 and parts[0].get("strip_accents") is None


def _wrapping(post: Any, file: TokenizerJson) -> dict[str, str]:
    """Return the tokens that a post-processor puts around texts, as {"[CLS]": "<s>", "[SEP]": "</s>"}."""
    try:
        if post["type"] == "BertProcessing":
            (sep, sep_id), (cls, cls_id) = post["sep"], post["cls"]
            stated = {cls: cls_id, sep: sep_id}
        elif post["type"] == "TemplateProcessing":
            pair = [_piece(piece) for piece in post["pair"]]
            cls, sep = pair[0][0], pair[2][0]
            single = [(cls, 0), ("A", 0), (sep, 0)]
            if pair != [*single, ("B", 1), (sep, 1)] or [_piece(piece) for piece in post["single"]] != single:
                raise Unsupported(
                    f"{file.path}: its post-processor does not wrap texts as BERT's, which is [CLS] A [SEP] B [SEP] "
                    f"with the types 0 0 0 1 1. {NO_TOKENIZER}."
                )
            stated = {token: only for token in (cls, sep) for only in post["special_tokens"][token]["ids"]}
        else:
            raise Unsupported(
                f"{file.path} has the post-processor {post['type']!r:.40}, where BERT has TemplateProcessing or "
                f"BertProcessing. {NO_TOKENIZER}."
            )
    except (KeyError, IndexError, TypeError, ValueError):
        raise BadConfig(f"{file.path}: its post-processor is not as Hugging Face's tokenizers write it.") from None
    known = {token.get("content"): token.get("id") for token in file.added_tokens} | dict(file.ids)
    wrong = [
        f"{token!r} is {known.get(token)}, there {number}"
        for token, number in stated.items()
        if known.get(token) != number
    ]
    if wrong:
        raise BadConfig(f"{file.path}: its post-processor states other ids than its vocabulary: {'; '.join(wrong)}.")
    return {CLS: cls, SEP: sep}


def _piece(piece: Mapping[str, Any]) -> tuple[str, int]:
    """Return name and type of one piece of a template: ("[CLS]", 0)."""
    inner = next(iter(piece.values()))
    return inner["id"], inner["type_id"]
