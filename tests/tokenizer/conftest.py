"""Tokenizers as users have them: saved, loaded again, once for all tests. And the count of texts compared."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from export.oracle.wordpiece import ReferenceTokenizer
from export.saved_model.root import write_saved_model
from tests.once import made_once
from tests.tokenizer.texts import assigned, trap_vocabulary
from tokenizer.module import Preprocessor, Tokenizer
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary

SHARED = Path(__file__).parents[3] / "shared" / "vocab_21128.txt"
RECATEGORISED = frozenset("\u1734")  # Mn until Unicode 13, Mc since
UNKNOWN_SCRIPT = 103  # ICU's USCRIPT_UNKNOWN, "Zzzz"
ASSIGNED = r"[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}\p{Cc}\p{Cf}\p{Co}]"
NAMES = ("traps", pytest.param("chinese", marks=pytest.mark.skipif(not SHARED.exists(), reason="no shared vocabulary")))

Load = Callable[..., Any]
Reference = Callable[..., ReferenceTokenizer]
Compared = Callable[[str, int], None]


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vocabulary]:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_bytes("\n".join(trap_vocabulary()).encode())
    found = {"traps": Vocabulary.read(path)}
    return found | ({"chinese": Vocabulary.read(SHARED)} if SHARED.exists() else {})


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory, vocabularies: dict[str, Vocabulary]) -> Load:
    """load("traps", lower_case=False) is that tokenizer, reloaded; the path it was loaded from is its `saved_at`."""
    loaded: dict[Any, Any] = {}

    def load(name: str = "traps", kind: type = Tokenizer, lower_case: bool = True, special: bool = False) -> Any:
        key = (name, kind, lower_case, special)
        if key not in loaded:
            how = (vocabularies[name], TokenizerRules.original(lower_case), special)
            label = f"{kind.__name__}-{name}-{'un' * lower_case}cased{'-special' * special}"
            path = made_once(tmp_path_factory, label, lambda place: write_saved_model(lambda: kind(*how), place))
            loaded[key] = tf.saved_model.load(str(path))
            loaded[key].saved_at = str(path)
        return loaded[key]

    return load


@pytest.fixture(scope="session")
def reference(vocabularies: dict[str, Vocabulary]) -> Reference:
    made: dict[tuple[str, bool], ReferenceTokenizer] = {}

    def reference(name: str = "traps", lower_case: bool = True) -> ReferenceTokenizer:
        if (name, lower_case) not in made:
            made[name, lower_case] = ReferenceTokenizer(vocabularies[name].entries, lower_case)
        return made[name, lower_case]

    return reference


@pytest.fixture(scope="session")
def newer() -> frozenset[str]:
    """Characters that this Python's tables have and ICU's inside TensorFlow, or RE2's, have not.

    TensorFlow 2.21: ICU of Unicode 13, RE2 of 15 or later. So the characters of Unicode 14 and 15 are told apart
    rightly as letters, marks and punctuation, but their capitals stay, and they do not know a final sigma.
    """
    chars = assigned()
    private = [unicodedata.category(char) == "Co" for char in chars]
    unknown_to_icu = tf.strings.unicode_script([ord(char) for char in chars]).numpy() == UNKNOWN_SCRIPT
    unknown_to_re2 = ~tf.strings.regex_full_match(chars, ASSIGNED).numpy()
    return RECATEGORISED.union(itertools.compress(chars, (unknown_to_icu | unknown_to_re2) & ~np.array(private)))


@pytest.fixture
def tokenizer(load: Load) -> Any:
    return load("traps")


@pytest.fixture
def preprocessor(load: Load) -> Any:
    return load("traps", Preprocessor)


# -- the count ----------------------------------------------------------------------------------------------------


@pytest.fixture
def compared(record_property: Callable[[str, object], None]) -> Compared:
    """compared("what", n) puts a line under the test run's summary. Properties reach it from other processes too."""
    return lambda what, count: record_property("compared", (what, count))
