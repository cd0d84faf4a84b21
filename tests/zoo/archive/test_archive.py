"""Packing is deterministic and leaves nothing behind; unpacking takes nothing that is damaged or unsafe."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.zoo.small import make_tokenizer_card, tree
from zoo.archive import gz
from zoo.archive.card import write_card
from zoo.archive.digests import check_files, file_digests, sha256_of
from zoo.archive.pack import pack
from zoo.archive.unpack import unpack
from zoo.errors import BadArchive, CannotWrite


def test_round_trip_keeps_every_file_and_empty_directories(directory: Path, tmp_path: Path) -> None:
    digest = pack(directory, tmp_path / "out" / "small.tar.gz")
    archive = tmp_path / "out" / "small.tar.gz"
    assert (digest.sha256, digest.size) == (sha256_of(archive), archive.stat().st_size)
    assert unpack(archive, tmp_path / "again") == file_digests(tmp_path / "again") == file_digests(directory)
    assert tree(tmp_path / "again") == tree(directory)
    assert "assets" in tree(tmp_path / "again")
    assert tree(tmp_path / "out") == ["small.tar.gz"]


def test_archive_holds_nothing_of_this_machine(directory: Path, tmp_path: Path) -> None:
    pack(directory, tmp_path / "small.tar.gz")
    assert (tmp_path / "small.tar.gz").read_bytes()[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"  # no name, no time
    with tarfile.open(tmp_path / "small.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    assert {member.mode for member in members if member.isdir()} == {0o755}
    assert {member.mode for member in members if member.isfile()} == {0o644}
    assert [member.name for member in members if member.isdir()] == ["assets", "assets.extra", "variables"]


def test_same_files_give_the_same_bytes_in_any_process(directory: Path, tmp_path: Path) -> None:
    digests = set()
    for number, (seed, zone, locale) in enumerate((("0", "UTC", "C"), ("123", "Asia/Shanghai", "C.UTF-8"))):
        copy = tmp_path / f"copy{number}"
        for name in reversed(tree(directory)):  # another order of creation, other times
            target = copy / name
            if (directory / name).is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((directory / name).read_bytes())
                target.chmod(0o600 + number)
                os.utime(target, (number, number))
        (copy / "assets" / "词表.txt").write_text("一\n", encoding="utf-8")
        code = f"from zoo.archive.pack import pack, Path; print(pack(Path({str(copy)!r}), Path('x{number}.tgz')))"
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale, "PYTHONPATH": str(ROOT)}
        environment |= {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1" if locale == "C" else "0"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def test_pack_refuses_links_and_empty_directories(directory: Path, tmp_path: Path) -> None:
    (directory / "assets" / "link").symlink_to("/etc/passwd")
    with pytest.raises(BadArchive, match=r"cannot be packed: .*assets/link are neither files nor directories"):
        pack(directory, tmp_path / "out" / "x.tar.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadArchive, match="no files"):
        pack(tmp_path / "empty", tmp_path / "out" / "x.tar.gz")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only")],
)
def test_failed_pack_leaves_nothing(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tarfile, "copyfileobj", fail)
    with pytest.raises(CannotWrite, match=rf"x\.tar\.gz could not be written.*{words}"):
        pack(directory, tmp_path / "out" / "x.tar.gz")
    assert tree(tmp_path / "out") == []


def test_a_write_that_fails_half_way_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    """The kernel's own refusal (a limit on the size of files), not a simulated one."""
    (directory / "noise").write_bytes(os.urandom(1 << 20))
    code = f"""
import resource
from pathlib import Path
from zoo.archive.pack import pack
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
pack(Path({str(directory)!r}), Path({str(tmp_path)!r}) / "out" / "x.tar.gz")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("zoo.errors.CannotWrite: "), done.stderr
    assert "Exception ignored" not in done.stderr
    assert tree(tmp_path / "out") == []


def test_unpacking_that_fails_half_way_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    """The disk's refusal comes in another thread, and is no damage of the archive."""
    (directory / "noise").write_bytes(os.urandom(9 << 20))
    pack(directory, tmp_path / "x.tar.gz")
    code = f"""
import resource, threading
from pathlib import Path
from zoo.archive.unpack import unpack
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    unpack(Path({str(tmp_path)!r}) / "x.tar.gz", Path({str(tmp_path)!r}) / "out" / "x")
finally:
    assert "zoo-background" not in {{thread.name for thread in threading.enumerate()}}
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.splitlines()[-1].startswith("zoo.errors.CannotWrite: "), done.stderr
    assert "File too large" in done.stderr and "Exception ignored" not in done.stderr
    assert tree(tmp_path / "out") == []


# -- hostile archives ---------------------------------------------------------------------------------------------


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], tail: bytes | None = None) -> Path:
    blocks = b""
    for info, content in members:
        info.size = info.size or len(content)
        blocks += info.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512)
    path.write_bytes(gzip.compress(blocks + (b"\0" * 1024 if tail is None else tail), mtime=0))
    return path


def member(name: str, content: bytes = b"x", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", type=tarfile.DIRTYPE)


HOSTILE = {
    "parent": ([member("../evil")], "outside"),
    "stream of a file": ([member("a:evil")], "outside"),
    "hidden parent": ([folder("a"), member("a/../../evil")], "outside"),
    "absolute": ([member("/tmp/evil")], "outside"),
    "windows": ([member("C:\\evil")], "outside"),
    "backslash": ([member("..\\evil")], "outside"),
    "no name": ([member("")], "outside"),
    "symbolic link": ([member("a", b"", type=tarfile.SYMTYPE, linkname="/etc")], "symbolic link"),
    "hard link": ([member("a"), member("b", b"", type=tarfile.LNKTYPE, linkname="a")], "hard link"),
    "device": ([member("a", b"", type=tarfile.CHRTYPE)], "device"),
    "pipe": ([member("a", b"", type=tarfile.FIFOTYPE)], "pipe"),
    "sparse": ([member("a", type=tarfile.GNUTYPE_SPARSE)], "type"),
    "twice": ([member("a"), member("a", b"y")], "twice"),
    "twice, spelt otherwise": ([member("a"), member("./a", b"y")], "twice"),
    "file and directory": ([member("a"), folder("a")], "twice"),
    "file as directory": ([member("a"), member("a/b")], "has no directory member before it"),
    "no directory": ([member("a/b")], "has no directory member before it"),
    "root is a file": ([member(".")], "root"),
    "directory with content": ([member("a", b"x", type=tarfile.DIRTYPE)], "impossible size"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused(tmp_path: Path, case: str) -> None:
    members, words = HOSTILE[case]
    archive = write_tar(tmp_path / "hostile.tar.gz", member("first"), *members)
    with pytest.raises(BadArchive, match=rf"hostile\.tar\.gz .*{words}"):
        unpack(archive, tmp_path / "deep" / "down" / "target")
    assert tree(tmp_path) == ["deep", "deep/down", "hostile.tar.gz"]


def test_tar_that_ends_wrongly_is_refused(tmp_path: Path) -> None:
    for tail, words in (
        (b"", "too early"),
        (b"\0" * 512, "too early"),
        (b"\0" * 512 + b"x" * 512, "not empty"),
        (b"\0" * 2048 + b"x", "follow the end of its tar"),
        (b"x" * 1024, "header is wrong"),
    ):
        archive = write_tar(tmp_path / "a.tar.gz", member("a"), tail=tail)
        with pytest.raises(BadArchive, match=words):
            unpack(archive, tmp_path / "target")
    assert tree(tmp_path) == ["a.tar.gz"]


def test_names_with_a_dot_in_front_are_taken(tmp_path: Path) -> None:
    """As `tar czf x.tar.gz -C directory .` writes them."""
    archive = write_tar(tmp_path / "a.tar.gz", folder("."), folder("./d"), member("./d/f", b"content"))
    unpack(archive, tmp_path / "target")
    assert (tmp_path / "target" / "d" / "f").read_bytes() == b"content"


def test_sizes_beyond_the_limit_or_the_disk_are_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar.gz", member("a", b"x" * 700), member("b", b"x" * 700))
    unpack(archive, tmp_path / "fits", limit=1400)
    with pytest.raises(BadArchive, match="more than 1399 bytes: stopped at b"):
        unpack(archive, tmp_path / "target", limit=1399)
    huge = tmp_path / "huge.tar.gz"
    huge_info = tarfile.TarInfo("a")
    huge_info.size = 1 << 60
    huge.write_bytes(gzip.compress(huge_info.tobuf(tarfile.GNU_FORMAT) + b"x" * 512))
    with pytest.raises(CannotWrite, match=rf"needs {1 << 60} bytes"):
        unpack(huge, tmp_path / "target", limit=1 << 61)
    assert not (tmp_path / "target").exists()


def test_bombs_are_refused_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.5 MiB of zeros in half a kilobyte: beyond 50 times its size, and within what any archive may hold."""
    archive = write_tar(tmp_path / "a.tar.gz", member("a", bytes(1 << 19)))
    unpack(archive, tmp_path / "small enough")
    monkeypatch.setattr("zoo.archive.unpack._MOST_WITHOUT_RATIO", 1 << 18)
    with pytest.raises(BadArchive, match=rf"more than {1 << 18} bytes: stopped at a"):
        unpack(archive, tmp_path / "target")
    monkeypatch.setattr("zoo.archive.unpack._MOST_RATIO", 1 << 11)
    unpack(archive, tmp_path / "a ratio that fits")
    monkeypatch.setattr("zoo.archive.unpack._MOST_MEMBERS", 99)
    crowd = write_tar(tmp_path / "b.tar.gz", *(folder(f"{number}") for number in range(100)))
    with pytest.raises(BadArchive, match="more than 99 members: stopped at 99"):
        unpack(crowd, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_bytes_of_another_digest_are_refused(directory: Path, tmp_path: Path) -> None:
    """What is compared is what was unpacked, whatever became of the file since its digest was taken."""
    digest = pack(directory, tmp_path / "a.tar.gz").sha256
    unpack(tmp_path / "a.tar.gz", tmp_path / "right", sha256=digest)
    pack(tmp_path / "right" / "variables", tmp_path / "a.tar.gz")
    with pytest.raises(BadArchive, match="the file changed while it was read"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "target", sha256=digest)
    assert not (tmp_path / "target").exists()


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar.gz", member("a"))
    (tmp_path / "target").mkdir()
    unpack(archive, tmp_path / "target")  # empty: fine
    (tmp_path / "target" / "mine").write_text("precious")
    with pytest.raises(CannotWrite, match="Something is there already"):
        unpack(archive, tmp_path / "target")
    assert tree(tmp_path / "target") == ["a", "mine"]


def test_missing_and_foreign_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="no such file"):
        unpack(tmp_path / "none.tar.gz", tmp_path / "target")
    (tmp_path / "page.tar.gz").write_text("<html>Not found</html>")
    with pytest.raises(BadArchive, match=r"not made by this zoo: .*(incorrect header check|Invalid gzip/zlib wrapper)"):
        unpack(tmp_path / "page.tar.gz", tmp_path / "target")


