"""The names that `import zoo` offers: tab completion, help, and every error that people may want to catch."""

from __future__ import annotations

import inspect
import os
import pydoc
import subprocess
import sys

import pytest

import zoo
import zoo.errors


def test_every_error_can_be_caught_as_zoo_s() -> None:
    errors = {name for name, value in vars(zoo.errors).items() if inspect.isclass(value)}
    assert errors and all(getattr(zoo, name) is getattr(zoo.errors, name) for name in errors)
    assert errors <= set(dir(zoo))


def test_tab_completion_shows_what_is_public_and_nothing_else() -> None:
    others = {name for name in dir(zoo) if not inspect.isclass(getattr(zoo, name))}
    functions = {"bundle", "export", "info", "install", "load", "load_model", "names", "path", "register", "url"}
    beside = {"character_offsets", "import_tensorflow_quietly", "pieces_of", "__version__"}
    assert others == functions | beside and set(zoo.__all__) == functions
    assert {"KerasLayer", "TextEncoder"} <= set(dir(zoo))


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        "import zoo; zoo.register(); zoo.KerasLayer; zoo.TextEncoder; print('result')",
        "import zoo; zoo.import_tensorflow_quietly(); import keras, tensorflow; tensorflow.ones(2); print('result')",
    ],
)
def test_no_log_line_hides_a_result(program: str) -> None:
    """TensorFlow's, absl's and pkg_resources', of what `import zoo` brings in when a name is first used."""
    loud = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", program], env=loud, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("result\n", "")


def test_help_is_short_and_names_what_is_public() -> None:
    text = pydoc.plain(pydoc.render_doc(zoo))
    assert len(text.splitlines()) < (150 if sys.version_info < (3, 13) else 180)  # 3.13: a line for each argument
    description = text.partition("PACKAGE CONTENTS")[0]
    named = [*zoo.__all__, "import_tensorflow_quietly", "KerasLayer", "TextEncoder"]
    assert [name for name in named if name not in description] == []
