"""The lint finds every breach of a rule, all of them at once; what it can mend, `zoo registry format` mends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zoo.command import main
from zoo.registry.check import check_registry, format_registry, model_problems
from zoo.registry.registry import Registry, json_schema, registry_text
from zoo.registry.table import markdown_table

Models = dict[str, dict[str, Any]]
SHA = "a" * 64


def models() -> Models:
    """A registry with nothing wrong: a tokenizer, its preprocess archive, a model and its first 2 layers, one built."""
    facts = {"kind": "encoder", "family": "bert", "hidden_size": 32, "heads": 4, "vocab_size": 99, "tokenizer": "words"}
    return {
        "words": {
            "kind": "tokenizer",
            "vocab_size": 99,
            "sources": [{"kind": "huggingface", "repository": "we/words"}],
            "history": [{"url": "https://host/words.tar.gz", "size_mib": 0.05}],
        },
        "words_preprocess": {"kind": "preprocess", "recipe": {"derivation": {"parent": "words"}}},
        "odd": {
            **facts,
            "layers": 3,
            "parameters": 2_400_000,
            "licence": "MIT",
            "aliases": ["strange"],
            "sources": [{"kind": "url", "url": "https://host/odd.zip"}, {"kind": "note", "text": "or ask"}],
            "history": [{"url": "https://host/0.tar.gz"}, {"url": "https://host/1.tar.gz", "size_mib": 7}],
        },
        "odd_2": {**facts, "layers": 2, "recipe": {"derivation": {"parent": "odd", "layers": 2}}},
        "ready": {"kind": "encoder", "archive": {"urls": ["ready.tar.gz"], "sha256": SHA, "size": 3 << 20}},
    }


def problems(changed: Models) -> list[str]:
    return model_problems(Registry.model_validate({"models": changed}))


def test_a_good_registry_has_no_problems() -> None:
    assert problems(models()) == []


BREACHES: list[tuple[str, dict[str, Any], str]] = [
    ("odd", {"tokenizer": "wards"}, "its tokenizer 'wards' is not in the registry"),
    ("odd_2", {"tokenizer": "odd"}, "its tokenizer 'odd' is of kind encoder"),
    ("words", {"tokenizer": "words"}, "it is of kind tokenizer and names a tokenizer"),
    ("odd_2", {"recipe": {"derivation": {"parent": "od", "layers": 2}}}, "'od', which is no other model"),
    ("odd_2", {"recipe": {"derivation": {"parent": "odd_2", "layers": 2}}}, "'odd_2', which is no other model"),
    ("odd_2", {"recipe": {"derivation": {"parent": "words", "layers": 2}}}, "'words', which is of kind tokenizer"),
    ("odd_2", {"recipe": {"derivation": {"parent": "odd"}}}, "does not say how many layers of 'odd'"),
    ("odd_2", {"layers": 1}, "it has 1 layers and is made of the first 2 of 'odd'"),
    ("odd", {"layers": 2}, "the first 2 layers of 'odd', which has 2"),
    ("odd", {"layers": None}, "the first 2 layers of 'odd', which has None"),
    ("odd_2", {"parameters": 2_400_001}, "2,400,001 parameters, more than the 2,400,000 of 'odd'"),
    ("odd_2", {"hidden_size": 31}, "its hidden_size is 31, that of 'odd' is 32"),
    ("odd_2", {"heads": 2}, "its heads is 2, that of 'odd' is 4"),
    ("odd_2", {"family": "albert"}, "its family is 'albert', that of 'odd' is 'bert'"),
    ("odd", {"vocab_size": 98}, "its vocab_size is 98, that of 'words' is 99"),
    ("words_preprocess", {"vocab_size": 98}, "its vocab_size is 98, that of 'words' is 99"),
    ("words_preprocess", {"recipe": {"derivation": {"parent": "odd"}}}, "'odd', which is of kind encoder, not a token"),
    ("words", {"recipe": {"derivation": {"parent": "odd"}}, "sources": []}, "a tokenizer is made of no other model"),
    ("odd_2", {"sources": [{"kind": "note", "text": "ask"}]}, "names sources of its own"),
    ("words_preprocess", {"recipe": None}, "neither a source nor a model that it is made of"),
    ("odd", {"sources": [{"kind": "url", "url": "http://host/odd.zip"}]}, "http://host/odd.zip is not https"),
    ("odd", {"sources": [{"kind": "note", "text": " "}]}, "a note is empty"),
    (
        "words",
        {"sources": [{"kind": "huggingface", "repository": "we/odd", "activation": "relu"}]},
        "an activation that is given for a source needs a reason",
    ),
    ("odd", {"history": [{"url": "http://host/0.tar.gz"}]}, "http://host/0.tar.gz is not https"),
    ("ready", {"archive": {"urls": ["file:///x.tar.gz"], "sha256": SHA, "size": 1}}, "file:///x.tar.gz is not https"),
    ("ready", {"archive": {"urls": ["x.tar.gz"]}}, "its archive has no sha256 and no size"),
    ("odd", {"licence": " "}, "its licence is empty"),
]


@pytest.mark.parametrize(("name", "change", "words"), BREACHES, ids=[breach[2][:40] for breach in BREACHES])
def test_a_breach_is_found(name: str, change: dict[str, Any], words: str) -> None:
    changed = models()
    changed[name] |= change
    assert any(words in problem for problem in problems(changed)), problems(changed)


def test_all_breaches_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = models()
    changed["odd"] |= {"licence": "", "tokenizer": "wards", "sources": [{"kind": "url", "url": "http://host/odd.zip"}]}
    changed["odd_2"] |= {"layers": 7}
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"models": changed}))
    assert main(["registry", "check", str(path)]) == 2
    first, *said = capsys.readouterr().err.splitlines()
    assert first == f"zoo: BadRegistry: {path} has 6 problems:"
    assert [line.split()[0] for line in said] == ["odd:"] * 3 + ["odd_2:"] * 2 + ["registry.json"]
    assert main(["registry", "check", "--json", str(path)]) == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 6


def test_every_alias_that_is_taken_is_told(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    changed = models()
    changed["odd_2"] |= {"aliases": ["odd", "strange"]}
    path.write_text(json.dumps({"models": changed}))
    (said,) = check_registry(path).problems
    assert "alias 'odd' of 'odd_2' already means 'odd'" in said
    assert "alias 'strange' of 'odd_2' already means 'odd'" in said


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "check", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


# -- the files ------------------------------------------------------------------------------------------------------


def test_files_are_checked_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "registry.json"
    registry = Registry.model_validate({"models": models()})
    path.write_text(registry_text(registry), encoding="utf-8")
    assert check_registry(path) == ([], [])
    path.write_text(json.dumps({"models": models()}))
    (tmp_path / "registry.schema.json").write_text("{}")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/models.md").write_text("# A\n<!-- models -->\nold\n<!-- /models -->\nb\n")
    (tmp_path / "README.zh-CN.md").write_text("<!-- models -->\n<!-- /models -->\n")
    (tmp_path / "README.md").write_text("no table is wanted here\n")
    said = check_registry(path).problems
    assert [line.split()[0] for line in said] == ["registry.json", "registry.schema.json", "docs/models.md"]
    assert all(f"`zoo registry format {path}` mends it" in line for line in said)
    assert main(["registry", "format", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote registry.json",
        "wrote registry.schema.json",
        "wrote README.zh-CN.md",
        "wrote docs/models.md",
    ]
    assert check_registry(path) == ([], []) and format_registry(path) == []
    assert main(["registry", "format", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: nothing has changed, it was written in its one form\n"
    assert path.read_text(encoding="utf-8") == registry_text(registry)
    assert (tmp_path / "registry.schema.json").read_text(encoding="utf-8") == json_schema()
    held = (tmp_path / "docs/models.md").read_text(encoding="utf-8")
    assert held == f"# A\n<!-- models -->\n{markdown_table(registry)}<!-- /models -->\nb\n"
    assert (tmp_path / "README.md").read_text() == "no table is wanted here\n"


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "registry.json"
    words = {"description": "one | line", "description_zh": "一行", "task": "vector", "licence": "MIT"}
    vectors = {"kind": "text", "family": "bert", "sources": models()["odd"]["sources"], **words}
    path.write_text(json.dumps({"models": {**models(), "vectors": vectors}}))
    assert main(["registry", "table", "--registry", str(path)]) == 0
    assert (
        capsys.readouterr().out
        == """\
