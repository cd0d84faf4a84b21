"""The certificate of a text archive: golden texts, and the answers of the original computation to them."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.certificate import as_run, published, rounded_up, tolerance
from export.oracle.forward import ReferenceOutputs, forward
from export.oracle.heads import HeadOracle
from export.oracle.texts import Chosen, TextOracle
from export.oracle.wordpiece import ReferenceTokenizer, golden_texts
from export.planning import PlannedText
from export.weights.derived import computed_in
from tokenizer.source import TokenizerConfig
from zoo.archive.card import TextCertificate
from zoo.contract import TASKS
from zoo.loading.verify_text import compare_texts

_OVER = 3  # times the limit: the length of a golden text that is cut


def reference_tokenizer(tokenizer: TokenizerConfig, special_tokens_in_text: bool) -> ReferenceTokenizer:
    """Return the published tokenizer with the rules of a planned archive."""
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
    encoder, task = planned.encoder, planned.task
    checkpoint = encoder.checkpoint
    stored, run = published(checkpoint), as_run(checkpoint, encoder.config, encoder.under)
    chosen = Chosen(task.name, task.max_length, task.labels, planned.request.pooling, task.truncation)

    heads = HeadOracle(*stored, run["activation"], run["family"], run["source"], encoder.under)

    def masked_logits(outputs: ReferenceOutputs, positions: np.ndarray) -> np.ndarray:
        return heads.mlm(outputs, {"masked_lm_positions": positions})["mlm_logits"]

    oracle = TextOracle(
        reference_tokenizer(planned.tokenizer, planned.special_tokens_in_text),
        lambda cases: forward(*stored, cases, **run),
        checkpoint.read,
        checkpoint.shapes,
        checkpoint.config,
        checkpoint.path,
        chosen,
        masked_logits,
    )
    arrays: dict[str, np.ndarray] = {}
    for number, answers in enumerate(oracle.answers(golden_questions(planned))):
        for name, array in answers.items():
            arrays[f"{number}/{name}"] = array.astype(np.float32) if array.dtype.kind == "f" else array
    return arrays


def certify_texts(directory: Path, arrays: Mapping[str, np.ndarray], planned: PlannedText) -> TextCertificate:
    """Return how far an archive is from its golden answers. Raises VerificationFailed beyond what is allowed."""
    texts = golden_questions(planned)
    allowed = tolerance(planned.encoder.config, computed_in(planned.request.dtype))
    found = compare_texts(directory, texts, arrays, allowed, planned.request.name)
    gc.collect()  # a loaded model hangs in reference cycles; its weights must go before the next one is loaded
    difference = {name: rounded_up(value) for name, value in found.items()}
    return TextCertificate(texts=[list(text) for text in texts], tolerance=allowed, max_difference=difference)
