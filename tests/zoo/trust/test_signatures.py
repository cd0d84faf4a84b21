"""Signatures in minisign's format, and that with ZOO_TRUSTED_KEY nothing is read that is not signed."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo, fetch, tree
from zoo import info, names
from zoo.command import main
from zoo.errors import CannotWrite, Untrusted, Unverified, ZooError
from zoo.fetching.bundles import bundle, from_bundle
from zoo.fetching.installing import install
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.publishing.signing import sign_dist
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import own_registry, update_registry
from zoo.trust.minisign import (
    PublicKey,
    SecretKey,
    check,
    parse_public_key,
    parse_signature,
    read_secret_key,
    sign,
    write_keys,
)
from zoo.trust.signatures import by_digest, trusted_keys

# Made by minisign 0.11: `minisign -G -W`, `minisign -S -t …` and `minisign -S -l` of this text.
GENUINE_TEXT = "你好\n".encode()
GENUINE_KEY = "RWTh5knU2VGAH94+7YCZLT6/Lk1CGYd/M7ce23ineyCPVQcUOjALYnMw"
GENUINE_SECRET = """\
untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA4eZJ1NlRgB9abCc1B4X+Bx/pmhKfIUg/mPY8Xmnh6ehGj5M9YfExVd4+7YCZLT6/Lk1CGYd/M7ce23ineyCPVQcUOjALYnMwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""
GENUINE_SIGNATURE = """\
untrusted comment: signature from minisign secret key
RUTh5knU2VGAHwIJq9gu8UedQrFWPLaliIt1wbZ+hEjxaakLEfIXT3t2Y3iSjhTcy5fuvJyRvMkXxRmcHq4p95kq5G00mcFO+g4=
trusted comment: for the tests 你好
L8PhxthkPd6BnyyfYPdg01zQ8uWMfjeLXHSuSjXqnEEZcv6lj1yZG2m5QpMo64Qy+W59mveS+N8R+16+/YSfDA==
""".encode()
GENUINE_OLD = """\
untrusted comment: signature from minisign secret key
RWTh5knU2VGAHzDm+HbGQUNHARO2Fr/wjA0ul0rqOUVp+pXFsVXmxpe0bDyq0FTX7znjp/XwCUf5gRIFs5fBGCch2CMOqVVY8gc=
trusted comment: for the tests 你好
q5KdwhwrHoTy0eW1njsdLlQilhsmZaUeCBDUK7HlOAxncPHN9AHeSMP5pAlg9eZP9NxHsUENGxOmrH1R6PFoBg==
""".encode()


# -- minisign's format --------------------------------------------------------------------------------------------


def test_what_minisign_signed_is_right_and_nothing_else() -> None:
    key = parse_public_key(GENUINE_KEY)
    assert key is not None and str(key) == GENUINE_KEY
    signature = parse_signature(GENUINE_SIGNATURE)
    assert signature.comment == "for the tests 你好"
    assert str(signature).encode() == GENUINE_SIGNATURE
    check(io.BytesIO(GENUINE_TEXT), signature, [key])
    with pytest.raises(Untrusted, match=f"is by the key {key.name}, of other bytes than these"):
        check(io.BytesIO(GENUINE_TEXT + b"!"), signature, [key])


def test_the_same_key_gives_the_same_signature_as_minisign(tmp_path: Path) -> None:
    (tmp_path / "genuine.key").write_text(GENUINE_SECRET)
    key = read_secret_key(tmp_path / "genuine.key")
    assert str(key.public) == GENUINE_KEY
    assert str(sign(io.BytesIO(GENUINE_TEXT), key, "for the tests 你好")).encode() == GENUINE_SIGNATURE


def test_every_part_of_a_signature_is_checked() -> None:
    """One letter changed anywhere, the untrusted comment left out, and it is refused."""
    key = parse_public_key(GENUINE_KEY)
    assert key is not None
    start = GENUINE_SIGNATURE.index(b"\n") + 1
    for position in range(start, len(GENUINE_SIGNATURE) - 1):
        changed = bytearray(GENUINE_SIGNATURE)
        changed[position] ^= 1
        with pytest.raises(Untrusted):
            check(io.BytesIO(GENUINE_TEXT), parse_signature(bytes(changed)), [key])
    for length in range(len(GENUINE_SIGNATURE) - 1):
        with pytest.raises(Untrusted):
            check(io.BytesIO(GENUINE_TEXT), parse_signature(GENUINE_SIGNATURE[:length]), [key])


