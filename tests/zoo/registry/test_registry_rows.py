"""The rows of this repository's registry say what upstream and the predecessor say, and each tells how it is built."""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
from pathlib import Path

import pytest

import zoo
from export.command import export_encoder_command, export_tokenizer_command
from tests.conftest import ROOT
from zoo.command import main
from zoo.errors import NotBuilt
from zoo.fetching.registries import read_registry
from zoo.registry.check import check_registry
from zoo.registry.entry import ArchiveRecord, Entry, HuggingFaceSource, Recipe
from zoo.registry.recipes import ways
from zoo.registry.table import PAGES, SHORT, Page, markdown_table

REGISTRY = read_registry(ROOT / "registry.json")

# name -> family, layers, hidden size, heads, embedding size, activation; typed from the publishers' configs
MODELS = {
    "albert_tiny": ("albert", 4, 312, 12, 128, "gelu_tanh"),
    "albert_small": ("albert", 6, 384, 12, 128, "gelu_tanh"),
    "albert_base": ("albert", 12, 768, 12, 128, "relu"),
    "albert_large": ("albert", 24, 1024, 16, 128, "relu"),
    "albert_xlarge": ("albert", 24, 2048, 16, 128, "relu"),
    "bert": ("bert", 12, 768, 12, 768, "gelu"),
    "bert_wwm": ("bert", 12, 768, 12, 768, "gelu"),
    "roberta_wwm": ("bert", 12, 768, 12, 768, "gelu"),
    "roberta_wwm_large": ("bert", 24, 1024, 16, 1024, "gelu"),
    "macbert_base": ("bert", 12, 768, 12, 768, "gelu"),
    "macbert_large": ("bert", 24, 1024, 16, 1024, "gelu"),
    "rbt3": ("bert", 3, 768, 12, 768, "gelu"),
    "rbt4": ("bert", 4, 768, 12, 768, "gelu"),
    "rbt6": ("bert", 6, 768, 12, 768, "gelu"),
    "rbtl3": ("bert", 3, 1024, 16, 1024, "gelu"),
    "FinBERT": ("bert", 12, 768, 12, 768, None),
    "electra_small": ("electra", 12, 256, 4, 128, "gelu"),
    "electra_smallex": ("electra", 24, 256, 4, 256, "gelu"),
    "electra_base": ("electra", 12, 768, 12, 768, "gelu"),
    "electra_large": ("electra", 24, 1024, 16, 1024, "gelu"),
}
# Encoders that the predecessor did not have: family, layers, hidden size, vocabulary, tokenizer.
NEWER = {
    "ernie3_xbase": ("ernie", 20, 1024, 40000, "ernie3_tokenizer"),
    "ernie3_base": ("ernie", 12, 768, 40000, "ernie3_tokenizer"),
    "ernie3_medium": ("ernie", 6, 768, 40000, "ernie3_tokenizer"),
    "ernie3_mini": ("ernie", 6, 384, 40000, "ernie3_tokenizer"),
    "ernie3_micro": ("ernie", 4, 384, 40000, "ernie3_tokenizer"),
    "ernie3_nano": ("ernie", 4, 312, 40000, "ernie3_tokenizer"),
    "lert_small": ("bert", 12, 256, 21128, "bert_tokenizer_chinese"),
    "lert_base": ("bert", 12, 768, 21128, "bert_tokenizer_chinese"),
    "lert_large": ("bert", 24, 1024, 21128, "bert_tokenizer_chinese"),
    "pert_base": ("bert", 12, 768, 21128, "bert_tokenizer_chinese"),
    "pert_large": ("bert", 24, 1024, 21128, "bert_tokenizer_chinese"),
    "mengzi_base": ("bert", 12, 768, 21128, "mengzi_tokenizer"),
    "mengzi_base_fin": ("bert", 12, 768, 21128, "mengzi_fin_tokenizer"),
    "uer_roberta_tiny": ("bert", 2, 128, 21128, "bert_tokenizer_chinese"),
    "uer_roberta_mini": ("bert", 4, 256, 21128, "bert_tokenizer_chinese"),
    "uer_roberta_small": ("bert", 4, 512, 21128, "bert_tokenizer_chinese"),
    "uer_roberta_medium": ("bert", 8, 512, 21128, "bert_tokenizer_chinese"),
    "uer_roberta_base": ("bert", 12, 768, 21128, "bert_tokenizer_chinese"),
    "finbert2_base": ("bert", None, None, None, "finbert2_tokenizer"),
}
CUT = {"bert": (1, 3, 6, 9), "bert_wwm": (1, 3, 6, 9), "roberta_wwm": (1, 3, 6, 9), "roberta_wwm_large": (1, 3, 12)}
OLD_NAMES = {
    **{f"zh-bert-L{k}": ("bert", k) for k in (1, 3, 6, 9, 12)},
    **{f"zh-bert-wwm-L{k}": ("bert_wwm", k) for k in (1, 3, 6, 9, 12)},
    **{f"zh-roberta-wwm-L{k}": ("roberta_wwm", k) for k in (1, 3, 6, 9, 12)},
    **{f"zh-roberta-wwm-large-L{k}": ("roberta_wwm_large", k) for k in (12, 24)},
}
# MiB in the predecessor's README
FORMERLY = {
    "albert_tiny": 16,
    "albert_small": 18,
    "albert_base": 39,
    "albert_large": 61,
    "albert_xlarge": 207,
    "bert": 364,
    "bert_wwm": 364,
    "electra_small": 46,
    "electra_smallex": 91,
    "electra_base": 365,
    "roberta_wwm": 364,
    "roberta_wwm_1": 87,
    "roberta_wwm_3": 138,
    "roberta_wwm_large_1": 128,
    "roberta_wwm_large_3": 217,
}
UNBUILT = [name for name in REGISTRY.names() if REGISTRY.models[name].archive is None]


