"""A name that is published nowhere answers its first call, from an upstream with Google's and the hub's layout."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from export.options import EncoderRequest
from export.oracle.forward import Case, forward
from export.planning import PlannedText, plan_export
from export.readers import open_checkpoint
from export.release import fetching
from export.release.sources import Shelf, digests
from tests.conftest import ROOT
from tests.export.release.releasing import REPOSITORY, Upstream, config_of, make_upstream, serve_repository
from tests.export.tasks.conftest import write_case
from tests.localserver import LocalServer, Reply, running_server
from tests.once import packed_only, tokenizers_saved_once
from tests.zoo.conftest import no_sockets  # noqa: F401, a fixture
from zoo.basics.urls import offline
from zoo.command import main
from zoo.errors import BadArgument, DownloadFailed, MissingExtra, WeightMismatch
from zoo.fetching.hub_ids import hub_source
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.registry.entry import Entry, HuggingFaceSource

COMMIT = "5" * 40


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, Path]]:
    with running_server() as server:
        yield make_upstream(tmp_path_factory.mktemp("upstream"), server), tmp_path_factory.mktemp("first-use")


@pytest.fixture
def upstream(environment: tuple[Upstream, Path], own_cache: None, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """What a new user's machine knows: the registry, a network. All tests share a cache: an export takes seconds."""
    made, cache = environment
    for name, value in {
        "ZOO_BUILD": "",
        "ZOO_CACHE": str(cache),
        "ZOO_REGISTRY": str(made.registry),
        "HF_ENDPOINT": made.server.url,
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("zoo.transport.http.PAUSE", 0.0)
    return made


def test_the_first_call_builds(
    upstream: Upstream, caplog: pytest.LogCaptureFixture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A truncation, from a TF1 archive of its parent; its tokenizer from a repository, without the weights there."""
    server = upstream.server
    with packed_only(), tokenizers_saved_once(tmp_path_factory):
        encoder = zoo.load("base_1")
    checkpoint = open_checkpoint(next(cache_directory().rglob("base.zip")))
    ids = np.array([[2, 5, 6, 3]], np.int32)
    case = Case(ids, np.ones_like(ids), np.zeros_like(ids))
    answer = forward(checkpoint.read, checkpoint.shapes, {**checkpoint.config, "num_hidden_layers": 1}, [case])[0]
    np.testing.assert_allclose(encoder(ids)["pooled_output"], answer.pooled, atol=2e-5)
    said = f"base_1 is not published; building it from {server.url}/models/base.zip, about 23.4 KiB"
    assert (
        said in caplog.text and f"words is not published; building it from {REPOSITORY} at main, 701 B" in caplog.text
    )
    assert server.asked.count("/models/base.zip") == 1
    assert f"/{REPOSITORY}/resolve/main/model.safetensors" not in server.asked
    assert [file for file in cache_directory().iterdir() if file.suffix in (".part", ".tmp")] == []


@pytest.fixture
def built(upstream: Upstream) -> Upstream:
    """An upstream from which base_1 was built already."""
    zoo.path("base_1")
    return upstream


def test_the_second_call_opens_no_socket(
    built: Upstream, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("no_sockets")
    encode = zoo.TextEncoder("base_1")
    assert encode(["你好"]).shape == (1, 24)
    assert zoo.KerasLayer("base_1")(np.array([[2, 5, 3]], np.int32))["pooled_output"].shape == (1, 24)
    assert zoo.load_model("base_1").card.name == "base_1" and zoo.path("words_preprocess").is_dir()
    monkeypatch.setenv("ZOO_BUILD", "never")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert zoo.path("base_1") == zoo.path("base_1")


def test_the_parent_is_there_for_all_truncations(built: Upstream) -> None:
    """Its checkpoint was fetched once, for itself and all that is cut from it."""
    with offline():
        assert Shelf().get("base", zoo.info("base")).path.name == "base.zip"


def test_the_checkpoints_are_listed_and_removed(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    serve_repository(upstream.server, repository="a/kept")
    place = Shelf().get("odd", entry("a/kept")).path
    assert main(["cache", "list"]) == 0
    assert "1 checkpoint, 32.5 KiB, to build models from: `zoo cache clean --sources`" in capsys.readouterr().err
    assert main(["cache", "clean"]) == 0 and place.is_dir()
    assert main(["cache", "clean", "--sources"]) == 0 and not place.exists()
    assert [path.name for path in (tmp_path / "sources").glob("*.json")], "what was fetched first stays on record"


# -- sources ----------------------------------------------------------------------------------------------------------


def entry(repository: str, revision: str = "main") -> Entry:
    return Entry(
        kind="encoder", sources=[HuggingFaceSource(kind="huggingface", repository=repository, revision=revision)]
    )


def serve_at_commit(server: LocalServer, repository: str, commit: str = COMMIT) -> None:
    """Serve a repository whose branch means a commit, with files under the commit alone, as the hub does."""
    serve_repository(server, repository=repository)
    for path in [path for path in server.replies if path.startswith(f"/{repository}/resolve/main/")]:
        server.replies[path.replace("/main/", f"/{commit}/")] = server.replies.pop(path)
    server.replies[f"/api/models/{repository}/tree/{commit}"] = server.replies.pop(
        f"/api/models/{repository}/tree/main"
    )
    server.serve(f"/api/models/{repository}/revision/main", json.dumps({"sha": commit}).encode())


def test_a_revision_means_the_commit_of_its_first_use(upstream: Upstream, tmp_path: Path) -> None:
    server = upstream.server
    serve_at_commit(server, "a/pinned")
    first = Shelf(cache=tmp_path).get("odd", entry("a/pinned"))
    server.serve("/api/models/a/pinned/revision/main", json.dumps({"sha": "6" * 40}).encode())
    words = Shelf(cache=tmp_path).get("words", Entry(kind="tokenizer", sources=entry("a/pinned").sources))
    assert words.files.items() <= first.files.items()
    assert [path for path in server.asked if path.startswith("/a/pinned/resolve/") and COMMIT not in path] == []


def test_what_upstream_has_changed_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    server, where = upstream.server, entry("a/moving")
    serve_repository(server, repository="a/moving", api=False)
    first = Shelf(cache=tmp_path).get("odd", where)
    for path in first.path.iterdir():
        path.unlink()
    first.path.rmdir()
    server.serve("/a/moving/resolve/main/vocab.txt", b"[PAD]\nother\n")
    with pytest.raises(DownloadFailed, match=r"vocab.txt of a/moving at main should be what was first used here") as no:
        Shelf(cache=tmp_path).get("odd", where)
    assert not first.path.exists()
    record = next(word for word in str(no.value).split() if word.endswith(".json"))
    Path(record).unlink()  # as the message says
    assert Shelf(cache=tmp_path).get("odd", where).files != first.files


def test_a_missing_extra_is_told_before_the_weights_are_fetched(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = upstream.server
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for repository, api in (("a/listed", True), ("a/unlisted", False)):
        serve_repository(server, repository=repository, api=api)
        with pytest.raises(MissingExtra, match=r"`pip install 'bert-zoo\[hf\]'`"):
            Shelf(cache=tmp_path).get("odd", entry(repository))
        assert f"/{repository}/resolve/main/model.safetensors" not in server.asked
        server.serve(f"/{repository}/resolve/main/pytorch_model.bin", b"weights")
    assert "pytorch_model.bin" in Shelf(cache=tmp_path).get("odd", entry("a/unlisted")).files


def test_without_tensorflow_text_nothing_is_fetched(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr("export.release.first_use.find_spec", lambda name: None)
    asked = len(upstream.server.asked)
    with pytest.raises(MissingExtra, match="`pip install tensorflow-text` brings it"):
        zoo.load("base")
    assert len(upstream.server.asked) == asked


def test_a_host_that_does_not_answer(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadFailed, match="(?s)HF_ENDPOINT names another host.*`zoo fetch odd --sources DIR`"):
        Shelf(cache=tmp_path).get("odd", entry("a/b"))
    with pytest.raises(DownloadFailed, match=r"(?s)^(?!.*--sources).*HF_ENDPOINT names another host.*`zoo export DIR"):
        zoo.load("hf://a/b")


def test_a_token_is_for_the_hub_alone(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = upstream.server
    monkeypatch.setenv("HF_TOKEN", " hf_secret\n")
    serve_repository(server, repository="a/private")
    with running_server() as elsewhere:
        place, name = "/a/private/resolve/main/", "model.safetensors"
        elsewhere.replies["/cdn"] = server.replies[place + name]
        # Another host, since for requests another port of one host is another one too.
        server.serve(place + name, Reply(status=302, headers={"Location": f"{elsewhere.url}/cdn"}))
        for name_of, row in (("odd", entry("a/private")), ("base", zoo.info("base"))):
            Shelf(cache=tmp_path).get(name_of, row)
        assert "Authorization" not in elsewhere.headers[0]
    asked = dict(zip(server.asked, server.headers, strict=True))
    assert {asked[place + each].get("Authorization") for each in ("config.json", name)} == {"Bearer hf_secret"}
    assert "Authorization" not in asked["/models/base.zip"]


# -- ids of hubs ------------------------------------------------------------------------------------------------------


def serve_hub(server: LocalServer, folder: Path, repository: str, revision: str) -> list[str]:
    """Serve a directory as a repository of Hugging Face at one revision, with files that nobody needs; return those."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    surplus = ["README.md", "onnx/model.onnx", "pytorch_model.bin", "flax_model.msgpack", "tf_model.h5"]
    for name, content in (files | dict.fromkeys(surplus, b"never asked for")).items():
        server.serve(f"/{repository}/resolve/{revision}/{name}", Reply(content, ranges=True))
    listing = [{"type": "file", "path": name, "size": len(files.get(name, b""))} for name in [*files, *surplus]]
    server.serve(f"/api/models/{repository}/tree/{revision}", json.dumps(listing).encode())
    return surplus


class Reached(Exception):
    """The export, instead of which a test stops: it takes seconds."""


def test_of_an_id_the_files_that_are_needed_are_fetched_and_planned_as_zoo_export_does(
    upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder, planned = upstream.server, write_case("vector: mean", tmp_path / "small-texts"), list[Any]()

    def export_checkpoint(plan: object) -> None:
        planned.append(plan)
        raise Reached

    monkeypatch.setattr("export.pipeline.export_checkpoint", export_checkpoint)
    surplus = serve_hub(server, folder, "us/small-texts", "v1.5")
    with pytest.raises(Reached):
        zoo.load("hf://us/small-texts@v1.5")
    assert caplog.messages[0].startswith("building small-texts from us/small-texts at v1.5, ")
    asked = [path.partition("/v1.5/")[2] for path in server.asked if path.startswith("/us/small-texts/")]
    assert len(asked) == len(set(asked)) and not {*asked} & {*surplus}
    expected = plan_export(EncoderRequest(folder, "small-texts", tmp_path))
    assert isinstance(planned[0], PlannedText) and str(planned[0]) == str(expected)


@pytest.mark.slow
def test_an_id_of_the_hub_is_a_handle(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A directory of sentence-transformers becomes a text archive, any other an encoder and its tokenizer."""
    folder, handle = write_case("vector: mean", tmp_path / "whole-texts"), "hf://us/whole-texts@v1.5"
    serve_hub(upstream.server, folder, "us/whole-texts", "v1.5")
    vectors = zoo.load(handle)(["你好", "good day"])
    encode = zoo.TextEncoder(handle)
    np.testing.assert_allclose(encode(["你好", "good day"]), vectors, atol=1e-5)
    serve_repository(upstream.server, repository="us/small")
    assert zoo.TextEncoder("hf://us/small", pooling="mean")(["你好"]).shape == (1, 24)
    request.getfixturevalue("no_sockets")
    assert zoo.TextEncoder("hf://us/small").card.kind == "encoder"
    assert zoo.load_model(handle).card.kind == "text" and zoo.TextEncoder(handle).card.name == "whole-texts"


def test_an_id_of_modelscope(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its client asks: a list with the sha256 of every file, and the files by Revision and FilePath."""
    server, folder = upstream.server, write_case("vector: mean", tmp_path / "small")
    monkeypatch.setenv("MODELSCOPE_DOMAIN", server.url)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    listed = [{"Type": "tree", "Path": "1_Pooling", "Size": 0}]
    for name, content in (files | {"onnx/model.onnx": b"x", "pytorch_model.bin": b"x"}).items():
        digest = hashlib.sha256(content).hexdigest()
        listed.append({"Type": "blob", "Path": name, "Size": len(content), "Sha256": digest, "IsLFS": False})
        place = f"/api/v1/models/us/small/repo?Revision=v1&FilePath={name.replace('/', '%2F')}"
        server.serve(place, Reply(content, ranges=True))
    server.serve("/api/v1/models/us/small/repo/files", json.dumps({"Code": 200, "Data": {"Files": listed}}).encode())
    source = hub_source("ms://us/small@v1")
    assert source is not None and source.revision == "v1"
    begun = len(server.asked)
    found = Shelf(cache=tmp_path / "cache").get("odd", Entry(kind="encoder", sources=[source]))
    assert found.files == digests(folder)
    assert not [path for path in server.asked[begun:] if path.endswith(("onnx", ".bin"))]
    server.serve(place, b"other bytes")  # the last one is listed too, and never asked for
    server.serve("/api/v1/models/us/small/repo?Revision=v1&FilePath=config.json", b"{}")
    with pytest.raises(DownloadFailed, match=r"config.json should be sha256 .*MODELSCOPE_DOMAIN names another domain"):
        Shelf(cache=tmp_path / "other").get("odd", Entry(kind="encoder", sources=[source]))


def test_a_checkpoint_that_needs_an_option_says_which_command_takes_it(upstream: Upstream, tmp_path: Path) -> None:
    serve_repository(upstream.server, repository="us/cut-short", api=False)
    config = {**config_of("small"), "model_type": "electra", "num_hidden_layers": 2}
    upstream.server.serve("/us/cut-short/resolve/main/config.json", json.dumps(config).encode())
    with pytest.raises(WeightMismatch, match="missing") as no:
        zoo.load("hf://us/cut-short")
    command = str(no.value).rpartition("`zoo add")[2].partition("`")[0].split()
    assert command == ["hf://us/cut-short@main", "--name", "cut_short", "--out", "DIR"]


@pytest.mark.parametrize("handle", ["hf://bert", "hf://a/b/c", "ms://", "hf://a/b@", "hf://a/b@x y"])
def test_an_id_that_names_no_repository(handle: str) -> None:
    with pytest.raises(BadArgument, match="write hf://owner/name"):
        zoo.load(handle)


# -- several processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_processes_build_once(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    code = "import sys, zoo; print(zoo.path('words'))"
    command = [sys.executable, "-c", code]
    asked = upstream.server.asked.count(f"/{REPOSITORY}/resolve/main/vocab.txt")
    running = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [process.communicate() for process in running]
    assert len({out for out, _ in said}) == 1 and sum("exporting words" in error for _, error in said) == 1
    assert upstream.server.asked.count(f"/{REPOSITORY}/resolve/main/vocab.txt") == asked + 1
    assert resolve("words", registry=read_registry(upstream.registry), thorough=True).is_dir()
