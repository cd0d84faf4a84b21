"""Models in one file: the same bytes each time, installed whole or not at all, hostile ones refused."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from tests.localserver import LocalServer
from tests.zoo.small import built_archive, tree
from zoo.archive.card import FileDigest, read_card
from zoo.archive.digests import file_digests, sha256_and_size, sha256_of
from zoo.command import main
from zoo.errors import BadArchive, BadRegistry, DigestMismatch, DownloadFailed, UnknownModel, Unverified, ZooError
from zoo.fetching.bundles import from_bundle, is_bundle
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import Registry
from zoo.registry.writing import update_registry


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Registry and archives: encoder `bert` (alias `old-bert`) and tokenizer `words` of one vocabulary, `tiny`."""
    out = tmp_path / "dist"
    shared = {"vocab_size": 99, "vocabulary_sha256": "a" * 64}
    entries = {
        "bert": Entry(kind="encoder", aliases=["old-bert"], archive=built_archive(out, "bert"), **shared),
        "words": Entry(kind="tokenizer", archive=built_archive(out, "words"), **shared),
        "tiny": Entry(kind="encoder", archive=built_archive(out, "tiny")),
        "later": Entry(kind="encoder"),
    }
    update_registry(out / "registry.json", entries)
    return out


@pytest.fixture
def bundled(dist: Path, tmp_path: Path) -> Path:
    """A bundle of bert and its tokenizer; what it was made from is gone."""
    zoo.bundle("bert", tmp_path / "bert.tar", registry=dist / "registry.json")
    dist.rename(tmp_path / "gone")
    return tmp_path / "bert.tar"


@pytest.fixture
def packaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, Entry]], None]:
    """Let another registry be the packaged one."""
    path = tmp_path_factory.mktemp("packaged") / "registry.json"
    for module in ("registries", "bundles", "installing"):
        monkeypatch.setattr(f"zoo.fetching.{module}.PACKAGED", path)
    return lambda entries: update_registry(path, entries) and None