| name | kind | family | layers | hidden size | parameters | size | licence | archive | other names | for |
|-|-|-|-|-|-|-|-|-|-|-|
| `words` | tokenizer | – | – | – | – | was 51 KiB | not stated | on first use | – | – |
| `words_preprocess` | preprocess | – | – | – | – | – | not stated | on first use | – | – |
| `ready` | encoder | – | – | – | – | 3.0 MiB | not stated | built | – | – |
| `odd_2` | encoder | bert | 2 of 3 | 32 | – | – | not stated | on first use | – | – |
| `odd` | encoder | bert | 3 | 32 | 2.4 M | was 7 MiB | MIT | on first use | `strange` | – |
| `vectors` | text: vector | bert | – | – | – | – | MIT | on first use | – | one \\| line |
"""
    )
    assert main(["registry", "table", "--lang", "zh", "--registry", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "|-|-|-|-|-|-|-|-|-|-|-|"
    assert shown[5] == "| `odd_2` | 编码器 | bert | 3 层取前 2 层 | 32 | – | – | 未注明 | 首次使用时 | – | – |"
    assert shown[6] == "| `odd` | 编码器 | bert | 3 | 32 | 2.4 M | 原 7 MiB | MIT | 首次使用时 | `strange` | – |"
    assert shown[7] == "| `vectors` | 文本模型：句向量 | bert | – | – | – | – | MIT | 首次使用时 | – | 一行 |"


def test_the_short_table_has_no_aliases_and_few_rows() -> None:
    some = models()
    registry = Registry.model_validate(
        {"models": {"bert": some["odd"], "words": some["words"], "bert_7": some["ready"]}}
    )
    assert markdown_table(registry, short=True).splitlines()[2:] == [
        "| `bert` | encoder | bert | 3 | 32 | 2.4 M | was 7 MiB | MIT | on first use |"
    ]
