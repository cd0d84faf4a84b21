"""Tokenizers as users have them: saved, loaded again, once for all tests. And the count of texts compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

from export.oracle.wordpiece import ReferenceTokenizer
from export.saved_model.root import write_saved_model
from tests.once import made_once
from tests.tokenizer import editions
from tests.tokenizer.texts import trap_vocabulary
from tokenizer.module import Preprocessor, Tokenizer
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary

SHARED = Path(__file__).parents[3] / "shared" / "vocab_21128.txt"
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
    return editions.newer()


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
