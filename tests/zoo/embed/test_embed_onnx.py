"""`zoo embed --runtime onnx`: the vectors of zoo.lite, without TensorFlow, and what does not go with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.lite_model import ASKED, PAIRS
from tests.conftest import ROOT
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.embed import Corpus, EncoderSpec, Settings, embed_corpus, plan_corpus
from zoo.errors import BadArgument, CannotWrite, DigestMismatch

pytest.importorskip("onnxruntime", reason="pip install 'bert-zoo[lite]'")
pytest.importorskip("tokenizers", reason="pip install 'bert-zoo[lite]'")
pytest.importorskip("pyarrow", reason="pip install 'bert-zoo[embed]'")

import pyarrow.dataset as ds

from zoo.lite import TextEncoder

TEXTS = [text for text in ASKED if text.strip() and len(text.splitlines()) == 1]
SETTINGS = Settings(rows_per_part=10, batch_size=3)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


@pytest.fixture
def spec(tiny: Path) -> EncoderSpec:
    return EncoderSpec(str(tiny), runtime="onnx")


def vectors(directory: Path) -> np.ndarray:
    return np.stack(ds.dataset(directory).to_table()["vector"].to_numpy())


def test_vectors_in_a_process_without_tensorflow(tiny: Path, corpus: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['tensorflow'] = None; from zoo.command import main; sys.exit(main(sys.argv[1:]))"
    words = ["embed", tiny, corpus, tmp_path / "out", "--runtime", "onnx", "--rows-per-part", 10, "--json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    job = {name: said["job"][name] for name in ("model", "runtime", "pooling", "max_length", "normalize", "tokenizer")}
    assert job == {
        "model": "tiny",
        "runtime": "onnx",
        "pooling": "max",
        "max_length": 30,
        "normalize": True,
        "tokenizer": None,
    }
    assert said["job"]["batch_size"] == 32
    assert (said["vectors"], said["parts"], said["hidden_size"]) == (len(TEXTS), -(-len(TEXTS) // 10), 12)
    np.testing.assert_allclose(vectors(tmp_path / "out"), TextEncoder(tiny)(TEXTS), rtol=0, atol=1e-6)
    table = ds.dataset(tmp_path / "out").to_table()
    assert table["id"].to_pylist() == TEXTS
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert (facts["zoo.runtime"], facts["zoo.pooling"]) == ("onnx", "max")
    assert facts["zoo.model_sha256"] == sha256_of(tiny / "model.onnx")
    assert facts["zoo.tokenizer_sha256"] == sha256_of(tiny / "tokenizer.json")


def test_pairs_and_a_prompt(spec: EncoderSpec, tiny: Path, tmp_path: Path) -> None:
    rows = "".join(json.dumps({"a": first, "b": second}) + "\n" for first, second in PAIRS)
    (tmp_path / "pairs.jsonl").write_text(rows, encoding="utf-8")
    spec = EncoderSpec(spec.handle, runtime="onnx", prompt="W1 ")
    corpus = Corpus(str(tmp_path / "pairs.jsonl"), text="a", pair="b")
    assert embed_corpus(spec, corpus, tmp_path / "out", settings=SETTINGS).job["prompt"] == "W1 "
    expected = TextEncoder(tiny)([(f"W1 {first}", second) for first, second in PAIRS])
    np.testing.assert_allclose(vectors(tmp_path / "out"), expected, rtol=0, atol=1e-6)


def test_what_the_conversion_has_inside(spec: EncoderSpec, tiny: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="pooling='mean', and it has 'max'; max_length=8, and it has 30"):
        plan_corpus(EncoderSpec(spec.handle, pooling="mean", max_length=8, runtime="onnx"), corpus, tmp_path / "out")
    own = EncoderSpec(spec.handle, pooling="max", normalize=True, runtime="onnx")
    assert "pooling max, normalised, 30 tokens" in str(plan_corpus(own, corpus, tmp_path / "out"))
    with pytest.raises(BadArgument, match="'onnx' does not go with tokenizer='words': .*; batch_invariant: .* Tensor"):
        EncoderSpec(spec.handle, "words", batch_invariant=True, runtime="onnx").find()
    assert (own.batch_size(None), own.batch_size(0), EncoderSpec("toy").batch_size(None)) == (32, 0, 64)
    with pytest.raises(BadArgument, match="batch_size=0: give at least 1"):
        plan_corpus(own, corpus, tmp_path / "out", settings=Settings(batch_size=0))
    with pytest.raises(BadArgument, match="runtime='torch': choose one of tensorflow, onnx"):
        EncoderSpec(spec.handle, runtime="torch")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_directory_of_a_conversion_without_the_option(
    tiny: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(tiny), str(corpus), str(tmp_path / "out")]) == 2
    assert "is what `zoo convert` wrote, which other runtimes run. ONNX that gives" in capsys.readouterr().err


def test_a_run_goes_on_with_the_same_model_alone(
    spec: EncoderSpec, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = embed_corpus(spec, corpus, tmp_path / "out", settings=SETTINGS)
    (tmp_path / "out" / "part-000001.parquet").unlink()
    monkeypatch.setattr("zoo.lite.encoder.TextEncoder.embed", _embed_none)
    with pytest.raises(AssertionError, match="10 rows are left"):
        embed_corpus(spec, corpus, tmp_path / "out", settings=SETTINGS)
    monkeypatch.undo()
    assert embed_corpus(spec, corpus, tmp_path / "out", settings=SETTINGS) == done
    job = plan_corpus(spec, corpus, tmp_path / "other").job
    monkeypatch.setattr(spec.load(), "digests", ("0" * 64, "1" * 64))
    with pytest.raises(DigestMismatch, match=r"is 0{12}… with the tokenizer 1{12}…, but the run was begun with"):
        job.load()
    with pytest.raises(CannotWrite, match=r"begun with other settings: model_sha256 was .*; tokenizer_sha256 was "):
        plan_corpus(spec, corpus, tmp_path / "out", settings=SETTINGS)


def _embed_none(encoder: Any, inputs: list[Any], *_: object) -> None:
    raise AssertionError(f"{len(inputs)} rows are left")
