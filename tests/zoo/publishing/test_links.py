"""Which URLs a registry has, what is found out about each, and that no host is asked too much at once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.localserver import NO_LENGTH, LocalServer, Reply
from tests.zoo.small import SmallZoo
from zoo.command import main
from zoo.errors import DownloadFailed
from zoo.fetching.registries import read_registry
from zoo.publishing.links import Finding, Link, check_links, links_of
from zoo.registry.entry import ArchiveRecord, Entry, HuggingFaceSource, NoteSource, Published, UrlSource
from zoo.registry.registry import Registry
from zoo.registry.writing import update_registry

BODY = b"archive" * 99


def registry_of(**models: Entry) -> Registry:
    return Registry(models=models)


def encoder(**facts: object) -> Entry:
    return Entry.model_validate({"kind": "encoder", **facts})


# -- which --------------------------------------------------------------------------------------------------------


def test_every_url_is_found_once_with_all_who_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    source = UrlSource(
        kind="url", url="https://a.example/x.zip", activation="relu", reason="see https://a.example/why."
    )
    page = HuggingFaceSource(kind="huggingface", repository="who/what")
    note = NoteSource(kind="note", text="x (TensorFlow): https://b.example/s?id=1 or https://c.example/s/1（密码abcd）")
    archive = ArchiveRecord(urls=["https://z.example/x.tar.gz", "https://y.example/x.tar.gz"], sha256="a" * 64, size=7)
    history = [Published(url="https://old.example/x.tar.gz")]
    registry = registry_of(
        one=encoder(sources=[source, page, note], archive=archive, history=history),
        two=encoder(sources=[source], description="Of https://d.example/paper, they say."),
    )
    assert links_of(registry) == [
        Link("https://z.example/x.tar.gz", "archive", ("one",), 7),
        Link("https://y.example/x.tar.gz", "archive", ("one",), 7),
        Link("https://a.example/x.zip", "source", ("one", "two")),
        Link("https://mirror.example/who/what", "huggingface", ("one",)),
        Link("https://a.example/why", "note", ("one", "two")),
        Link("https://b.example/s?id=1", "note", ("one",)),
        Link("https://c.example/s/1", "note", ("one",)),
        Link("https://d.example/paper", "note", ("two",)),
        Link("https://old.example/x.tar.gz", "history", ("one",)),
    ]


def test_the_packaged_registry_has_links_of_every_kind() -> None:
    links = links_of(read_registry())
    assert {link.kind for link in links} >= {"source", "huggingface", "note", "history"}
    assert len({link.url for link in links}) == len(links) > 50


# -- whether ------------------------------------------------------------------------------------------------------


def ask(url: str, kind: str = "source", size: int | None = None, timeout: float = 5) -> Finding:
    return check_links([Link(url, kind, ("x",), size)], timeout=timeout)[0]  # type: ignore[arg-type]


def test_head_is_enough(server: LocalServer) -> None:
    finding = ask(server.serve("/x", BODY), "archive", len(BODY))
    assert (finding.ok, finding.status, finding.length, finding.redirected_to) == (True, 200, len(BODY), None)
    assert server.asked == ["HEAD /x"]


@pytest.mark.parametrize("refusal", [Reply(status=405), Reply(status=403), Reply(status=501), Reply(hangs_up=True)])
def test_where_head_is_refused_one_byte_is_asked_for(server: LocalServer, refusal: Reply) -> None:
    server.serve("HEAD /x", refusal)
    finding = ask(server.serve("/x", Reply(BODY, ranges=True)), "archive", len(BODY))
    assert (finding.ok, finding.status, finding.length) == (True, 206, len(BODY))
    assert server.asked == ["HEAD /x", "/x"] and server.headers[-1]["Range"] == "bytes=0-0"


def test_a_server_without_ranges_is_not_read_to_its_end(server: LocalServer) -> None:
    server.serve("HEAD /x", Reply(status=405))
    finding = ask(server.serve("/x", Reply(BODY, stall=60)), "archive", len(BODY))  # the stall would be waited for
    assert (finding.ok, finding.status, finding.length) == (True, 200, len(BODY))


def test_what_is_not_there(server: LocalServer) -> None:
    finding = ask(server.url + "/none")
    assert (finding.ok, finding.status, finding.said, finding.state) == (False, 404, "HTTP 404 Not Found", "FAILED")
    assert server.asked == ["HEAD /none", "/none"]


def test_what_the_predecessor_published_may_be_dead(server: LocalServer) -> None:
    finding = ask(server.url + "/none", "history")
    assert (finding.ok, finding.fails, finding.state) == (False, False, "dead")


def test_redirects_are_followed_and_named(server: LocalServer) -> None:
    server.serve("/there", BODY)
    finding = ask(server.serve("/x", Reply(status=302, headers={"Location": "/there?X-Signature=hush"})))
    assert (finding.ok, finding.length, finding.redirected_to) == (True, len(BODY), f"{server.url}/there?…")
    assert finding.text == f"{server.url}/x → {server.url}/there?…"
    lost = ask(server.serve("/y", Reply(status=302, headers={"Location": "/gone"})))
    assert (lost.ok, lost.said, lost.redirected_to) == (False, "HTTP 404 Not Found", f"{server.url}/gone")
    loop = ask(server.serve("/z", Reply(status=302, headers={"Location": "/z"})))
    assert not loop.ok and "redirects" in loop.said


def test_an_archive_of_another_length_fails_and_a_page_of_any_does_not(server: LocalServer) -> None:
    url = server.serve("/x", Reply(BODY, ranges=True))
    finding = ask(url, "archive", 700)
    assert (finding.ok, finding.said) == (False, "has 693 bytes, the registry says 700")
    server.serve("HEAD /y", Reply(announced=0))  # HEAD may say so; the first byte tells
    assert ask(server.serve("/y", Reply(BODY, ranges=True)), "archive", len(BODY)).ok
    untold = ask(server.serve("/z", Reply(BODY, announced=NO_LENGTH)), "archive", len(BODY))
    assert untold.ok and untold.length is None
    assert ask(url).ok


def test_a_busy_server_is_asked_again(server: LocalServer) -> None:
    server.serve("/x", Reply(status=503), Reply(BODY))
    assert ask(server.url + "/x").ok and server.asked == ["HEAD /x", "HEAD /x"]
    assert ask(server.serve("/y", Reply(status=500))).said.startswith("HTTP 500")


def test_silence_and_hanging_up(server: LocalServer) -> None:
    assert ask(server.serve("/slow", Reply(BODY, delay=60)), timeout=0.2).said == "no byte for 0.2 seconds"
    assert server.asked == ["HEAD /slow"]  # no second wait
    finding = ask(server.serve("/x", Reply(hangs_up=True)))
    assert not finding.ok and "Remote" in finding.said
    assert "Connection refused" in ask("http://127.0.0.1:1/x").said
    assert ask("http://[bad/x").said == "Invalid IPv6 URL"


def test_local_archives_are_looked_at(small_zoo: SmallZoo) -> None:
    links = links_of(read_registry(small_zoo.registry))
    assert [link.url for link in links] == [small_zoo.archive.as_uri()]
    assert check_links(links)[0].ok
    small_zoo.archive.write_bytes(b"short")
    assert "has 5 bytes, the registry says" in check_links(links)[0].said
    small_zoo.archive.unlink()
    assert check_links(links)[0].said == "no such file"


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="ZOO_OFFLINE forbids.*ZOO_OFFLINE=0"):
        check_links([Link("https://a.example", "source", ())])


@pytest.mark.parametrize(("hosts", "each", "jobs", "at_once"), [("ab", 3, 3, 3), ("a", 4, 8, 2)])
def test_two_of_one_host_and_never_more_than_jobs(
    monkeypatch: pytest.MonkeyPatch, hosts: str, each: int, jobs: int, at_once: int
) -> None:
    """Every wave waits until `at_once` requests are made: fewer would never meet, and more are counted."""
    lock, running, most = threading.Lock(), dict[str, int](), dict[str, int]()
    meeting = threading.Barrier(at_once, timeout=20)

    def asked(link: Link, http: object, timeout: float) -> Finding:
        host = link.url.split("/")[2]
        with lock:
            for key in (host, "all"):
                running[key] = running.get(key, 0) + 1
                most[key] = max(most.get(key, 0), running[key])
        meeting.wait()
        with lock:
            for key in (host, "all"):
                running[key] -= 1
        return Finding(link, True, "")

    monkeypatch.setattr("zoo.publishing.links._asked", asked)
    links = [Link(f"https://{host}/{number}", "source", ()) for host in hosts for number in range(each)]
    assert [finding.link for finding in check_links(links, jobs=jobs)] == links
    assert most["all"] == at_once and max(most[host] for host in hosts) == 2


# -- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def place(server: LocalServer, tmp_path: Path) -> Path:
    path = tmp_path / "registry.json"
    source = UrlSource(kind="url", url=server.serve("/x.zip", BODY))
    entry = encoder(sources=[source], history=[Published(url=server.url + "/old.tar.gz")])
    update_registry(path, {"good": entry})
    return path


def test_exit_code_and_table(server: LocalServer, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-links", "--registry", str(place)]) == 0
    *rows, total = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows[1:]] == [
        ["ok", "source", "good", f"{server.url}/x.zip"],
        ["dead", "history", "good", *f"{server.url}/old.tar.gz: HTTP 404 Not Found".split()],
    ]
    assert total == "2 URLs, 0 failed, 1 of the history dead"
    server.serve("/x.zip", Reply(status=404))
    assert main(["check-links", "--registry", str(place), "--jobs", "1", "--timeout", "3"]) == 2
    assert "FAILED  source   good" in capsys.readouterr().out


def test_json(server: LocalServer, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-links", "--registry", str(place), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["registry"], told["checked"], told["failed"]) == (str(place), 2, 0)
    assert told["links"][0] == {
        "url": f"{server.url}/x.zip",
        "kind": "source",
        "models": ["good"],
        "state": "ok",
        "status": 200,
        "said": "HTTP 200 OK",
        "redirected_to": None,
        "length": len(BODY),
        "expected_length": None,
    }


def test_nobody_asks_with_no_hands(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check-links", "--registry", str(place), "--jobs", "0"])
    assert "0 is less than 1" in capsys.readouterr().err
