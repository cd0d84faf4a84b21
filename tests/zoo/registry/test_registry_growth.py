"""Registries of a later bert-zoo: unknown fields and rows have no effect and are kept; a higher format is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

import zoo
from export.release.build import write_rows
from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo
from zoo.archive.kinds import KINDS
from zoo.command import main
from zoo.errors import BadRegistry, UnknownModel, Unverified
from zoo.fetching.bundles import bundle, read_bundle
from zoo.fetching.installing import install
from zoo.fetching.places import installed_place
from zoo.fetching.registries import read_registry
from zoo.publishing.publish import publish
from zoo.publishing.signing import sign_dist
from zoo.registry.check import check_registry, format_registry
from zoo.registry.entry import Entry, writers
from zoo.registry.registry import Registry, json_schema, parse_registry, registry_text
from zoo.registry.writing import update_registry
from zoo.trust.minisign import read_secret_key, write_keys

KIND_SHOULD_BE = f"kind: Input should be {' or '.join(map(repr, KINDS))}"
LATER_ROW = {"kind": "program", "colours": ["red"], "archive": {"urls": ["p.tar.gz"], "sha256": "b" * 64, "size": 7}}
LATER: dict[str, Any] = {
    "$schema": "registry.schema.json",
    "format": 1,
    "channel": {"name": "nightly"},
    "models": {
        "a": {
            "kind": "encoder",
            "colours": ["red", "blue"],
            "archive": {"urls": ["https://host/a.tar.gz"], "sha256": "a" * 64, "size": 7, "signed_by": {"key": "x"}},
            "sources": [{"kind": "huggingface", "repository": "us/a", "gated": True}],
            "recipe": {"heads": [], "prompt": "q: "},
        },
        "later": LATER_ROW,
    },
}


@pytest.fixture
def later(tmp_path: Path) -> Path:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(LATER))
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


# -- the format ---------------------------------------------------------------------------------------------------


def test_a_registry_says_its_format_and_one_without_is_of_the_first() -> None:
    assert json.loads(registry_text(Registry()))["format"] == 1
    assert parse_registry(b'{"models": {}}', "r.json").format == 1
    assert json.loads(json_schema())["properties"]["format"]["const"] == 1
    assert json.loads(json_schema())["$defs"]["Entry"]["additionalProperties"] is True


def test_a_later_format_is_told_in_one_line(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later.write_text(json.dumps({"format": 2, "models": [1], "number": "seven"}))
    before = later.read_bytes()
    words = f"{later} was made by a later bert-zoo (format 2, this one reads 1): update bert-zoo."
    with pytest.raises(BadRegistry) as caught:
        read_registry(later)
    assert str(caught.value) == words
    assert main(["list", "--registry", str(later)]) == 2
    assert capsys.readouterr().err == f"zoo: BadRegistry: {words}\n"
    with pytest.raises(BadRegistry):
        update_registry(later, {"b": Entry(kind="encoder")})
    assert later.read_bytes() == before


@pytest.mark.parametrize("number", [0, -1, "2", None, 1.5, 1 << 54])
def test_a_format_that_is_none_is_refused(number: object) -> None:
    with pytest.raises(BadRegistry, match="format: Input should be 1"):
        parse_registry(json.dumps({"format": number, "models": {}}).encode(), "r.json")


# -- fields -------------------------------------------------------------------------------------------------------


def test_unknown_fields_have_no_effect(later: Path) -> None:
    registry = read_registry(later)
    assert registry.names() == ["a"] and registry.entry("a").kind == "encoder"
    assert registry.archive("a").sha256 == "a" * 64


def test_unknown_fields_do_not_pass_for_others(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posing = {"name": "albert_tiny", "cached": "/etc", "build": [], "made_from": "b", "languages": "zh"}
    later.write_text(json.dumps({"models": {"a": {"kind": "encoder", "archive": {"urls": ["a.tar.gz"]}, **posing}}}))
    assert main(["info", "a", "--registry", str(later)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown.keys() == {"name", "kind", "archive", "urls"} and shown["name"] == "a"
    assert main(["info", "a", "--registry", str(later), "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"archive", "kind", "name", "urls"}
    assert main(["list", "--registry", str(later), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["a"]["name"] == "a"


def test_info_shows_lists(later: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Entry.model_fields, "colours", FieldInfo(annotation=list[str]))  # as if this version knew it
    assert main(["info", "a", "--registry", str(later)]) == 0
    assert ["colours", "red, blue"] in [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]


def rewritten_by_format(path: Path) -> None:
    format_registry(path)


def rewritten_by_an_update(path: Path) -> None:
    update_registry(path, {"new": Entry(kind="tokenizer")})


def rewritten_by_signing(path: Path) -> None:
    write_keys(path.with_name("k"))
    sign_dist(path.parent, read_secret_key(path.with_name("k.key")))


@pytest.mark.parametrize("rewrite", [rewritten_by_format, rewritten_by_an_update, rewritten_by_signing])
def test_what_is_not_known_is_kept_when_the_file_is_written_again(later: Path, rewrite: Any) -> None:
    rewrite(later)
    found = read(later)
    assert {**found, "models": {name: found["models"][name] for name in LATER["models"]}} == {
        **LATER,
        **{field: found[field] for field in ("number", "expires") if field in found},
    }
    assert set(found["models"]) == {*LATER["models"], *read_registry(later).names()}


def test_installing_keeps_what_a_later_version_installed(small_zoo: SmallZoo) -> None:
    bundle("small", small_zoo.registry.with_name("small.tar"), registry=small_zoo.registry)
    installed_place().parent.mkdir(parents=True)
    installed_place().write_text(json.dumps(LATER))
    install(small_zoo.registry.with_name("small.tar"))
    assert {**read(installed_place())["models"], "small": 0} == {**LATER["models"], "small": 0}


def test_no_unknown_field_crosses_over_from_a_bundle_or_a_server(
    small_zoo: SmallZoo, server: LocalServer, tmp_path: Path
) -> None:
    """What a later version makes of it there is unknown here: it may be a file of this machine, or a leave."""
    facts = read(small_zoo.registry)
    facts["models"]["small"] |= {"colours": ["red"], "unchecked": True, "mirror": "file:///etc/hostname"}
    facts["models"]["small"]["archive"]["signed_by"] = {"key": "x"}
    facts["models"]["small"]["history"] = [{"url": "https://host/s.tar.gz", "size_mib": 7, "gone": "yes"}]
    small_zoo.registry.write_text(json.dumps(facts))
    bundle("small", out := tmp_path / "small.tar", registry=small_zoo.registry)
    install(out)
    row = read(installed_place())["models"]["small"]
    assert row["description"] == "for tests" and not {"colours", "unchecked", "mirror"} & row.keys()
    assert "signed_by" not in row["archive"] and row["history"] == [{"url": "https://host/s.tar.gz", "size_mib": 7}]
    served = read_registry(server.serve("/registry.json", small_zoo.registry.read_bytes()))
    write_rows(served, tmp_path / "from afar")
    row = read(tmp_path / "from afar" / "registry.json")["models"]["small"]
    assert row["description"] == "for tests" and row.keys() <= Entry.model_fields.keys()
    write_rows(read_registry(small_zoo.registry), tmp_path / "own")
    assert read(tmp_path / "own" / "registry.json")["models"]["small"]["colours"] == ["red"], "a registry of one's own"


def test_a_bundle_keeps_the_unknown_fields_of_a_row(small_zoo: SmallZoo) -> None:
    facts = read(small_zoo.registry)
    facts["models"]["small"]["colours"] = ["red"]
    facts["models"]["later"] = LATER_ROW
    small_zoo.registry.write_text(json.dumps(facts))
    out = small_zoo.registry.with_name("small.tar")
    assert bundle("small", out, registry=small_zoo.registry) == ["small"]
    assert read_bundle(out).entry("small").model_extra == {"colours": ["red"]} and read_bundle(out).format == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"x\ny": 1}, "is no name of a field"),
        ({"x" * 101: 1}, "is no name of a field"),
        ({"x": "\x1b[2J"}, "control characters"),
        ({"x": [{"y": "\u202e"}]}, "control characters"),
        ({"x": {"\x1b": 1}}, "keys with control characters"),
        ({"x": {"k" * 201: 1}}, "longer than 200"),
        ({"x": json.loads("[" * 40 + "]" * 40)}, "nested more than 32 deep"),
        ({"x": "y" * 70_000}, "is longer than 65,536 characters"),
    ],
)
def test_unknown_fields_are_no_way_around_the_limits(fields: dict[str, Any], words: str) -> None:
    rows = ({"kind": "encoder", **fields}, {"kind": "encoder", "recipe": fields}, {"kind": "program", **fields})
    for content in (fields, *({"models": {"a": row}} for row in rows)):
        with pytest.raises(BadRegistry, match=words) as caught:
            parse_registry(json.dumps(content).encode(), "r.json")
        assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_an_infinite_number_is_refused() -> None:
    with pytest.raises(BadRegistry, match="a number that JSON cannot write"):
        parse_registry(b'{"models": {"a": {"kind": "encoder", "x": 1e999}}}', "r.json")


# -- rows ---------------------------------------------------------------------------------------------------------


def test_a_row_of_an_unknown_kind_is_skipped(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--registry", str(later)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "a"]
    assert err == f"later ({KIND_SHOULD_BE}): skipped, as a later bert-zoo wrote them. Update bert-zoo.\n"
    with pytest.raises(UnknownModel, match=r"the row of 'later' in .* is skipped, .*Update bert-zoo"):
        zoo.url("later", registry=later)


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "encoder", "activation": "swiglu"},
        {"kind": "encoder", "recipe": {"pooler": "cone"}},
        {"kind": "encoder", "sources": [{"kind": "torrent", "magnet": "x"}]},
    ],
)
def test_so_is_one_with_another_word_that_only_a_later_version_knows(row: dict[str, Any]) -> None:
    registry = parse_registry(json.dumps({"models": {"a": row, "b": {"kind": "encoder"}}}).encode(), "r.json")
    assert registry.names() == ["b"] and list(registry.skipped) == ["a"]
    assert json.loads(registry_text(registry))["models"]["a"] == row
    wrong = {**row, "layers": -1}  # a second problem, which no later version explains
    with pytest.raises(BadRegistry, match="layers: Input should be"):
        parse_registry(json.dumps({"models": {"a": wrong}}).encode(), "r.json")


def test_a_skipped_row_still_owns_its_name(later: Path) -> None:
    with pytest.raises(BadRegistry, match="alias 'later' of 'b' already means 'later'"):
        update_registry(later, {"b": Entry(kind="encoder", aliases=["later"])})
    update_registry(later, {"later": Entry(kind="encoder")})  # written anew by this version
    assert read(later)["models"]["later"] == {"kind": "encoder"} and not read_registry(later).skipped


@pytest.mark.parametrize("name", ["a\x1b[2J", "two\nlines", "../a", "a" * 201, ""])
@pytest.mark.parametrize("kind", ["encoder", "program"])
def test_a_row_needs_a_right_name_whether_it_is_skipped_or_not(kind: str, name: str) -> None:
    with pytest.raises(BadRegistry, match="String should"):
        parse_registry(json.dumps({"models": {name: {"kind": kind}}}).encode(), "r.json")


def test_many_skipped_rows_take_one_line() -> None:
    rows = {f"m{number:04}": {"kind": "dog"} for number in range(1000)}
    text = parse_registry(json.dumps({"models": rows}).encode(), "r.json").skipped_text()
    assert "m0000 (" in text and "m0005" not in text and " and 995 more: skipped" in text and "\n" not in text


def test_a_directory_with_skipped_rows_is_not_published(later: Path, tmp_path: Path) -> None:
    with pytest.raises(Unverified, match="later .*: skipped"):
        publish(later.parent, tmp_path / "there")


def test_a_skipped_row_that_publishing_takes_away_is_told(small_zoo: SmallZoo, tmp_path: Path) -> None:
    there = tmp_path / "there" / "registry.json"
    there.parent.mkdir()
    there.write_text(json.dumps({"models": {"program": LATER_ROW}}))
    assert publish(small_zoo.registry.parent, there.parent).gone == ("program",)


def test_a_served_registry_of_a_later_version_is_read(server: LocalServer) -> None:
    registry = read_registry(server.serve("/registry.json", json.dumps(LATER).encode()))
    assert registry.names() == ["a"] and list(registry.skipped) == ["later"]
    bad = {"models": {"a": {"kind": "encoder", "archive": {"urls": ["file:///etc/hostname"], "x": 1}}}}
    with pytest.raises(BadRegistry, match="only a registry that is a local file may name others"):
        read_registry(server.serve("/bad.json", json.dumps(bad).encode()))


# -- for maintainers ----------------------------------------------------------------------------------------------


def test_the_check_names_unknown_fields_and_skipped_rows(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    format_registry(later)
    problems, notes = check_registry(later)
    assert problems == [f"later: {KIND_SHOULD_BE}; the row is skipped"]
    assert notes == [
        *(f"a: unknown field {field} is ignored" for field in ("'colours'", "'gated'")),
        "a: unknown field 'prompt' is ignored; did you mean 'prompts'?",
        "a: unknown field 'signed_by' is ignored",
        "registry.json: unknown field 'channel' is ignored",
    ]
    capsys.readouterr()
    assert main(["registry", "check", str(later)]) == 2
    assert "has 1 problem:\n" in (said := capsys.readouterr().err) and said.count("  note: ") == 5


def test_unknown_fields_alone_are_no_problem(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"kind": "encoder", "licens": "MIT", "archive": {"urls": ["a.tar.gz"], "sha256": "a" * 64, "size": 7}}
    later.write_text(json.dumps({"models": {"a": row}}))
    format_registry(later)
    assert main(["registry", "check", str(later)]) == 0
    note = "a: unknown field 'licens' is ignored; did you mean 'licence'?"
    assert capsys.readouterr().out == f"{later}: nothing is wrong\n  note: {note}\n"
    assert main(["registry", "check", "--json", str(later)]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(later), "problems": [], "notes": [note]}


def test_each_field_says_who_writes_it() -> None:
    marks = writers()
    assert list(marks) == list(Entry.model_fields)
    assert [name for name, field in Entry.model_fields.items() if not field.metadata] == [], "each has its mark"
    by_people = {name for name, written in marks.items() if "people" in written.by}
    words = {"description", "description_zh", "paper", "facts", "licence", "on_request"}
    assert by_people == words | {"tokenizer", "aliases", "sources", "recipe", "history"}
