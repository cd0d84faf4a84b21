"""Rollback, freeze and signatures that are swapped: what a signature alone does not tell."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path

import pytest

from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.errors import BadRegistry, CannotWrite, Stale, Untrusted, ZooError
from zoo.fetching.freshness import moment_after, number_record_of
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.publishing.publish import publish
from zoo.publishing.signing import sign_dist
from zoo.registry.entry import Entry
from zoo.registry.writing import own_registry, update_registry
from zoo.trust.minisign import PublicKey, SecretKey, read_secret_key, sign, write_keys
from zoo.trust.signatures import by_digest

DAY = 86_400


def serve(server: LocalServer, dist: Path) -> str:
    return server.serve_directory(dist) + "registry.json"


def change(dist: Path, name: str) -> None:
    update_registry(dist / "registry.json", {name: Entry(kind="encoder")})


@pytest.fixture
def old_and_new(small_zoo: SmallZoo, key: SecretKey, tmp_path: Path) -> tuple[Path, Path]:
    """Two signed versions of one directory, numbers 1 and 2."""
    new = small_zoo.registry.parent
    sign_dist(new, key)
    old = Path(shutil.copytree(new, tmp_path / "old"))
    change(new, "more")
    sign_dist(new, key)
    return old, new


# -- rollback -----------------------------------------------------------------------------------------------------


def test_an_older_registry_is_refused_once_a_newer_one_was_trusted(
    old_and_new: tuple[Path, Path], server: LocalServer, trusted: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = old_and_new
    assert read_registry(serve(server, old)).number == 1
    url = serve(server, new)
    assert read_registry(url).number == 2 and "more" in read_registry(url).models
    serve(server, old)
    with pytest.raises(Stale) as caught:
        read_registry(url)
    assert str(caught.value).startswith(
        f"{url} is number 1 of its registries, and number 2 by the key {trusted.name} was trusted here before."
    )
    assert str(caught.value).endswith("ZOO_ALLOW_STALE=1 takes it all the same.")
    monkeypatch.setenv("ZOO_ALLOW_STALE", "1")
    assert read_registry(url).number == 1
    monkeypatch.setenv("ZOO_ALLOW_STALE", "0")
    with pytest.raises(Stale):
        read_registry(url)  # to insist once forgets nothing
    server.replies.clear()
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(Stale):
        read_registry(url)  # it is what was remembered last


def test_a_registry_without_a_number_is_older_than_any(
    old_and_new: tuple[Path, Path], server: LocalServer, key: SecretKey, trusted: PublicKey
) -> None:
    _, new = old_and_new
    url = serve(server, new)
    read_registry(url)
    text = json.loads((new / "registry.json").read_text())
    del text["number"]
    content = json.dumps(text).encode()
    server.serve("/registry.json", content)
    signature = sign(io.BytesIO(content), key, "timestamp:1\tfile:registry.json\thashed")
    server.serve("/registry.json.minisig", str(signature).encode())
    with pytest.raises(Stale, match="is number 0 of its registries, and number 2"):
        read_registry(url)


def test_numbers_are_of_a_url_and_a_key(
    old_and_new: tuple[Path, Path],
    server: LocalServer,
    key: SecretKey,
    trusted: PublicKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = old_and_new
    read_registry(serve(server, new))
    for name in ("registry.json", "registry.json.minisig"):
        server.serve(f"/elsewhere/{name}", (old / name).read_bytes())
    assert read_registry(server.url + "/elsewhere/registry.json").number == 1
    url, other = serve(server, old), read_secret_key(write_keys(tmp_path / "other")[0])
    sign_dist(old, other, number=1)
    monkeypatch.setenv("ZOO_TRUSTED_KEY", f"{trusted},{other.public}")
    assert read_registry(serve(server, old)).number == 1
    monkeypatch.delenv("ZOO_TRUSTED_KEY")
    assert read_registry(url).number == 1  # nobody vouches for a number without a signature


def test_an_unsigned_number_is_not_remembered(small_zoo: SmallZoo, server: LocalServer, key: SecretKey) -> None:
    """Else anybody on the line could send the highest there is, and lock everybody out."""
    sign_dist(small_zoo.registry, key, number=1 << 53)
    url = serve(server, small_zoo.registry.parent)
    assert read_registry(url).number == 1 << 53
    assert not list(cache_directory().glob("number-*"))
    change(small_zoo.registry.parent, "more")
    with pytest.raises(BadRegistry, match="number: Input should be less than or equal to"):
        sign_dist(small_zoo.registry, key)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"number": 1, "number": 2}', None], ids=str)
def test_a_record_that_cannot_be_read(
    old_and_new: tuple[Path, Path],
    server: LocalServer,
    trusted: PublicKey,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
) -> None:
    old, new = old_and_new
    url = serve(server, new)
    read_registry(url)
    record = number_record_of(url, trusted.name)
    assert json.loads(record.read_bytes()) == {"key": trusted.name, "number": 2, "url": url}
    record.unlink()
    if content is None:
        record.mkdir()
    else:
        record.write_bytes(content)
    with pytest.raises(Stale) as caught:
        read_registry(url)
    assert f"{record}, which remembers the highest number" in str(caught.value)
    assert "Remove it to begin again with the registry that is served now." in str(caught.value)
    if content is not None:
        monkeypatch.setenv("ZOO_ALLOW_STALE", "1")
        assert read_registry(url).number == 2 and json.loads(record.read_bytes())["number"] == 2
        monkeypatch.delenv("ZOO_ALLOW_STALE")
        record.unlink()
    else:
        record.rmdir()
    assert read_registry(serve(server, old)).number == 1  # so the documentation says


def test_a_cache_that_others_may_only_read(
    old_and_new: tuple[Path, Path], server: LocalServer, trusted: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    assert read_registry(serve(server, old_and_new[1])).number == 2


# -- freeze -------------------------------------------------------------------------------------------------------


def test_a_registry_that_has_expired_is_refused(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_dist(small_zoo.registry.parent, key, expires_in=30)
    url, now = serve(server, small_zoo.registry.parent), time.time()
    expires = read_registry(url).expires
    assert expires is not None and abs(time.mktime(time.strptime(expires, "%Y-%m-%dT%H:%M:%SZ")) - now) < 32 * DAY
    monkeypatch.setattr(time, "time", lambda: now + 31 * DAY)
    for offline in ("0", "1"):  # what is remembered grows old, too
        monkeypatch.setenv("ZOO_OFFLINE", offline)
        for place in (url, small_zoo.registry):
            with pytest.raises(Stale) as caught:
                read_registry(place)
            assert f"has expired: its publisher stated that it is valid until {expires}" in str(caught.value)
            assert "check this machine's clock. ZOO_ALLOW_STALE=1 takes it all the same." in str(caught.value)
        monkeypatch.setenv("ZOO_ALLOW_STALE", "1")
        assert read_registry(url).names() == read_registry(small_zoo.registry).names() == ["later", "small"]
        monkeypatch.delenv("ZOO_ALLOW_STALE")
    assert own_registry(small_zoo.registry).expires == expires  # those who write it read it
    monkeypatch.setenv("ZOO_TRUSTED_KEY", "")
    with pytest.raises(Stale):
        read_registry(small_zoo.registry)


@pytest.mark.parametrize("moment", ["tomorrow", "2027-02-30T00:00:00Z", "2027-01-31T00:00:00", "2027-01-31", 7])
def test_moments_have_one_form(tmp_path: Path, moment: object) -> None:
    (tmp_path / "registry.json").write_text(json.dumps({"models": {}, "expires": moment}))
    with pytest.raises(BadRegistry, match="expires: "):
        read_registry(tmp_path / "registry.json")
    assert moment_after(0, 1.5) == "1970-01-02T12:00:00Z"


# -- signatures that are swapped ----------------------------------------------------------------------------------


def test_a_signature_is_of_the_file_that_it_names(
    small_zoo: SmallZoo, server: LocalServer, key: SecretKey, trusted: PublicKey
) -> None:
    """Whoever holds the server has every file that the key ever signed, and may give it any name."""
    dist = small_zoo.registry.parent
    (dist / "evil.json").write_text('{"models": {}}')
    for file in ("evil.json", "small.tar.gz"):
        sign_dist(dist / file, key)
    evil = (dist / "evil.json").read_bytes(), (dist / "evil.json.minisig").read_bytes()
    url = server.serve("/registry.json", evil[0])
    server.serve("/registry.json.minisig", evil[1])
    server.serve(by_digest(url, evil[0]).removeprefix(server.url), evil[1])
    with pytest.raises(Untrusted) as caught:
        read_registry(url)
    assert str(caught.value).count("is of a file named 'evil.json', not 'registry.json'") == 2
    assert read_registry(dist / "evil.json").names() == []
    shutil.copy(dist / "small.tar.gz", dist / "other.tar.gz")
    shutil.copy(dist / "small.tar.gz.minisig", dist / "other.tar.gz.minisig")
    with pytest.raises(Untrusted, match=r"is of a file named 'small\.tar\.gz', not 'other\.tar\.gz'"):
        resolve(dist / "other.tar.gz")
    assert resolve(dist / "small.tar.gz").is_dir()


def test_a_signature_that_names_no_file(small_zoo: SmallZoo, key: SecretKey, trusted: PublicKey) -> None:
    """As `minisign -S -t 'what I say'` writes them."""
    content = small_zoo.registry.read_bytes()
    place = small_zoo.registry.with_name("registry.json.minisig")
    for comment in ("what I say", "timestamp:1\thashed", "profile:registry.json"):
        place.write_text(str(sign(io.BytesIO(content), key, comment)))
        with pytest.raises(
            Untrusted, match=r"sign registry\.json again, with `zoo sign`, or with minisign and without -t"
        ):
            read_registry(small_zoo.registry)
    place.write_text(str(sign(io.BytesIO(content), key, "timestamp:1\tfile:registry.json")))  # minisign before 0.11
    assert read_registry(small_zoo.registry).names() == ["later", "small"]


def test_a_name_that_a_signature_cannot_hold(tmp_path: Path, key: SecretKey) -> None:
    odd = tmp_path / "x\tfile:registry.json"
    odd.write_bytes(b"")
    with pytest.raises(ZooError, match="cannot be signed: a signature holds the name of its file"):
        sign_dist(odd, key)
    assert [path.name for path in tmp_path.glob("x*")] == [odd.name]


# -- who counts ---------------------------------------------------------------------------------------------------


def test_signing_counts_the_changes_and_keeps_the_sums(small_zoo: SmallZoo, key: SecretKey, tmp_path: Path) -> None:
    dist = small_zoo.registry.parent
    before = small_zoo.registry.read_bytes()
    sums = f"{sha256_of(small_zoo.registry)}  registry.json\n{'a' * 64}  small.tar.gz\n"
    (dist / "SHA256SUMS").write_text(sums)
    assert own_registry(small_zoo.registry).number == 0 and b"number" not in before
    for number, what in ((1, "first"), (1, "again"), (2, "changed"), (2, "again"), (3, "by another key")):
        if what == "changed":
            change(dist, "more")
            (dist / "SHA256SUMS").write_text(sums.replace(sums[:64], sha256_of(small_zoo.registry)))
        signer = read_secret_key(write_keys(tmp_path / "other")[0]) if what == "by another key" else key
        sign_dist(dist, signer, now=7)
        assert own_registry(small_zoo.registry).number == number, what
        assert (dist / "SHA256SUMS").read_text() == sums.replace(sums[:64], sha256_of(small_zoo.registry))
    assert b'\n  "number": 3\n' in small_zoo.registry.read_bytes()
    change(dist, "yet-another")
    assert own_registry(small_zoo.registry).number == 3  # nobody has signed it: no reader has seen it
    (dist / "SHA256SUMS").write_text(sums)  # which is wrong already, and not put right by the way
    sign_dist(dist, key)
    assert (dist / "SHA256SUMS").read_text() == sums


def test_numbers_and_expiry_of_the_command(
    small_zoo: SmallZoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keys(tmp_path / "release")
    dist = small_zoo.registry.parent

    def signed(*words: str) -> tuple[int, str]:
        code = main(["sign", str(dist), "--key", str(tmp_path / "release.key"), *words])
        return code, capsys.readouterr().err

    def stated() -> tuple[int, bool]:
        registry = own_registry(small_zoo.registry)
        return registry.number, registry.expires is not None

    assert signed("--number", "20270131") == (0, "registry.json is number 20270131; it expires never.\n")
    assert stated() == (20270131, False)
    assert signed("--number", "7") == (
        2,
        f"zoo: ZooError: {small_zoo.registry} is number 20270131 already, and readers who have seen it refuse "
        "number 7. Leave out --number, or give more than 20270131.\n",
    )
    code, err = signed("--expires-in", "30")
    assert (code, *stated()) == (0, 20270132, True)
    assert err == f"registry.json is number 20270132; it expires {own_registry(small_zoo.registry).expires}.\n"
    assert signed("--expires-in", "36501")[0] == 2 and stated() == (20270132, True)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    code, err = signed()
    assert code == 2 and "State for how many days it is valid: --expires-in DAYS." in err
    assert signed("--expires-in", "0")[0] == 0 and stated() == (20270133, False)
    assert main(["sign", str(dist), "--key", str(tmp_path / "release.key"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["number"], told["expires"]) == (20270133, None)
    with pytest.raises(SystemExit):
        signed("--number", "-1")


def test_what_readers_would_refuse_is_not_published(
    old_and_new: tuple[Path, Path], key: SecretKey, trusted: PublicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = old_and_new
    www = tmp_path / "www"
    publish(new, www)
    assert not publish(new, www).written
    with pytest.raises(CannotWrite) as caught:
        publish(old, www)
    assert f"{www} holds number 2 of the registry, {old / 'registry.json'} is number 1" in str(caught.value)
    assert "--key FILE --number 3` gives the next one." in str(caught.value)
    assert own_registry(www / "registry.json").number == 2
    sign_dist(old, key, number=3)
    publish(old, www)
    assert read_registry(www / "registry.json").number == 3
    sign_dist(old, key, expires_in=1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * DAY)
    with pytest.raises(Stale):
        publish(old, www)