def test_signatures_of_the_old_kind_and_other_files() -> None:
    with pytest.raises(Untrusted, match="of the old kind"):
        parse_signature(GENUINE_OLD)
    for text in (b"", b"\xff" * 300, b"<html>\n" * 9, GENUINE_SIGNATURE[::-1]):
        with pytest.raises(Untrusted, match="is not a signature of minisign"):
            parse_signature(text)


def test_keys(tmp_path: Path) -> None:
    secret, public, key = write_keys(tmp_path / "deep" / "release")
    assert [path.name for path in (secret, public)] == ["release.key", "release.pub"]
    assert secret.stat().st_mode & 0o777 == 0o600
    assert read_secret_key(secret).public == key == parse_public_key(public.read_text())
    assert public.read_text().startswith(f"untrusted comment: minisign public key {key.name}\nRW")
    assert repr(read_secret_key(secret).seed) not in repr(read_secret_key(secret))
    for name in ("release", "release.key", "release.pub"):
        with pytest.raises(CannotWrite, match=r"release\.key and .*release\.pub exist; a key is never overwritten"):
            write_keys(tmp_path / "deep" / name)
    assert read_secret_key(secret).public == key


def test_secret_keys_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    path.write_text(GENUINE_KEY)
    with pytest.raises(ZooError, match="is not a secret key of minisign. `zoo keygen` makes one"):
        read_secret_key(path)
    comment, line = GENUINE_SECRET.splitlines()
    path.write_text(f"{comment}\n{line.replace('RWQAAEIy', 'RWRTY0Iy')}\n")
    with pytest.raises(ZooError, match="key with a password, which only minisign opens: `minisign -S -s"):
        read_secret_key(path)
    path.write_text(f"{comment}\n{line[:90]}{'B' if line[90] == 'A' else 'A'}{line[91:]}\n")
    with pytest.raises(ZooError, match="two halves do not belong together"):
        read_secret_key(path)


