"""What is published nowhere is built once, by whoever comes first, and is whole or not there: the rules of the cache.

The builder here writes a small archive without a model in it; tests/export/release/test_first_use.py has the real one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.conftest import ROOT
from tests.zoo.conftest import SecretKey
from tests.zoo.small import SmallZoo, tree
from zoo.archive.digests import file_digests, sha256_of
from zoo.command import main
from zoo.errors import DigestMismatch, DownloadFailed, NotBuilt, Untrusted
from zoo.fetching import building
from zoo.fetching.building import Order, built_here, tokenizer_of_hub
from zoo.fetching.cache import kept, leftovers
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.hub_resolver import _ZooResolver
from zoo.loading.load import find_model
from zoo.publishing.wheels import wheels
from zoo.registry.registry import Registry
from zoo.registry.writing import update_registry

SOURCE = {"kind": "url", "url": "https://host/later.zip"}


class Small:
    """A builder that puts the archive `small` there under the name of the order, and knows how often it was asked."""

    def __init__(self, zoo: SmallZoo) -> None:
        self.zoo, self.orders = zoo, list[Order]()
        self.fails: Exception | None = None

    def __call__(self, order: Order, out: Path) -> None:
        self.orders.append(order)
        if self.fails:
            raise self.fails
        row = read_registry(self.zoo.registry).entry("small")
        out.mkdir(exist_ok=True)
        names = [order.name, *(name for name in order.models if name.startswith(f"{order.name}_"))]
        for name in names:
            shutil.copyfile(self.zoo.archive, out / f"{name}.tar.gz")
        update_registry(out / "registry.json", {name: row.model_copy(update={"aliases": []}) for name in names})


@pytest.fixture
def builder(small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> Small:
    made = Small(small_zoo)
    monkeypatch.setattr(building, "_builder", lambda: made)
    monkeypatch.setenv("ZOO_BUILD", "")
    return made


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    rows = {
        "words": {"kind": "tokenizer", "sources": [SOURCE]},
        "words_preprocess": {"kind": "preprocess", "recipe": {"derivation": {"parent": "words"}}},
        "later": {"kind": "encoder", "sources": [SOURCE], "tokenizer": "words", "aliases": ["soon"]},
        "by_hand": {"kind": "encoder", "sources": [{"kind": "note", "text": "on a drive of somebody's"}]},
    }
    (tmp_path / "registry.json").write_text(json.dumps({"format": 1, "models": rows}))
    yield read_registry(tmp_path / "registry.json")


def built(name: str, registry: Registry, **how: object) -> Path:
    return resolve(f"zoo://{name}", registry=registry, **how)  # type: ignore[arg-type]


def test_the_first_call_builds_it_with_its_tokenizer_and_the_next_finds_it(
    builder: Small, registry: Registry, no_sockets: None, capsys: pytest.CaptureFixture[str]
) -> None:
    place = built("soon", registry)
    assert place == cache_directory() / sha256_of(builder.zoo.archive)
    assert [order.name for order in builder.orders] == ["later", "words"]
    for name in ("later", "words", "words_preprocess"):
        assert built(name, registry) == place == built_here(name, registry)
    assert len(builder.orders) == 2 and built_here("by_hand", registry) is None
    assert main(["list", "--registry", registry.place]) == main(["info", "soon", "--registry", registry.place]) == 0
    said = capsys.readouterr().out
    assert said.count("built here") == 4 and said.count("not built") == 1 and f"cached     {place}" in said
    assert leftovers(cache_directory()) == [] and [model.path for model in kept(cache_directory())] == [place]
    assert [path for path in cache_directory().iterdir() if ".part" in path.name or ".tmp" in path.name] == []


def test_a_preprocess_row_is_built_by_its_tokenizer(builder: Small, registry: Registry) -> None:
    built("words_preprocess", registry)
    assert [order.name for order in builder.orders] == ["words"]


def test_what_is_damaged_is_built_again_and_what_is_removed_too(
    builder: Small, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    place = built("words", registry)
    (place / "saved_model.pb").unlink()
    assert built("words", registry) == place and "Building words again" in caplog.text
    assert len(builder.orders) == 2 and (place / "saved_model.pb").is_file()
    assert main(["cache", "clean", "--all"]) == main(["cache", "clean"]) == 0  # records of what is gone are leftovers
    assert not place.exists() and not [*cache_directory().glob("built-*")]
    built("words", registry)
    assert len(builder.orders) == 3


def test_another_recipe_is_another_model(builder: Small, registry: Registry) -> None:
    built("words", registry)
    row = registry.models["words"]
    for change in ({"licence": "MIT"}, {"sources": []}, {"kind": "text"}):
        changed = registry.model_copy(update={"models": {**registry.models, "words": row.model_copy(update=change)}})
        assert built_here("words", changed) is None
    described = registry.model_copy(
        update={"models": {**registry.models, "words": row.model_copy(update={"description": "of ours"})}}
    )
    assert built_here("words", described)


def test_an_encoder_works_while_its_tokenizer_cannot_be_built(
    builder: Small, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(order: Order, out: Path) -> None:
        if order.name == "words":
            raise DownloadFailed("no answer")
        builder(order, out)

    monkeypatch.setattr(building, "_builder", lambda: build)
    assert built("later", registry).is_dir()
    assert "later is there, its tokenizer words is not yet: no answer" in caplog.text
    with pytest.raises(DownloadFailed, match="no answer"):
        built("words", registry)


def test_an_id_of_a_hub_in_every_place_of_a_handle(
    builder: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_sockets: None
) -> None:
    place = cache_directory() / sha256_of(builder.zoo.archive)
    for handle in ("hf://us/words", "ms://us/words@v1"):
        assert zoo.path(handle) == resolve(handle) == find_model(handle)[0] == place
        assert main(["fetch", handle]) == 0 and capsys.readouterr().out == f"{place}\n"
        assert _ZooResolver().is_supported(handle)
    assert [(order.name, order.as_found) for order in builder.orders] == [("words", True)] * 2
    sources = [order.models["words"].sources[0] for order in builder.orders]
    assert [(source.kind, source.revision) for source in sources] == [("huggingface", "main"), ("modelscope", "v1")]
    assert tokenizer_of_hub("hf://us/words") is None
    monkeypatch.setenv("ZOO_BUILD", "never")
    assert resolve("hf://us/words") == place
    with pytest.raises(NotBuilt, match="`ZOO_BUILD=auto zoo fetch hf://us/other` builds it once"):
        resolve("hf://us/other")


# -- what forbids it, and the one command that helps ------------------------------------------------------------------


def test_the_command_of_each_message_works(
    builder: Small, registry: Registry, monkeypatch: pytest.MonkeyPatch, key: SecretKey
) -> None:
    """ZOO_BUILD=never, ZOO_OFFLINE and ZOO_TRUSTED_KEY forbid it; each message has a command, which is run here."""
    said = []
    monkeypatch.setenv("ZOO_REGISTRY", registry.place)
    monkeypatch.setenv("ZOO_BUILD", "never")
    with pytest.raises(NotBuilt, match="ZOO_BUILD forbids building it here") as never:
        built("words", registry)
    said.append(str(never.value))
    monkeypatch.setenv("ZOO_BUILD", "")
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(key.public))
    with pytest.raises(Untrusted, match="nobody has signed the checkpoint") as unsigned:
        built("words", registry)
    said.append(str(unsigned.value))
    monkeypatch.delenv("ZOO_TRUSTED_KEY")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    builder.fails = DownloadFailed("not asked")
    with pytest.raises(DownloadFailed, match="ZOO_OFFLINE forbids the network") as offline:
        built("words", registry)
    said.append(str(offline.value))
    builder.fails = None
    with pytest.raises(NotBuilt, match="no archive of it is published") as url:
        registry.archive("words")
    said.append(str(url.value))
    for text in said:
        assert text.count("`") == 2, text
        variables, words = [], shlex.split(text.split("`")[1])
        while "=" in words[0]:
            variables.append(words.pop(0).partition("="))
        with pytest.MonkeyPatch.context() as patch:
            for name, _, value in variables:
                patch.setenv(name, value)
            assert words[0] == "zoo" and main(words[1:]) == 0
        assert built_here("words", registry)
        shutil.rmtree(cache_directory())


def test_what_no_program_can_fetch_is_built_from_a_folder(builder: Small, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="on a drive of somebody's") as caught:
        built("by_hand", registry)
    command = str(caught.value).split("`")[1]
    assert command == f"zoo fetch by_hand --registry {registry.place} --sources DIR"
    assert main(shlex.split(command.replace("DIR", str(tmp_path)))[1:]) == 0
    assert builder.orders[0].sources == tmp_path and built("by_hand", registry).is_dir()


def test_what_its_licence_keeps_is_built_by_its_command_alone(builder: Small, registry: Registry) -> None:
    row = registry.models["words"].model_copy(update={"on_request": True, "licence": "research only"})
    held = registry.model_copy(update={"models": {**registry.models, "words": row}})
    with pytest.raises(NotBuilt, match="words is built only on request, because of its licence: research only.") as no:
        built("words", held)
    assert str(no.value).split("`")[1] == held.fetch_command("words")
    assert built("words", held, requested=True) == built("words", held)


@pytest.mark.parametrize("write", [zoo.bundle, wheels])
def test_what_hands_it_on_says_its_licence(
    write: Callable[..., Any],
    builder: Small,
    registry: Registry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write("words", tmp_path / "free", registry=registry)
    assert "for yourself" not in caplog.text
    row = registry.models["words"].model_copy(update={"on_request": True, "licence": "research only"})
    held = registry.model_copy(update={"models": {**registry.models, "words": row}})
    built("words", held, requested=True)
    write("words", tmp_path / "held", registry=held)
    assert caplog.text.count("words is for yourself: its licence (research only) lets nobody hand it on.") == 1


def test_a_sha256_that_is_asked_for(builder: Small, registry: Registry) -> None:
    digest = sha256_of(builder.zoo.archive)
    assert built("words", registry, sha256=digest).name == digest
    with pytest.raises(DigestMismatch, match="the archive that was built here is"):
        built("words", registry, sha256="0" * 64)


def test_an_installation_without_a_builder(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_BUILD", "")
    monkeypatch.setattr(building, "entry_points", lambda group: ())
    with pytest.raises(NotBuilt, match="`pip install --force-reinstall"):
        built("words", registry)


# -- several processes, and kills -------------------------------------------------------------------------------------


def test_several_processes_build_once_and_a_kill_leaves_nothing_half_done(
    builder: Small, registry: Registry, tmp_path: Path
) -> None:
    other = tmp_path / "cache" / "url-x.json"
    arguments = [str(builder.zoo.registry), registry.place, str(tmp_path / "cache"), os.environ.get("ZOO_KILLS", "6")]
    other.parent.mkdir()
    other.write_text("not ours")
    command = [sys.executable, "-m", "tests.zoo.fetching.building", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["together"] == {"codes": [0] * 8, "builds": 1}
    for each in said["killed"]:
        assert (each["code"], each["next"], each["whole"], each["rest"]) == (-signal.SIGKILL, 0, True, []), each
    assert other.read_text() == "not ours"
    assert file_digests(tmp_path / "cache" / sha256_of(builder.zoo.archive)) and tree(tmp_path / "cache")


def test_a_bundle_brings_what_was_built(builder: Small, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt):
        zoo.bundle("words", tmp_path / "x.tar", registry=registry, dry_run=True)
    assert zoo.bundle("words", tmp_path / "words.tar", registry=registry) == ["words"]
    assert resolve("words", registry=registry).name == sha256_of(builder.zoo.archive) and len(builder.orders) == 1
    shutil.rmtree(cache_directory())
    assert zoo.install(tmp_path / "words.tar") == ["words"]
