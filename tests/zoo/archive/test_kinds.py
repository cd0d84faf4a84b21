"""A kind of archive is a row of a few tables: one that is made up here is read, listed, loaded, verified and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import tensorflow as tf

import zoo
from export.options import TokenizerRequest
from export.release.builder import MAKERS, Builder, Maker
from export.release.plan import Step
from export.release.sources import Inputs
from tests.zoo.site.test_site import page_of
from zoo.archive.card import CARDS, Card, FileDigest, Source, read_card, write_card
from zoo.archive.digests import file_digests, sha256_and_size
from zoo.archive.kinds import KINDS, Kind
from zoo.archive.pack import pack
from zoo.command import main
from zoo.errors import BadArchive, VerificationFailed
from zoo.loading.verify import GOLDEN, Golden, Repeated, verify
from zoo.registry.entry import Entry, NoteSource, Recipe
from zoo.registry.registry import json_schema
from zoo.registry.rows import registry_row
from zoo.registry.table import markdown_table
from zoo.registry.writing import update_registry
from zoo.safety import used_ops


class CounterCard(Card):
    """Card of the made-up kind: it counts the bytes of a text."""

    kind: Literal["counter"]
    widest: int
    certificate: dict[str, int]


class Counter(tf.Module):
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        return tf.strings.length(texts)


def repeat_counter(loaded: Any, golden: dict[str, int], card: Card) -> Repeated:
    if loaded(tf.constant(list(golden))).numpy().tolist() != list(golden.values()):
        raise VerificationFailed(f"{card.name} counts wrong.")
    return len(golden), 0.0, {"length": 0.0}


COUNTER = Kind(
    name="counter",
    chinese="计数器",
    takes="text",
    gives="the number of bytes",
    facts={"hidden_size": "widest"},
    command="export-counter",
    options=("cased",),
    golden="words",
)


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables with one more row."""
    monkeypatch.setitem(KINDS, "counter", COUNTER)
    monkeypatch.setitem(CARDS, "counter", CounterCard)
    monkeypatch.setitem(GOLDEN, "counter", Golden(lambda _, card: card.certificate, repeat_counter))


def make_dist(out: Path, golden: dict[str, int]) -> Path:
    """A directory with one archive of the made-up kind, its row made by what the exporter makes rows by."""
    out.mkdir()
    export_counter(out.parent / "words_counter", out, golden)
    return out / "registry.json"


def export_counter(directory: Path, out: Path, golden: dict[str, int]) -> dict[str, Entry]:
    tf.saved_model.save(Counter(), str(directory))
    (directory / "fingerprint.pb").unlink()
    card = CounterCard(
        kind="counter",
        name="words_counter",
        widest=9,
        source=Source(format="none", files={"x": FileDigest(sha256="c" * 64, size=1)}),
        ops=used_ops(directory),
        versions={"tensorflow": tf.__version__},
        files=file_digests(directory),
        certificate=golden,
    )
    write_card(card, directory)
    pack(directory, out / "words_counter.tar.gz")
    entries = {"words_counter": registry_row(card, sha256_and_size(out / "words_counter.tar.gz"), None)}
    update_registry(out / "registry.json", entries)
    return entries


def test_the_tables_are_complete() -> None:
    assert KINDS.keys() == CARDS.keys() == GOLDEN.keys()
    for name, kind in KINDS.items():
        assert kind.name == name and (kind.made_of is None or kind.made_of in KINDS)
        assert kind.tokenized_by is None or kind.tokenized_by in KINDS
        assert kind.is_conversion or kind.command in MAKERS
        assert (Path(zoo.__file__).parent / "site" / kind.page).is_file()
        for place in kind.facts.values():
            assert place.partition(".")[0] in CARDS[name].model_fields


