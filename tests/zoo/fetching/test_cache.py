"""One directory per digest: whole or absent, repaired when damaged, one download for several processes."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import pytest

import zoo
from tests.localserver import LocalServer, Reply
from tests.zoo.small import SmallZoo, fetch, make_tokenizer_card, make_zoo, tree
from zoo.archive.card import write_card
from zoo.archive.digests import file_digests, sha256_of
from zoo.archive.pack import pack
from zoo.contract import CARD_FILE
from zoo.errors import (
    BadArchive,
    BadRegistry,
    CannotWrite,
    DigestMismatch,
    DownloadFailed,
    NotBuilt,
    UnknownModel,
    Unverified,
    ZooError,
)
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import update_registry


@pytest.fixture
def served(small_zoo: SmallZoo, server: LocalServer) -> str:
    """URL of the small zoo's registry."""
    return server.serve_directory(small_zoo.registry.parent) + "registry.json"


def downloads(server: LocalServer) -> int:
    return server.asked.count("/small.tar.gz")


def test_fetched_once_then_taken_from_the_cache(served: str, server: LocalServer, directory: Path) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    assert path == cache_directory() / registry.archive("small").sha256
    assert file_digests(path) == file_digests(directory)
    assert fetch("old-small", registry) == zoo.path("small", registry=served) == path
    assert downloads(server) == 1
    assert {name.partition("/")[0] for name in tree(cache_directory())} == {path.name}


def test_a_local_registry_needs_no_server(small_zoo: SmallZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "elsewhere"))
    path = fetch("small", read_registry(small_zoo.registry))
    assert path.parent == tmp_path / "elsewhere"


def test_the_platforms_directory_without_zoo_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "zoo"


