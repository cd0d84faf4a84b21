"""tokenizer.json for the page: of real archives, without TensorFlow; and the page's own tokenizer, run by Node.

Its ids are those of the published algorithm on every text on which implementations differ.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts import hard_texts, wordpiece_cases
from tests.conftest import ROOT
from tests.tokenizer.rulesets import PLAIN, RULE_SETS, texts
from tests.tokenizer.test_rules import entries, reference, rules_of
from tests.zoo.textzoo import ToyZoo
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import TextCard, TokenizerFacts, read_card
from zoo.archive.saved_vocabulary import saved_vocabulary
from zoo.archive.tokenizer_json import CHARACTERS, file_of
from zoo.site import write_site
from zoo.site.dist import read_dist
from zoo.site.tokens import CHARACTERS_FILE, tokenizer_files, tokenizer_json, without_limit

NODE = shutil.which("node")
# Reads [tokenizer.json, texts] of every line and prints the ids of every text, without [CLS] and [SEP].
PROGRAM = """
const tokenizerOf = new Function(require("fs").readFileSync(process.argv[1], "utf8") + "; return tokenizerOf;")();
for (const [stated, texts] of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  const { tokens } = tokenizerOf(stated);
  console.log(JSON.stringify(texts.map((text) => tokens(text).map((each) => each.id))));
}
"""


def ids_in_node(asked: Sequence[tuple[Any, Sequence[str]]]) -> list[list[list[int]]]:
    """Return the ids of texts by several tokenizers, in a process of Node."""
    if NODE is None:
        pytest.skip("no node on this machine")
    script = str(ROOT / "zoo" / "site" / "tokenizer.js")
    done = subprocess.run(
        [NODE, "-e", PROGRAM, script], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def facts(vocabulary: Sequence[str], lower_case: bool, strip_accents: bool) -> TokenizerFacts:
    special = {name: vocabulary.index(name) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")}
    return TokenizerFacts(
        lower_case=lower_case,
        lower_case_reason="",
        strip_accents=strip_accents,
        special_tokens=special,
        special_tokens_in_text=False,
    )


def test_texts_on_which_implementations_differ() -> None:
    """10,000 of every rule, and the hard texts."""
    found = json.loads(wordpiece_cases.FILE.read_text(encoding="utf-8"))
    hard = json.loads(hard_texts.FILE.read_text(encoding="utf-8"))
    groups = [
        (found["vocabulary"], *found["rules"][group["rules"]].values(), group["cases"]) for group in found["groups"]
    ]
    plain = [{"text": row["text"], "ids": row["ids"][1:-1]} for row in hard["texts"]]
    groups.append((hard["vocabulary"], True, True, plain))
    asked = [
        (json.loads(tokenizer_json(vocabulary, facts(vocabulary, *rules))), [case["text"] for case in cases])
        for vocabulary, *rules, cases in groups
    ]
    wrong, compared = [], 0
    for (*_, cases), ids in zip(groups, ids_in_node(asked), strict=True):
        compared += len(ids)
        wrong += [case["text"] for case, each in zip(cases, ids, strict=True) if case["ids"] != each]
    assert wrong == [] and compared > 10_000


@pytest.mark.slow
def test_rules() -> None:
    """Added tokens of every kind, other names of special tokens, Chinese characters that are letters."""
    from export.convert.tokenizer_json import tokenizer_json as exported

    asked, expected = [], []
    for name, rule_set in RULE_SETS.items():
        rules, vocabulary, oracle = rules_of(name), entries(name), reference(name)
        whole = rules.whole_tokens(vocabulary, rule_set.special_tokens_in_text)
        given = [*PLAIN, *texts(25, seed=2)]
        if "Ent" in rule_set.added:  # ENT, Ent and ent have one normal form: see tests/export/convert
            given = [text for text in given if "ent" not in text.lower()]
        asked.append((exported(vocabulary.entries, rules, whole), given))
        expected.append([oracle.ids(text) for text in given])
    for name, (_, given), ours, theirs in zip(RULE_SETS, asked, ids_in_node(asked), expected, strict=True):
        assert [text for text, a, b in zip(given, ours, theirs, strict=True) if a != b] == [], name


def test_the_classes_of_characters_are_those_of_the_graph() -> None:
    from export.convert.tokenizer_json import characters

    assert json.loads(CHARACTERS_FILE.read_text(encoding="utf-8")) == {name: characters(name) for name in CHARACTERS}


def test_of_real_archives(toy_zoo: ToyZoo, text_zoo: ToyZoo, tmp_path: Path) -> None:
    """A tokenizer and its preprocessor share a file, a text archive and its conversion too; an encoder has none."""
    from export.convert.tokenizer_file import write_text_tokenizer

    found, contents = tokenizer_files(read_dist(toy_zoo.directory))
    assert found.keys() == {"toy_tokenizer", "toy_tokenizer_preprocess"} and len(contents) == 1
    [content] = map(json.loads, contents.values())
    assert content["model"]["vocab"]["你"] == 5 and content["model"]["unk_token"] == "[UNK]"
    card = read_card(text_zoo.unpacked("vectors"))
    assert isinstance(card, TextCard)
    graph = (text_zoo.unpacked("vectors") / "saved_model.pb").read_bytes()
    entries = saved_vocabulary(graph, card.vocabulary_sha256)
    assert entries is not None and entries[card.tokenizer.special_tokens["[CLS]"]] == "[CLS]"
    write_text_tokenizer(card, Vocabulary(entries), [], tmp_path)
    converted = (tmp_path / "tokenizer.json").read_bytes()
    assert json.loads(converted)["truncation"]["max_length"] == card.task.max_length
    assert file_of(json.loads(converted)) == converted
    assert without_limit(converted) == tokenizer_json(entries, card.tokenizer) != converted
    assert saved_vocabulary(graph, "0" * 64) is None and saved_vocabulary(b"no graph", card.vocabulary_sha256) is None

    dist = tmp_path / "dist"
    shutil.copytree(toy_zoo.directory, dist, ignore=shutil.ignore_patterns("unpacked"))
    (dist / "tokenizers").mkdir()
    (dist / "tokenizers" / "stale.json").write_text("{}")
    write_site(dist)
    [file] = (dist / "tokenizers").iterdir()
    assert f"tokenizers/{file.name}" in contents and f"  tokenizers/{file.name}\n" in (dist / "SHA256SUMS").read_text()
    page = (dist / "index.html").read_text(encoding="utf-8")
    stated = {each["name"]: each for each in json.loads(page.split('id="data">')[1].split("</script>")[0])["facts"]}
    assert stated["toy"]["tokens"]["file"] == stated["toy_tokenizer"]["tokens"]["file"]
    assert stated["toy"]["tokens"]["limit"] == 40 and stated["toy_tokenizer"]["tokens"]["limit"] is None
