"""zoo.lite against the text archive that scripts/lite_model.py asked: in ids, in vectors, and without TensorFlow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from scripts.lite_model import ASKED, DATA, PAIRS
from tests.conftest import ROOT
from tests.zoo.site.test_site import page_of
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import OnnxCard, Source, TextCertificate, read_card, write_card
from zoo.archive.digests import file_digests, sha256_of
from zoo.archive.pack import pack
from zoo.archive.permissions import make_writable
from zoo.archive.task import TextTask
from zoo.command import main
from zoo.contract import CARD_FILE, GOLDEN_FILE
from zoo.errors import (
    BadArchive,
    BadArgument,
    DamagedArchive,
    MissingExtra,
    NotBuilt,
    UnknownModel,
    VerificationFailed,
)
from zoo.fetching.places import directories_place, installed_place
from zoo.loading.verify import verify
from zoo.publishing.publish import publish
from zoo.registry.entry import Entry
from zoo.registry.rows import registry_row
from zoo.registry.writing import update_registry

pytest.importorskip("onnxruntime", reason="pip install 'bert-zoo[lite]'")
pytest.importorskip("tokenizers", reason="pip install 'bert-zoo[lite]'")

import onnxruntime

from zoo.lite import TextEncoder
from zoo.lite.converted import read_converted
from zoo.lite.finding import _in_cache
from zoo.lite.tokens import _KEPT, Tokens, batch_of

Changed = Callable[..., Path]


@pytest.fixture(scope="module")
def encode(tiny: Path) -> TextEncoder:
    return TextEncoder(tiny)


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    with np.load(DATA / "answers.npz") as file:
        return dict(file)


@pytest.fixture
def changed(tiny: Path, tmp_path: Path) -> Changed:
    """changed(task={"lower_case": True}) gives a copy with another conversion.json."""

    def change(task: dict[str, Any] | None = None, **stated: Any) -> Path:
        place = Path(shutil.copytree(tiny, tmp_path / "changed", dirs_exist_ok=True))
        content = json.loads((tiny / "conversion.json").read_text(encoding="utf-8"))
        content = {**content, "task": {**content["task"], **(task or {})}, **stated}
        (place / "conversion.json").write_text(json.dumps(content), encoding="utf-8")
        return place

    return change


# -- vectors ----------------------------------------------------------------------------------------------------------


def test_ids_are_those_of_the_archive(tiny: Path, answers: dict[str, np.ndarray]) -> None:
    rows = Tokens(read_converted(tiny)).rows(np.array(ASKED, object), "")
    assert len(rows) == len(answers["ids"]) > 30
    for row, ids in zip(rows, answers["ids"], strict=True):
        assert row.ids == [2, *ids[ids >= 0][:28].tolist(), 3]


def test_vectors_are_those_of_the_archive(encode: TextEncoder, answers: dict[str, np.ndarray]) -> None:
    assert (encode.name, encode.hidden_size, encode.max_length) == ("tiny", 12, 30)
    vectors = encode(ASKED, batch_size=3)
    assert vectors.dtype == np.float32 and np.abs(answers["queries"] - answers["vectors"]).max() > 0.1
    np.testing.assert_allclose(vectors, answers["vectors"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(encode.query(ASKED), answers["queries"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(encode.passage(ASKED), answers["vectors"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(encode(PAIRS), answers["pairs"], rtol=0, atol=1e-6)
    assert encode([]).shape == (0, 12)


def test_one_class_for_both_runtimes(tiny: Path, answers: dict[str, np.ndarray]) -> None:
    encode = zoo.TextEncoder(tiny, runtime="onnx", registry=None, max_length=None)
    assert isinstance(encode, TextEncoder)
    np.testing.assert_allclose(encode(ASKED), answers["vectors"], rtol=0, atol=1e-6)
    with pytest.raises(BadArgument, match="runtime='onnx' takes the conversion as it is, without max_length, pooling:"):
        zoo.TextEncoder(tiny, runtime="onnx", pooling="mean", max_length=8)
    with pytest.raises(BadArgument, match="without a tokenizer"):
        zoo.TextEncoder(tiny, "words", runtime="onnx")
    with pytest.raises(BadArgument, match="runtime='torch': give 'tensorflow' or 'onnx'"):
        zoo.TextEncoder(tiny, runtime="torch")


def test_windows_and_batches(encode: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of a length go through the model together, and come back in the order in which they were given."""
    expected, seen = encode(ASKED), []
    monkeypatch.setattr("zoo.vector_encoder.WINDOW", 7)
    monkeypatch.setattr("zoo.lite.encoder.batch_of", lambda rows: (seen.append([*map(len, rows)]), batch_of(rows))[1])
    monkeypatch.setattr("zoo.lite.tokens.Row.__len__", lambda row: len(row.ids), raising=False)
    np.testing.assert_allclose(encode(ASKED, batch_size=3), expected, rtol=0, atol=1e-6)
    window = seen[2::-1]  # its batches, the longest texts first
    assert [len(batch) for batch in window] == [3, 3, 1]
    assert (lengths := [length for batch in window for length in batch]) == sorted(lengths)