def parameters(family: str, layers: int, hidden: int, embedding: int) -> int:
    """Weights of an encoder and its pooler, counted from the papers: vocabulary 21128, 512 positions, 2 types."""
    tables = (21128 + 512 + 2) * embedding + 2 * embedding
    projection = (embedding + 1) * hidden if embedding != hidden else 0
    attention = 4 * (hidden + 1) * hidden
    feed_forward = (hidden + 1) * 4 * hidden + (4 * hidden + 1) * hidden
    block = attention + feed_forward + 2 * 2 * hidden
    pooler = 0 if family == "electra" else (hidden + 1) * hidden
    return tables + projection + block * (1 if family == "albert" else layers) + pooler


# -- what the rows say ----------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_the_registry_its_schema_and_its_pages() -> None:
    assert check_registry(ROOT / "registry.json") == ([], [])


def test_an_export_of_the_same_bytes_keeps_the_mirrors_of_an_archive() -> None:
    own, mirrors = "odd.tar.gz", ["https://fast/odd.tar.gz", "https://slow/odd.tar.gz"]
    new = Entry(kind="encoder", layers=3, archive=ArchiveRecord(urls=[own], sha256="a" * 64, size=7))
    for urls, kept in ((mirrors, [own, *mirrors]), ([mirrors[0], own], [mirrors[0], own])):
        row = Entry(kind="encoder", archive=ArchiveRecord(urls=urls, sha256="a" * 64))
        assert row.exported_again(new).archive == ArchiveRecord(urls=kept, sha256="a" * 64, size=7)
    row = Entry(kind="encoder", archive=ArchiveRecord(urls=[own, *mirrors], sha256="b" * 64, size=7))
    assert row.exported_again(new).archive == new.archive, "mirrors hold other bytes than these"


def test_there_is_a_row_for_every_model() -> None:
    cut = {f"{name}_{k}" for name, layers in CUT.items() for k in layers}
    tokenizers = {"bert_tokenizer_chinese", "bert_tokenizer_chinese_preprocess", *(row[4] for row in NEWER.values())}
    encoders = {name for name in REGISTRY.names() if REGISTRY.models[name].kind != "text"}
    assert encoders == MODELS.keys() | NEWER.keys() | cut | tokenizers


