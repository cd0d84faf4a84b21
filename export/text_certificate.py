"""The certificates of tokenizers and text archives: golden texts, and what the original computations answer to them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from export.certificate import as_run, published, rounded_up, tolerance
from export.oracle.fitted import FittedOracle
from export.oracle.forward import ReferenceOutputs, forward
from export.oracle.heads import HeadOracle
from export.oracle.sentencepiece import GOLDEN as SENTENCEPIECE_TEXTS, ReferenceSentencePiece
from export.oracle.stored_names import garden_head
from export.oracle.texts import Chosen, TextOracle
from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer, golden_texts
from export.planning import PlannedEncoder, PlannedText
from export.weights.derived import computed_in
from tokenizer.source import TokenizerConfig
from zoo.archive.card import GoldenText, TextCertificate
from zoo.contract import TASKS
from zoo.loading.load import load_directory
from zoo.loading.verify_text import differences

_OVER = 3  # times the limit: the length of a golden text that is cut


class Reference(Protocol):
    """A published tokenizer in plain Python."""

    def encode(self, text: str, pair: str | None = None) -> list[int]: ...


def golden_ids(tokenizer: TokenizerConfig, special_tokens_in_text: bool) -> list[GoldenText]:
    """Return golden texts and pairs of a tokenizer, with the ids that the published algorithm gives them."""
    vocabulary, rules = tokenizer.vocabulary, tokenizer.rules
    whole = rules.whole_tokens(vocabulary, special_tokens_in_text)
    texts = golden_texts(whole)
    reference: Reference = reference_tokenizer(tokenizer, special_tokens_in_text)
    if own := rules.sentencepiece:
        texts = [*SENTENCEPIECE_TEXTS, *texts[len(GOLDEN_TEXTS) :]]
        reference = ReferenceSentencePiece(
            own.data,
            own.numbering,
            rules.lower_case,
            rules.strip_accents,
            own.remove_space,
            rules.special_ids(vocabulary),
            {token.content: token.id for token in whole},
        )
    return [GoldenText(text=list(text), ids=reference.encode(*text)) for text in texts]


def reference_tokenizer(tokenizer: TokenizerConfig, special_tokens_in_text: bool) -> ReferenceTokenizer:
    """Return BERT's published tokenizer with the rules of a planned archive."""
    vocabulary, rules = tokenizer.vocabulary, tokenizer.rules
    return ReferenceTokenizer(
        vocabulary.entries,
        rules.lower_case,
        rules.strip_accents,
        rules.tokenize_chinese_chars,
        rules.special_tokens,
        rules.whole_tokens(vocabulary, special_tokens_in_text),
    )


def golden_questions(planned: PlannedText) -> list[tuple[str, ...]]:
    """Return the golden texts and pairs of a text archive: those of tokenizers, and some over the limit."""
    rules, limit = planned.tokenizer.rules, planned.task.max_length
    texts = golden_texts(rules.whole_tokens(planned.tokenizer.vocabulary, planned.special_tokens_in_text))
    long, half = "，".join("好" * (_OVER * limit // 2)), "好 " * (limit // 2)
    texts += [(long,), (long, "真的？"), ("真的？", long), (long, long + "！"), (half, half)]
    takes = TASKS[planned.task.name].takes
    if takes == "pairs":  # every text is a context too
        texts += [("好？", *text) for text in texts if len(text) == 1]
    return [text for text in texts if takes == "both" or (len(text) == 2) == (takes == "pairs")]


def golden_answers(planned: PlannedText) -> dict[str, np.ndarray]:
    """Return the answers of the original computation: `n/output` of each golden text, as `GOLDEN_FILE` holds them."""
    task = planned.task
    pooling = task.pooling if planned.fitted else planned.request.pooling
    chosen = Chosen(task.name, task.max_length, task.labels, pooling, task.truncation)
    tokenizer = reference_tokenizer(planned.tokenizer, planned.special_tokens_in_text)
    make = partial(FittedOracle, planned.fitted.steps) if planned.fitted else TextOracle
    oracle = text_oracle(planned.encoder, tokenizer, chosen, make)
    arrays: dict[str, np.ndarray] = {}
    for number, answers in enumerate(oracle.answers(golden_questions(planned))):
        for name, array in answers.items():
            arrays[f"{number}/{name}"] = array.astype(np.float32) if array.dtype.kind == "f" else array
    return arrays


def text_oracle(
    encoder: PlannedEncoder,
    tokenizer: ReferenceTokenizer,
    chosen: Chosen,
    make: Callable[..., TextOracle] = TextOracle,
) -> TextOracle:
    """Return the oracle of a checkpoint, which reads the files beside it by itself."""
    checkpoint = encoder.checkpoint
    stored, run = published(checkpoint), as_run(checkpoint, encoder.config, encoder.under)
    heads = HeadOracle(*stored, run["activation"], run["family"], run["source"], encoder.under)

    def masked_logits(outputs: ReferenceOutputs, positions: np.ndarray) -> np.ndarray:
        return heads.mlm(outputs, {"masked_lm_positions": positions})["mlm_logits"]

    return make(
        tokenizer,
        lambda cases: forward(*stored, cases, **run),
        *(garden_head(checkpoint.stored.read, checkpoint.stored.shapes) or (checkpoint.read, checkpoint.shapes)),
        checkpoint.config,
        checkpoint.path,
        chosen,
        masked_logits,
    )


def certify_texts(directory: Path, arrays: Mapping[str, np.ndarray], planned: PlannedText) -> TextCertificate:
    """Return how far an archive is from its golden answers, and from the Keras model that it was made of, if any.

    Raises VerificationFailed beyond what is allowed.
    """
    texts, name = golden_questions(planned), planned.request.name
    allowed = tolerance(planned.encoder.config, computed_in(planned.request.dtype))
    model = load_directory(directory, name)
    found, of_keras = differences(model, texts, arrays, allowed, name), {}
    if planned.fitted:
        asked = [text for text in texts if planned.fitted.takes(text)]
        of_keras = differences(model, asked, planned.fitted.answers(asked), allowed, f"{name}, beside the Keras model,")
    del model
    gc.collect()  # a loaded model hangs in reference cycles; its weights must go before the next one is loaded
    return TextCertificate(
        texts=[list(text) for text in texts],
        tolerance=allowed,
        max_difference={name: rounded_up(value) for name, value in found.items()},
        keras_difference={name: rounded_up(value) for name, value in of_keras.items()},
    )
