"""What archives arrive in: tars, bundles and registries that try more than that. Each is refused as a ZooError."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.hostile.cases import all_cases
from tests.hostile.making import make_hostile
from tests.zoo.archive.test_archive import HOSTILE, folder, member, write_tar
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.digests import sha256_and_size
from zoo.archive.pack import pack
from zoo.errors import BadArchive, BadRegistry, ZooError
from zoo.fetching.bundles import from_bundle
from zoo.fetching.registries import read_registry
from zoo.loading.verify import verify

# -- tar.gz -----------------------------------------------------------------------------------------------------------

Parts = dict[str, bytes]


@pytest.mark.parametrize("case", HOSTILE)
def test_members_that_would_land_elsewhere(case: str, tmp_path: Path) -> None:
    """The tars of test_archive.py through zoo.load: nothing is unpacked, in the cache or beside it."""
    members, words = HOSTILE[case]
    archive = write_tar(tmp_path / "hostile.tar.gz", member("first"), *members)
    with pytest.raises(BadArchive, match=words):
        zoo.load(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.tar.gz"]


def _tar(kind: bytes, content: bytes) -> bytes:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(content)
    block = info.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512)
    ordinary = tarfile.TarInfo("file").tobuf(tarfile.USTAR_FORMAT)
    return block + ordinary + b"\0" * 1024


PAX = b"22 path=../../../evil\n"
STREAMS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a PAX header that renames the next member": (lambda _: gzip.compress(_tar(tarfile.XHDTYPE, PAX)), "of type b'x'"),
    "a PAX header for all members": (lambda _: gzip.compress(_tar(tarfile.XGLTYPE, PAX)), "of type b'g'"),
    "a long name of GNU's": (lambda _: gzip.compress(_tar(tarfile.GNUTYPE_LONGNAME, b"../evil")), "of type b'L'"),
    "a long link of GNU's": (lambda _: gzip.compress(_tar(tarfile.GNUTYPE_LONGLINK, b"/etc")), "of type b'K'"),
    "cut in the middle": (lambda whole: whole[: len(whole) // 2], "cut off"),
    "a second gzip member": (lambda whole: whole + gzip.compress(b"more"), "follow the end of its gzip"),
    "bytes after the end": (lambda whole: whole + b"evil", "follow the end of its gzip"),
    "another format": (lambda _: b"PK\x03\x04" + bytes(99), "is damaged"),
    "nothing": (lambda _: b"", "is damaged"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_that_are_no_archive(case: str, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    change, words = STREAMS[case]
    archive = tmp_path / "hostile.tar.gz"
    archive.write_bytes(change(toy_zoo.archive().read_bytes()))
    with pytest.raises(BadArchive, match=words):
        zoo.load(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.tar.gz"]


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gibibyte of zeros, refused by its header; very many empty folders, counted."""
    info = tarfile.TarInfo("zeros")
    info.size = 1 << 30
    (tmp_path / "zeros.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)))
    with pytest.raises(BadArchive, match="unpacks to more than .* bytes: stopped at zeros"):
        zoo.load(tmp_path / "zeros.tar.gz")
    crowd = write_tar(tmp_path / "crowd.tar.gz", *(folder(f"{number}") for number in range(100)))
    monkeypatch.setattr("zoo.archive.unpack._MOST_MEMBERS", 99)
    with pytest.raises(BadArchive, match="more than 99 members"):
        zoo.load(crowd)


def _array(shape: tuple[int, ...], content: bytes) -> bytes:
    """Return a .npy file whose header says `shape`, whatever its content is."""
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


GOLDEN: dict[str, tuple[dict[str, bytes], str]] = {
    "four tebibytes by its header": ({"0/input_word_ids.npy": _array((1 << 40,), b"")}, "cannot be read"),
    "more dimensions than there are": ({"0/input_word_ids.npy": _array((1,) * 99, b"")}, "cannot be read"),
    "zeros that shrink a thousandfold": ({"0/x.npy": _array((1 << 18,), bytes(1 << 20))}, "holds 1,048,"),
    "no array": ({"0/input_word_ids": b"text"}, "no golden outputs of ours"),
    "objects of Python": ({"0/x.npy": _array((1,), b"").replace(b"<f4", b"|O4")}, "cannot be read"),
    "no zip": ({}, "is not a zip file"),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_outputs(case: str, toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of golden outputs, which only `verify` reads: it takes no more memory than it may, and runs nothing."""
    members, words = GOLDEN[case]

    def make(directory: Path) -> None:
        path = directory / "assets.extra" / "golden.npz"
        path.write_bytes(_array((3,), bytes(12)))
        if members:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
                for name, content in members.items():
                    file.writestr(name, content)

    monkeypatch.setattr("zoo.loading.verify._MOST_GOLDEN", 1 << 20)
    monkeypatch.setattr("tensorflow.saved_model.load", None)
    with pytest.raises(BadArchive, match=words):
        verify(make_hostile(toy_zoo.unpacked(), tmp_path / "model", make))


# -- bundles ----------------------------------------------------------------------------------------------------------


def _bundle(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def _parts(genuine: Path) -> Parts:
    with tarfile.open(genuine, "r:") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def _link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def _change_registry(parts: Parts, change: Callable[[Any], object]) -> list[tuple[Any, bytes]]:
    registry = json.loads(parts["registry.json"])
    change(registry["models"])
    return [*({**parts, "registry.json": json.dumps(registry).encode()}).items()]


def _swap_digests(models: Any) -> None:
    models["toy"]["archive"]["sha256"] = models["toy"]["archive"]["sha256"][::-1]


def _no_digest(models: Any) -> None:
    del models["toy"]["archive"]["sha256"]


def _name_of_a_path(models: Any) -> None:
    models["../toy"] = models.pop("toy")


def _only_elsewhere(models: Any) -> None:
    models["other"] = {**models["toy"], "archive": {**models["toy"]["archive"], "urls": ["file:///etc/passwd"]}}


BUNDLES: dict[str, tuple[Callable[[Parts], list[tuple[Any, bytes]]], str]] = {
    "an archive of another digest": (lambda parts: _change_registry(parts, _swap_digests), "its registry says"),
    "an archive without a digest": (
        lambda parts: _change_registry(parts, _no_digest),
        "has no archive with a sha256 for toy",
    ),
    "a name that is a path": (lambda parts: _change_registry(parts, _name_of_a_path), "is not a registry"),
    "an archive that lies elsewhere": (
        lambda parts: _change_registry(parts, _only_elsewhere),
        "nor relative, and only a registry that is a local file",
    ),
    "a member outside": (lambda parts: [*parts.items(), ("../evil", b"x")], "outside"),
    "a member that is a link": (lambda parts: [*parts.items(), (_link("more"), b"")], "symbolic link"),
    "a member that comes twice": (lambda parts: [*parts.items(), ("toy.tar.gz", b"x")], "comes twice"),
    "a second registry": (lambda parts: [*parts.items(), ("registry.json", b"{}")], "comes twice"),
    "a member of no model": (lambda parts: [*parts.items(), ("run.sh", b"x")], "run.sh is not in its registry"),
    "no archive": (lambda parts: [("registry.json", parts["registry.json"])], "toy.tar.gz is missing"),
    "no registry first": (lambda parts: [*reversed(parts.items())], "is not a bundle"),
    "a registry that is a link": (lambda parts: [(_link("registry.json"), b"")], "symbolic link"),
}


@pytest.mark.parametrize("case", BUNDLES)
def test_hostile_bundles(case: str, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    change, words = BUNDLES[case]
    genuine, hostile = tmp_path / "genuine.tar", tmp_path / "hostile.tar"
    zoo.bundle("toy", genuine, registry=toy_zoo.registry)
    _bundle(hostile, *change(_parts(genuine)))
    with pytest.raises(ZooError, match=words):
        zoo.install(hostile)
    assert "toy" not in zoo.names()


def test_a_hostile_archive_in_a_right_bundle(toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every digest is right; the operations are looked at all the same."""
    monkeypatch.setattr("tensorflow.saved_model.load", None)
    case = next(case for case in all_cases() if case.name == "named_tanh")
    directory = make_hostile(toy_zoo.unpacked(), tmp_path / "model", case.make)
    registry = json.loads(toy_zoo.registry.read_text())
    digest = pack(directory, tmp_path / "toy.tar.gz")
    registry["models"] = {"toy": {**registry["models"]["toy"]}}
    registry["models"]["toy"]["archive"] = {"urls": ["toy.tar.gz"], "sha256": digest.sha256, "size": digest.size}
    path = _bundle(
        tmp_path / "hostile.tar",
        ("registry.json", json.dumps(registry).encode()),
        ("toy.tar.gz", (tmp_path / "toy.tar.gz").read_bytes()),
    )
    assert sha256_and_size(from_bundle(path) / "saved_model.pb").size > 0
    with pytest.raises(BadArchive, match="function Tanh has the name of an operation"):
        zoo.load_model(path)


# -- registries -------------------------------------------------------------------------------------------------------

RIGHT = {"kind": "encoder", "archive": {"urls": ["a.tar.gz"], "sha256": "a" * 64, "size": 7}}
REGISTRIES: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "is not a registry"),
    "a list": (b"[]", "is not a registry"),
    "models in a list": ({"models": []}, "models"),
    "a name that is a path": ({"models": {"../a": RIGHT}}, "models"),
    "a name with control characters": ({"models": {"a\u001b[2J": RIGHT}}, "models"),
    "an alias of two models": ({"models": {"a": {**RIGHT, "aliases": ["b"]}, "b": RIGHT}}, "alias 'b' of 'a'"),
    "a further field that steers a terminal": ({"models": {"a": {**RIGHT, "run": "\u001b[2J"}}}, "control characters"),
    "a further field with an odd name": ({"models": {"a": {**RIGHT, "ru\nn": 1}}}, "no name of a field"),
    "a kind that nobody knows, and more": (
        {"models": {"a": {**RIGHT, "kind": "program", "text": ["\u001b[2J"]}}},
        "control characters",
    ),
    "a kind that nobody knows, too deep": (
        {"models": {"a": {**RIGHT, "kind": "program", "text": json.loads("[" * 40 + "]" * 40)}}},
        "nested more than 32 deep",
    ),
    "a later format": ({"format": 2, "models": {"a": RIGHT}}, r"a later bert-zoo \(format 2, this one reads 1\)"),
    "a digest that is none": ({"models": {"a": {**RIGHT, "archive": {"urls": ["x"], "sha256": "A" * 63}}}}, "sha256"),
    "a negative size": ({"models": {"a": {**RIGHT, "archive": {"urls": ["x"], "size": -1}}}}, "size"),
    "an archive without an address": ({"models": {"a": {**RIGHT, "archive": {"urls": []}}}}, "urls"),
    "an address that is a number": ({"models": {"a": {**RIGHT, "archive": {"urls": [7]}}}}, "urls"),
    "a checkpoint on this machine": (
        {"models": {"a": {**RIGHT, "sources": [{"kind": "url", "url": "file:///etc/passwd"}]}}},
        "url",
    ),
    "lists in lists": (b"[" * 100_000, "is not a registry"),
}


@pytest.mark.parametrize("case", REGISTRIES)
def test_hostile_registries(case: str, tmp_path: Path) -> None:
    content, words = REGISTRIES[case]
    path = tmp_path / "registry.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(BadRegistry, match=words):
        read_registry(path)
