"""The certificates of tokenizers and text archives: golden texts, and what the original computations answer to them."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from export.certificate import TOLERANCE, as_run, published, rounded_up, tolerance
from export.oracle.fitted import FittedOracle
from export.oracle.forward import ReferenceOutputs, forward
from export.oracle.heads import HeadOracle
from export.oracle.sentencepiece import GOLDEN as SENTENCEPIECE_TEXTS, ReferenceSentencePiece
from export.oracle.stored_names import garden_head
from export.oracle.texts import Answers, Chosen, TextOracle
from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer, golden_texts
from export.planning import PlannedEncoder, PlannedText
from export.tasks.reading import WithDenseLayers
from export.weights.derived import computed_in
from tokenizer.source import TokenizerConfig
from zoo.archive.card import GoldenText, TextCertificate
from zoo.contract import TASKS, VECTOR
from zoo.errors import VerificationFailed
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


@dataclass(frozen=True)
class Golden:
    """Golden texts, and their answers: `n/output` of text number n. Texts `in_doubt` have no answer that is sure."""

    texts: Sequence[tuple[str, ...]]
    arrays: Mapping[str, np.ndarray]
    in_doubt: Sequence[tuple[str, ...]] = ()


def sure_answers(planned: PlannedText) -> Golden:
    """Return the golden texts of a text archive with the answers of the original computation.

    A text is in doubt if a label or place in its answer changes where the logits change by `TOLERANCE`: two classes are
    as good as equal there, so that no computation in float32 can be held to either. Raises VerificationFailed if all
    are in doubt.
    """
    texts = golden_questions(planned)
    answered = list(zip(texts, _oracle(planned).decided(texts, TOLERANCE), strict=True))
    sure = [(text, answers) for text, answers in answered if answers is not None]
    if not sure:
        raise VerificationFailed(
            f"{planned.request.name}: the labels of all {len(texts)} golden texts hang on differences below "
            f"{TOLERANCE:g}. Is its head trained? `--kind encoder` exports the encoder alone."
        )
    in_doubt = [text for text, answers in answered if answers is None]
    return Golden([text for text, _ in sure], _arrays(answers for _, answers in sure), in_doubt)


def golden_answers(planned: PlannedText) -> dict[str, np.ndarray]:
    """Return the answers of the original computation: `n/output` of each golden text, as `GOLDEN_FILE` holds them."""
    return _arrays(_oracle(planned).answers(golden_questions(planned)))


def _arrays(answered: Iterable[Answers]) -> dict[str, np.ndarray]:
    return {
        f"{number}/{name}": array.astype(np.float32) if array.dtype.kind == "f" else array
        for number, answers in enumerate(answered)
        for name, array in answers.items()
    }


def text_drift(directory: Path, golden: Golden, planned: PlannedText) -> dict[str, float]:
    """Return output -> how far an archive's answers to golden texts are from those of the weights it was made from.

    Of a model with fewer tokens, all of a text's tokens are those that it kept. The scores of tokens for [MASK] are
    over fewer tokens there, so that they have no drift: {}.
    """
    encoder, name = planned.encoder, planned.request.name
    derived = encoder.derived
    assert derived is not None
    of_masks = planned.task.name == "fill_mask"
    if of_masks and derived.kept is not None:
        return {}
    parent = WithDenseLayers(derived.parent, encoder.sentence) if encoder.sentence else derived.parent
    oracle = _oracle(planned, replace(encoder, checkpoint=parent))
    if (kept := derived.kept) is not None:
        run = oracle.forward
        oracle.forward = lambda cases: run([case._replace(ids=kept[case.ids].astype(np.int32)) for case in cases])
    outputs = ("score",) if of_masks else (VECTOR, "logits", "scores")
    answers = [{key: each[key] for key in outputs if key in each} for each in oracle.answers(golden.texts)]
    model = load_directory(directory, name)
    found = differences(model, golden.texts, _arrays(answers), math.inf, name)
    del model
    gc.collect()
    return {output: rounded_up(value) for output, value in found.items()}


def _oracle(planned: PlannedText, encoder: PlannedEncoder | None = None) -> TextOracle:
    task = planned.task
    pooling = task.pooling if planned.fitted else planned.request.pooling
    chosen = Chosen(task.name, task.max_length, task.labels, pooling, task.truncation)
    tokenizer = reference_tokenizer(planned.tokenizer, planned.special_tokens_in_text)
    make = partial(FittedOracle, planned.fitted.steps) if planned.fitted else TextOracle
    return text_oracle(encoder or planned.encoder, tokenizer, chosen, make)


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


def certify_texts(directory: Path, golden: Golden, planned: PlannedText) -> TextCertificate:
    """Return how far an archive is from its golden answers, and from the Keras model that it was made of, if any.

    Raises VerificationFailed beyond what is allowed.
    """
    texts, name = golden.texts, planned.request.name
    allowed = tolerance(planned.encoder.config, computed_in(planned.request.dtype))
    model = load_directory(directory, name)
    found, of_keras = differences(model, texts, golden.arrays, allowed, name), {}
    if planned.fitted:
        asked = [text for text in texts if planned.fitted.takes(text)]
        of_keras = differences(model, asked, planned.fitted.answers(asked), allowed, f"{name}, beside the Keras model,")
    del model
    gc.collect()  # a loaded model hangs in reference cycles; its weights must go before the next one is loaded
    return TextCertificate(
        texts=[list(text) for text in texts],
        in_doubt=[list(text) for text in golden.in_doubt],
        tolerance=allowed,
        max_difference={name: rounded_up(value) for name, value in found.items()},
        keras_difference={name: rounded_up(value) for name, value in of_keras.items()},
    )