def test_many_batches_are_computed_side_by_side(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors and the counts of a bar are those of one batch after the other, in the same order."""
    texts, counts = [f"{'你好' * (place % 9)}{place}" for place in range(30)], list[int]()
    monkeypatch.setattr("zoo.lite.encoder.cores", lambda: 3)
    encode = TextEncoder(tiny)
    one_by_one = encode(texts, batch_size=5, show_progress=False)  # six batches
    assert "_session_of_many" not in vars(encode)
    monkeypatch.setattr("zoo.lite.encoder.MANY", 6)
    found = encode.embed(encode.preprocess(texts), 5, counts.append)
    assert "_session_of_many" in vars(encode) and counts == [5] * 6
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-6)
    monkeypatch.setattr("zoo.lite.encoder.cores", lambda: 1)
    alone = TextEncoder(tiny)
    alone(texts, batch_size=5, show_progress=False)
    assert "_session_of_many" not in vars(alone), "one core computes nothing side by side"


def test_prompts_are_those_of_the_archive(encode: TextEncoder, changed: Changed) -> None:
    other = TextEncoder(changed({"prompts": {"query": "W1 ", "corpus": "W2 "}, "default_prompt": "query"}))
    for function, prompt in ((other, "W1 "), (other.query, "W1 "), (other.passage, "W2 ")):
        np.testing.assert_array_equal(function(ASKED), encode([prompt + text for text in ASKED]))
    np.testing.assert_array_equal(other(PAIRS), encode([(f"W1 {first}", second) for first, second in PAIRS]))
    given = zoo.TextEncoder(other.converted.directory, runtime="onnx", prompt="")
    np.testing.assert_array_equal(given(ASKED), encode(ASKED))
    np.testing.assert_array_equal(given.query(ASKED), other.query(ASKED))


def test_threads(tiny: Path, answers: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """As many compute as asked for: one session of three, then three batches side by side; one thread has no second."""
    asked = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        "zoo.lite.encoder.onnxruntime.InferenceSession",
        lambda path, options, **how: (asked.append(options.intra_op_num_threads), session(path, options, **how))[1],
    )
    for threads, sessions in ((3, [3, 1]), (1, [1]), (10, [10, 3])):
        asked.clear()
        vectors = TextEncoder(tiny, threads=threads)(ASKED, batch_size=2)
        np.testing.assert_allclose(vectors, answers["vectors"], rtol=0, atol=1e-6)
        assert asked == sessions
    for threads in (0, -1, True, 1.5):
        with pytest.raises(BadArgument, match=f"threads={threads}: give a whole number, at least 1, or None"):
            TextEncoder(tiny, threads=threads)  # type: ignore[arg-type]


def test_lower_case_before_the_tokenizer(changed: Changed) -> None:
    content = json.loads((changed() / "tokenizer.json").read_text(encoding="utf-8"))
    kept = json.dumps({**content, "normalizer": None})  # its ids of capitals are those of unknown words
    files = {"model.onnx": {"size": 37375, "sha256": ""}, "tokenizer.json": {"size": len(kept), "sha256": ""}}
    ids = []
    for lower_case in (True, False):
        place = changed({"lower_case": lower_case}, files=files)
        (place / "tokenizer.json").write_text(kept, encoding="utf-8")
        tokens = Tokens(read_converted(place))
        ids += [tokens.rows(np.array([text], object), "W1 ")[0].ids for text in ("The BAD\0 Hotel", "the bad hotel")]
    assert ids[0] == ids[1] == [2, 32, 23, 26, 24, 3] and ids[2] == [2, 1, 1, 1, 1, 3], "unknown with a capital"


@pytest.mark.parametrize("rule", ["round_robin", "longest_first", "only_second"])
def test_pairs_are_cut_by_the_rule(rule: str) -> None:
    """One token at a time, as the rules are described."""
    for first in range(12):
        for second in range(12):
            for room in range(1, 14):
                kept = _KEPT[rule](first, second, room)
                assert (kept, min(second, room - kept)) == _stepwise(rule, first, second, room)


def _stepwise(rule: str, first: int, second: int, room: int) -> tuple[int, int]:
    """Round robin gives a token to each in turn. The others take tokens away until the pair fits."""
    if rule == "round_robin":
        left, kept = [first, second], [0, 0]
        for step in range(2 * room):
            if sum(kept) < room and kept[step % 2] < left[step % 2]:
                kept[step % 2] += 1
        return kept[0], kept[1]
    swapped = first > second
    while first + second > room:
        if rule == "only_second":
            first, second = (first, second - 1) if second else (first - 1, second)
        elif first > second or (first == second and not swapped):
            first -= 1
        else:
            second -= 1
    return first, second


def test_half_of_a_character(encode: TextEncoder) -> None:
    with pytest.raises(BadArgument, match="text 1 holds half of a surrogate pair"):
        encode(["好", "a\ud800"])
    with pytest.raises(BadArgument, match="batch_size=0: give a whole number of texts"):
        encode(["好"], batch_size=0)


# -- what is read -----------------------------------------------------------------------------------------------------


def test_conversions_without_vectors(changed: Changed) -> None:
    with pytest.raises(BadArgument, match="a text archive of the task span, which gives no vectors of texts"):
        TextEncoder(changed({"name": "span"}))
    with pytest.raises(BadArgument, match="in the format tflite; zoo.lite runs ONNX: `zoo convert --to onnx`"):
        TextEncoder(changed(format="tflite"))
    place = changed()
    content = json.loads((place / "conversion.json").read_text(encoding="utf-8"))
    (place / "conversion.json").write_text(json.dumps({**content, "task": None}), encoding="utf-8")
    with pytest.raises(BadArgument, match=r"is an encoder, .* `zoo export … --kind text --task vector`"):
        TextEncoder(place)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"max_length": 2}, "as `zoo convert` writes it: max_length 2"),
        ({"max_length": True}, "True is no int"),
        ({"prompts": {"query": 3}}, "3 is no str"),
        ({"prompts": []}, "as `zoo convert` writes it: 'list' object"),
        ({"pooling": None}, "None is no str"),
        ({"truncation": "middle"}, "cuts pairs by 'middle', unknown here: update bert-zoo"),
    ],
)
def test_odd_conversions(task: dict[str, Any], words: str, changed: Changed) -> None:
    with pytest.raises(BadArchive, match=words):
        TextEncoder(changed(task))


def test_damaged_directories(changed: Changed, tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match=r"cannot be read: .*zoo.lite takes what `zoo convert NAME --to onnx` writes"):
        TextEncoder(tmp_path)
    place = changed()
    whole = (place / "model.onnx").read_bytes()
    (place / "model.onnx").write_bytes(whole[:-1])
    (place / "tokenizer.json").rename(place / "moved")
    with pytest.raises(
        DamagedArchive, match=r"model.onnx has 37,374 bytes, should have 37,375; tokenizer.json is missi"
    ):
        TextEncoder(place)
    (place / "moved").rename(place / "tokenizer.json")
    (place / "model.onnx").write_bytes(b"\xff" * len(whole))
    with pytest.raises(BadArchive, match="model.onnx does not load in onnxruntime: "):
        TextEncoder(place)
    (place / "tokenizer.json").write_bytes(b" " * (place / "tokenizer.json").stat().st_size)
    with pytest.raises(BadArchive, match="tokenizer.json cannot be read: "):
        TextEncoder(place)


# -- packages ---------------------------------------------------------------------------------------------------------

BLOCKED = ("tensorflow", "tensorflow_text", "tensorflow_hub", "keras", "pydantic", "requests", "onnx", "filelock")


def test_nothing_heavy_is_imported(tiny: Path, answers: dict[str, np.ndarray]) -> None:
    """In a process that could not import it; onnxruntime, tokenizers and numpy are all it takes."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))
import zoo
print(zoo.lite.TextEncoder(sys.argv[1])(["你好"])[0].tolist())
"""
    done = subprocess.run([sys.executable, "-c", code, tiny], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), answers["vectors"][ASKED.index("你好")], rtol=0, atol=1e-6)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "numpy"])
def test_missing_packages(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("zoo.lite") or name == "zoo.text_batches"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(zoo, "lite", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingExtra, match=r"zoo.lite needs the extra 'lite': `pip install onnxruntime tokenizers numpy"
    ):
        zoo.lite.TextEncoder  # noqa: B018


# -- published --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tiny: Path, answers: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with tiny_onnx, an archive as `zoo build tiny --with onnx` writes it, and tiny, which is not built."""
    out = tmp_path_factory.mktemp("published")
    place = Path(shutil.copytree(tiny, out / "model"))
    (place / GOLDEN_FILE).parent.mkdir()
    np.savez(place / GOLDEN_FILE, **{f"{number}/vector": vector for number, vector in enumerate(answers["vectors"])})
    task = json.loads((tiny / "conversion.json").read_text(encoding="utf-8"))["task"]
    card = OnnxCard(
        name="tiny_onnx",
        vocabulary_sha256="a" * 64,
        source=Source(format="huggingface", files={}),
        ops=[],
        versions={},
        files=file_digests(place),
        parent="tiny",
        parent_sha256="b" * 64,
        hidden_size=12,
        task=TextTask(**task),
        certificate=TextCertificate(texts=[[text] for text in ASKED], tolerance=2e-5, max_difference={"vector": 1e-6}),
    )
    write_card(card, place)
    rows = {"tiny_onnx": registry_row(card, pack(place, out / "tiny_onnx.tar.gz"), None)}
    rows |= {name: Entry(kind="text", task="vector") for name in ("tiny", "other")}
    update_registry(out / "registry.json", rows)
    return out


def test_a_name_is_found(published: Path, encode: TextEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    registry = published / "registry.json"
    for handle in ("tiny", "tiny_onnx", published / "tiny_onnx.tar.gz", published / "model"):
        np.testing.assert_array_equal(TextEncoder(handle, registry=registry)(["你好"]), encode(["你好"]))
    row = zoo.info("tiny_onnx", registry)
    assert (row.kind, row.task, row.pooling, row.max_length, row.hidden_size) == ("onnx", "vector", "max", 30, 12)
    assert main(["verify", "tiny_onnx", "--registry", str(registry)]) == 0
    said = capsys.readouterr().out
    assert f"tiny_onnx (onnx): 4 files and {len(ASKED)} golden texts agree" in said and "operations" not in said


def test_it_is_published_and_has_a_card_in_the_catalogue(published: Path, tmp_path: Path) -> None:
    dist = Path(shutil.copytree(published, tmp_path / "dist"))
    card = page_of(dist).cards["tiny_onnx"]
    assert "zoo.lite.TextEncoder" in (dist / "index.html").read_text(encoding="utf-8")
    assert "zoo verify tiny_onnx repeats its golden data" in card and "made with" in card
    assert "tiny_onnx.tar.gz" in publish(dist, tmp_path / "mirror").written
    there = TextEncoder("tiny", registry=tmp_path / "mirror" / "registry.json")
    assert there.max_length == 30


def test_a_name_in_the_cache_needs_no_record(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Second process: neither pydantic nor the registry's records are imported, whether given or installed."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    assert main(["install", str(published / "tiny_onnx.tar.gz")]) == 0
    script = (
        "import sys, zoo; zoo.lite.TextEncoder(sys.argv[1]); print([each for each in ('pydantic', 'requests')"
        " if each in sys.modules])"
    )

    def imported(name: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, name],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert imported("tiny_onnx") == imported("tiny_onnx", ZOO_REGISTRY=str(published / "registry.json")) == "[]"
    [place] = (tmp_path / "cache").glob("[0-9a-f]*")
    used = place.stat().st_mtime
    TextEncoder("tiny", registry=published / "registry.json")
    assert place.stat().st_mtime > used, "its use is noted"
    make_writable(place)
    (place / "model.onnx").write_bytes(b"half")
    assert TextEncoder("tiny", registry=published / "registry.json").hidden_size == 12, "damage is mended as ever"


@pytest.mark.parametrize(
    "reason", ["signed", "expires", "later", "twice", "other kind", "digest", "directories", "packaged"]
)
def test_the_registry_decides_where_a_look_is_not_enough(
    reason: str, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    registry = Path(shutil.copy(published / "registry.json", tmp_path))
    shutil.copy(published / "tiny_onnx.tar.gz", tmp_path)
    TextEncoder("tiny", registry=registry)
    assert _in_cache("tiny", registry) is not None
    facts = json.loads(registry.read_text(encoding="utf-8"))
    row = facts["models"]["tiny_onnx"]
    given: Path | None = registry
    if reason == "signed":
        monkeypatch.setenv("ZOO_TRUSTED_KEY", "RW")
    elif reason == "expires":
        facts["expires"] = "2020-01-01T00:00:00Z"
    elif reason == "later":
        facts["format"] = 2
    elif reason == "other kind":
        row["kind"] = "text"
    elif reason == "digest":
        row["archive"]["sha256"] = "../" + row["archive"]["sha256"]
    text = json.dumps(facts)
    registry.write_text(text.replace("{", '{"models": {}, ', 1) if reason == "twice" else text, encoding="utf-8")
    if reason in ("directories", "packaged"):
        place, given = installed_place(), None
        place.parent.mkdir()
        shutil.copy(registry, place)
        assert _in_cache("tiny", None) is not None
        if reason == "directories":
            directories_place().write_text("[]")
        else:
            monkeypatch.setattr("zoo.lite.finding._PACKAGED", registry)
    assert _in_cache("tiny", given) is None


def test_a_name_without_a_conversion(published: Path) -> None:
    with pytest.raises(NotBuilt, match=r"other has no ONNX form .*`zoo convert other --to onnx`.*--with onnx --out"):
        TextEncoder("other", registry=published / "registry.json")
    with pytest.raises(UnknownModel, match="no model 'tyni'"):
        TextEncoder("tyni", registry=published / "registry.json")


@pytest.mark.parametrize("use", [zoo.load, zoo.load_model, zoo.TextEncoder, zoo.KerasLayer])
def test_tensorflow_does_not_load_it(use: Any, published: Path) -> None:
    with pytest.raises(BadArgument, match=r"onnx archive.*: call zoo\.lite\.TextEncoder\('"):
        use(str(published / "model"))


def test_verification_sees_other_vectors_and_what_it_cannot_do(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(published / "model", tmp_path / "model"))
    with np.load(place / GOLDEN_FILE) as file:
        golden = {**file, "2/vector": file["2/vector"] + np.float32(1e-3)}
    np.savez(place / GOLDEN_FILE, **golden)
    with pytest.raises(BadArchive, match=r"assets.extra/golden.npz"):
        verify(place)
    card = read_card(place)
    write_card(card.model_copy(update={"files": file_digests(place, without={CARD_FILE})}), place)
    with pytest.raises(VerificationFailed, match="tiny_onnx differs from its golden answers by more than 2e-05"):
        verify(place)
    monkeypatch.delitem(sys.modules, "zoo.lite.encoder")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"repeating the vectors of tiny_onnx needs .* Its files agree with"):
        verify(published / "model")


def test_zoo_build_with_onnx(text_zoo: ToyZoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way; without tf2onnx the error comes before the build."""
    parent = shutil.copy(text_zoo.registry.parent / "vectors.tar.gz", tmp_path)
    shutil.copy(text_zoo.registry, tmp_path)
    if not find_spec("tf2onnx"):
        assert main(["build", "rbt3", "--with", "onnx", "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert re.search(r"`zoo build --with onnx` needs .*'bert-zoo\[onnx\]'.*tf2onnx", said), said
        pytest.skip("no tf2onnx: pip install 'bert-zoo[onnx]'")
    from export.convert.published import publish_onnx

    row, registry = publish_onnx("vectors", tmp_path), tmp_path / "registry.json"
    assert row is not None and row.archive is not None and publish_onnx("vectors", tmp_path) is None
    assert zoo.info("vectors_onnx", registry) == row and row.archive.sha256 == sha256_of(
        tmp_path / "vectors_onnx.tar.gz"
    )
    np.testing.assert_allclose(
        TextEncoder("vectors", registry=registry)(ASKED), zoo.TextEncoder(parent)(ASKED), rtol=0, atol=1e-5
    )
