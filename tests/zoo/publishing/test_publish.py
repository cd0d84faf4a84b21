"""What is copied where and in which order, and that readers meet a working registry at every moment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.conftest import ROOT
from tests.zoo.small import SmallZoo, make_tokenizer_card, make_zoo, tree
from zoo.archive.card import write_card
from zoo.archive.digests import sha256_of
from zoo.archive.pack import pack
from zoo.command import main
from zoo.errors import BadRegistry, CannotWrite, Untrusted, Unverified, ZooError
from zoo.fetching.registries import read_registry
from zoo.publishing.destinations import open_target
from zoo.publishing.publish import parse_sums, publish
from zoo.publishing.signing import sign_dist
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import own_registry, update_registry
from zoo.trust.minisign import read_secret_key, write_keys

KILLS = int(os.environ.get("ZOO_TEST_KILLS", "12"))  # of each kind
PAGES = ["cards/small.json", "build.json", "index.html", "registry.schema.json", "SHA256SUMS"]


def finish(dist: Path) -> None:
    """Write what a built directory has beside archives and registry."""
    (dist / "cards").mkdir(exist_ok=True)
    for archive in dist.glob("*.tar.gz"):
        (dist / "cards" / f"{archive.name.removesuffix('.tar.gz')}.json").write_text("{}\n")
    (dist / "index.html").write_text(f"<html>{(dist / 'registry.json').read_text()}</html>")
    (dist / "build.json").write_text("{}\n")
    named = [*sorted(dist.glob("*.tar.gz")), *sorted(dist.glob("cards/*")), dist / "registry.json"]
    lines = [f"{sha256_of(path)}  {path.relative_to(dist).as_posix()}\n" for path in named]
    (dist / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def dist(small_zoo: SmallZoo) -> Path:
    finish(small_zoo.registry.parent)
    return small_zoo.registry.parent


@pytest.fixture
def memory() -> MemoryFileSystem:
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    return files


def add_model(dist: Path, tmp_path: Path, name: str = "other") -> None:
    made = tmp_path / f"built-{name}"
    made.mkdir()
    (made / "saved_model.pb").write_bytes(name.encode() * 50)
    write_card(make_tokenizer_card(made, name), made)
    digest = pack(made, dist / f"{name}.tar.gz")
    record = ArchiveRecord(urls=[f"{name}.tar.gz"], sha256=digest.sha256, size=digest.size)
    update_registry(dist / "registry.json", {name: Entry(kind="tokenizer", archive=record)})
    finish(dist)


def published(dist: Path) -> dict[str, bytes]:
    """What should be there in the end."""
    files = {path.relative_to(dist).as_posix(): path for path in dist.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if "/." not in f"/{name}"}


def test_what_nobody_may_hand_on_is_published_only_when_asked_for(
    dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The licence holds what is made of the model too, as small_onnx, its form for ONNX Runtime."""
    add_model(dist, tmp_path)
    rows = own_registry(dist / "registry.json").models
    held = rows["small"].model_copy(update={"on_request": True, "licence": "research only"})
    form = rows["small"].model_copy(update={"kind": "onnx", "licence": "research only", "aliases": []})
    update_registry(dist / "registry.json", {"small": held, "small_onnx": form})
    finish(dist)
    for more in ([], ["--dry-run"]):
        assert main(["publish", str(dist), str(tmp_path / "www"), *more]) == 2
        err = capsys.readouterr().err
        assert "nothing was published:\n  small: research only\n  small_onnx: research only\n" in err
        assert "other: " not in err and "--on-request" in err and not (tmp_path / "www").exists()
    assert main(["publish", str(dist), str(tmp_path / "www"), "--on-request"]) == 0
    assert {path.name for path in (tmp_path / "www").glob("*.gz")} == {"small.tar.gz", "other.tar.gz"}


# -- to a directory -----------------------------------------------------------------------------------------------


