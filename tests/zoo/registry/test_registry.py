"""Names are answered or corrected, URLs start at the registry, and writing never loses what was there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import zoo
from tests.conftest import ROOT
from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo, tree
from zoo.errors import BadRegistry, CannotWrite, NotBuilt, UnknownModel
from zoo.fetching.registries import read_registry
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import PACKAGED, Registry, json_schema
from zoo.registry.writing import update_registry


def encoder(*urls: str, aliases: tuple[str, ...] = ()) -> Entry:
    archive = ArchiveRecord(urls=list(urls), sha256="a" * 64, size=7) if urls else None
    return Entry(kind="encoder", family="albert", aliases=list(aliases), archive=archive)


# -- names --------------------------------------------------------------------------------------------------------


def test_unknown_name_gives_the_closest_ones() -> None:
    registry = Registry(models={f"model_{n}": encoder() for n in range(26)} | {"albert_tiny": encoder()})
    with pytest.raises(UnknownModel) as caught:
        registry.entry("albert_tinny")
    assert str(caught.value) == "no model 'albert_tinny'. Did you mean 'albert_tiny'? `zoo list` shows all 27."
    with pytest.raises(UnknownModel, match=r"^no model 'xyz'\. `zoo list` shows all 27\.$"):
        registry.entry("xyz")
    with pytest.raises(LookupError, match="holds no models yet"):
        Registry().entry("albert_tiny")


def test_aliases_are_answered_and_suggested() -> None:
    registry = Registry(models={"rbt3": encoder(aliases=("zh-roberta-wwm-L3",)), "bert": encoder()})
    assert registry.entry("zh-roberta-wwm-L3") is registry.entry("rbt3")
    assert registry.names() == ["bert", "rbt3"]
    with pytest.raises(UnknownModel, match="'zh-roberta-wwm-L3'"):
        registry.entry("zh-roberta-wwm-L4")


@pytest.mark.parametrize("aliases", [("b",), ("shared",), ("a",)])
def test_a_name_means_one_model(aliases: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="already means"):
        Registry(models={"a": encoder(aliases=aliases), "b": encoder(aliases=("shared",))})


# -- reading ------------------------------------------------------------------------------------------------------


def test_relative_urls_start_at_a_local_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a zoo #1"
    folder.mkdir()
    written = update_registry(folder / "registry.json", {"a": encoder("a.tar.gz", "https://host/a.tar.gz", "../b.tgz")})
    monkeypatch.chdir(tmp_path)
    for registry in (
        written,
        read_registry(Path("a zoo #1/registry.json")),
        read_registry((folder / "registry.json").as_uri()),
    ):
        first, second, third = registry.urls(registry.entry("a"))
        assert first == (folder / "a.tar.gz").as_uri()
        assert second == "https://host/a.tar.gz"
        assert third.endswith("b.tgz")


def test_relative_urls_start_at_a_served_registry(small_zoo: SmallZoo, server: LocalServer) -> None:
    url = server.serve("/models/v1/registry.json", small_zoo.registry.read_bytes())
    registry = read_registry(url)
    assert registry.place == url
    assert registry.urls(registry.entry("small")) == [f"{server.url}/models/v1/small.tar.gz"]
    assert registry.urls(registry.entry("later")) == []
    with pytest.raises(NotBuilt, match=r"later is in http.* no archive of it is published"):
        registry.archive("later")


def test_the_place_is_given_or_from_the_environment_or_packaged(
    small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_registry().place == str(PACKAGED)
    monkeypatch.setenv("ZOO_REGISTRY", str(small_zoo.registry))
    assert read_registry().names() == zoo.names() == ["later", "small"]
    assert zoo.info("old-small").description == "for tests"
    assert zoo.url("small").endswith("/dist/small.tar.gz")
    assert zoo.names(registry=ROOT / "registry.json") == read_registry(PACKAGED).names()


def test_every_problem_of_a_registry_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"models": {"a": {"kind": "encoder", "layers": -3}, "b": {"kind": 7}}, "number": "x"}))
    with pytest.raises(BadRegistry) as caught:
        read_registry(path)
    for words in (
        str(path),
        "models.a.layers: Input should be greater than",
        "models.b.kind: Input should be a valid string",
        "number: Input should be",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "Invalid JSON"), ("", "Invalid JSON"), ("[]", "object"), ('{"models": 1}', "models: ")]
)
def test_a_registry_that_is_none_is_refused_and_kept(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(text)
    with pytest.raises(BadRegistry, match=words):
        read_registry(path)
    with pytest.raises(BadRegistry, match=words):
        update_registry(path, {"a": encoder()})
    assert path.read_text() == text
    assert tree(tmp_path) == ["registry.json"]


def test_a_missing_registry_says_where_it_was_looked_for(tmp_path: Path, server: LocalServer) -> None:
    with pytest.raises(BadRegistry, match=r"none\.json: No such file or directory\. Check --registry and ZOO_REGISTRY"):
        read_registry(tmp_path / "none.json")
    with pytest.raises(BadRegistry, match="HTTP 404"):
        read_registry(server.url + "/none.json")


# -- writing ------------------------------------------------------------------------------------------------------


def test_updates_keep_other_entries_and_are_stable(tmp_path: Path) -> None:
    path = tmp_path / "new" / "registry.json"
    update_registry(path, {"b": encoder("b.tar.gz"), "a": encoder()})
    first = path.read_bytes()
    assert first.endswith(b"}\n") and json.loads(first)["$schema"] == "registry.schema.json"
    assert (path.parent / "registry.schema.json").read_text(encoding="utf-8") == json_schema()
    update_registry(path, {"a": encoder()})
    assert path.read_bytes() == first
    update_registry(path, {"c": encoder()}, try_only=True)
    assert path.read_bytes() == first
    update_registry(path, {"c": encoder()})
    assert read_registry(path).names() == ["a", "b", "c"]
    assert tree(path.parent) == ["registry.json", "registry.schema.json"]


def test_an_archive_moves_while_no_entry_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, new = tmp_path / "registry.json", tmp_path / "new.tar.gz"
    update_registry(path, {"a": encoder("a.tar.gz"), "b": encoder("b.tar.gz")})
    new.write_bytes(b"new")
    replace, seen = Path.replace, []

    def watched(source: Path, target: Path) -> Path:
        if source == new:
            seen.append({name: entry.archive for name, entry in read_registry(path).models.items()})
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", watched)
    changed = encoder("a.tar.gz").model_copy(update={"description": "another"})
    update_registry(path, {"a": changed}, {new: tmp_path / "a.tar.gz"})
    assert seen == [{"a": None, "b": encoder("b.tar.gz").archive}]
    assert read_registry(path).entry("a") == changed and (tmp_path / "a.tar.gz").read_bytes() == b"new"


def test_an_update_that_would_not_be_a_registry_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    update_registry(path, {"a": encoder()})
    before = path.read_bytes()
    with pytest.raises(BadRegistry, match="alias 'a' of 'b' already means 'a'"):
        update_registry(path, {"b": encoder(aliases=("a",))})
    with pytest.raises(BadRegistry, match="pattern"):
        update_registry(path, {"../b": encoder()})
    assert path.read_bytes() == before


def test_a_linked_registry_stays_a_link(tmp_path: Path) -> None:
    update_registry(tmp_path / "registry.json", {"a": encoder()})
    (tmp_path / "deep").mkdir()
    link = tmp_path / "deep" / "registry.json"
    link.symlink_to("../registry.json")
    update_registry(link, {"b": encoder()})
    assert link.is_symlink() and read_registry(tmp_path / "registry.json").names() == ["a", "b"]


def test_no_permission_is_told_and_the_old_registry_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.json"
    update_registry(path, {"a": encoder()})

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(CannotWrite, match=r"registry\.json could not be written: Permission denied"):
        update_registry(path, {"b": encoder()})
    assert read_registry(path).names() == ["a"]
    assert tree(tmp_path) == ["registry.json", "registry.schema.json"]


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from zoo.registry.writing import Entry, update_registry
for n in range(5):
    update_registry(Path(sys.argv[1]), {f"{sys.argv[2]}{n}": Entry(kind="encoder")})
"""
    command = [sys.executable, "-c", code, str(tmp_path / "registry.json")]
    processes = [subprocess.Popen([*command, name], cwd=ROOT) for name in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(read_registry(tmp_path / "registry.json").names()) == 15


# -- the files of this repository ---------------------------------------------------------------------------------


def test_schema_file_is_in_step_with_the_model() -> None:
    assert (ROOT / "registry.schema.json").read_text(encoding="utf-8") == json_schema()


def test_packaged_registry_is_the_one_at_the_top() -> None:
    assert PACKAGED.read_bytes() == (ROOT / "registry.json").read_bytes()
    assert json.loads(PACKAGED.read_text(encoding="utf-8"))["$schema"] == "registry.schema.json"