def test_a_damaged_directory_is_replaced(
    served: str, server: LocalServer, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    (path / "saved_model.pb").unlink()
    with caplog.at_level(logging.WARNING):
        fetch("small", registry)
    assert "saved_model.pb missing or of another size" in caplog.text and "Fetching small again" in caplog.text
    (path / "variables" / "variables.data-00000-of-00001").write_bytes(b"cut")
    fetch("small", registry)
    (path / "assets.extra" / "card.json").write_text("{")
    fetch("small", registry)
    assert file_digests(path) == file_digests(directory)
    assert downloads(server) == 4
    assert {name.partition("/")[0] for name in tree(cache_directory())} == {path.name}


def test_a_thorough_fetch_finds_a_flipped_bit(served: str, server: LocalServer, directory: Path) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    data = bytearray((path / "saved_model.pb").read_bytes())
    data[100] ^= 1
    (path / "saved_model.pb").write_bytes(data)
    fetch("small", registry)
    assert downloads(server) == 1
    fetch("small", registry, thorough=True)
    assert downloads(server) == 2 and file_digests(path) == file_digests(directory)


def test_no_damaged_archive_gets_into_the_cache(served: str, server: LocalServer, small_zoo: SmallZoo) -> None:
    registry = read_registry(served)
    whole = small_zoo.archive.read_bytes()
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        server.serve("/small.tar.gz", bytes(damaged) if position % 2 else whole[:position])
        with pytest.raises(DigestMismatch):
            fetch("small", registry)
    assert tree(cache_directory()) == []
    server.serve("/small.tar.gz", whole)
    assert fetch("small", registry).is_dir()


def test_an_archive_that_contradicts_its_card_is_refused(directory: Path, tmp_path: Path) -> None:
    (directory / "assets" / "later.txt").write_text("not on the card")
    registry = read_registry(make_zoo(directory, tmp_path / "dist").registry)
    with pytest.raises(BadArchive, match=r"assets/later\.txt is not on the card"):
        fetch("small", registry)
    assert tree(cache_directory()) == []


def test_mirrors_are_tried(small_zoo: SmallZoo, server: LocalServer) -> None:
    entry = read_registry(small_zoo.registry).entry("small")
    assert entry.archive is not None
    wrong = server.serve("/wrong.tar.gz", Reply(b"maintenance page"))
    archive = entry.archive.model_copy(update={"urls": [wrong, "http://127.0.0.1:1/x", *entry.archive.urls]})
    registry = update_registry(small_zoo.registry, {"small": entry.model_copy(update={"archive": archive})})
    assert fetch("small", registry).is_dir()
    assert server.asked == ["/wrong.tar.gz"]


def test_offline(served: str, server: LocalServer, small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = read_registry(served)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match=rf"`ZOO_OFFLINE=0 zoo fetch small --registry {served}` fetches it once"):
        fetch("small", registry)
    assert downloads(server) == 0
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    path = fetch("small", registry)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert fetch("small", registry) == path
    monkeypatch.setenv("ZOO_CACHE", str(path.parent / "other"))
    assert fetch("small", read_registry(small_zoo.registry)).is_dir()  # a file is no network


def test_unbuilt_and_unwritable(small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = read_registry(small_zoo.registry)
    with pytest.raises(NotBuilt, match="later is not published, and ZOO_BUILD forbids building it here"):
        fetch("later", registry)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CannotWrite, match="could not be written: Permission denied"):
        fetch("small", registry)


def test_a_failed_repair_keeps_nothing_half_done(served: str, server: LocalServer) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    (path / "saved_model.pb").unlink()
    server.serve("/small.tar.gz", Reply(status=404))
    with pytest.raises(ZooError, match="HTTP 404"):
        fetch("small", registry)
    assert {name.partition("/")[0] for name in tree(cache_directory())} <= {path.name}


# -- resolve ------------------------------------------------------------------------------------------------------


def test_every_kind_of_handle_means_the_same(
    small_zoo: SmallZoo, served: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cache_directory() / small_zoo.digest.sha256
    tgz = small_zoo.archive.with_suffix("").with_suffix(".tgz")
    tgz.write_bytes(small_zoo.archive.read_bytes())
    monkeypatch.setenv("ZOO_REGISTRY", served)
    for handle in (
        *("small", "old-small", "zoo://small", "zoo://old-small/"),
        *(small_zoo.archive, str(small_zoo.archive), small_zoo.archive.as_uri(), tgz),
        served.replace("registry.json", "small.tar.gz"),
    ):
        assert resolve(handle) == resolve(handle, sha256=small_zoo.digest.sha256.upper()) == place
        assert file_digests(place) == file_digests(directory)
        with pytest.raises(DigestMismatch, match="c{12}"):
            resolve(handle, sha256="c" * 64)
        shutil.rmtree(place)
    assert resolve("small", registry=small_zoo.registry) == resolve("small", registry=read_registry(served)) == place
    with pytest.raises(DigestMismatch, match="64 hexadecimal digits"):
        resolve("small", sha256="abc")


def test_a_directory_stays_where_it_is(directory: Path, small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(directory) == resolve(str(directory)) == directory
    assert resolve(directory.as_uri()) == directory
    assert tree(cache_directory()) == []
    with pytest.raises(DigestMismatch, match="is unpacked already, and sha256= is of an archive"):
        resolve(directory, sha256="c" * 64)
    kept = resolve(small_zoo.archive)
    assert resolve(kept, sha256=kept.name) == kept
    monkeypatch.chdir(directory.parent)
    assert directory.name == "small" and resolve("small", registry=small_zoo.registry) == Path("small")
    assert resolve("zoo://small", registry=small_zoo.registry) == kept
    (directory / "saved_model.pb").write_bytes(b"graph" * 99 + b"grape")
    with pytest.raises(BadArchive, match=r"saved_model\.pb is sha256"):
        resolve("small", registry=small_zoo.registry)
    (directory / "assets.extra" / "card.json").unlink()
    assert resolve("small", registry=small_zoo.registry) == kept  # not a directory of ours
    with pytest.raises(BadArchive, match=r"has no assets\.extra/card\.json"):
        resolve("./small", registry=small_zoo.registry)


@pytest.mark.parametrize(
    ("handle", "error", "words"),
    [
        ("smal", UnknownModel, "Did you mean 'small'"),
        ("zoo://smal", UnknownModel, "Did you mean 'small'"),
        ("./none", BadArchive, "No such file or directory. `zoo list` shows"),
        ("none.tar.gz", BadArchive, "none.tar.gz: No such file"),
        (Path("none"), BadArchive, "none: No such file"),
        ("http://[x/y?hush", DownloadFailed, r"http://\[x/y\?… is neither a path nor a URL"),
    ],
)
def test_handles_that_mean_nothing(small_zoo: SmallZoo, handle: str, error: type[ZooError], words: str) -> None:
    with pytest.raises(error, match=words):
        resolve(handle, registry=small_zoo.registry)


def test_a_pinned_archive_is_read_once(small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the archive nor what was unpacked is read again for its digest."""

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} is read for its digest alone")

    for module in ("archive.digests", "fetching.resolve"):
        monkeypatch.setattr(f"zoo.{module}.sha256_of", refuse)
    assert resolve(small_zoo.archive, sha256=small_zoo.digest.sha256).name == small_zoo.digest.sha256


def test_another_file_than_the_pinned_one_is_told_before_all_else(small_zoo: SmallZoo, tmp_path: Path) -> None:
    pin, other = small_zoo.digest.sha256, tmp_path / "other.tar.gz"
    whole = small_zoo.archive.read_bytes()
    for content in (whole[:-9], b"<html>", whole + b"\0", whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]):
        other.write_bytes(content)
        with pytest.raises(DigestMismatch, match=rf"other\.tar\.gz should be sha256 {pin}, is [0-9a-f]{{64}}\."):
            resolve(other, sha256=pin)
        assert tree(cache_directory()) == []
    with pytest.raises(BadArchive, match=r"none\.tar\.gz: No such file or directory. `zoo list` shows"):
        resolve(tmp_path / "none.tar.gz", sha256=pin)
    assert resolve(small_zoo.archive, sha256=pin).is_dir()
    with pytest.raises(DigestMismatch, match="should be sha256"):  # whatever is in the cache
        resolve(other, sha256=pin)


def test_the_right_digest_does_not_make_a_damaged_archive_right(
    small_zoo: SmallZoo, directory: Path, tmp_path: Path
) -> None:
    (directory / "saved_model.pb").write_bytes(b"grape" * 100)
    contradicting = pack(directory, tmp_path / "other.tar.gz").sha256
    with pytest.raises(BadArchive, match=r"saved_model\.pb is sha256 .*, but the card says"):
        resolve(tmp_path / "other.tar.gz", sha256=contradicting)
    (tmp_path / "cut.tar.gz").write_bytes(small_zoo.archive.read_bytes()[:-9])
    with pytest.raises(BadArchive, match="cut off"):
        resolve(tmp_path / "cut.tar.gz", sha256=sha256_of(tmp_path / "cut.tar.gz"))
    assert tree(cache_directory()) == []


def test_a_damaged_archive_without_a_digest_is_refused(small_zoo: SmallZoo, directory: Path, tmp_path: Path) -> None:
    """What gzip's checksum lets pass, the card does not."""
    (directory / "saved_model.pb").write_bytes(b"grape" * 100)
    pack(directory, tmp_path / "other.tar.gz")
    whole = (tmp_path / "other.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[:-9])
    (tmp_path / "longer.tar.gz").write_bytes(whole + b"\0")
    (tmp_path / "page.tar.gz").write_text("<html>")
    expected = {
        "other": "saved_model.pb is sha256",
        "cut": "cut off",
        "longer": "bytes follow",
        "page": "was not made by this zoo",
    }
    for name, words in expected.items():
        with pytest.raises(BadArchive, match=words):
            resolve(tmp_path / f"{name}.tar.gz")
    assert tree(cache_directory()) == []


# -- URLs that are in no registry ---------------------------------------------------------------------------------


def test_a_url_is_downloaded_again_only_when_it_has_changed(
    small_zoo: SmallZoo, directory: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.serve("/small.tar.gz", Reply(small_zoo.archive.read_bytes(), headers={"ETag": '"1"'})) + "?sig=hush"
    first = resolve(url)
    assert first == resolve(url) == cache_directory() / small_zoo.digest.sha256
    assert [headers.get("If-None-Match") for headers in server.headers] == [None, '"1"']
    (first / "saved_model.pb").unlink()
    assert resolve(url) == first and server.headers[-1].get("If-None-Match") is None  # not whole, so not unchanged
    (directory / "assets" / "more").write_text("more")
    write_card(make_tokenizer_card(directory, files=without_card(directory)), directory)
    other = make_zoo(directory, small_zoo.archive.parent)
    server.serve("/small.tar.gz", Reply(other.archive.read_bytes(), headers={"ETag": '"2"'}))
    second = resolve(url)
    assert second.name == other.digest.sha256 != first.name and first.is_dir()
    kept = "".join(path.read_text() for path in cache_directory().glob("url-*.json"))
    assert other.digest.sha256 in kept and "hush" not in kept


def test_what_a_url_gave_last_is_used_without_it(
    small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.serve("/small.tar.gz", small_zoo.archive.read_bytes())
    place = resolve(url)
    server.serve("/small.tar.gz", Reply(status=404))
    with caplog.at_level(logging.WARNING):
        assert resolve(url) == place
    assert "HTTP 404 Not Found. Using the archive that it sent last." in caplog.text
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    asked = len(server.asked)
    assert resolve(url) == place and len(server.asked) == asked
    (place / "saved_model.pb").unlink()
    with pytest.raises(DownloadFailed, match=f"ZOO_OFFLINE=0 zoo fetch {url}` fetches it once"):
        resolve(url)
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    with pytest.raises(DownloadFailed, match="HTTP 404"):
        resolve(url)


def test_a_damaged_answer_of_a_url_leaves_what_there_was(small_zoo: SmallZoo, server: LocalServer) -> None:
    whole = small_zoo.archive.read_bytes()
    url = server.serve("/small.tar.gz", whole)
    place = resolve(url)
    for damaged in (whole[:-9], b"<html>", whole[:600] + b"x" + whole[601:]):
        server.serve("/small.tar.gz", damaged)
        with pytest.raises(BadArchive):
            resolve(url)
        assert file_digests(place) == file_digests(resolve(place))
    server.serve("/small.tar.gz", whole)
    assert resolve(url) == place


def test_a_pinned_url_is_never_asked_again(
    small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.serve("/small.tar.gz", small_zoo.archive.read_bytes())
    for _ in range(2):
        resolve(url, sha256=small_zoo.digest.sha256)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    resolve(url, sha256=small_zoo.digest.sha256)
    assert server.asked == ["/small.tar.gz"]


def test_a_model_without_a_digest(
    small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    remote = server.serve("/small.tar.gz", small_zoo.archive.read_bytes())
    entry = Entry(kind="tokenizer", archive=ArchiveRecord(urls=[server.url + "/gone", remote]))
    registry = update_registry(small_zoo.registry, {"loose": entry})
    with pytest.raises(Unverified, match="records no sha256 for loose.*--allow-unverified"):
        fetch("loose", registry)
    with pytest.raises(Unverified):
        resolve("loose", registry=registry)
    assert server.asked == []
    assert file_digests(resolve("loose", registry=registry, allow_unverified=True)) == file_digests(directory)
    assert server.asked == ["/gone", "/small.tar.gz"]
    with pytest.raises(DownloadFailed, match=rf"is {small_zoo.digest.sha256[:12]}… .*should be sha256 c{{12}}…"):
        resolve("loose", registry=registry, sha256="c" * 64)
    shutil.rmtree(cache_directory())
    assert resolve("loose", registry=registry, sha256=small_zoo.digest.sha256).is_dir()
    server.serve("/small.tar.gz", Reply(status=403))
    shutil.rmtree(cache_directory())
    with pytest.raises(DownloadFailed, match=r"(?s)gone.*HTTP 404.*HTTP 403"):
        resolve("loose", registry=registry, allow_unverified=True)


# -- the network forbidden ----------------------------------------------------------------------------------------


def test_offline_opens_no_socket(
    served: str, small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used once works again: by name, its registry being a URL, and by URL."""
    url = served.replace("registry.json", "small.tar.gz")
    monkeypatch.setenv("ZOO_REGISTRY", served)
    place = resolve("small")
    assert resolve(url) == place
    asked = len(server.asked)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(f"socket.{name}", refuse)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    for handle in ("small", url, small_zoo.archive, place):
        assert resolve(handle) == place
    shutil.rmtree(place)
    for handle, command in (("small", "small"), (url, url)):
        with pytest.raises(
            DownloadFailed, match=f"ZOO_OFFLINE forbids the network. `ZOO_OFFLINE=0 zoo fetch {command}`"
        ):
            resolve(handle)
    with pytest.raises(BadRegistry, match="ZOO_OFFLINE is set"):
        resolve("small", registry=server.url + "/never.json")
    assert len(server.asked) == asked


def test_a_registry_that_cannot_be_asked_is_remembered(
    served: str, server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    before = read_registry(served)
    server.serve("/registry.json", b"<html>")
    with pytest.raises(BadRegistry, match="is not a registry"):
        read_registry(served)
    server.serve("/registry.json", Reply(status=404))
    with caplog.at_level(logging.WARNING):
        assert read_registry(served).models == before.models
    assert "HTTP 404 Not Found. Using the registry that it sent last." in caplog.text


# -- what killed runs leave ---------------------------------------------------------------------------------------


def test_the_next_run_goes_on_and_clears_up(served: str, server: LocalServer, small_zoo: SmallZoo) -> None:
    registry, root, digest = read_registry(served), cache_directory(), small_zoo.digest.sha256
    half = small_zoo.digest.size // 2
    (root / f".{digest}.part").mkdir(parents=True)
    (root / f".{digest}.part" / "small.tar.gz").write_bytes(small_zoo.archive.read_bytes()[:half])
    (root / f".{digest}.0123456789ab.tmp" / "model").mkdir(parents=True)
    (root / ".other.0123456789ab.tmp").mkdir()
    fetch("small", registry)
    assert server.headers[-1]["Range"] == f"bytes={half}-"
    assert {name.partition("/")[0] for name in tree(root)} == {digest, ".other.0123456789ab.tmp"}


def test_a_mirror_of_the_environment_is_asked_first(
    served: str, server: LocalServer, small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/mirror/small.tar.gz", small_zoo.archive.read_bytes())
    monkeypatch.setenv("ZOO_MIRROR", server.url + "/mirror")
    fetch("small", read_registry(served))
    assert server.asked == ["/registry.json", "/mirror/small.tar.gz"]


def without_card(directory: Path) -> dict[str, object]:
    return {name: digest for name, digest in file_digests(directory).items() if name != CARD_FILE}