def test_everything_arrives_in_order_and_reads(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    target = open_target(tmp_path / "www")
    write = type(target).write
    monkeypatch.setattr(type(target), "write", lambda self, *args: (order.append(args[1]), write(self, *args)))
    done = publish(dist, tmp_path / "www")
    assert order == list(done.written) == ["small.tar.gz", *PAGES, "registry.json"]
    assert (done.same, done.left_out, done.gone) == ((), {}, ())
    assert published(tmp_path / "www") == published(dist)
    assert tree(tmp_path / "www") == sorted([*published(dist), "cards"])  # no lock, nothing temporary
    assert read_registry(tmp_path / "www" / "registry.json").archive("small").urls == [
        (tmp_path / "www" / "small.tar.gz").as_uri()
    ]


def test_a_second_time_nothing_is_written(dist: Path, tmp_path: Path) -> None:
    publish(dist, tmp_path / "www")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "www").rglob("*")}
    done = publish(dist, (tmp_path / "www").as_uri())
    assert not done.written and len(done.same) == 7
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "www").rglob("*")} == before


def test_a_dry_run_writes_nothing(dist: Path, tmp_path: Path) -> None:
    done = publish(dist, tmp_path / "www", dry_run=True)
    assert list(done.written) == ["small.tar.gz", *PAGES, "registry.json"] and not (tmp_path / "www").exists()


def test_what_changes_is_written_and_what_was_there_stays(dist: Path, tmp_path: Path) -> None:
    publish(dist, tmp_path / "www")
    add_model(dist, tmp_path)
    done = publish(dist, tmp_path / "www")
    assert list(done.written) == ["other.tar.gz", "cards/other.json", "index.html", "SHA256SUMS", "registry.json"]
    assert published(tmp_path / "www") == published(dist)


