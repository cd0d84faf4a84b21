"""The catalogue page, the cards and the digests: what is in them, and that nothing in them is more than text."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.zoo.site.sitezoo import TINY, built, make_dist, make_encoder_card
from tests.zoo.small import SmallZoo, tree
from zoo.archive.card import to_json
from zoo.archive.kinds import KINDS
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.contract import CARD_FILE, TASKS
from zoo.errors import BadArchive, BadRegistry, ZooError
from zoo.fetching.registries import read_registry
from zoo.publishing.publish import publish
from zoo.registry.entry import ArchiveRecord, Entry, NoteSource
from zoo.registry.registry import PACKAGED
from zoo.registry.writing import update_registry
from zoo.site import write_site
from zoo.site.facts import PURPOSES, multiply_adds
from zoo.site.papers import PAPERS, citation


class Page(HTMLParser):
    """Every element of a page with its attributes, and the text of each card in one language."""

    def __init__(self, text: str, language: str = "en") -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cards: dict[str, str] = {}
        self.spans: dict[str, int] = {"en": 0, "zh": 0}
        self._other = {"en": "zh", "zh": "en"}[language]
        self._card, self._skip = "", 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        self._card = found.get("data-card") or self._card
        if tag == "span" and found.get("class") in self.spans:
            self.spans[str(found["class"])] += 1
        if tag == "span":
            self._skip = self._skip + 1 if self._skip or found.get("class") == self._other else 0

    def handle_endtag(self, tag: str) -> None:
        if tag == "span" and self._skip:
            self._skip -= 1
        if tag == "dialog":
            self._card = ""

    def handle_data(self, data: str) -> None:
        if self._card and not self._skip:
            self.cards[self._card] = " ".join(f"{self.cards.get(self._card, '')} {data}".split())


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    return make_dist(tmp_path / "dist")


def page_of(dist: Path, language: str = "en") -> Page:
    write_site(dist)
    return Page((dist / "index.html").read_text(encoding="utf-8"), language)


# -- the files ----------------------------------------------------------------------------------------------------


def test_what_is_written(dist: Path, tmp_path: Path) -> None:
    written = write_site(dist)
    names = ["albert_tiny", "bert_tokenizer_chinese", "bert_tokenizer_chinese_preprocess", "roberta_wwm_3"]
    assert written == [*(dist / "cards" / f"{name}.json" for name in names), dist / "index.html", dist / "SHA256SUMS"]
    unpack(dist / "albert_tiny.tar.gz", tmp_path / "tiny")
    assert (dist / "cards" / "albert_tiny.json").read_bytes() == (tmp_path / "tiny" / CARD_FILE).read_bytes()
    sums = dict(reversed(line.split("  ")) for line in (dist / "SHA256SUMS").read_text().splitlines())
    assert list(sums) == sorted(sums) and "SHA256SUMS" not in sums
    assert sums.keys() == {name for name in tree(dist) if (dist / name).is_file()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=dist, check=True)


def test_the_same_directory_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    write_site(dist)
    first = {name: (dist / name).read_bytes() for name in tree(dist) if (dist / name).is_file()}
    write_site(dist)
    shutil.copytree(dist, tmp_path / "elsewhere" / "dist")
    write_site(tmp_path / "elsewhere" / "dist")
    for folder in (dist, tmp_path / "elsewhere" / "dist"):
        assert {name: (folder / name).read_bytes() for name in first} == first
    assert str(tmp_path).encode() not in first["index.html"]


def test_cards_of_models_that_are_built_no_longer_go(dist: Path) -> None:
    write_site(dist)
    entry = read_registry(dist / "registry.json").models["albert_tiny"]
    update_registry(dist / "registry.json", {"albert_tiny": entry.model_copy(update={"archive": None})})
    write_site(dist)
    assert "cards/albert_tiny.json" not in tree(dist)
    assert "albert_tiny" not in (dist / "SHA256SUMS").read_text()


def test_an_archive_that_is_elsewhere_needs_no_file(tmp_path: Path) -> None:
    archive = ArchiveRecord(urls=["https://host/far.tar.gz"], sha256="e" * 64, size=1 << 21)
    update_registry(tmp_path / "registry.json", {"far": Entry(kind="encoder", family="bert", archive=archive)})
    card = page_of(tmp_path).cards["far"]
    assert "https://host/far.tar.gz" in card and "2.0 MiB (2,097,152)" in card and "e" * 64 in card
    assert tree(tmp_path) == ["SHA256SUMS", "index.html", "registry.json", "registry.schema.json"]


# -- what is wrong ------------------------------------------------------------------------------------------------


def test_all_problems_at_once_and_nothing_written(dist: Path, tmp_path: Path) -> None:
    (dist / "albert_tiny.tar.gz").unlink()
    shutil.copy(dist / "bert_tokenizer_chinese.tar.gz", dist / "roberta_wwm_3.tar.gz")
    packed = dist / "bert_tokenizer_chinese.tar.gz"
    packed.write_bytes(packed.read_bytes()[:-1] + b"\7")
    cardless = ArchiveRecord(urls=["text.tar.gz"], sha256=hashlib.sha256(b"no gzip").hexdigest(), size=7)
    (dist / "text.tar.gz").write_bytes(b"no gzip")
    (tmp_path / "out.tar.gz").write_bytes(b"")
    rows = {
        "text": Entry(kind="encoder", archive=cardless),
        "out": Entry(kind="encoder", archive=ArchiveRecord(urls=["../out.tar.gz"], sha256="0" * 64)),
        "unsure": Entry(kind="encoder", archive=ArchiveRecord(urls=["text.tar.gz"])),
    }
    update_registry(dist / "registry.json", rows)
    with pytest.raises(BadRegistry) as caught:
        write_site(dist)
    message = str(caught.value)
    for words in (
        "albert_tiny: albert_tiny.tar.gz is missing",
        "roberta_wwm_3: roberta_wwm_3.tar.gz has",
        "bert_tokenizer_chinese: bert_tokenizer_chinese.tar.gz is sha256",
        "text: ",
        "out: ../out.tar.gz leads out of the directory",
        "unsure: text.tar.gz has no recorded sha256",
    ):
        assert words in message
    assert "bert_tokenizer_chinese_preprocess:" not in message
    assert not {"index.html", "SHA256SUMS", "cards"} & set(tree(dist))


def test_an_archive_without_a_card(small_zoo: SmallZoo, directory: Path) -> None:
    from tests.zoo.small import make_zoo

    (directory / CARD_FILE).write_text("{}")
    zoo = make_zoo(directory, small_zoo.registry.parent)
    with pytest.raises(BadRegistry, match="small: .*does not follow the card format"):
        write_site(zoo.registry.parent)
    (directory / CARD_FILE).unlink()
    zoo = make_zoo(directory, small_zoo.registry.parent)
    with pytest.raises(BadRegistry, match="small: small.tar.gz has no assets.extra/card.json"):
        write_site(zoo.registry.parent)


def test_a_registry_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadRegistry, match="no registry to read"):
        write_site(tmp_path)
    (tmp_path / "registry.json").write_text('{"models": {"x": {}}}')
    with pytest.raises(BadRegistry, match=r"models\.x\.kind"):
        write_site(tmp_path)
    assert tree(tmp_path) == ["registry.json"]


def test_without_jinja(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ZooError, match=r"bert-zoo\[site\]"):
        write_site(dist)
    assert "index.html" not in tree(dist)


# -- what the page says -------------------------------------------------------------------------------------------


def test_the_card_of_a_built_encoder(dist: Path) -> None:
    card = page_of(dist).cards["albert_tiny"]
    for words in (
        "batches of 2 × 7, 3 × 16. Nothing differs by more than 2e-05; zoo verify albert_tiny repeats it",
        "sequence_output 3e-06 pooled_output 7e-07 encoder_outputs (2) 4e-06",
        ".mlm trained exported .nsp random: never trained –",
        "4, sharing 1 set(s) of weights",
        "gelu_tanh: this family's code has the tanh form",
        "model.ckpt.index " + "c" * 64,
        "vocabulary " + "a" * 64,
        "licence not stated",
        "https://storage.googleapis.com/albert_zh/albert_tiny_zh_google.zip",
        "1: counts training steps",
        str(read_registry(dist / "registry.json").archive("albert_tiny").sha256),
        "cards/albert_tiny.json",
    ):
        assert words in card
    assert "Cut, not retrained" not in card and "Build it" not in card


@pytest.mark.parametrize("name", ["roberta_wwm_3", "bert_wwm_3"])  # built, not built
def test_a_cut_model_says_that_its_pooler_was_not_trained_with_it(name: str, dist: Path) -> None:
    parent = name.removesuffix("_3")
    english, chinese = page_of(dist).cards[name], page_of(dist, "zh").cards[name]
    assert f"It is the first 3 layers of {parent} as they are. The whole model has 12 layers." in english
    assert "never on a model cut like this" in english and "从未配合截取后的模型训练" in chinese
    assert "Cut, not retrained" not in page_of(dist).cards["rbt3"]


def test_the_card_of_a_tokenizer(dist: Path) -> None:
    card = page_of(dist).cards["bert_tokenizer_chinese"]
    assert "On 1 texts its ids equal" in card and "你好 2 7 8 3" in card and "[CLS] 2, [SEP] 3" in card


def test_the_card_of_what_is_not_built_says_how(dist: Path) -> None:
    card = page_of(dist).cards["roberta_wwm_large_3"]
    assert "zoo export chinese-roberta-wwm-ext-large --name roberta_wwm_large_3 --layers 3" in card
    assert "By hand:" in card and "Certificate" not in card
    assert "roberta_wwm_large_3.tar.gz 217 MiB" in card  # what was published before


def test_every_paper_of_the_packaged_registry_can_be_cited() -> None:
    papers = {entry.paper for entry in read_registry(PACKAGED).models.values() if entry.paper}
    assert papers == PAPERS.keys()
    assert len({paper.key for paper in PAPERS.values()}) == len(PAPERS)


def test_paper_purpose_and_citation(dist: Path) -> None:
    card = page_of(dist).cards["albert_tiny"]
    assert "for to fine-tune family albert" in card
    assert "https://arxiv.org/abs/1909.11942 @misc{lan2019albert, title = {{ALBERT: A Lite BERT" in card
    assert "eprint = {1909.11942}" in card and "Paper" not in page_of(dist).cards["bert_tokenizer_chinese"]
    assert citation("https://elsewhere.org/paper") is None
    assert set(PURPOSES) == {*TASKS, *KINDS} - {"text", "onnx"}


def test_every_text_is_there_in_both_languages(dist: Path) -> None:
    page = page_of(dist)
    assert page.spans["en"] == page.spans["zh"] > 500
    for _, attributes in page.elements:
        assert ("data-en" in attributes) == ("data-zh" in attributes)
    assert "已构建" in page_of(dist, "zh").cards["albert_tiny"]


def test_nothing_is_fetched_from_anywhere(dist: Path) -> None:
    page = page_of(dist)
    assert not [tag for tag, attributes in page.elements if "src" in attributes or tag in ("iframe", "object")]
    links = [attributes["href"] for tag, attributes in page.elements if tag == "link"]
    assert links == ["data:,"]


def test_work_is_counted_by_hand(tmp_path: Path) -> None:
    """albert_tiny, 4 layers: query, key, value and output 4·312², scores and sums 2·128·312, the rest 2·312·1248."""
    assert multiply_adds(Entry(kind="encoder", layers=4, hidden_size=312), None) == 4 * (389376 + 79872 + 778752)
    narrow = make_encoder_card(tmp_path, "x", {**TINY, "intermediate_size": 7})
    assert multiply_adds(Entry(kind="encoder"), narrow) == 4 * (389376 + 79872 + 4368)
    assert multiply_adds(Entry(kind="tokenizer"), None) is None


# -- hostile content ----------------------------------------------------------------------------------------------

EVIL = "</script></style><script>evil()</script><img src=x onerror=evil()>\"'><b data-evil=1>&amp;{{ 7*7 }}<!--"


def test_what_a_registry_and_its_cards_say_is_text(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    archive = built(
        dist,
        "evil",
        sizes=TINY,
        family=EVIL,
        activation_reason=EVIL,
        pooler=EVIL,
        notes=[EVIL],
        licence=EVIL,
        heads={EVIL: "trained"},
        left_out={EVIL: [EVIL]},
        versions={EVIL: EVIL},
    )
    words = {
        "description": EVIL,
        "description_zh": EVIL,
        "family": EVIL,
        "licence": EVIL,
        "sources": [NoteSource(kind="note", text=EVIL)],
    }
    mirrors = ["evil.tar.gz", "javascript:evil()", "https://host/?" + EVIL]
    rows = {
        "evil": Entry(kind="encoder", archive=archive.model_copy(update={"urls": mirrors}), **words),
        "unbuilt": Entry(kind="encoder", layers=3, hidden_size=8, parameters=9, **words),
        "words": Entry(
            kind="tokenizer", archive=built(dist, "words", lower_case_reason=EVIL, special_tokens={EVIL: 1})
        ),
    }
    update_registry(dist / "registry.json", rows)
    page = page_of(dist)
    assert [attributes.get("type") for tag, attributes in page.elements if tag == "script"] == [
        "application/json",
        None,
    ]
    assert not [tag for tag, attributes in page.elements if tag == "img" or "data-evil" in attributes]
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert not (attributes.get("href") or "").startswith("javascript:")
    assert EVIL.split("<!--")[0].split()[0] in page.cards["unbuilt"]
    text = (dist / "index.html").read_text(encoding="utf-8")
    inlined = text.split('id="data">')[1].split("</script>")[0]
    assert json.loads(inlined)["registry"]["models"]["evil"]["description"] == EVIL


# -- measured speeds ----------------------------------------------------------------------------------------------


def speeds(dist: Path, sha256: str) -> None:
    times = {"seconds": {"1": 0.0049, "32": 0.14}, "quartiles": {"1": [0.0048, 0.0052]}, "others": 0.7}
    models = {"albert_tiny": {"sha256": sha256, **times}}
    facts = {
        "machine": "Some CPU",
        "cores": 2,
        "date": "2026-11-21",
        "tensorflow": "2.21.0",
        "tokens": 128,
        "load": 1.8,
    }
    (dist / "speed.json").write_text(to_json({**facts, "models": models}))


def test_measured_speeds(dist: Path) -> None:
    registry = read_registry(dist / "registry.json")
    archive = registry.archive("albert_tiny")
    speeds(dist, str(archive.sha256))
    card = page_of(dist).cards["albert_tiny"]
    assert "1 × 128 4.9 ms (4.8–5.2) 32 × 128 140 ms meanwhile 0.7 of 2 cores had other work" in card
    text = (dist / "index.html").read_text(encoding="utf-8")
    assert "Measured on Some CPU, 2 cores, TensorFlow 2.21.0, 2026-11-21" in text
    with_weights = [each for each in registry.models.values() if each.kind in ("encoder", "text")]
    assert f"1 of {len(with_weights)} models" in text
    assert "The machine had other work meanwhile (load 1.8)" in text and "还有别的工作（负载 1.8）" in text
    assert "  speed.json\n" in (dist / "SHA256SUMS").read_text()
    speeds(dist, "0" * 64)  # of an archive that has been built again since
    assert "4.9 ms" not in page_of(dist).cards["albert_tiny"]
    (dist / "speed.json").write_text("{}")
    with pytest.raises(
        BadArchive, match=r"speed\.json cannot be read: machine: Field required; .*`zoo site .* --measure`"
    ):
        write_site(dist)


def test_without_measured_speeds_the_page_says_that_it_computed(dist: Path) -> None:
    page_of(dist)
    text = (dist / "index.html").read_text(encoding="utf-8")
    assert "Nothing in this plot is timed" in text and "Measured on" not in text


# -- the command --------------------------------------------------------------------------------------------------


def test_command(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", str(dist)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [str(dist / "index.html"), str(dist / "SHA256SUMS"), f"4 cards in {dist / 'cards'}"]
    assert main(["site", str(dist), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"][-1] == str(dist / "SHA256SUMS")
    (dist / "albert_tiny.tar.gz").unlink()
    assert main(["site", str(dist)]) == 2
    assert "albert_tiny.tar.gz is missing" in capsys.readouterr().err


def test_what_is_written_can_be_published(dist: Path, tmp_path: Path) -> None:
    write_site(dist)
    publish(dist, tmp_path / "there")
    files = {name for name in tree(dist) if (dist / name).is_file()}
    assert {name for name in tree(tmp_path / "there") if (tmp_path / "there" / name).is_file()} == files