@pytest.fixture(autouse=True)
def nothing_packaged(packaged: Callable[[dict[str, Entry]], None]) -> None:
    """What a bundle installs meets no names but its own."""
    packaged({})


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path, "r:") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def write_tar(path: Path, *parts: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    """Write a tar by hand."""
    with tarfile.open(path, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in parts:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


# -- writing ------------------------------------------------------------------------------------------------------


def test_a_bundle_holds_registry_models_and_their_tokenizers(dist: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "both.tar"
    assert zoo.bundle(["old-bert", "tiny"], out, registry=str(dist / "registry.json")) == ["bert", "tiny", "words"]
    found = members(out)
    assert list(found) == ["registry.json", "bert.tar.gz", "tiny.tar.gz", "words.tar.gz"]
    for name in ("bert", "tiny", "words"):
        assert found[f"{name}.tar.gz"] == (dist / f"{name}.tar.gz").read_bytes()
    models = json.loads(found["registry.json"])["models"]
    assert models["bert"]["tokenizer"] == "words" and models["bert"]["archive"]["urls"] == ["bert.tar.gz"]
    assert str(tmp_path).encode() not in out.read_bytes()
    assert tree(out.parent) == ["both.tar"] and is_bundle(out)


def test_the_same_models_give_the_same_bytes(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.bundle(["bert", "tiny"], tmp_path / "a.tar", registry=dist / "registry.json")
    monkeypatch.setattr("time.time", lambda: 2e9)
    (tmp_path / "other").mkdir()
    dist = dist.rename(tmp_path / "other" / "dist")
    zoo.bundle(
        ["tiny", "words", "old-bert", "bert"], tmp_path / "b.tar", registry=read_registry(dist / "registry.json")
    )
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_archives_come_from_the_cache_where_they_pack_the_same(
    dist: Path, tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = server.serve_directory(dist) + "registry.json"
    for name in ("bert", "words"):
        zoo.path(name, registry=registry)
    known, server.asked[:] = read_registry(registry), []
    zoo.bundle(["bert"], tmp_path / "cached.tar", registry=known)
    assert server.asked == []
    urls = json.loads(members(tmp_path / "cached.tar")["registry.json"])["models"]["bert"]["archive"]["urls"]
    assert urls == ["bert.tar.gz", f"{server.url}/bert.tar.gz"]

    def packed_by_another_zlib(_: Path, target: Path) -> FileDigest:
        target.write_bytes(b"the same files, other bytes")
        return sha256_and_size(target)

    monkeypatch.setattr("zoo.fetching.bundles.pack", packed_by_another_zlib)
    zoo.bundle(["bert"], tmp_path / "fetched.tar", registry=known)
    assert server.asked == ["/bert.tar.gz", "/words.tar.gz"]
    assert (tmp_path / "fetched.tar").read_bytes() == (tmp_path / "cached.tar").read_bytes()


def test_secrets_in_urls_stay_here(dist: Path, tmp_path: Path) -> None:
    urls = ["bert.tar.gz", "https://host/b.tgz?sig=abc", "https://me:word@host/b.tgz", "https://host/b.tgz"]
    entry = read_registry(dist / "registry.json").models["bert"]
    changed = entry.model_copy(update={"archive": entry.archive.model_copy(update={"urls": urls})})  # type: ignore[union-attr]
    update_registry(dist / "registry.json", {"bert": changed})
    zoo.bundle("bert", tmp_path / "b.tar", registry=dist / "registry.json")
    listed = json.loads(members(tmp_path / "b.tar")["registry.json"])["models"]["bert"]["archive"]["urls"]
    assert listed == ["bert.tar.gz", "https://host/b.tgz"]


def test_what_cannot_be_bundled_leaves_nothing_behind(dist: Path, tmp_path: Path) -> None:
    registry, out = dist / "registry.json", tmp_path / "out" / "x.tar"
    for name, error, words in (
        ("brt", UnknownModel, "Did you mean 'bert'"),
        ("later", ZooError, "later is not published"),
        ([], UnknownModel, "a bundle needs at least one model"),
    ):
        with pytest.raises(error, match=words):
            zoo.bundle(name, out, registry=registry)
    (dist / "words.tar.gz").write_bytes((dist / "words.tar.gz").read_bytes()[::-1])
    with pytest.raises(DigestMismatch, match=r"words\.tar\.gz should be sha256"):
        zoo.bundle("bert", out, registry=registry)
    (dist / "words.tar.gz").unlink()
    with pytest.raises(DownloadFailed, match=r"words\.tar\.gz could not be fetched"):
        zoo.bundle("bert", out, registry=registry)
    assert tree(out.parent) == []
    entry = Entry(kind="encoder", archive=ArchiveRecord(urls=["tiny.tar.gz"]))
    update_registry(registry, {"tiny": entry})
    with pytest.raises(Unverified, match="records no sha256 for tiny; a bundle has to state it"):
        zoo.bundle("tiny", out, registry=registry)


# -- installing ---------------------------------------------------------------------------------------------------


def test_installed_names_need_no_network(bundled: Path, no_sockets: None) -> None:
    assert zoo.install(bundled, dry_run=True) == ["bert", "words"]
    assert zoo.names() == [] and tree(cache_directory()) == []
    assert zoo.install(str(bundled)) == ["bert", "words"]
    bundled.unlink()
    assert zoo.names() == ["bert", "words"] and zoo.info("bert").tokenizer == "words"
    for name in ("bert", "old-bert", "words"):
        path = zoo.path(name)
        assert file_digests(path) and path.parent == cache_directory()
        assert read_card(path).name in name
    assert not [name for name in tree(cache_directory()) if "tmp" in name]


def test_installed_names_do_not_show_in_other_registries(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo.install(bundled)
    other = tmp_path / "other" / "registry.json"
    update_registry(other, {"mine": Entry(kind="encoder")})
    assert zoo.names(registry=other) == ["mine"]
    monkeypatch.setenv("ZOO_REGISTRY", str(other))
    assert zoo.names() == ["mine"]
    assert main(["install", str(bundled)]) == 0
    assert "These names are not used while ZOO_REGISTRY is set" in capsys.readouterr().err


def test_a_model_that_left_the_cache(bundled: Path, tmp_path: Path, server: LocalServer) -> None:
    """It is fetched again where its bundle says where from, and else forgotten until it is installed again."""
    zoo.install(bundled)
    record = read_registry().archive("words")
    (cache_directory() / str(record.sha256)).rename(tmp_path / "words")
    assert zoo.names() == ["bert"]
    zoo.install(bundled)
    assert zoo.names() == ["bert", "words"]

    known = read_registry(server.serve_directory(tmp_path / "gone") + "registry.json")
    zoo.bundle("bert", tmp_path / "published.tar", registry=known)
    zoo.install(tmp_path / "published.tar")
    before = zoo.path("words")
    (cache_directory() / before.name).rename(tmp_path / "words again")
    server.asked.clear()
    assert zoo.path("words") == before and server.asked == ["/words.tar.gz"]


def test_a_later_installation_replaces_an_earlier_one(bundled: Path, tmp_path: Path) -> None:
    zoo.install(bundled)
    before = zoo.path("bert")
    record = built_archive(tmp_path / "second", "bert", b"other graph")
    update_registry(tmp_path / "second" / "registry.json", {"bert": Entry(kind="encoder", archive=record)})
    zoo.bundle("bert", tmp_path / "second.tar", registry=tmp_path / "second" / "registry.json")
    zoo.install(tmp_path / "second.tar")
    assert zoo.path("bert").name == record.sha256 != before.name
    assert zoo.names() == ["bert", "words"]


def test_the_packaged_registry_comes_first(bundled: Path, packaged: Callable[[dict[str, Entry]], None]) -> None:
    other = ArchiveRecord(urls=["https://host/bert.tar.gz"], sha256="b" * 64, size=7)
    packaged({"bert": Entry(kind="encoder", archive=other), "x": Entry(kind="encoder", aliases=["words"])})
    with pytest.raises(
        BadRegistry, match="these names mean other models: 'bert' is 'bert' there; 'words' is 'x' there"
    ):
        zoo.install(bundled)
    assert tree(cache_directory()) == []
    assert from_bundle(bundled).is_dir()


def test_the_packaged_registry_is_completed(bundled: Path, packaged: Callable[[dict[str, Entry]], None]) -> None:
    """A name without an archive gets the installed one; the same archive stays the packaged entry."""
    digest = json.loads(members(bundled)["registry.json"])["models"]["words"]["archive"]["sha256"]
    same = Entry(kind="tokenizer", description="ours", archive=ArchiveRecord(urls=["https://host/w"], sha256=digest))
    packaged({"bert": Entry(kind="encoder", aliases=["bert-base"]), "words": same, "y": Entry(kind="encoder")})
    zoo.install(bundled)
    assert zoo.names() == ["bert", "words", "y"] and zoo.info("words").description == "ours"
    assert zoo.path("bert") == zoo.path("bert-base") == zoo.path("old-bert")
    assert zoo.path("words").name == digest

    # A later release takes the alias: what was installed goes without. Then it publishes another bert, which counts.
    packaged({"bert": Entry(kind="encoder"), "y": Entry(kind="encoder", aliases=["old-bert"])})
    assert zoo.info("bert").aliases == [] and read_registry().canonical("old-bert") == "y"
    other = ArchiveRecord(urls=["https://host/bert.tar.gz"], sha256="b" * 64, size=7)
    packaged({"bert": Entry(kind="encoder", archive=other)})
    assert zoo.names() == ["bert", "words", "y"] and read_registry().archive("bert").sha256 == "b" * 64


# -- one model of a bundle ----------------------------------------------------------------------------------------


def test_the_only_encoder_or_the_one_that_is_asked_for(bundled: Path, dist: Path, tmp_path: Path) -> None:
    assert read_card(from_bundle(bundled)).name == "bert" and zoo.names() == []
    assert read_card(from_bundle(bundled, "words")).name == "words"
    assert from_bundle(bundled, "old-bert") == from_bundle(bundled, sha256=sha256_of(bundled))
    with pytest.raises(DigestMismatch, match=r"bert\.tar should be sha256 0000"):
        from_bundle(bundled, sha256="0" * 64)
    with pytest.raises(UnknownModel, match=r"no model 'tiny' in .*bert\.tar, which holds bert, words\."):
        from_bundle(bundled, "tiny")
    zoo.bundle(["bert", "tiny"], tmp_path / "two.tar", registry=tmp_path / "gone" / "registry.json")
    with pytest.raises(UnknownModel, match=r"two\.tar holds bert, tiny: choose one with name='bert'"):
        from_bundle(tmp_path / "two.tar")


# -- damaged and hostile ones -------------------------------------------------------------------------------------


def link(name: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def refused(path: Path, error: type[ZooError] = BadArchive) -> str:
    """Return what install says; nothing was installed or written."""
    with pytest.raises(error) as caught:
        zoo.install(path)
    with pytest.raises(error):
        zoo.install(path, dry_run=True)
    assert zoo.names() == [] and tree(cache_directory()) == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (("../bert.tar.gz", b"x"), "would be unpacked outside"),
        (("/tmp/bert.tar.gz", b"x"), "would be unpacked outside"),
        ((link("more.tar.gz"), b""), "symbolic link"),
        ((link("more.tar.gz", tarfile.LNKTYPE), b""), "hard link"),
        ((link("more.tar.gz", tarfile.CHRTYPE), b""), "device"),
        ((link("more", tarfile.DIRTYPE), b""), "more is not in its registry"),
        (("bert.tar.gz", b"x"), "comes twice"),
        (("registry.json", b"x"), "comes twice"),
        (("run.sh", b"x"), r"run.sh is not in its registry"),
    ],
)
def test_members_that_do_not_belong_there(
    part: tuple[str | tarfile.TarInfo, bytes], words: str, bundled: Path, tmp_path: Path
) -> None:
    message = refused(write_tar(tmp_path / "bad.tar", *members(bundled).items(), part))
    assert words in message and "bad.tar is damaged" in message


def test_wrong_and_missing_archives_are_told_at_once(bundled: Path, tmp_path: Path) -> None:
    parts = members(bundled)
    parts["bert.tar.gz"] = parts["bert.tar.gz"][:-1] + b"\1"
    message = refused(write_tar(tmp_path / "bad.tar", *list(parts.items())[:2]))
    assert "bert.tar.gz is sha256" in message and "words.tar.gz is missing" in message
    with pytest.raises(BadArchive, match=r"bert\.tar\.gz is sha256"):
        from_bundle(tmp_path / "bad.tar")
    with pytest.raises(BadArchive, match=r"words\.tar\.gz is missing"):
        from_bundle(tmp_path / "bad.tar", "words")
    assert tree(cache_directory()) == []


def test_no_damaged_bundle_gets_in(bundled: Path, tmp_path: Path) -> None:
    """At every 61st byte a bit is flipped, and the file is cut. What passes, in the padding of headers, is right."""
    whole = bundled.read_bytes()
    bad, tried = tmp_path / "bad.tar", 0
    for place in range(0, len(whole.rstrip(b"\0")), 61):
        for content in (whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :], whole[:place]):
            bad.write_bytes(content)
            tried += 1
            try:
                zoo.install(bad)
            except ZooError:
                assert zoo.names() == []
                continue
            for name in zoo.install(bad):
                assert read_card(zoo.path(name)).name == name, place
            (cache_directory() / "installed" / "registry.json").unlink()
    assert tried > 100


def test_what_is_no_bundle(bundled: Path, tmp_path: Path) -> None:
    parts = members(bundled)
    assert "is not a file" in refused(tmp_path / "none.tar")
    (tmp_path / "text").write_text("registry.json")
    for path in (
        tmp_path / "text",
        write_tar(tmp_path / "turned.tar", *reversed(parts.items())),
        write_tar(tmp_path / "link.tar", (link("registry.json"), b"")),
    ):
        refused(path)
    assert "not a registry" in refused(write_tar(tmp_path / "a.tar", ("registry.json", b"{}}")), BadRegistry)
    assert "has no models in its registry" in refused(
        write_tar(tmp_path / "b.tar", ("registry.json", b"{}")), BadRegistry
    )
    unbuilt = Registry(models={"bert": Entry(kind="encoder")}).model_dump_json(by_alias=True).encode()
    assert "no archive with a sha256 for bert" in refused(
        write_tar(tmp_path / "c.tar", ("registry.json", unbuilt)), BadRegistry
    )
    huge = write_tar(tmp_path / "d.tar", ("registry.json", b" " * (17 << 20)))
    assert "a registry of 17,825,792 bytes" in refused(huge)


def test_an_installation_that_fails_installs_no_name(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("zoo.fetching.cache.unpack", full)
        with pytest.raises(ZooError, match="No space left on device"):
            zoo.install(bundled)
    assert zoo.names() == [] and tree(cache_directory()) == []
    assert zoo.install(bundled) == ["bert", "words"]


# -- the commands -------------------------------------------------------------------------------------------------


def test_commands(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, registry = tmp_path / "b.tar", str(dist / "registry.json")
    command = ["bundle", "bert", "--out", str(out), "--registry", registry]
    assert main([*command, "--dry-run"]) == 0 and not out.exists()
    assert capsys.readouterr().out.split("\n")[1].split()[:3] == ["bert", "encoder", "words"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["names"] == ["bert", "words"] and told["sha256"] == sha256_of(out) and told["file"] == str(out)
    assert main(["install", str(out), "--dry-run"]) == 0 and zoo.names() == []
    assert capsys.readouterr().out.startswith("NAME")
    assert main(["install", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "names": ["bert", "words"]}
    assert main(["fetch", "bert"]) == 0 and capsys.readouterr().out.strip() == str(zoo.path("bert"))
    assert main(["install", str(tmp_path / "none.tar")]) == 2
    assert capsys.readouterr().err.startswith("zoo: BadArchive: ")
