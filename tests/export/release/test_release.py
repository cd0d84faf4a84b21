"""`zoo build` and `zoo add`: every row from every kind of source, nothing twice, nothing lost at a kill."""

from __future__ import annotations

import io
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from export.readers.archive import unpack_checkpoint
from export.release.builder import Job
from export.release.dry_run import dry_run
from export.release.fetching import fetch_file
from export.release.plan import make_step, make_steps
from export.release.processes import run_steps
from export.release.sources import Shelf
from tests.conftest import ROOT
from tests.export.release.killing import state
from tests.export.release.releasing import (
    REPOSITORY,
    Upstream,
    answer_or_die,
    make_upstream,
    serve_repository,
    write_checkpoint,
    zipped,
)
from tests.localserver import LocalServer, Reply, running_server
from tests.once import packed_only, tokenizers_saved_once
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.digests import sha256_of
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import BadRegistry, DownloadFailed, UnknownModel
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry, HuggingFaceSource, NoteSource, Recipe, UrlSource
from zoo.registry.recipes import ways
from zoo.registry.registry import PACKAGED, Registry
from zoo.registry.writing import own_registry, update_registry

KILLS = int(os.environ.get("ZOO_KILLS", "1"))  # how often a build is killed
# Among the moves of files in a build of two models, where to die: the rows are written; the second archive has moved
# and is not named; the registry names it and the report does not. Further ones at random.
_WORST, _MOVES = (1, 27, 17), 34
ALL = ["base", "base_1", "small", "tiny", "words", "words_preprocess"]


@dataclass(frozen=True)
class Built:
    """The registry's models, built; `said` is what the command printed."""

    upstream: Upstream
    dist: Path
    said: dict[str, Any]

    def command(self, out: Path, *more: str, registry: Path | None = None) -> list[str]:
        """Return the command that builds everything into `out`."""
        places = ["--out", str(out), "--sources", str(self.upstream.sources)]
        return ["build", "--all", *places, "--registry", str(registry or self.upstream.registry), *more]

    def copied(self, place: Path) -> Path:
        return Path(shutil.copytree(self.dist, place))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalServer, Path]]:
    with running_server() as server, pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("sources")
        patch.setenv("HF_ENDPOINT", server.url)
        patch.setenv("ZOO_CACHE", str(cache))
        yield server, cache