def test_models_that_go_are_told_and_their_archives_stay(
    dist: Path, tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_model(dist, tmp_path)
    publish(dist, tmp_path / "www")
    smaller = make_zoo(directory, tmp_path / "smaller").registry.parent
    assert main(["publish", str(smaller), str(tmp_path / "www")]) == 0
    assert capsys.readouterr().err == "No longer in the registry there: other.\n"
    assert (tmp_path / "www" / "other.tar.gz").is_file()


def test_what_is_left_out_is_said(dist: Path, tmp_path: Path) -> None:
    (dist / "stray.tar.gz").write_bytes(b"old")
    (dist / ".work").mkdir()
    (dist / ".work" / "part").write_bytes(b"part")
    (dist / ".registry.lock").touch()
    done = publish(dist, tmp_path / "www")
    assert done.left_out == {"stray.tar.gz": "no model of registry.json names it"}
    assert not {"stray.tar.gz", ".work", ".registry.lock"} & {*tree(tmp_path / "www")}


# -- what is refused ----------------------------------------------------------------------------------------------


def test_other_bytes_under_an_old_name_stop_everything(dist: Path, tmp_path: Path) -> None:
    add_model(dist, tmp_path)
    publish(dist, tmp_path / "www")
    before = published(tmp_path / "www")
    for name in ("small", "other"):
        entry = read_registry(dist / "registry.json").entry(name)
        (dist / f"{name}.tar.gz").write_bytes(b"rebuilt" * 9)
        record = ArchiveRecord(urls=[f"{name}.tar.gz"], sha256=sha256_of(dist / f"{name}.tar.gz"), size=63)
        update_registry(dist / "registry.json", {name: entry.model_copy(update={"archive": record})})
    add_model(dist, tmp_path, "third")
    with pytest.raises(CannotWrite, match="holds other bytes under these names, nothing was published") as caught:
        publish(dist, tmp_path / "www")
    message, digest = str(caught.value), sha256_of(dist / "other.tar.gz")
    for name in ("small", "other"):
        assert (
            f"{name}.tar.gz: {len(before[f'{name}.tar.gz'])} bytes there; 63 of sha256 {digest[:12]}… here" in message
        )
    assert "third" not in message
    assert f"to other-{digest[:8]}.tar.gz, in {dist} and in `urls` of registry.json" in message
    assert "Or publish to another directory" in message
    assert published(tmp_path / "www") == before


def test_the_advice_helps(dist: Path, tmp_path: Path) -> None:
    """A changed model goes out under another file name; who has the old registry still gets the old one."""
    publish(dist, tmp_path / "www")
    old = read_registry(tmp_path / "www" / "registry.json").archive("small")
    made = tmp_path / "again"
    made.mkdir()
    (made / "saved_model.pb").write_bytes(b"better")
    write_card(make_tokenizer_card(made), made)
    (dist / "small.tar.gz").unlink()
    digest = pack(made, dist / "small-2.tar.gz")
    record = ArchiveRecord(urls=["small-2.tar.gz"], sha256=digest.sha256, size=digest.size)
    entry = read_registry(dist / "registry.json").entry("small").model_copy(update={"archive": record})
    update_registry(dist / "registry.json", {"small": entry})
    finish(dist)
    publish(dist, tmp_path / "www")
    assert sha256_of(tmp_path / "www" / "small.tar.gz") == old.sha256
    assert sha256_of(tmp_path / "www" / "small-2.tar.gz") == digest.sha256
    assert read_registry(tmp_path / "www" / "registry.json").archive("small").sha256 == digest.sha256


def test_all_that_is_wrong_with_dist_is_told_and_nothing_written(dist: Path, tmp_path: Path) -> None:
    entry = Entry(kind="tokenizer")
    small = read_registry(dist / "registry.json").archive("small")
    wrong = {
        "away": ArchiveRecord(urls=["away.tar.gz"], sha256="a" * 64),
        "loose": ArchiveRecord(urls=["small.tar.gz"]),
        "longer": ArchiveRecord(urls=["small.tar.gz"], sha256=small.sha256, size=7),
        "outside": ArchiveRecord(urls=["../x.tar.gz"], sha256="a" * 64),
        "elsewhere": ArchiveRecord(urls=["https://a.example/x.tar.gz"], sha256="a" * 64),  # not ours to publish
    }
    added = {name: entry.model_copy(update={"archive": record}) for name, record in wrong.items()}
    update_registry(dist / "registry.json", added)
    sums = parse_sums((dist / "SHA256SUMS").read_bytes())
    with (dist / "SHA256SUMS").open("a") as listing:
        listing.write("a" * 64 + "  cards/none.json\n")
    with (dist / "small.tar.gz").open("ab") as archive:
        archive.write(b"!")
    with pytest.raises(Unverified, match="is not complete, nothing was published:") as caught:
        publish(dist, tmp_path / "www")
    _, *lines, advice = str(caught.value).splitlines()
    is_, says = sha256_of(dist / "small.tar.gz")[:12], str(small.sha256)[:12]
    registry, said = sha256_of(dist / "registry.json")[:12], sums["registry.json"][:12]
    assert lines == [
        "  outside: ../x.tar.gz does not lie below the registry",
        "  away: away.tar.gz is missing",
        f"  longer: small.tar.gz is sha256 {is_}…, the registry says {says}…",
        "  loose: the registry records no sha256 of small.tar.gz",
        f"  small: small.tar.gz is sha256 {is_}…, the registry says {says}…",
        "  SHA256SUMS: ../x.tar.gz is not in it",
        "  SHA256SUMS: away.tar.gz is not in it",
        f"  SHA256SUMS: small.tar.gz is sha256 {is_}…, it says {says}…",
        f"  SHA256SUMS: registry.json is sha256 {registry}…, it says {said}…",
        "  SHA256SUMS: cards/none.json is in it and is not published",
    ]
    assert f"`zoo site {dist}`" in advice and not (tmp_path / "www").exists()


def test_what_is_no_dist(tmp_path: Path, dist: Path) -> None:
    with pytest.raises(Unverified, match="has no registry.json.*`zoo export` and `zoo build`"):
        publish(tmp_path / "none", tmp_path / "www")
    for place in (dist, dist / "www", f"{dist}/../{dist.name}/www"):
        with pytest.raises(CannotWrite, match="cannot be published into itself"):
            publish(dist, place)
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="is not a directory"):
        publish(dist, tmp_path / "file")
    (dist / "registry.json").write_text("{")
    with pytest.raises(BadRegistry):
        publish(dist, tmp_path / "www")


def test_a_dist_that_changes_meanwhile(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = type(open_target(tmp_path))
    write = target.write

    def rebuilt(self: Any, source: Path, name: str, advance: Callable[[int], object]) -> None:
        write(self, source, name, advance)
        (dist / "registry.json").write_text('{"models": {}}')

    monkeypatch.setattr(target, "write", rebuilt)
    with pytest.raises(CannotWrite, match=r"registry\.json has changed since it was checked"):
        publish(dist, tmp_path / "www")
    assert not (tmp_path / "www" / "registry.json").exists()


# -- signed -------------------------------------------------------------------------------------------------------


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    secret, _, key = write_keys(tmp_path / "release")
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(key))
    return lambda dist: sign_dist(dist, read_secret_key(secret)) and None