@pytest.mark.parametrize("name", NEWER)
def test_sizes_of_newer_encoders(name: str) -> None:
    entry, (family, layers, hidden, vocab, tokenizer) = REGISTRY.entry(name), NEWER[name]
    assert (entry.family, entry.layers, entry.hidden_size, entry.vocab_size) == (family, layers, hidden, vocab)
    assert entry.tokenizer == tokenizer and REGISTRY.entry(tokenizer).kind == "tokenizer"
    if layers and hidden and vocab:
        positions, types = (2048, 4) if family == "ernie" else (512, 2)
        pooler = 0 if name.startswith("uer_") else (hidden + 1) * hidden
        tables = (vocab + positions + types - 21128 - 512 - 2) * hidden
        assert entry.parameters == parameters("electra", layers, hidden, hidden) + tables + pooler


TEXTS = {name: entry for name, entry in REGISTRY.models.items() if entry.kind == "text"}
COUNTED = {n: e for n, e in TEXTS.items() if (e.family, e.task) == ("bert", "vector") and e.parameters}


@pytest.mark.parametrize("name", COUNTED)
def test_text_rows_count_their_parameters(name: str) -> None:
    """Encoders without poolers, which no vector here needs, and dense layers, counted from the papers."""
    entry = COUNTED[name]
    assert entry.layers and entry.hidden_size and entry.vocab_size
    dense = 1792 * (entry.hidden_size + 1) if "1,792 numbers" in entry.description else 0
    positions = 1024 if "up to 1,024 tokens" in entry.description or name == "stella_base_zh_v3_1792d" else 512
    pooler = (entry.hidden_size + 1) * entry.hidden_size
    whole = parameters("bert", entry.layers, entry.hidden_size, entry.hidden_size)
    tables = (entry.vocab_size - 21128 + positions - 512) * entry.hidden_size
    assert entry.parameters == whole - pooler + tables + dense


@pytest.mark.parametrize(
    "name", [*TEXTS, *NEWER, *sorted({row[4] for row in NEWER.values()} - {"bert_tokenizer_chinese"})]
)
def test_newer_rows_say_what_they_are(name: str) -> None:
    entry = REGISTRY.models[name]
    assert entry.facts and entry.description and entry.description_zh and (entry.kind != "text" or entry.task)
    assert not re.search("[一-龥]", entry.description) and re.search("[一-龥]", entry.description_zh)
    assert isinstance(entry.sources[-1], HuggingFaceSource)
    for source in (each for each in entry.sources if isinstance(each, HuggingFaceSource)):
        stated = any("no public source that was read states a revision" in fact for fact in entry.facts)
        assert (source.revision == "main") if stated else re.fullmatch("[0-9a-f]{40}", source.revision)
    free = re.fullmatch(r"MIT|Apache-2\.0", entry.licence)
    assert entry.on_request is not bool(free), "only what may be handed on is built without being asked for"


@pytest.mark.parametrize("name", MODELS)
def test_sizes(name: str) -> None:
    entry = REGISTRY.entry(name)
    family, layers, hidden, heads, embedding, activation = MODELS[name]
    assert (entry.family, entry.layers, entry.hidden_size, entry.heads) == (family, layers, hidden, heads)
    assert entry.activation == activation
    assert entry.parameters == parameters(family, layers, hidden, embedding)
    assert entry.tokenizer == "bert_tokenizer_chinese" and entry.derivation is None


@pytest.mark.parametrize("parent", CUT)
def test_truncated_rows(parent: str) -> None:
    for layers in CUT[parent]:
        entry = REGISTRY.entry(f"{parent}_{layers}")
        assert entry.derivation is not None
        assert (entry.derivation.parent, entry.derivation.layers, entry.layers) == (parent, layers, layers)
        family, _, hidden, _, embedding, _ = MODELS[parent]
        assert entry.parameters == parameters(family, layers, hidden, embedding)


