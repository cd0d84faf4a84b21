"""Archives through the C API of the shared libraries in TensorFlow's wheel: no Python in the process.

A tokenizer needs libraries of tensorflow-text; encoders and text archives need nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import zoo
from export.saved_model.root import write_saved_model
from tests.export.conftest import VOCABULARY
from tests.runtimes.conftest import OLD_PYTHONS, Installed, Signature, save_texts
from tests.runtimes.operations import TEXT_OPS
from tests.zoo.toyzoo import ToyZoo
from tokenizer.module import Preprocessor
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="no g++ here: apt-get install g++"),
]

SOURCE = Path(__file__).with_name("c_api.cc")
TEXT = "你好，w7 好你"


@dataclass(frozen=True)
class Program:
    """c_api.cc, compiled against the TensorFlow of one Python."""

    path: Path
    installed: Installed

    @property
    def text_libraries(self) -> str:
        return ",".join(
            str(self.installed.packages / "tensorflow_text/python/ops" / name) for name in TEXT_OPS.values()
        )

    def run(self, libraries: str, *steps: str | Path, text: str = TEXT) -> subprocess.CompletedProcess[str]:
        command = [str(part) for part in (self.path, text, libraries, *steps)]
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.run(command, capture_output=True, text=True, env=quiet)

    def outputs(self, *steps: str | Path) -> Mapping[str, list[str]]:
        """Return name of the tensor -> its shape and its values, as printed."""
        done = self.run(self.text_libraries, *steps)
        assert done.returncode == 0, done.stderr
        rows = (line.split(" ") for line in done.stdout.splitlines())
        return {name: values for name, *values in rows}


@pytest.fixture(scope="module", params=[sys.executable, *OLD_PYTHONS])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    installed = Installed.of(request.param)
    root = installed.packages / "tensorflow"
    libraries = [root / "libtensorflow_cc.so.2", root / "libtensorflow_framework.so.2"]
    if not libraries[0].exists():  # 2.9: the C API is in the library of the Python module, which wants Python's symbols
        python = next(installed.libraries.glob("libpython3.*.so.1.0"), None)
        if python is None:
            pytest.skip(f"{request.param} has no libpython3.*.so, whose symbols the library of its TensorFlow names")
        libraries = [root / "python/_pywrap_tensorflow_internal.so", libraries[1], python]
    path = tmp_path_factory.mktemp("c_api") / "c_api"
    paths = [f"-Wl,-rpath,{library.parent}" for library in libraries]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", root / "include"]
    subprocess.run(["g++", *flags, SOURCE, "-o", path, *libraries, *paths], check=True)
    return Program(path, installed)


@pytest.fixture(scope="module")
def short_preprocessor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As an archive has it, but for a length that the toy encoder takes."""
    directory = tmp_path_factory.mktemp("short") / "preprocessor"
    rules = TokenizerRules.original(lower_case=True)
    write_saved_model(lambda: Preprocessor(Vocabulary(tuple(VOCABULARY)), rules, seq_length=9), directory)
    return directory


def step(directory: Path, signature: str = "serving_default") -> tuple[Path, str, str]:
    found = Signature.of(directory, signature)
    return directory, ",".join(found.inputs.values()), ",".join(found.outputs.values())


def values(printed: list[str], dtype: type) -> np.ndarray:
    """Return ["[1,3]", "7", "8", "9"] as an array (1, 3)."""
    return np.array(printed[1:], dtype).reshape([int(size) for size in printed[0].strip("[]").split(",")])


def test_text_to_ids_to_vectors(program: Program, short_preprocessor: Path, toy_zoo: ToyZoo) -> None:
    """Outputs come in the order of their names, in which the encoder's inputs are too: mask, types, ids."""
    encoder = toy_zoo.unpacked()
    found = program.outputs(*step(short_preprocessor))
    inputs = tf.saved_model.load(str(short_preprocessor))(tf.constant([TEXT]))
    assert inputs["input_word_ids"].numpy()[0].tolist() == [2, 5, 6, 1, 15, 6, 5, 3, 0]
    for name, tensor in Signature.of(short_preprocessor).outputs.items():
        np.testing.assert_array_equal(values(found[tensor], int), inputs[name])
    found = program.outputs(*step(short_preprocessor), *step(encoder))
    expected = zoo.load(encoder)(inputs)
    for name, tensor in Signature.of(encoder).outputs.items():
        np.testing.assert_allclose(values(found[tensor], float), expected[name], rtol=0, atol=1e-5)


def test_string_tokens_to_vectors(program: Program, toy_zoo: ToyZoo) -> None:
    tokenizer, encoder = toy_zoo.unpacked("toy_tokenizer"), toy_zoo.unpacked()
    vectors = Signature.of(encoder, "tokens").outputs
    found = program.outputs(*step(tokenizer), *step(encoder, "tokens"))
    tokens = zoo.load(tokenizer)(tf.constant([TEXT]))
    assert found[Signature.of(tokenizer).outputs["tokens"]][1:] == [token.decode() for token in tokens.numpy()[0]]
    expected = zoo.load(encoder)(tokens)
    for name, tensor in vectors.items():
        np.testing.assert_allclose(values(found[tensor], float), expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vectors", "classes", "entities"])
def test_strings_to_answers_with_libtensorflow_alone(name: str, program: Program, tmp_path: Path) -> None:
    directory = save_texts(name, tmp_path)
    done = program.run("", *step(directory))
    assert done.returncode == 0, done.stderr
    found = {key: printed for key, *printed in (line.split(" ") for line in done.stdout.splitlines())}
    expected = tf.saved_model.load(str(directory)).signatures["serving_default"](text=tf.constant([TEXT]))
    for output, tensor in Signature.of(directory).outputs.items():
        value = expected[output].numpy()
        if value.dtype == object:
            assert " ".join(found[tensor][1:]) == " ".join(each.decode() for each in value.reshape(-1))
        else:
            np.testing.assert_allclose(values(found[tensor], float), value, rtol=0, atol=1e-5)


def test_no_python_is_in_the_process(program: Program) -> None:
    linked = subprocess.run(["ldd", program.path], check=True, capture_output=True, text=True).stdout
    has_library = (program.installed.packages / "tensorflow/libtensorflow_cc.so.2").exists()
    assert ("libpython" in linked) != has_library


def test_what_a_tokenizer_needs_is_told_by_name(program: Program, toy_zoo: ToyZoo) -> None:
    done = program.run("", *step(toy_zoo.unpacked("toy_tokenizer")))
    assert done.returncode == 1 and "FastWordpieceTokenizeWithOffsets" in done.stderr
