"""Makes the vector of a text from an encoder's outputs, by settings that a person gives or the model's card states.

B batch, T tokens, H hidden size. The arithmetic runs on numpy and on keras.ops, whose functions have the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from zoo.archive.card import EncoderCard, TextCard, TokenizerCard
from zoo.contract import INPUT_MASK, LEAST_TOKENS, POOLED_OUTPUT, ROOT, SEQUENCE_OUTPUT, Pooling
from zoo.errors import BadArgument

_USUAL = "mean"  # pooling of models whose card states none
_USUAL_LENGTH = 128
_TINY = 1e-12  # the least length that a vector is divided by; as torch.nn.functional.normalize


@dataclass(frozen=True)
class AskedVectors:
    """The settings that a person may give; None takes what the model's card states.

    `pooling` is a kind of `zoo.contract.Pooling`, or several joined by "+", such as "first+max". `prompt`, such as
    "query: ", is put before each text.
    """

    pooling: str | None = None
    normalize: bool | None = None
    max_length: int | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class TextVectors:
    """The settings by which texts become vectors, complete."""

    pooling: str
    normalize: bool
    max_length: int
    prompt: str
    lower_case: bool  # texts are lower-cased here, because the tokenizer keeps capitals

    @property
    def kinds(self) -> list[str]:
        return self.pooling.split("+")

    @property
    def outputs(self) -> list[str]:
        """The outputs of the encoder that are needed."""
        needed = (POOLED_OUTPUT if kind == "pooled" else SEQUENCE_OUTPUT for kind in self.kinds)
        return list(dict.fromkeys(needed))

    def width(self, hidden_size: int) -> int:
        """Return how many numbers a vector has."""
        return len(self.kinds) * hidden_size

    def compute(self, outputs: Mapping[str, Any], inputs: Mapping[str, Any], ops: Any) -> Any:
        """Return the vectors (B, H), or (B, n * H) of n kinds, from outputs and inputs of the encoder.

        `ops` is numpy or keras.ops.
        """
        found = [_POOLINGS[kind](outputs, inputs[INPUT_MASK], ops) for kind in self.kinds]
        vectors = found[0] if len(found) == 1 else ops.concatenate(found, axis=-1)
        if not self.normalize:
            return vectors
        return vectors / ops.maximum(ops.sqrt(ops.sum(vectors * vectors, axis=-1, keepdims=True)), _TINY)

    def __str__(self) -> str:
        said = [f"pooling {self.pooling}", *(["normalised"] if self.normalize else []), f"{self.max_length} tokens"]
        return ", ".join([*said, *([f"prompt {self.prompt!r}"] if self.prompt else [])])


def text_vectors(asked: AskedVectors, card: EncoderCard, tokenizer: TokenizerCard) -> TextVectors:
    """Return the settings for an encoder: those asked for, else those of its card, else "mean" over 128 tokens.

        text_vectors(AskedVectors(), card, tokenizer_card).pooling  # "first" for BGE

    Raises BadArgument for settings that the model does not allow, and for a model whose vectors the encoder alone does
    not give.
    """
    stated, limit = card.sentence, card.sizes.position_limit
    if asked.pooling is not None:
        check_pooling(asked.pooling)
    elif stated and (beyond := [*stated.beyond_encoder, *_unknown(stated.pooling)]):
        raise BadArgument(
            f"the vectors of {card.name} need more than its encoder: {'; '.join(beyond)}. The archive does not compute "
            "that. Give a pooling, such as pooling='mean', for vectors of the encoder alone: they are other vectors "
            "than sentence-transformers gives."
        )
    if asked.max_length is not None:
        check_limit(f"max_length={asked.max_length}", asked.max_length, limit, card.name)
    prompt = asked.prompt
    if prompt is None:
        prompt = stated.prompt if stated else ""
    if prompt and stated and not stated.include_prompt:
        raise BadArgument(
            f"prompt={prompt!r}: {card.name} does not pool the tokens of a prompt, which is not supported. Give "
            "prompt='' for vectors without a prompt."
        )
    return TextVectors(
        pooling=asked.pooling or (stated.pooling if stated else _USUAL),
        normalize=bool(stated and stated.normalize) if asked.normalize is None else asked.normalize,
        max_length=asked.max_length or min(stated.max_length if stated else _USUAL_LENGTH, limit),
        prompt=prompt,
        lower_case=bool(stated and stated.lower_case and not tokenizer.lower_case),
    )


def archive_vectors(asked: AskedVectors, card: TextCard) -> TextVectors:
    """Return the settings of a text archive of vectors, which computes all of them itself.

    Raises BadArgument for settings that are not its own.
    """
    task = card.task
    assert task.pooling is not None  # as in every card with this task
    check_own(asked, AskedVectors(task.pooling, task.normalize, task.max_length), card.name)
    prompt = task.functions[ROOT] if asked.prompt is None else asked.prompt
    if task.calling(prompt) is None:
        there_are = ", ".join(map(repr, dict.fromkeys(task.functions.values())))
        raise BadArgument(
            f"prompt={prompt!r}: {card.name} always puts one of its own prompts before a text, {there_are}. Give one "
            "of them, or a prompt that begins with one."
        )
    return TextVectors(task.pooling, task.normalize, task.max_length, prompt, task.lower_case)


def check_own(asked: AskedVectors, own: AskedVectors, name: str) -> None:
    """Raise BadArgument for settings, the prompt excepted, that are not those of the text archive `name`."""
    wrong = [
        f"{setting}={value!r}, and it has {getattr(own, setting)!r}"
        for setting, value in vars(asked).items()
        if setting != "prompt" and value not in (None, getattr(own, setting))
    ]
    if wrong:
        raise BadArgument(
            f"{name} is a text archive, whose vectors are made as its card says: {'; '.join(wrong)}. Leave these "
            "arguments away, or export its encoder for vectors by other rules: `zoo export … --kind encoder`."
        )


def check_limit(asked: str, length: int, most: int, name: str = "the model") -> None:
    """Raise BadArgument for a limit in tokens that a model cannot have; `asked` is how the caller wrote it."""
    if not LEAST_TOKENS <= length <= most:
        raise BadArgument(f"{asked}: {name} takes {LEAST_TOKENS} to {most:,} tokens.")


def check_pooling(pooling: Any) -> None:
    """Raise BadArgument for a pooling that is neither a kind nor kinds joined by "+"."""
    if not isinstance(pooling, str) or _unknown(pooling):
        kinds = ", ".join(get_args(Pooling))
        raise BadArgument(f"pooling={pooling!r}: choose one of {kinds}, or several joined by '+'.")


def _unknown(pooling: str) -> list[str]:
    return [f"pooling {kind!r}" for kind in pooling.split("+") if kind not in _POOLINGS]


def lowered(texts: Any) -> Any:
    """Return a string tensor in lower case. A NUL, which no tokenizer keeps, would end a text for tf.strings.lower."""
    import tensorflow as tf

    return tf.strings.lower(tf.strings.regex_replace(texts, r"\x00", ""), encoding="utf-8")


# -- arithmetic -------------------------------------------------------------------------------------------------------
# Padding is 0 in `mask` (B, T), and zero in the sequence output (B, T, H).


def _pooled(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    return outputs[POOLED_OUTPUT]


def _first(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    return outputs[SEQUENCE_OUTPUT][:, 0]


def _mean(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    return ops.sum(outputs[SEQUENCE_OUTPUT], axis=1) / ops.sum(mask, axis=1, keepdims=True)


def _mean_sqrt_len(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    return ops.sum(outputs[SEQUENCE_OUTPUT], axis=1) / ops.sqrt(ops.sum(mask, axis=1, keepdims=True))


def _max(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    is_real = ops.not_equal(ops.expand_dims(mask, -1), 0)  # (B, T, 1)
    return ops.max(ops.where(is_real, outputs[SEQUENCE_OUTPUT], float("-inf")), axis=1)


def _weightedmean(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    """The mean in which token number n, from 1, counts n times."""
    weights = ops.cumsum(mask, axis=1) * mask  # (B, T)
    total = ops.sum(outputs[SEQUENCE_OUTPUT] * ops.expand_dims(weights, -1), axis=1)
    return total / ops.sum(weights, axis=1, keepdims=True)


def _lasttoken(outputs: Mapping[str, Any], mask: Any, ops: Any) -> Any:
    # Only functions of `ops`: Keras compares two of its tensors by `==` as objects.
    from_last_on = ops.equal(ops.cumsum(mask, axis=1), ops.sum(mask, axis=1, keepdims=True))  # (B, T)
    is_last = ops.expand_dims(ops.logical_and(from_last_on, ops.not_equal(mask, 0)), -1)
    return ops.sum(ops.where(is_last, outputs[SEQUENCE_OUTPUT], 0.0), axis=1)


_POOLINGS: Mapping[str, Callable[[Mapping[str, Any], Any, Any], Any]] = {
    "first": _first,
    "mean": _mean,
    "pooled": _pooled,
    "max": _max,
    "mean_sqrt_len": _mean_sqrt_len,
    "weightedmean": _weightedmean,
    "lasttoken": _lasttoken,
}