def test_signatures_come_just_before_the_registry(
    dist: Path, tmp_path: Path, signer: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Untrusted, match=r"registry\.json\.minisig: No such file"):
        publish(dist, tmp_path / "www")
    signer(dist)
    own = f"signatures/{sha256_of(dist / 'registry.json')}.minisig"
    last = ["SHA256SUMS", "SHA256SUMS.minisig", own, "registry.json.minisig", "registry.json"]
    assert list(publish(dist, tmp_path / "www").written)[-5:] == last
    assert read_registry(tmp_path / "www" / "registry.json").names() == ["later", "small"]
    (tmp_path / "www" / "registry.json.minisig").write_text("the next one's, already there")
    assert read_registry(tmp_path / "www" / "registry.json").names() == ["later", "small"]


def test_a_signature_that_nobody_checked_or_that_is_old(
    dist: Path, tmp_path: Path, signer: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    signer(dist)
    (dist / "SHA256SUMS").write_text((dist / "SHA256SUMS").read_text() + "\n")
    with pytest.raises(Untrusted, match=r"SHA256SUMS\.minisig is by the key \w{16}, of other bytes than these"):
        publish(dist, tmp_path / "www")
    monkeypatch.delenv("ZOO_TRUSTED_KEY")
    with pytest.raises(ZooError, match="is signed.*ZOO_TRUSTED_KEY is not set"):
        publish(dist, tmp_path / "www")
    assert not (tmp_path / "www").exists()


# -- to what fsspec reaches ---------------------------------------------------------------------------------------


def test_a_url_of_fsspec(dist: Path, memory: MemoryFileSystem, tmp_path: Path) -> None:
    done = publish(dist, "memory://bucket/zoo")
    assert list(done.written) == ["small.tar.gz", *PAGES, "registry.json"]
    assert {path: memory.cat_file(path) for path in memory.find("/bucket")} == {
        f"/bucket/zoo/{name}": content for name, content in published(dist).items()
    }
    assert not publish(dist, "memory://bucket/zoo/").written
    add_model(dist, tmp_path)
    done = publish(dist, "memory://bucket/zoo")
    assert list(done.written) == ["other.tar.gz", "cards/other.json", "index.html", "SHA256SUMS", "registry.json"]


def test_archives_at_a_url_are_read_back_only_without_their_sums(
    dist: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(dist, "memory://zoo")
    read: list[str] = []
    target = type(open_target("memory://zoo"))
    sha256 = target.sha256
    monkeypatch.setattr(target, "sha256", lambda self, name: (read.append(name), sha256(self, name))[1])
    publish(dist, "memory://zoo")
    assert sorted(read) == sorted([*PAGES, "registry.json"])
    memory.rm_file("/zoo/SHA256SUMS")
    read.clear()
    assert list(publish(dist, "memory://zoo").written) == ["SHA256SUMS"]
    assert "small.tar.gz" in read


def test_conflicts_at_a_url(dist: Path, memory: MemoryFileSystem) -> None:
    size = (dist / "small.tar.gz").stat().st_size
    memory.pipe_file("/zoo/small.tar.gz", b"x" * size)  # of the same size
    with pytest.raises(CannotWrite, match=rf"small\.tar\.gz: {size} bytes there"):
        publish(dist, "memory://zoo")
    assert memory.find("/zoo") == ["/zoo/small.tar.gz"]


def test_what_a_file_system_says(dist: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut in the upload of the second file: what has arrived stays, nothing is half there, the next run goes on."""

    class Lost(Exception):
        pass

    put = MemoryFileSystem.put_file

    def cut(self: MemoryFileSystem, source: str, path: str, **arguments: object) -> None:
        if "index.html" in path:
            memory.pipe_file(path, b"half")
            raise Lost("connection to user:hush@host lost ftp://user:hush@host/x")
        put(self, source, path, **arguments)

    monkeypatch.setattr(MemoryFileSystem, "put_file", cut)
    with pytest.raises(CannotWrite, match=r"could not write index\.html: connection .*run again to go on"):
        publish(dist, "memory://zoo")
    assert memory.find("/zoo") == ["/zoo/build.json", "/zoo/cards/small.json", "/zoo/small.tar.gz"]
    monkeypatch.setattr(MemoryFileSystem, "put_file", put)
    memory.pipe_file("/zoo/.index.html.0123456789ab.tmp", b"killed")
    done = publish(dist, "memory://zoo")
    assert next(iter(done.written)) == "index.html" and len(memory.find("/zoo")) == 7


def test_an_upload_that_comes_out_short(dist: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda self, source, path, **_: memory.pipe_file(path, b"short"))
    with pytest.raises(CannotWrite, match=r"small\.tar\.gz has 5 bytes after \d+ were written"):
        publish(dist, "memory://zoo")


def test_every_byte_is_counted_once(dist: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the file system says after each part how much it has sent, or only some of it, or nothing."""
    source, put = dist / "small.tar.gz", MemoryFileSystem.put_file

    def telling(self: MemoryFileSystem, path: str, to: str, callback: Any) -> None:
        put(self, path, to)
        callback.relative_update(3)
        callback.absolute_update(7)

    steps: list[int] = []
    open_target("memory://zoo").write(source, "a", steps.append)
    assert [step for step in steps if step] == [source.stat().st_size]
    steps.clear()
    monkeypatch.setattr(MemoryFileSystem, "put_file", telling)
    open_target("memory://zoo").write(source, "b", steps.append)
    assert steps == [3, 4, source.stat().st_size - 7]


def test_missing_packages_and_odd_places(dist: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="cannot be written to: HTTP only reads"):
        publish(dist, "https://host/zoo")
    with pytest.raises(CannotWrite, match=r"nothing://x: could not open: Protocol not known"):
        publish(dist, "nothing://x")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ZooError, match=r"s3://host/zoo needs the extra 'publish': `pip install fsspec`"):
        publish(dist, "s3://user:hush@host/zoo")
    publish(dist, tmp_path / "www")  # needs none


# -- killed -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["", pytest.param("local://", marks=pytest.mark.slow)])
def test_kill_9_at_any_point_leaves_a_registry_that_works(
    kind: str, dist: Path, tmp_path: Path, signer: Callable[[Path], None]
) -> None:
    """Readers ask for a signature, too; the next run brings it to an end and leaves nothing of the killed one."""
    signer(dist)
    publish(dist, tmp_path / "www")
    add_model(dist, tmp_path)
    signer(dist)
    command = [
        sys.executable,
        "-m",
        "tests.zoo.publishing.publishing",
        str(dist),
        f"{kind}{tmp_path / 'www'}",
        str(KILLS),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert len(rounds) == KILLS
    complete = sorted(
        [*published(dist), "cards", "signatures", f"signatures/{sha256_of(dist / 'registry.json')}.minisig"]
    )
    for found in rounds:
        assert found["found"] in ({"small": True}, {"small": True, "other": True}), found
        assert found["next"] == 0 and found["then_found"] == {"small": True, "other": True}, found
        assert {*complete} <= {*found["then"]} and len({*found["then"]} - {*complete}) == 1, found  # the old signature
    left = [name for found in rounds for name in found["left"]]
    assert "other.tar.gz" in left and any(name.endswith(".tmp") for name in left), "all were killed too early"


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "www")
    assert main(["publish", str(dist), where, "--dry-run"]) == 0
    assert f"{where}: 7 files would be written" in capsys.readouterr().out
    assert main(["publish", str(dist), where, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"][0] == {"name": "small.tar.gz", "size": (dist / "small.tar.gz").stat().st_size}
    assert (told["destination"], told["dry_run"], told["same"], told["left_out"]) == (where, False, [], {})
    assert main(["publish", str(dist), where]) == 0
    assert capsys.readouterr().out == f"{where}: 0 files written, 0 B; 7 were there\n"
    shutil.rmtree(dist)
    assert main(["publish", str(dist), where]) == 2
    assert capsys.readouterr().err.startswith("zoo: Unverified: ")


def test_sums_of_every_kind() -> None:
    text = f"{'a' * 64}  a b.tar.gz\n{'B' * 64} *c\nnonsense\n\n{'a' * 63}  d\n"
    assert parse_sums(text.encode()) == {"a b.tar.gz": "a" * 64, "c": "b" * 64}