@pytest.mark.usefixtures("counters")
def test_a_made_up_kind_goes_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = make_dist(tmp_path / "dist", {"你好": 6, "": 0})
    row = json.loads(registry.read_bytes())["models"]["words_counter"]
    assert (row["kind"], row["hidden_size"]) == ("counter", 9)
    assert "counter" in json.loads(json_schema())["$defs"]["Entry"]["properties"]["kind"]["enum"]
    assert main(["list", "--registry", str(registry)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["words_counter", "counter", "9"]
    assert "| `words_counter` | 计数器 | – | – | 9 |" in markdown_table(zoo_registry(registry), "zh")
    loaded = zoo.load("words_counter", registry=registry)
    assert loaded(tf.constant(["abc"])).numpy().tolist() == [3]
    assert main(["verify", "words_counter", "--registry", str(registry)]) == 0
    assert "words_counter (counter): 3 files and 2 golden words agree" in capsys.readouterr().out
    model = zoo.load_model(registry.with_name("words_counter.tar.gz"))
    assert isinstance(model.card, CounterCard) and model.checkpoint_variables() == {}
    card = page_of(registry.parent).cards["words_counter"]
    assert card.startswith("counter · counter · built") and "zoo verify words_counter repeats" in card
    assert "hidden size 9" in card
    page = (registry.parent / "index.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["kinds"]["counter"] == {
        "takes": "text",
        "gives": "the number of bytes",
        "needs": [],
        "has_weights": False,
        "used_by": "zoo.load",
    }
    assert 'data-en="counter" data-zh="计数器"' in page


@pytest.mark.usefixtures("counters")
def test_zoo_build_makes_a_made_up_kind_by_its_own_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "sources" / "words_counter"
    words.mkdir(parents=True)
    (words / "words.txt").write_text("你好\n")
    row = Entry(
        kind="counter", licence="MIT", sources=[NoteSource(kind="note", text="a list")], recipe=Recipe(cased=True)
    )
    update_registry(tmp_path / "registry.json", {"words_counter": row})
    build = ["build", "words_counter", "--registry", str(tmp_path / "registry.json")]
    build += ["--sources", str(words.parent), "--out", str(tmp_path / "dist")]
    assert main(build) == 2
    assert "cannot make a counter. Run `zoo export-counter` for words_counter" in capsys.readouterr().out
    asked: list[TokenizerRequest] = []

    def export(_: Builder, step: Step, request: TokenizerRequest, inputs: Inputs) -> dict[str, Entry]:
        asked.append(request)
        golden = {word: len(word.encode()) for word in (inputs.path / "words.txt").read_text().splitlines()}
        return export_counter(tmp_path / "words_counter", request.out, golden)

    monkeypatch.setitem(MAKERS, "export-counter", Maker(TokenizerRequest, export))
    assert main(build) == 0
    assert asked == [TokenizerRequest(words, "words_counter", tmp_path / "dist", licence="MIT", cased=True)]
    assert main(["verify", "words_counter", "--registry", str(tmp_path / "dist" / "registry.json")]) == 0
    assert main(build) == 0 and len(asked) == 1
    assert "unchanged" in capsys.readouterr().out
    (words / "words.txt").write_text("世界您好\n")  # all its files are inputs, as of any kind without a vocabulary
    assert main(build) == 0 and len(asked) == 2


def zoo_registry(path: Path) -> Any:
    from zoo.fetching.registries import read_registry

    return read_registry(path)


@pytest.mark.usefixtures("counters")
def test_a_made_up_kind_that_computes_something_else_is_told(tmp_path: Path) -> None:
    make_dist(tmp_path / "dist", {"你好": 7})
    with pytest.raises(VerificationFailed, match="words_counter counts wrong"):
        verify(tmp_path / "words_counter")


def test_without_its_row_the_archive_is_of_a_later_version(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for table, row in ((KINDS, COUNTER), (CARDS, CounterCard)):
            patch.setitem(table, "counter", row)  # type: ignore[arg-type]
        registry = make_dist(tmp_path / "dist", {"": 0})
    assert zoo.names(registry=registry) == []
    with pytest.raises(BadArchive, match="of kind 'counter', which this bert-zoo does not know"):
        read_card(tmp_path / "words_counter")
