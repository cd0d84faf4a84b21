"""tokenizer.json, which Hugging Face's tokenizers read in Rust, Python and JavaScript, with the ids of our tokenizer.

Their own BertNormalizer and BertPreTokenizer follow other Unicode tables than the archive's graph. Here every rule is
spelled out as ranges of code points, read off the operations of that graph, so that no table of the runtime counts but
those of lower case and canonical decomposition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np
import tensorflow as tf

from tokenizer.normalisation import CJK, DROPPED, MARK, PUNCTUATION, WHITESPACE, WORD_LIMIT, lower
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import CLS, CONTINUATION, SEP, UNK

DIFFERENCES = (
    "Capitals of Unicode 14 and later (Glagolitic U+2C2F, six of Latin Extended-D, Vithkuqi, Garay) stay capitals in "
    "the archive and are lowered by a runtime whose tables know them; canonical decompositions of that age likewise.",
    "Half of a surrogate pair, which a JavaScript string may hold, is no text.",
)
# Settings of the runtime's BertNormalizer with which it only puts spaces around Chinese characters.
_SPACES_ALONE = {"clean_text": False, "handle_chinese_chars": True, "strip_accents": False, "lowercase": False}


def tokenizer_json(entries: Sequence[str], rules: TokenizerRules, whole: Sequence[AddedToken] = ()) -> dict[str, Any]:
    """Return the content of a tokenizer.json for a vocabulary, its entries in the order of their ids.

        tokenizer_json(Vocabulary.read(path).entries, TokenizerRules.original(lower_case=True))

    It wraps a text as [CLS] … [SEP] and a pair as [CLS] … [SEP] … [SEP]; it neither cuts nor pads. `whole` are the
    tokens that a text holds as a whole. A literal [MASK] in a text is split like any other word if it is none of them.
    """
    ids = {entry: number for number, entry in enumerate(entries)}
    behind = {token.content for token in whole if not token.in_vocabulary}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token) for token in sorted(whole, key=attrgetter("id"))],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(rules, whole)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _pre_tokenizers(rules)},
        "post_processor": _post_processor(ids, rules.special_tokens),
        "decoder": {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": rules.special_tokens[UNK],
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": WORD_LIMIT,
            "vocab": {entry: number for entry, number in ids.items() if entry not in behind},
        },
    }


def _normalizers(rules: TokenizerRules, whole: Sequence[AddedToken]) -> list[dict[str, Any]]:
    """Return the steps that change a text: white space, dropped characters, and lower case without accents."""
    steps = [_replace(_matching(WHITESPACE), " "), _replace(_matching(f"{DROPPED}|{MARK}"), "")]
    if rules.tokenize_chinese_chars and any(token.normalized and token.single_word for token in whole):
        # A Chinese character beside such a token is no part of its word: the runtime has to see spaces between them.
        steps.append({"type": "BertNormalizer", **_SPACES_ALONE})
    if rules.lower_case:
        steps += [_replace(_final_sigma(), "ς"), {"type": "Lowercase"}]
    if rules.strip_accents:
        steps += [{"type": "NFD"}, _replace(_matching(r"\p{Mn}"), "")]
    return steps


def _pre_tokenizers(rules: TokenizerRules) -> list[dict[str, Any]]:
    """Return the steps that split a text into words: at spaces, and around Chinese characters and punctuation."""
    alone = _matching(rf"[{CJK}]|{PUNCTUATION}" if rules.tokenize_chinese_chars else PUNCTUATION)
    return [
        {"type": "WhitespaceSplit"},
        {"type": "Split", "pattern": {"Regex": alone}, "behavior": "Isolated", "invert": False},
    ]


def _post_processor(ids: Mapping[str, int], spellings: Mapping[str, str]) -> dict[str, Any]:
    cls, sep = spellings[CLS], spellings[SEP]

    def special(token: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": segment}}

    first = [special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, special(sep, 0)]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, special(sep, 1)]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": [*first, *second],
        "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)},
    }


def _added(token: AddedToken) -> dict[str, Any]:
    flags = {flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    return {"id": token.id, "content": token.content, **flags}


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


# -- characters -------------------------------------------------------------------------------------------------------


@cache
def _matching(pattern: str) -> str:
    r"""Return the class of all characters that match a pattern of the graph: "[\x{9}-\x{A}…]"."""
    return _class(tf.strings.regex_full_match(_characters()[1], pattern).numpy())


@cache
def _final_sigma() -> str:
    """Return what finds a capital sigma that ends a word. Rust lowers it to σ wherever it stands.

    After a cased letter and before none; characters that are neither letters nor between words do not count.
    """
    chars = _characters()[1]
    is_cased = _lowered("aΣ", chars, "") == "σ".encode()
    is_skipped = ~is_cased & (_lowered("aΣ", chars, "a") == "σ".encode())
    cased, skipped = _class(is_cased), _class(is_skipped)
    return f"(?<={cased}{skipped}*)Σ(?!{skipped}*{cased})"


def _lowered(before: str, chars: tf.Tensor, after: str) -> np.ndarray:
    """Return what becomes of the last character of `before`."""
    lowered = lower(tf.strings.join([before, chars, after]))
    result: np.ndarray = tf.strings.substr(lowered, len(before) - 1, 1, unit="UTF8_CHAR").numpy()
    return result


def _class(is_in: np.ndarray) -> str:
    r"""Return a class of characters, `[\x{4E00}-\x{9FFF}…]`: Oniguruma's syntax, read in JavaScript too."""
    codes = _characters()[0][is_in]
    starts = codes[np.diff(codes, prepend=-2) > 1]
    ends = codes[np.diff(codes, append=0x110001) > 1]
    return "[" + "".join(rf"\x{{{a:X}}}-\x{{{b:X}}}" for a, b in zip(starts, ends, strict=True)) + "]"


@cache
def _characters() -> tuple[np.ndarray, tf.Tensor]:
    """Every code point but the surrogates, and the same as strings."""
    codes = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x110000)]).astype(np.int32)
    return codes, tf.strings.unicode_encode(codes[:, None], "UTF-8")