def test_old_names_are_answered() -> None:
    for old, (parent, layers) in OLD_NAMES.items():
        entry = zoo.info(old)
        assert entry.layers == layers
        assert entry is REGISTRY.models[parent] or old in entry.aliases
        assert REGISTRY.canonical(old) in (parent, f"{parent}_{layers}")
        assert any(published.url.endswith(f"/{old}.tar.gz") for published in entry.history)


def test_history_is_the_predecessors() -> None:
    for name, size in FORMERLY.items():
        latest = REGISTRY.entry(name).history[0]
        assert latest.size_mib == size and latest.url.endswith(f"/{name}.tar.gz")
    addresses = [published.url for entry in REGISTRY.models.values() for published in entry.history]
    assert len(addresses) == len(set(addresses))
    assert all(url.startswith("https://code.aliyun.com/qhduan/") for url in addresses)


def test_the_vocabulary_is_googles(shared: Path) -> None:
    digest = hashlib.sha256((shared / "vocab_21128.txt").read_bytes()).hexdigest()
    assert REGISTRY.entry("bert_tokenizer_chinese").vocabulary_sha256 == digest


# -- how they are built ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNBUILT)
def test_an_unbuilt_row_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", name]) == 2
    said, command = capsys.readouterr().err, f"zoo fetch {name}"
    assert said.startswith(f"zoo: NotBuilt: {name} is not published") and said.count("\n") == 1
    assert f"`ZOO_BUILD=auto {command}` builds it once" in said
    assert main(["info", name]) == 0
    assert ["to", "build", *command.split()] in [line.split() for line in capsys.readouterr().out.splitlines()]
    with pytest.raises(NotBuilt, match=f"`{command}` builds it"):
        zoo.url(name)


@pytest.mark.parametrize("name", UNBUILT)
def test_commands_are_accepted(name: str) -> None:
    """They are parsed by the exporter's own parsers, and ask for this model."""
    entry, found = REGISTRY.models[name], ways(name, REGISTRY.models)
    assert not found[0].by_hand
    for way in found:
        program, command, *arguments = shlex.split(way.command)
        parser = argparse.ArgumentParser(exit_on_error=False)
        register = {"export": export_encoder_command, "export-tokenizer": export_tokenizer_command}[command]
        register(parser)
        parsed = parser.parse_args(arguments)
        assert program == "zoo" and parsed.licence == entry.licence
        if entry.kind == "encoder":
            layers = entry.derivation.layers if entry.derivation else None
            assert (parsed.name, parsed.layers, parsed.kind) == (name, layers, "encoder")
            assert parsed.activation in (None, entry.activation)
        elif entry.kind == "text":
            recipe = entry.recipe or Recipe()
            assert (parsed.name, parsed.kind, parsed.prompts) == (name, "text", recipe.prompts)
        else:
            recipe = REGISTRY.models[parsed.name].recipe or Recipe()
            assert name in (parsed.name, f"{parsed.name}_preprocess") and parsed.cased is recipe.cased


def test_a_repository_is_asked_at_hf_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    source = REGISTRY.entry("rbt3").sources[0]
    assert isinstance(source, HuggingFaceSource)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    place = f"hfl/rbt3/resolve/{source.revision}/config.json"
    assert source.file_url("config.json") == f"https://huggingface.co/{place}"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert source.file_url("config.json") == f"https://mirror.example/{place}"
    assert "https://mirror.example/hfl/rbt3" in ways("rbt3", REGISTRY.models)[0].fetch


# -- the pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_pages_hold_the_table(page: Page) -> None:
    text = (ROOT / page.path).read_text(encoding="utf-8")
    held = re.search(r"<!-- models -->\n(.*?)<!-- /models -->", text, flags=re.DOTALL)
    if page.path.startswith("README") and not (held and held[1]):
        pytest.skip(f"{page.path} holds no table of models")
    assert held and held[1] == markdown_table(REGISTRY, page.language, page.short)


def test_the_short_table_names_models_that_are_there() -> None:
    assert set(SHORT) <= REGISTRY.models.keys()
    assert all(isinstance(REGISTRY.models[name], Entry) for name in SHORT)