# -- damage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(directory: Path, tmp_path: Path) -> bytes:
    (directory / "assets.extra" / "card.json").unlink()  # nothing but length here
    pack(directory, tmp_path / "whole.tar.gz")
    return (tmp_path / "whole.tar.gz").read_bytes()


def outcome(content: bytes, tmp_path: Path) -> dict[str, object] | None:
    """Return the digests of what was unpacked, None when it was refused (and nothing was left)."""
    archive, target = tmp_path / "damaged.tar.gz", tmp_path / "work" / "target"
    archive.write_bytes(content)
    try:
        unpack(archive, target)
    except BadArchive:
        assert tree(tmp_path / "work") == []
        return None
    found: dict[str, object] = {**file_digests(target)}
    target.rename(tmp_path / f"taken{len(list(tmp_path.iterdir()))}")
    return found


def test_truncated_anywhere_is_refused(whole: bytes, tmp_path: Path) -> None:
    for length in (*range(0, len(whole), 7), *range(len(whole) - 16, len(whole))):
        assert outcome(whole[:length], tmp_path) is None, length


def test_trailing_bytes_are_refused(whole: bytes, tmp_path: Path) -> None:
    for tail in (b"\0", b"\0" * 512, b"garbage", whole, gzip.compress(b"")):
        assert outcome(whole + tail, tmp_path) is None, tail[:8]