@pytest.mark.skipif(shutil.which("minisign") is None, reason="the minisign program is not here")
def test_both_ways_with_the_program_itself(
    small_zoo: SmallZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def minisign(*words: object) -> str:
        return subprocess.run(
            ["minisign", *map(str, words)], check=True, capture_output=True, text=True, input="\n\n"
        ).stdout

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    key = write_keys(ours)[2]
    sign_dist(small_zoo.registry, read_secret_key(ours.with_suffix(".key")), now=7)
    for how in (("-p", ours.with_suffix(".pub")), ("-P", key)):
        said = minisign("-V", "-m", small_zoo.registry, *how)
        assert "Signature and comment signature verified" in said
        assert "timestamp:7\tfile:registry.json\thashed" in said
    for place in (ours, theirs):  # it signs with our key, too
        if place == theirs:
            minisign("-G", "-W", "-p", f"{theirs}.pub", "-s", f"{theirs}.key")
            read_secret_key(theirs.with_suffix(".key"))
        minisign("-S", "-m", small_zoo.registry, "-s", place.with_suffix(".key"))
        monkeypatch.setenv("ZOO_TRUSTED_KEY", str(place.with_suffix(".pub")))
        assert names(small_zoo.registry) == ["later", "small"]


# -- which keys ---------------------------------------------------------------------------------------------------


def test_trusted_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trusted_keys() == []
    keys = [write_keys(tmp_path / name)[2] for name in "abc"]
    for given, found in (
        (str(keys[0]), keys[:1]),
        (f"{keys[0]}, {tmp_path / 'b.pub'}", keys[:2]),
        (os.pathsep.join([str(tmp_path / "c.pub"), str(keys[1])]), [keys[2], keys[1]]),
        ((tmp_path / "a.pub").read_text(), keys[:1]),
    ):
        monkeypatch.setenv("ZOO_TRUSTED_KEY", given)
        assert trusted_keys() == found


@pytest.mark.parametrize("given", [" ", ",", "RWT", "none.pub", GENUINE_KEY + ",none.pub", GENUINE_SECRET.split()[-1]])
def test_what_is_no_key_lets_nothing_pass(given: str, small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TRUSTED_KEY", given)
    with pytest.raises(
        ZooError, match="no public key of minisign.*no .pub file. Correct it: until then nothing is read"
    ):
        read_registry(small_zoo.registry)
    with pytest.raises(ZooError, match="no public key"):
        resolve(small_zoo.archive)


def test_without_cryptography_nothing_passes(
    small_zoo: SmallZoo, key: SecretKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_dist(small_zoo.registry, key)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    read_registry(small_zoo.registry)  # nobody asked for it
    monkeypatch.setenv("ZOO_TRUSTED_KEY", GENUINE_KEY)
    words = "a signature needs the extra 'sign': `pip install cryptography`.*cannot be checked is refused"
    with pytest.raises(ZooError, match=words):
        read_registry(small_zoo.registry)


# -- registries ---------------------------------------------------------------------------------------------------


def test_a_registry_in_a_directory(small_zoo: SmallZoo, key: SecretKey, trusted: PublicKey) -> None:
    place = small_zoo.registry
    for how in (place, str(place), place.as_uri()):
        with pytest.raises(Untrusted) as caught:
            read_registry(how)
        assert str(caught.value).startswith(
            f"{place} is refused: ZOO_TRUSTED_KEY asks for a signature by {trusted.name}."
        )
        assert "registry.json.minisig: No such file or directory." in str(caught.value)
        assert "Ask its publisher to sign it (`zoo sign DIST --key FILE`)" in str(caught.value)
    sign_dist(place.parent, key)
    for how in (place, str(place), place.as_uri()):
        assert read_registry(how).names() == ["later", "small"]
    update_registry(place, {"more": Entry(kind="encoder")})  # who builds needs no signature
    with pytest.raises(Untrusted, match=f"is by the key {trusted.name}, of other bytes than these"):
        read_registry(place)
    assert own_registry(place).names() == ["later", "more", "small"]


def test_by_whom(small_zoo: SmallZoo, key: SecretKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_keys(tmp_path / "other")[2]
    sign_dist(small_zoo.registry.parent, key)
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(other))
    monkeypatch.setenv("ZOO_REGISTRY", str(small_zoo.registry))
    with pytest.raises(
        Untrusted, match=rf"asks for a signature by {other.name}\. Found: .* is by the key {key.public.name}"
    ):
        info("small")
    monkeypatch.setenv("ZOO_TRUSTED_KEY", f"{other},{key.public}")
    assert info("small").kind == "tokenizer"


def test_what_came_with_the_installation_is_taken(trusted: PublicKey, small_zoo: SmallZoo, key: SecretKey) -> None:
    assert "albert_tiny" in names()
    out = small_zoo.registry.with_name("small.tar")
    sign_dist(small_zoo.registry, key)
    bundle("small", out, registry=small_zoo.registry)
    with pytest.raises(Untrusted, match=r"small\.tar\.minisig: No such file.*or sign the file \(`zoo sign FILE"):
        install(out)
    with pytest.raises(Untrusted):
        from_bundle(out)
    assert "small" not in names()
    sign_dist(out, key)
    assert install(out) == ["small"] and from_bundle(out).is_dir()
    assert "small" in names()


def serve(server: LocalServer, dist: Path) -> str:
    return server.serve_directory(dist) + "registry.json"


def test_a_registry_at_a_url(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(server, small_zoo.registry.parent)
    with pytest.raises(Untrusted, match=r"registry\.json\.minisig: HTTP 404"):
        read_registry(url)
    assert tree(cache_directory()) == [] and not list(cache_directory().glob("registry-*"))
    sign_dist(small_zoo.registry.parent, key)
    serve(server, small_zoo.registry.parent)
    server.asked.clear()
    assert fetch("small", read_registry(url)).is_dir()
    assert server.asked == ["/registry.json", "/registry.json.minisig", "/small.tar.gz"]
    read_registry(url)
    assert server.asked[3:] == ["/registry.json"]  # its signature is known


def test_offline_the_signature_is_checked_again(
    small_zoo: SmallZoo,
    server: LocalServer,
    key: SecretKey,
    trusted: PublicKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign_dist(small_zoo.registry.parent, key)
    url = serve(server, small_zoo.registry.parent)
    read_registry(url)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert read_registry(url).names() == ["later", "small"]
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(write_keys(tmp_path / "other")[2]))
    with pytest.raises(Untrusted, match=f"is by the key {key.public.name}"):
        read_registry(url)
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(trusted))
    copy = next(cache_directory().glob("registry-*.json"))
    copy.write_bytes(copy.read_bytes() + b" ")
    with pytest.raises(Untrusted):
        read_registry(url)


def test_what_was_remembered_before_there_was_a_key_does_not_count(
    small_zoo: SmallZoo,
    server: LocalServer,
    key: SecretKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = serve(server, small_zoo.registry.parent)
    read_registry(url)
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(key.public))
    server.replies.clear()
    with caplog.at_level(logging.WARNING), pytest.raises(Untrusted):
        read_registry(url)
    monkeypatch.delenv("ZOO_TRUSTED_KEY")
    assert read_registry(url).names() == ["later", "small"]


def test_a_server_that_is_down_leaves_what_it_signed_last(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey, caplog: pytest.LogCaptureFixture
) -> None:
    sign_dist(small_zoo.registry.parent, key)
    url = serve(server, small_zoo.registry.parent)
    read_registry(url)
    server.replies.clear()
    assert read_registry(url).names() == ["later", "small"]
    server.serve("/registry.json", b'{"models": {}}')  # it answers, and with what nobody signed
    with pytest.raises(Untrusted):
        read_registry(url)


def test_kept_signatures_go_with_their_registry(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey
) -> None:
    for number in range(3):
        update_registry(small_zoo.registry, {f"more-{number}": Entry(kind="encoder")})
        sign_dist(small_zoo.registry.parent, key)
        read_registry(serve(server, small_zoo.registry.parent))
    assert len(list(cache_directory().glob("registry-*"))) == 2


def test_a_registry_that_is_published_while_it_is_read(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey
) -> None:
    """The old registry meets the next one's signature: once more, and it is the next registry."""
    before = small_zoo.registry.read_bytes()
    update_registry(small_zoo.registry, {"more": Entry(kind="encoder")})
    sign_dist(small_zoo.registry.parent, key)
    url = serve(server, small_zoo.registry.parent)
    server.serve("/registry.json", before, small_zoo.registry.read_bytes())
    assert read_registry(url).names() == ["later", "more", "small"]
    server.serve("/registry.json", before)
    with pytest.raises(Untrusted, match="of other bytes than these"):
        read_registry(url)


def test_a_signature_by_digest_counts_where_the_other_is_ahead(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey
) -> None:
    sign_dist(small_zoo.registry.parent, key)
    signature = small_zoo.registry.with_name("registry.json.minisig")
    url = serve(server, small_zoo.registry.parent)
    own = by_digest(url, small_zoo.registry.read_bytes())
    assert own.startswith(server.url + "/signatures/")
    server.serve(own.removeprefix(server.url), signature.read_bytes())
    server.serve("/registry.json.minisig", GENUINE_SIGNATURE)
    assert read_registry(url).names() == ["later", "small"]


def test_a_url_with_a_query(small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey) -> None:
    url = serve(server, small_zoo.registry.parent) + "?token=hush"
    with pytest.raises(Untrusted) as caught:
        read_registry(url)
    assert "hush" not in str(caught.value) and "registry.json.minisig" in str(caught.value)
    sign_dist(small_zoo.registry.parent, key)
    serve(server, small_zoo.registry.parent)
    assert read_registry(url).names() == ["later", "small"]


# -- what no registry vouches for ---------------------------------------------------------------------------------


def test_bare_urls_and_archives(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.serve_directory(small_zoo.archive.parent) + "small.tar.gz"
    with pytest.raises(Untrusted, match=rf"small\.tar\.gz is refused: it is in no registry, and .*{trusted.name}"):
        resolve(url)
    assert server.asked == []
    with pytest.raises(Untrusted, match=r"small\.tar\.gz\.minisig: No such file"):
        resolve(small_zoo.archive)
    for command in ("fetch", "verify"):
        assert main([command, str(small_zoo.archive)]) == 2
        assert capsys.readouterr().err.startswith("zoo: Untrusted: ")
    assert resolve(url, sha256=small_zoo.digest.sha256) == resolve(small_zoo.archive, sha256=small_zoo.digest.sha256)
    with pytest.raises(Untrusted):
        resolve(url)  # what is in the cache vouches for no URL
    sign_dist(small_zoo.archive, key)
    place = resolve(small_zoo.archive)
    assert resolve(place) == place  # a directory is taken as it is


def test_a_url_that_was_taken_before_there_was_a_key(
    small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.serve_directory(small_zoo.archive.parent) + "small.tar.gz"
    resolve(url)
    monkeypatch.setenv("ZOO_TRUSTED_KEY", GENUINE_KEY)
    for offline in ("", "1"):
        monkeypatch.setenv("ZOO_OFFLINE", offline)
        with pytest.raises(Untrusted):
            resolve(url)


def test_a_signed_registry_without_a_digest(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey
) -> None:
    """--allow-unverified says nothing about who made it."""
    loose = {name: ArchiveRecord(urls=[url]) for name, url in (("near", "small.tar.gz"), ("far", server.url + "/x"))}
    entries = {name: Entry(kind="tokenizer", archive=record) for name, record in loose.items()}
    update_registry(small_zoo.registry, entries)
    sign_dist(small_zoo.registry.parent, key)
    registry = read_registry(small_zoo.registry)
    for name in loose:
        with pytest.raises(Unverified):
            fetch(name, registry)
        with pytest.raises(Untrusted):
            fetch(name, registry, allow_unverified=True)
    assert server.asked == []


# -- the commands -------------------------------------------------------------------------------------------------


def test_sign_without_a_key(tmp_path: Path, small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.key").write_bytes(b"")
    for key, words in (
        (
            tmp_path / "missing.key",
            "cannot be read: No such file or directory. --key names the file NAME.key that `zoo",
        ),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "empty.key" / "x", "cannot be read: Not a directory"),
        (
            tmp_path / "empty.key",
            "is empty. Take your copy of the secret key, or make a new one with `zoo keygen NAME`",
        ),
        (Path("/dev/zero"), "is not a secret key of minisign"),
    ):
        assert main(["sign", str(small_zoo.registry), "--key", str(key)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"zoo: ZooError: {key}") and words in err, err
        with pytest.raises(ZooError):
            read_secret_key(key)
    assert not small_zoo.registry.with_name("registry.json.minisig").exists()


def test_keygen_and_sign(
    small_zoo: SmallZoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dist, name = small_zoo.registry.parent, tmp_path / "release"
    assert main(["keygen", str(name)]) == 0
    out, err = capsys.readouterr()
    variable, _, text = out.strip().partition("=")
    assert variable == "ZOO_TRUSTED_KEY" and "release.key is secret" in err
    assert main(["keygen", str(name)]) == 2
    (dist / "SHA256SUMS").write_text("")
    capsys.readouterr()
    assert main(["sign", str(dist), "--key", f"{name}.key"]) == 0
    assert capsys.readouterr().out.split() == [f"{dist}/registry.json.minisig", f"{dist}/SHA256SUMS.minisig"]
    monkeypatch.setenv(variable, text)
    assert main(["list", "--registry", str(small_zoo.registry)]) == 0
    capsys.readouterr()
    assert main(["sign", str(small_zoo.archive), "--key", f"{name}.key", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["key"] == text and told["written"] == [f"{small_zoo.archive}.minisig"]


def test_signing_again_changes_the_time_only(small_zoo: SmallZoo, key: SecretKey) -> None:
    first, second = (sign_dist(small_zoo.registry, key, now=now)[0].read_text().splitlines() for now in (1, 2))
    assert first[:2] == second[:2] and first[2] == "trusted comment: timestamp:1\tfile:registry.json\thashed"
    assert first[2:] != second[2:]


def test_what_cannot_be_signed(tmp_path: Path, key: SecretKey, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZooError, match="has no registry.json to sign"):
        sign_dist(tmp_path, key)
    with pytest.raises(ZooError, match="is neither a directory nor a file"):
        sign_dist(tmp_path / "none", key)
    assert main(["sign", str(tmp_path), "--key", str(tmp_path / "none.key")]) == 2
    assert "No such file" in capsys.readouterr().err