@pytest.fixture(autouse=True)
def lasting_cache(environment: tuple[LocalServer, Path], own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module's build has fetched stays; the cache that every test has for itself would be empty."""
    monkeypatch.setenv("ZOO_CACHE", str(environment[1]))


@pytest.fixture(scope="module")
def built(environment: tuple[LocalServer, Path], tmp_path_factory: pytest.TempPathFactory) -> Built:
    place = tmp_path_factory.mktemp("release")
    made = Built(make_upstream(place / "upstream", environment[0]), place / "dist", {})
    with packed_only(), tokenizers_saved_once(tmp_path_factory), redirect_stdout(io.StringIO()) as printed:
        assert main(made.command(made.dist, "--json")) == 0, printed.getvalue()
    return Built(made.upstream, made.dist, json.loads(printed.getvalue()))


def outcomes(text: str) -> dict[str, str]:
    report = json.loads(text)
    return {name: report["rows"][name]["outcome"] for name in report["run"]}


def hidden(directory: Path) -> list[str]:
    """What a person does not see; locks stay."""
    return sorted(file.name for file in directory.glob(".*") if file.suffix != ".lock")


# -- all of it --------------------------------------------------------------------------------------------------------


def test_every_row_is_built_and_the_registry_keeps_what_it_said(built: Built) -> None:
    source, made = read_registry(built.upstream.registry), read_registry(built.dist / "registry.json")
    assert made.names() == ALL and built.said["run"] == ["words", "words_preprocess", "base", "base_1", "small", "tiny"]
    assert state(built.dist) == {"rows": ALL, "named": ALL, "wrong": []}
    for name, entry in made.models.items():
        before, archive = source.models[name], entry.archive
        for field in ("description", "sources", "recipe", "history", "aliases", "tokenizer", "licence", "layers"):
            assert getattr(entry, field) == getattr(before, field), (name, field)
        assert archive is not None and archive.urls == [f"{name}.tar.gz"]
        assert archive.sha256 == built.said["rows"][name]["sha256"]
    assert {entry.vocabulary_sha256 for entry in made.models.values()} == {made.entry("words").vocabulary_sha256}
    assert made.entry("old-base").activation == "gelu" and made.entry("tiny").activation == "gelu_tanh"
    assert hidden(built.dist) == []


def test_the_report_is_what_was_printed_and_names_no_machine(built: Built) -> None:
    assert json.loads((built.dist / "build.json").read_bytes()) == built.said
    assert {row["outcome"] for row in built.said["rows"].values()} == {"built"}
    assert str(built.dist.parent) not in json.dumps(built.said)
    assert built.said["rows"]["small"]["source"] == f"{REPOSITORY} at main"
    assert built.said["rows"]["tiny"]["source"] == "local tiny"


def test_sources_are_asked_in_order_and_each_file_once(built: Built) -> None:
    asked = built.upstream.server.asked
    assert "/gone/small.zip" in asked
    assert asked.count("/models/base.zip") == 1
    assert asked.count(f"/{REPOSITORY}/resolve/main/model.safetensors") == 1  # the tokenizer's export has no use for it


def test_a_truncation_is_of_its_parent_and_as_the_printed_command_makes_it(built: Built, tmp_path: Path) -> None:
    unpack(built.dist / "base_1.tar.gz", tmp_path / "base_1")
    unpack(built.dist / "base.tar.gz", tmp_path / "base")
    part, whole = read_card(tmp_path / "base_1"), read_card(tmp_path / "base")
    assert isinstance(part, EncoderCard) and isinstance(whole, EncoderCard)
    assert part.truncated_from == 2 and part.derivation and part.derivation.parent_sha256 == whole.source.sha256
    assert whole.exported_heads == [] and "base.zip" in whole.source.files
    unpack(built.dist / "tiny.tar.gz", tmp_path / "tiny")
    tiny = read_card(tmp_path / "tiny")
    assert isinstance(tiny, EncoderCard) and tiny.exported_heads == ["mlm"], "as its recipe says"
    way = ways("base_1", read_registry(built.upstream.registry).models)[0]
    zoo, command, local, *rest = shlex.split(way.command)
    fetched = next(Path(os.environ["ZOO_CACHE"]).rglob(local))
    assert zoo == "zoo" and main([command, str(fetched), *rest[:-1], str(tmp_path / "dist")]) == 0
    assert sha256_of(tmp_path / "dist/base_1.tar.gz") == sha256_of(built.dist / "base_1.tar.gz")


def test_a_second_run_builds_nothing(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in built.dist.glob("*.tar.gz")}
    asked = len(built.upstream.server.asked)
    assert main(built.command(built.dist)) == 0
    assert capsys.readouterr().out.count("unchanged") == len(ALL)
    assert {file.name: file.stat().st_mtime_ns for file in built.dist.glob("*.tar.gz")} == before
    assert len(built.upstream.server.asked) == asked


def test_a_registry_that_a_build_wrote_is_one_that_a_build_takes(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its preprocess row is that of an export, and so is the row of a conversion: neither states a derivation."""
    dist = built.copied(tmp_path / "dist")
    registry = dist / "registry.json"
    exported = Entry(kind="preprocess", archive=own_registry(registry).entry("words_preprocess").archive)
    update_registry(registry, {"words_preprocess": exported, "base_onnx": Entry(kind="onnx")})
    assert main(built.command(dist, "--json", registry=registry)) == 0
    assert outcomes(capsys.readouterr().out) == dict.fromkeys(built.said["run"], "unchanged")
    assert main(["build", "words_preprocess", "--out", str(dist), "--registry", str(registry), "--json"]) == 0
    assert outcomes(capsys.readouterr().out) == dict.fromkeys(["words", "words_preprocess"], "unchanged")
    assert main(["build", "base_onnx", "--out", str(dist), "--registry", str(registry)]) == 2
    assert "`zoo build base --with onnx` makes both" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_any_write_it_goes_on_and_builds_what_changed(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The input of `base` is another one; it and its truncation are built again, whenever the build is killed."""
    dist, sources = built.copied(tmp_path / "dist"), tmp_path / "sources"
    shutil.copytree(built.upstream.sources, sources)
    write_checkpoint("base", sources / "base", seed=2)
    command = built.command(dist)
    command[command.index("--sources") + 1] = str(sources)
    points = [*_WORST, *random.Random(11).choices(range(_MOVES), k=max(0, KILLS - len(_WORST)))][:KILLS]
    killing = [sys.executable, "-m", "tests.export.release.killing", ",".join(map(str, points)), *command]
    done = subprocess.run(killing, cwd=ROOT, capture_output=True, text=True)
    after = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["point"] for each in after] == points, done.stderr
    assert all(each["killed"] for each in after[: len(_WORST)])
    assert not [each for each in after if each["wrong"] or each["rows"] != ALL]
    named = [[name in each["named"] for name in ("base", "base_1")] for each in after[: len(_WORST)]]
    assert named == [[True, True], [True, False], [True, True]][:KILLS]
    assert main([*command, "--json"]) == 0
    assert state(dist) == {"rows": ALL, "named": ALL, "wrong": []} and hidden(dist) == []
    for name in ALL:
        same = sha256_of(dist / f"{name}.tar.gz") == sha256_of(built.dist / f"{name}.tar.gz")
        assert same == (not name.startswith("base")), name
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    assert set(outcomes(capsys.readouterr().out).values()) == {"unchanged"}


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_failures_are_rows_of_the_report(built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dist = built.copied(tmp_path / "dist")
    lost = {"kind": "encoder", "sources": [{"kind": "note", "text": "on a drive of somebody's"}]}
    registry = built.upstream.write_registry(
        tmp_path / "registry.json", tiny={"layers": 7, "heads": 5}, lost=lost, base_1={"description": "other words"}
    )
    command = built.command(dist, "--json", registry=registry)
    assert main(command) == 2
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {name: row["outcome"] for name, row in rows.items()} == {
        **dict.fromkeys(ALL, "unchanged"),
        "tiny": "failed",
        "lost": "failed",
    }
    assert "The registry says layers 7, it has 2; heads 5, it has 3" in rows["tiny"]["reason"]
    assert "tiny and" in rows["tiny"]["reason"] and "local tiny" in rows["tiny"]["reason"]
    assert (
        "on a drive of somebody's" in rows["lost"]["reason"]
        and "names: lost. Then `zoo fetch lost --sources DIR`" in rows["lost"]["reason"]
    )
    made = read_registry(dist / "registry.json")
    assert made.entry("base_1").description == "other words"
    assert made.entry("tiny").layers == 2, "the archive that is there has 2"
    assert state(dist)["wrong"] == [] and made.entry("lost").archive is None


def test_a_process_that_dies_takes_nothing_else_along(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.release.processes._serve", answer_or_die)
    registry = read_registry(built.upstream.registry)
    steps, job = make_steps(registry), Job(registry.models, tmp_path)
    rows = {row.name: row for ready in run_steps(steps, job, jobs=2) for row in ready}
    assert {name: row.outcome for name, row in rows.items()} == {
        **dict.fromkeys(ALL, "built"),
        "tiny": "failed",
        "base_1": "failed",
    }
    assert "exit code 3" in rows["tiny"].reason


def test_an_archive_that_is_gone_or_another_one_is_not_named(built: Built, tmp_path: Path) -> None:
    dist = built.copied(tmp_path / "dist")
    (dist / "small.tar.gz").unlink()
    (dist / "tiny.tar.gz").write_bytes(b"x")
    assert main(["build", "words", "--out", str(dist), "--registry", str(built.upstream.registry)]) == 0
    assert state(dist)["wrong"] == []
    assert sorted(set(ALL) - set(state(dist)["named"])) == ["small", "tiny"]


def test_words_that_are_no_models(built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--all", "base"], ["bas", "tini"], ["--all", "--sources", str(tmp_path / "none")]):
        assert main(["build", *words, "--out", str(tmp_path / "x"), "--registry", str(built.upstream.registry)]) == 2
    said = capsys.readouterr().err
    assert "'base'" in said and "'tiny'" in said and "is no directory" in said and not (tmp_path / "x").exists()


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_asks_nobody_and_writes_nothing(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = len(built.upstream.server.asked)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "empty"))
    assert main(built.command(tmp_path / "dist", "--dry-run", "--json")) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in plan["steps"]] == ["words", "base", "base_1", "small", "tiny"]
    by_name = {step["name"]: step for step in plan["steps"]}
    assert by_name["base"]["download"] == 36_000 and by_name["base_1"]["download"] == 0
    assert by_name["base"]["archive"] == 33_480 and by_name["tiny"]["source"] == "local tiny"
    assert plan["about"]["archive"] == sum(step["archive"] for step in plan["steps"])
    assert list(tmp_path.iterdir()) == [] and len(built.upstream.server.asked) == asked
    job = Job(read_registry(PACKAGED).models, tmp_path / "dist")
    steps = [make_step(name, job.models) for name in ("bert_tokenizer_chinese", "bge_small_zh")]
    assert str(dry_run(steps, job, onnx=True)).endswith(
        "\n--with onnx: then bge_small_zh_onnx, each converted, compared and verified; not in these numbers."
    )
    assert dry_run(steps[:1], job, onnx=True).to_dict()["conversions"] == [] and not dry_run(steps, job).conversions


def test_a_dry_run_tells_what_would_be_left_as_it_is(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(built.command(built.dist, "--dry-run")) == 0
    said = capsys.readouterr().out
    assert said.count("unchanged") == 5 and "0 of 5 exports to make" in said
    assert main(built.command(built.dist, "--dry-run", "--dtype", "bfloat16")) == 0
    assert "4 of 5 exports to make" in capsys.readouterr().out


def test_one_flipped_bit_in_an_archive_is_seen(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dist = built.copied(tmp_path / "dist")
    content = bytearray((dist / "small.tar.gz").read_bytes())
    content[-1] ^= 1
    (dist / "small.tar.gz").write_bytes(content)
    assert main(built.command(dist, "--dry-run", "--json")) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["name"] for step in steps if step["what"] == "export"] == ["small"]


def test_the_packaged_registry_can_be_planned() -> None:
    registry = read_registry(PACKAGED)
    steps = make_steps(registry)
    on_request = {name for name, entry in registry.models.items() if entry.on_request}
    assert sorted(name for step in steps for name in step.rows) == [n for n in registry.names() if n not in on_request]
    first = min(on_request)  # to be built if it is named, with its tokenizer before it
    assert [step.name for step in make_steps(registry, [first])] == [registry.entry(first).tokenizer, first]
    places = {step.name: number for number, step in enumerate(steps)}
    assert steps[0].rows == ("bert_tokenizer_chinese", "bert_tokenizer_chinese_preprocess")
    assert places["roberta_wwm_large"] < places["roberta_wwm_large_1"] < places["albert_tiny"]
    assert [step.name for step in make_steps(registry, ["zh-bert-L3", "bert"])] == [
        "bert_tokenizer_chinese",
        "bert",
        "bert_3",
    ]
    assert make_steps(registry, ["bert_tokenizer_chinese_preprocess"])[0].name == "bert_tokenizer_chinese"


def test_every_name_that_is_none_is_told() -> None:
    with pytest.raises(UnknownModel, match=r"'bertt'.*'rbt33'"):
        make_steps(read_registry(PACKAGED), ["bertt", "bert", "rbt33"])
    odd = {"words": {"kind": "tokenizer"}, "w": {"kind": "preprocess", "recipe": {"derivation": {"parent": "words"}}}}
    with pytest.raises(BadRegistry, match="words_preprocess"):
        make_steps(Registry.model_validate({"models": odd}))
    lonely = {"words_preprocess": {"kind": "preprocess"}}
    with pytest.raises(BadRegistry, match="export of a tokenizer, .* Add its row, called 'words', or leave"):
        make_steps(Registry.model_validate({"models": lonely}))


# -- sources ----------------------------------------------------------------------------------------------------------


def test_a_download_that_was_cut_is_continued_by_the_next_run(
    environment: tuple[LocalServer, Path], built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.http.PAUSE", 0.0)
    server, content = environment[0], zipped(built.upstream.sources / "tiny")
    whole = Reply(content, ranges=True, headers={"ETag": '"7"'})
    cut = Reply(content, headers={"ETag": '"7"'}, sent=len(content) // 2)
    url = server.serve("/cut.zip", cut, Reply(status=404))
    with pytest.raises(DownloadFailed, match="404"):
        fetch_file(url, tmp_path / "place")
    assert not (tmp_path / "place").exists()
    server.serve("/cut.zip", whole)
    assert fetch_file(url, tmp_path / "place").read_bytes() == content
    assert server.headers[-1]["Range"] == f"bytes={len(content) // 2}-" and server.headers[-1]["If-Range"] == '"7"'
    assert [file.name for file in (tmp_path / "place").iterdir()] == ["cut.zip"]
    changed = Reply(content[::-1], ranges=True, headers={"ETag": '"8"'})
    url = server.serve("/changed.bin", Reply(content, headers={"ETag": '"7"'}, sent=99), Reply(status=404))
    with pytest.raises(DownloadFailed):
        fetch_file(url, tmp_path / "other")
    server.serve("/changed.bin", changed)
    assert fetch_file(url, tmp_path / "other").read_bytes() == content[::-1], "parts of two versions"


def test_what_is_damaged_gives_way_to_the_next_source(
    environment: tuple[LocalServer, Path], built: Built, tmp_path: Path
) -> None:
    server, content = environment[0], bytearray(zipped(built.upstream.sources / "tiny"))
    content[len(content) // 2] ^= 1
    urls = [server.serve("/flipped.zip", bytes(content)), server.serve("/page.zip", b"<html>"), f"{server.url}/x.zip"]
    urls.append(server.serve("/right.zip", zipped(built.upstream.sources / "tiny")))
    sources = [UrlSource(kind="url", url=url) for url in urls]
    found = Shelf(cache=tmp_path).get("odd", Entry(kind="encoder", sources=sources))
    assert found.path.name == "right.zip" and found.source == sources[3]
    with pytest.raises(
        DownloadFailed, match=r"(?s)flipped.zip.*damaged.*page.zip.*x.zip.*404.*one of these names: odd or "
    ):
        Shelf(cache=tmp_path).get("odd", Entry(kind="encoder", sources=sources[:3]))


def test_repositories_with_a_listing_and_without(environment: tuple[LocalServer, Path], tmp_path: Path) -> None:
    server = environment[0]
    serve_repository(server, repository="a/mirrored", api=False)
    source = HuggingFaceSource(kind="huggingface", repository="a/mirrored")
    found = Shelf(cache=tmp_path).get("odd", Entry(kind="encoder", sources=[source]))
    assert sorted(found.files) == ["config.json", "model.safetensors", "vocab.txt"]
    serve_repository(server, repository="a/wrong")
    server.serve("/a/wrong/resolve/main/model.safetensors", b"other bytes")
    wrong = HuggingFaceSource(kind="huggingface", repository="a/wrong")
    assert Shelf(cache=tmp_path).get("odd", Entry(kind="encoder", sources=[wrong, source])).source == source
    words = Shelf(cache=tmp_path).get("odd", Entry(kind="tokenizer", sources=[wrong]))
    assert list(words.files) == ["config.json", "vocab.txt"], "a tokenizer's export has no use for weights"


def test_weights_in_several_files(environment: tuple[LocalServer, Path], tmp_path: Path) -> None:
    server, place = environment[0], "/a/shards/resolve/main"
    index = {"weight_map": {"x": "model-1.safetensors", "y": "../model-2.safetensors", "z": "model-1.safetensors"}}
    server.serve(f"{place}/model.safetensors.index.json", json.dumps(index).encode())
    for name in ("config.json", "vocab.txt", "model-1.safetensors", "model-2.safetensors"):
        server.serve(f"{place}/{name}", name.encode())
    source = HuggingFaceSource(kind="huggingface", repository="a/shards")
    found = Shelf(cache=tmp_path).get("odd", Entry(kind="encoder", sources=[source]))
    assert {"model-1.safetensors", "model-2.safetensors"} < set(found.files)


@pytest.mark.parametrize("there", ["base", "base.zip", "bert-x", "bert-x.tar.gz", "published", "published.tgz"])
def test_a_folder_of_sources_comes_first(there: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / there).mkdir(parents=True) if "." not in there else folder.mkdir()
    file = folder / there / "vocab.txt" if "." not in there else folder / there
    file.write_bytes(b"x")
    sources = [
        HuggingFaceSource(kind="huggingface", repository="a/bert-x"),
        UrlSource(kind="url", url="https://host/some/published.zip"),
    ]
    found = Shelf(folder, tmp_path / "cache").get("base", Entry(kind="encoder", sources=sources))
    assert found.path == folder / there and list(found.files) == [file.name]
    assert {"bert-x": sources[0], "published": sources[1]}.get(there.partition(".")[0], found.source) == found.source


# -- adding -----------------------------------------------------------------------------------------------------------


def test_adding_a_model_makes_its_row_archive_and_tokenizer(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path / "dist"
    command = ["add", REPOSITORY, "--name", "theirs", "--out", str(out), "--pooler", "first_token", "--heads", "none"]
    with packed_only(), tokenizers_saved_once(tmp_path_factory):
        assert main([*command, "--licence", "MIT"]) == 0
    made = read_registry(out / "registry.json")
    assert made.names() == ["theirs", "theirs_tokenizer", "theirs_tokenizer_preprocess"]
    assert state(out)["wrong"] == [] and state(out)["named"] == made.names()
    theirs = made.entry("theirs")
    assert (theirs.family, theirs.layers, theirs.heads, theirs.activation) == ("electra", 1, 3, "gelu")
    assert theirs.licence == "MIT" and theirs.tokenizer == "theirs_tokenizer"
    assert theirs.recipe == Recipe(pooler="first_token", heads=[])
    assert theirs.sources == [HuggingFaceSource(kind="huggingface", repository=REPOSITORY)]
    capsys.readouterr()
    assert main(["build", "--all", "--out", str(out), "--registry", str(out / "registry.json"), "--json"]) == 0
    assert set(outcomes(capsys.readouterr().out).values()) == {"unchanged"}


def test_a_dry_run_of_adding_prints_the_plan_and_asks_nobody(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "empty"))
    asked, common = len(built.upstream.server.asked), ["--name", "mine", "--out", str(tmp_path / "x"), "--dry-run"]
    assert main(["add", str(built.upstream.sources / "tiny"), *common, "--layers", "1", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["variables"]) > 10 and plan["missing"] == plan["unused"] == []
    assert main(["add", REPOSITORY, *common]) == 0
    assert f"{REPOSITORY} at main is not on this machine" in capsys.readouterr().out
    assert len(built.upstream.server.asked) == asked and list(tmp_path.iterdir()) == []


def test_adding_a_cut_model_names_the_tokenizer_that_is_there_and_the_activation(
    environment: tuple[LocalServer, Path], built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the note, the row has no source any more that could state either. The .zip is unpacked once, in `out`."""
    out = built.copied(tmp_path / "dist")
    unpacked: list[Path] = []
    monkeypatch.setattr(
        "export.readers.unpack_checkpoint", lambda *of: unpacked.append(unpack_checkpoint(*of)) or unpacked[-1]
    )
    url = environment[0].serve("/tiny.zip", zipped(built.upstream.sources / "tiny"))
    options = ["--layers", "1", "--activation", "relu", "--dtype", "float16"]
    assert main(["add", url, "--name", "mine", "--out", str(out), *options, "--heads", "none"]) == 0
    made = read_registry(out / "registry.json")
    assert made.names() == sorted([*ALL, "mine"]) and made.entry("mine").tokenizer == "words"
    row = made.entry("mine")
    assert row.layers == 1 and row.derivation is None and row.recipe == Recipe(heads=[])
    assert [folder.is_relative_to(out) for folder in unpacked] == [True] and hidden(out) == []
    assert row.sources == [NoteSource(kind="note", text=f"`zoo add {url} {' '.join(options)}`")]


def test_what_cannot_be_added_leaves_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "dist")
    assert main(["add", "no-such-thing", "--name", "x", "--out", out]) == 2
    assert "owner/repository" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_text("{}")
    assert main(["add", str(tmp_path / "empty"), "--name", "x", "--out", out]) == 2
    assert "no checkpoint in" in capsys.readouterr().out
    write_checkpoint("tiny", tmp_path / "tiny")
    assert main(["add", str(tmp_path / "tiny"), "--name", "x", "--out", out, "--heads", "mlm,nips"]) == 2
    assert "no head 'nips'; it has: mlm, nsp" in capsys.readouterr().out
    assert read_registry(tmp_path / "dist/registry.json").names() == []
