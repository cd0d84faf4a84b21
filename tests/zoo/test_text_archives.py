"""Text archives through `zoo`: their vectors, calls that they refuse, a corpus, lists, bundles."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import TextCard
from zoo.command import main
from zoo.embed import EncoderSpec, Settings, plan_corpus
from zoo.embed.run import run_plan
from zoo.errors import BadArgument, CannotWrite, DigestMismatch
from zoo.loading.matching import FoundText, find_vectors
from zoo.loading.pooling import AskedVectors
from zoo.site import write_site

TEXTS = ["你好", "the hotel was good. " * 30, "", "w1", "good bad w9 w8", "北京！"]
PAIRS = [("你好", "w1 w2"), ("", "good")]


@pytest.fixture(scope="module")
def archive(text_zoo: ToyZoo) -> Any:
    return zoo.load(text_zoo.unpacked("vectors"))


@pytest.fixture(scope="module")
def encode(text_zoo: ToyZoo) -> zoo.TextEncoder:
    return zoo.TextEncoder("vectors", registry=text_zoo.registry)


# -- vectors ----------------------------------------------------------------------------------------------------------


def test_vectors_are_those_of_the_archive(
    encode: zoo.TextEncoder, archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (encode.hidden_size, encode.pooling, encode.max_length) == (24, "max", 30)
    vectors = encode(TEXTS, batch_size=2)
    assert vectors.shape == (6, 24) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, archive(TEXTS), rtol=0, atol=1e-6)
    np.testing.assert_allclose(encode(PAIRS), archive(PAIRS), rtol=0, atol=1e-6)
    np.testing.assert_allclose(encode.query(TEXTS), archive.query(TEXTS), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(encode.passage(PAIRS), encode(PAIRS), "it has no prompt for passages")
    assert np.abs(encode.query(TEXTS) - vectors).max() > 1e-3
    assert encode([]).shape == (0, 24)
    monkeypatch.setattr("zoo.vector_encoder.WINDOW", 4)
    np.testing.assert_allclose(encode(TEXTS), vectors, rtol=0, atol=1e-6)


def test_its_own_tokenizer_counts_for_batches_of_equal_lengths(text_zoo: ToyZoo, archive: Any) -> None:
    encode = zoo.TextEncoder("vectors", registry=text_zoo.registry, batch_invariant=True)
    for texts in (TEXTS, PAIRS):
        how = encode._prompting("query")
        inputs = {key: each.numpy() for key, each in encode._steps.preprocess(tf.constant(texts), how).items()}
        prompted = [f"a 1: {text}" if isinstance(text, str) else (f"a 1: {text[0]}", text[1]) for text in texts]
        wanted = archive.tokenizer(tf.constant(prompted), special_tokens=True).numpy()
        assert encode._steps.tokens(inputs, how).tolist() == np.minimum((wanted != b"").sum(1), 30).tolist()
        vectors = encode.query(texts)
        np.testing.assert_allclose(vectors, archive.query(texts), rtol=0, atol=1e-6)
        assert encode.query(texts[1:2]).tobytes() == vectors[1:2].tobytes()


@pytest.mark.parametrize(("pooling", "sizes"), [("max", {2, 4, 8}), ("pooled", {8})])
def test_first_tokens_fill_a_tensor_of_their_own(
    pooling: str, sizes: set[int], encode: zoo.TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    vectors = encode._steps.vectors
    monkeypatch.setattr("zoo.text_encoder.has_onednn_for_avx512", lambda: True)
    monkeypatch.setattr(encode, "batch_invariant", True)
    monkeypatch.setattr(encode, "how", replace(encode.how, pooling=pooling))
    monkeypatch.setattr(
        encode._steps, "vectors", lambda batch, how: (seen.add(len(batch["text"])), vectors(batch, how))[1]
    )
    texts = ["1 " * count for count in range(1, 12)]  # 3 to 13 tokens
    encode(texts)
    assert seen == sizes
    seen.clear()
    monkeypatch.setattr("zoo.text_encoder.has_onednn_for_avx512", lambda: False)
    encode(texts)
    assert seen == {1}


def test_texts_of_a_length_go_through_it_together(encode: zoo.TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    vectors = encode._steps.vectors
    monkeypatch.setattr(
        encode._steps, "vectors", lambda batch, how: (seen.append([*map(len, batch["text"])]), vectors(batch, how))[1]
    )
    encode(TEXTS, batch_size=2)
    assert seen == [[14, 600], [6, 9], [0, 2]]


@pytest.mark.parametrize("prompt", ["a 1: ", "a 1: good ", "w5 "])
def test_prompts(prompt: str, encode: zoo.TextEncoder, archive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive's function for queries puts the first before a text itself, so it must not come twice."""
    query, expected = encode.query(TEXTS), archive([prompt + text for text in TEXTS])
    monkeypatch.setattr(encode, "how", encode._found.text_vectors(AskedVectors(prompt=prompt)))
    np.testing.assert_allclose(encode(TEXTS), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(encode.query(TEXTS), query, rtol=0, atol=1e-6)


def test_a_model_whose_every_function_has_a_prompt(encode: zoo.TextEncoder) -> None:
    card = encode.card
    assert isinstance(card, TextCard)
    prompts = {"query": "q ", "document": "d "}
    task = card.task.model_copy(update={"prompts": prompts, "default_prompt": "query"})
    assert task.functions == {"__call__": "q ", "query": "q ", "passage": "d "}
    assert [task.calling(prompt) for prompt in ("q ", "d x ", "")] == [("__call__", ""), ("passage", "x "), None]
    found = FoundText(Path("x"), card.model_copy(update={"task": task}))
    assert found.text_vectors(AskedVectors()).prompt == "q "
    with pytest.raises(BadArgument, match=r"always puts one of its own prompts before a text, 'q ', 'd '\. Give one"):
        found.text_vectors(AskedVectors(prompt=""))


def test_a_keras_model_of_texts(encode: zoo.TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = encode.keras_model(trainable="last:1")
    np.testing.assert_allclose(model(tf.constant(TEXTS)), encode(TEXTS), rtol=0, atol=1e-6)
    monkeypatch.setattr(encode, "how", encode._found.text_vectors(AskedVectors(prompt="w1 ")))
    with pytest.raises(BadArgument, match="cannot put the prompt 'w1 ' before its texts: give TextEncoder prompt=''"):
        encode.keras_model()


def test_arguments_that_contradict_the_archive(text_zoo: ToyZoo) -> None:
    place = text_zoo.unpacked("vectors")
    assert zoo.TextEncoder(place, pooling="max", normalize=True, max_length=30).pooling == "max"
    with pytest.raises(BadArgument, match=r"pooling='mean', and it has 'max'; max_length=12, and it has 30\. Leave"):
        zoo.TextEncoder(place, pooling="mean", max_length=12)
    with pytest.raises(BadArgument, match="has its tokenizer inside: leave tokenizer= away"):
        zoo.TextEncoder(place, place)
    with pytest.raises(BadArgument, match=r"of the task classification, which gives no vectors: call it with texts"):
        zoo.TextEncoder(text_zoo.unpacked("odd"))


def test_outputs_of_the_encoder(encode: zoo.TextEncoder, archive: Any) -> None:
    """The error names the way to them, which works."""
    with pytest.raises(BadArgument, match=r"`model\.encoder\(model\.tokenizer\(texts, special_tokens=True\)\)`"):
        encode.outputs(TEXTS)
    assert archive.encoder(archive.tokenizer(["你好"], special_tokens=True))["sequence_output"].shape == (1, 4, 32)


# -- calls ------------------------------------------------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    ("你好", r"this is a single text: .* takes a list, even of one, `\[text\]`\. Give texts \[B\].* or pairs"),
    (b"bytes", "this is a single text"),
    ([[101, 872, 102]], r"these inputs are int32 \(1, 3\), and a text archive takes strings; ids go to `\.encoder`"),
    ([0.5, 1.5], r"these inputs are float32 \(2,\), and a text archive takes strings"),
    ([["a", "b", "c"]], r"these strings are \(1, 3\), which this text archive does not take"),
    ([[["a", "b"]]], r"these strings are \(1, 1, 2\)"),
    ({"input_word_ids": [[1]]}, "a dict of input_word_ids, and a text archive takes one of strings"),
    (["a", None], "all rows need the same length and one type"),
    (["a", ["a", "b"]], "all rows need the same length and one type"),
]


@pytest.mark.parametrize(("inputs", "words"), WRONG)
def test_calls_that_are_refused(inputs: Any, words: str, archive: Any) -> None:
    for function in (archive, archive.query):
        with pytest.raises(BadArgument, match=words):
            function(inputs)


def test_calls_that_are_answered(archive: Any) -> None:
    expected = archive(tf.constant(["你好", "w1"]))
    for texts in (("你好", "w1"), ["你好".encode(), b"w1"], np.array(["你好", "w1"]), np.array(["你好", "w1"], object)):
        np.testing.assert_array_equal(archive(texts), expected)
    assert archive([]).shape == archive(tf.constant([], tf.string)).shape == (0, 24)


# -- a corpus ---------------------------------------------------------------------------------------------------------


def test_zoo_embed(text_zoo: ToyZoo, encode: zoo.TextEncoder, tmp_path: Path) -> None:
    """It needs neither a tokenizer nor a pooling; the sha256 of the archive says whether a run may go on."""
    dataset = pytest.importorskip("pyarrow.dataset", reason="pip install 'bert-zoo[embed]'")
    (tmp_path / "in.txt").write_text("\n".join(TEXTS[:2] + TEXTS[3:]) + "\n", encoding="utf-8")
    arguments = (tmp_path / "in.txt", tmp_path / "out")
    spec = EncoderSpec("vectors", registry=str(text_zoo.registry))
    plan = plan_corpus(spec, *arguments, settings=Settings(rows_per_part=3))
    assert "vectors, pooling max, normalised, 30 tokens" in str(plan)
    job = run_plan(plan).job
    record = zoo.info("vectors", text_zoo.registry).archive
    assert record is not None and job["model_sha256"] == record.sha256
    assert (job["tokenizer"], job["tokenizer_sha256"], job["pooling"]) == (None, None, "max")
    table = dataset.dataset(tmp_path / "out").to_table()
    expected = encode(TEXTS[:2] + TEXTS[3:])
    np.testing.assert_allclose(np.stack(table["vector"].to_numpy()), expected, rtol=0, atol=1e-6)
    assert b"zoo.tokenizer" not in table.schema.metadata
    with pytest.raises(CannotWrite, match="prompt was None, is 'a 1: '"):
        plan_corpus(replace(spec, prompt="a 1: "), *arguments, settings=Settings(rows_per_part=3))
    with pytest.raises(CannotWrite, match="model_sha256 was"):
        plan_corpus(str(text_zoo.unpacked("vectors")), *arguments, settings=Settings(rows_per_part=3))
    with pytest.raises(DigestMismatch, match=r"on this worker vectors is \w{12}…, but the run was begun with aaaaaaaa"):
        replace(plan.job, digests=("a" * 64, None)).load()
    with pytest.raises(BadArgument, match="leave tokenizer= away"):
        plan_corpus(EncoderSpec("vectors", "vectors", registry=spec.registry), *arguments)


# -- lists, bundles, the catalogue ------------------------------------------------------------------------------------


def test_lists_and_facts(text_zoo: ToyZoo, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--registry", str(text_zoo.registry)]
    assert main(["list", "--task", "vector", *where]) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]] == [["vectors", "text:", "vector"]]
    assert main(["list", "--task", "span", *where]) == 0
    assert "has 2 models, none of the task span." in capsys.readouterr().err
    assert main(["list", "--json", "--task", "classification", *where]) == 0
    assert json.loads(capsys.readouterr().out)["odd"]["card"]["task"]["labels"] == [f"class {n}" for n in range(3)]
    assert main(["info", "odd", *where]) == 0  # from the card of the archive, which lies beside the registry
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["labels"] == "class 0, class 1, class 2" and said["scores"] == "softmax"
    assert (said["takes"], said["max"].split()[-1], said["pooling"]) == ("texts or pairs", "40", "pooled")
    assert main(["info", "vectors", *where]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (said["pooling"], said["prompts"]) == ("max, normalised", "query: 'a 1: '")
    assert main(["info", "bge_small_zh"]) == 0  # not on this machine: what its row says
    assert "prompts         query: '为这个句子生成表示以用于检索相关文章：'" in capsys.readouterr().out


def test_bundled_and_installed(
    text_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a machine without a network, where it is verified and used by its name."""
    bundle = str(tmp_path / "vectors.tar")
    assert main(["bundle", "vectors", "--out", bundle, "--registry", str(text_zoo.registry)]) == 0
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "there"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert main(["install", bundle]) == 0 and main(["verify", "vectors"]) == 0
    assert "vectors (text): " in capsys.readouterr().out
    assert find_vectors("vectors").text_vectors(AskedVectors()).pooling == "max"


def snippets(text_zoo: ToyZoo, place: Path) -> dict[str, dict[str, str]]:
    """Write the catalogue of both archives; return the Python that it shows of each, by the name of its tab."""
    if shutil.which("node") is None:
        pytest.skip("no node on this machine")
    for file in ("registry.json", "vectors.tar.gz", "odd.tar.gz"):
        shutil.copy(text_zoo.directory / file, place)
    write_site(place)
    data = (place / "index.html").read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0]
    script = (Path(zoo.site.__file__).parent / "snippets.js").read_text(encoding="utf-8")
    script += f"\nconst place = placeOf({{ href: {place.as_uri()!r} + '/index.html' }});"
    script += f"\nconst all = ['vectors', 'odd'].map((name) => snippetsOf(name, {data}, place));"
    done = subprocess.run(
        ["node", "-e", f"{script}\nconsole.log(JSON.stringify(all));"], capture_output=True, text=True, check=True
    )
    found = zip(("vectors", "odd"), json.loads(done.stdout), strict=True)
    return {name: {each[0]: each[3] for each in shown if each[2] == "python"} for name, shown in found}


def test_the_catalogue(text_zoo: ToyZoo, tmp_path: Path) -> None:
    """The row and the filter have the task; what it takes decides the snippets, which a slow test runs."""
    found = snippets(text_zoo, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<select id="task" data-filter="task">' in page and page.count('data-task="vector"') == 1
    assert found["vectors"].keys() == {"hub", "encoder", "hub-keras", "zoo-keras", "zoo"}
    assert found["odd"].keys() == {"hub", "hub-keras", "zoo-keras", "zoo"}
    for name, shown in found.items():
        assert "[['你好吗？', '我很好。']]" in shown["hub"], f"{name} takes pairs too"
        for tab, text in shown.items():
            compile(text, f"{name}, {tab}", "exec")


@pytest.mark.slow
def test_every_snippet_runs(text_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for shown in snippets(text_zoo, tmp_path).values():
        for text in shown.values():
            names: dict[str, Any] = {}
            exec(text, names)
            if "model" in names:
                assert names["model"](tf.constant(["你好", "a"])).shape == (2, 2)