def test_flipped_bits_never_change_a_file(whole: bytes, directory: Path, tmp_path: Path) -> None:
    """Every byte once, each with another bit. The few that are taken changed nothing: time and system in gzip's header,
    or another distance back into a run of equal bytes. (A fetch compares the whole archive's sha256 besides.)"""
    taken = []
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        found = outcome(bytes(damaged), tmp_path)
        assert found is None or found == file_digests(directory), position
        taken += [position] * (found is not None)
    assert len(taken) < len(whole) / 30, taken


def test_check_files_lists_every_problem_at_once(directory: Path) -> None:
    card = make_tokenizer_card(directory, files=digests_without_card(directory))
    write_card(card, directory)
    check_files(directory, card)
    (directory / "saved_model.pb").unlink()
    (directory / "variables" / "variables.index").write_bytes(b"longer")
    data = directory / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[::-1])
    (directory / "extra.py").write_text("import os")
    with pytest.raises(BadArchive) as caught:
        check_files(directory, card)
    for words in (
        "saved_model.pb is missing",
        "extra.py is not on the card",
        "variables/variables.index has 6 bytes, but the card says 0",
        "variables/variables.data-00000-of-00001 is sha256",
    ):
        assert words in str(caught.value)


def digests_without_card(directory: Path) -> dict[str, object]:
    return {name: digest for name, digest in file_digests(directory).items() if "card.json" not in name}


def test_constant_memory(tmp_path: Path) -> None:
    """64 MiB of zeros are packed and unpacked within 20 MiB."""
    import tracemalloc

    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "zeros").open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        pack(tmp_path / "big", tmp_path / "big.tar.gz")
        unpack(tmp_path / "big.tar.gz", tmp_path / "again")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize("writer", ["zlib", "isal"])
@pytest.mark.parametrize("reader", ["zlib", "isal"])
def test_either_compressor_reads_what_the_other_wrote(
    writer: str, reader: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isal_zlib = pytest.importorskip("isal.isal_zlib")
    archive = tmp_path / "small.tar.gz"
    monkeypatch.setattr(gz, "isal_zlib", isal_zlib if writer == "isal" else None)
    digest = pack(directory, archive)
    assert pack(directory, tmp_path / "again.tar.gz") == digest
    monkeypatch.setattr(gz, "isal_zlib", isal_zlib if reader == "isal" else None)
    unpack(archive, tmp_path / "unpacked")
    assert file_digests(tmp_path / "unpacked") == file_digests(directory)
    with gzip.open(archive) as file:  # as everybody else does
        assert file.read().startswith(b"assets")
    whole = archive.read_bytes()
    for place in (len(whole) // 2, len(whole) - 6, len(whole) - 2):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(BadArchive, match="damaged"):
            unpack(archive, tmp_path / f"damaged-{place}")
