"""The tokenizer of core operations gives the ids and offsets of the one that needs tensorflow-text, and loads alone."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest
import tensorflow as tf

from export.options import TokenizerRequest
from export.oracle.wordpiece import ReferenceTokenizer
from export.pipeline import export_tokenizer
from tests.conftest import ROOT
from tests.once import packed_only
from tests.runtimes.operations import CORE_TOKENIZER_OPS
from tests.runtimes.test_operations import unknown_to_2_9
from tests.tokenizer.conftest import NAMES, SHARED, Compared
from tests.tokenizer.editions import without_ordered_marks
from tests.tokenizer.rulesets import PLAIN, RULE_SETS, base_vocabulary, texts, vocabulary
from tests.tokenizer.texts import assigned, long_words, mixtures, plain_texts, trap_vocabulary
from tokenizer.core_graph import CoreGraph
from tokenizer.core_rules import checked_for_core
from tokenizer.core_words import MISSED
from tokenizer.graph import TEXTS, Graph, WordPieceGraph, graph_function
from tokenizer.module import Preprocessor
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import TokenizerCard, read_card
from zoo.archive.digests import sha256_of
from zoo.archive.unpack import unpack
from zoo.errors import Unsupported
from zoo.loading.verify import verify

OFTEN = ("accents stay, lower case", "brackets, in text")
FOLLOWED = [name for name, rules in RULE_SETS.items() if not any(flags["normalized"] for flags in rules.added.values())]
RULES = pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in FOLLOWED]
)
ANY_CHARACTER = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


@cache
def pair(name: str) -> tuple[Graph, Graph]:
    """Return the tokenizer of core operations and that of tensorflow-text for a rule set."""
    found, known = RULE_SETS[name], {*base_vocabulary()}
    entries = without_ordered_marks(vocabulary(found))
    number = {entry: number for number, entry in enumerate(entries.entries)}
    added = (AddedToken(each, number[each], in_vocabulary=each in known, **how) for each, how in found.added.items())
    flags = (found.lower_case, found.strip_accents, found.tokenize_chinese_chars)
    rules = TokenizerRules(*flags, found.special_tokens, tuple(added)).checked(entries)
    return (
        CoreGraph(entries, rules, found.special_tokens_in_text),
        WordPieceGraph(entries, rules, found.special_tokens_in_text),
    )


@cache
def original(name: str, lower_case: bool) -> tuple[Graph, Graph]:
    entries = without_ordered_marks(trap_vocabulary()) if name == "traps" else Vocabulary.read(SHARED)
    rules = TokenizerRules.original(lower_case)
    return CoreGraph(entries, rules, False), WordPieceGraph(entries, rules, False)


def different(graphs: tuple[Graph, Graph], given: Sequence[str | bytes]) -> list[object]:
    core, text = (graph.tokenize(tf.constant(given, tf.string)).to_list() for graph in graphs)
    return [differing for differing in zip(given, core, text, strict=True) if differing[1] != differing[2]]


def hard_texts(count: int) -> list[str]:
    """Return texts of every kind, those that are ASCII alone too."""
    kinds = (mixtures(count, 21, assigned()), plain_texts(count // 4, 22), texts(count // 4, 23))
    sigmas = ("ΑΣ ΑΣ'Σ\u0301 σΑΣ.", "aΣ\u0898b aΣ\u0898")
    return [*PLAIN, *long_words(), *(text for kind in kinds for text in kind), *sigmas, ""]


@pytest.mark.parametrize(
    ("name", "lower_case"), [("traps", True), pytest.param("traps", False, marks=pytest.mark.slow)]
)
def test_ids_of_hard_texts(compared: Compared, name: str, lower_case: bool) -> None:
    graphs, given = original(name, lower_case), hard_texts(2_000)
    assert different(graphs, given) == []
    raw = [text.encode()[n % 3 : len(text.encode()) - n % 2] for n, text in enumerate(given)]
    assert different(graphs, raw) == []
    for text in [*PLAIN, "", "x" * 200, "x" * 201, "unaffable", "ab \x7f"]:  # alone: other branches are taken
        assert different(graphs, [text]) == []
    assert different(graphs, []) == []
    compared("hard texts, core operations beside tensorflow-text", len(given))


def test_few_words_are_split_as_many_are() -> None:
    known = without_ordered_marks(trap_vocabulary()).entries
    splitter, oracle = original("traps", True)[0]._words, ReferenceTokenizer(known, True)
    words = [word for text in hard_texts(200) for word in oracle.words(text)]
    words += ["a" * 30 + end for end in ("b", "bc", "\u4e00", "\x7f")] + ["un\u4e00", "unaffable", "\ue000"]
    words = [*dict.fromkeys(word for word in words if len(word.encode()) < 60 and word not in known)][:600]
    pieces, splits = (part.numpy().tolist() for part in splitter._split_many([MISSED] * len(words), words))
    few = [splitter.split(tf.constant([7, MISSED, 8]), tf.constant([word])) for word in words]
    assert [[known[number] for number in pieces.numpy()[1:-1]] for pieces, _ in few] == [*map(oracle.pieces, words)]
    assert [known[number] for number in pieces] == [piece for word in words for piece in oracle.pieces(word)]
    assert [splits.numpy().tolist() for _, splits in few] == [
        [0, 1, 1 + len(oracle.pieces(word)), 2 + len(oracle.pieces(word))] for word in words
    ]
    assert splits == [0, *itertools.accumulate(len(oracle.pieces(word)) for word in words)]


@RULES
def test_ids_and_offsets_of_rules(compared: Compared, name: str) -> None:
    graphs, given = pair(name), [*PLAIN, *long_words()[::19], *texts(400, seed=5), *mixtures(100, 6, assigned())]
    assert different(graphs, given) == []
    raw = [text.encode()[n % 2 :] for n, text in enumerate(given)]
    core, text = ([part.to_list() for part in graph_function(graph.with_offsets, TEXTS)(raw)] for graph in graphs)
    assert [each for each in zip(raw, *core, *text, strict=True) if each[1:4] != each[4:]] == []
    compared(f"texts with offsets, core operations, {name}", len(raw))


@pytest.mark.slow
@pytest.mark.parametrize("lower_case", [True, False], ids=["uncased", "cased"])
@pytest.mark.parametrize("name", NAMES)
def test_every_character(compared: Compared, name: str, lower_case: bool) -> None:
    graphs = original(name, lower_case)
    for context in ("{0}", "a{0}b 中{0}{0} ing{0}", "aΣ{0}b aΣ{0}"):
        for first in range(0, len(ANY_CHARACTER), 50_000):
            given = [context.format(char) for char in ANY_CHARACTER[first : first + 50_000]]
            assert different(graphs, given) == []
        compared(f"characters as {context!r}, core operations, {name}, {'un' * lower_case}cased", len(ANY_CHARACTER))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_texts(compared: Compared, name: str) -> None:
    graphs = original(name, True)
    for seed in range(100, 110):
        assert different(graphs, [*mixtures(10_000, seed, ANY_CHARACTER)]) == []
    compared(f"random mixtures, core operations, {name}", 100_000)


# -- refused ----------------------------------------------------------------------------------------------------------

ENTRIES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "Word", "你", "\u302e", "\u1baa")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            {"added_tokens": (AddedToken("Word", 7, normalized=True), AddedToken("你", 8))},
            r"look for added tokens in normalised text \('Word'\)",
        ),
        ({"strip_accents": True}, r"put combining marks of the vocabulary into canonical order \(U\+1BAA, U\+302E\)"),
    ],
)
def test_rules_that_core_operations_cannot_follow(rules: dict[str, object], words: str, tmp_path: Path) -> None:
    flags = {"lower_case": True, "strip_accents": False, **rules}
    with pytest.raises(Unsupported, match=f"--ops core cannot {words}.* Use --ops text"):
        CoreGraph(Vocabulary(ENTRIES), TokenizerRules(**flags), False)  # type: ignore[arg-type]


def test_one_mark_and_marks_of_one_class_are_followed() -> None:
    for entries in (ENTRIES[:-1], (*ENTRIES[:-2], "\u1baa", "\u1b44"), (*ENTRIES[:-1], "\u0301")):
        checked_for_core(Vocabulary(entries), TokenizerRules.original(True), False)
    checked_for_core(Vocabulary(ENTRIES), TokenizerRules.original(False), True)


def test_a_refused_export_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("".join(f"{entry}\n" for entry in ENTRIES), encoding="utf-8")
    with pytest.raises(Unsupported, match="--ops core cannot"):
        export_tokenizer(TokenizerRequest(tmp_path / "vocab.txt", "core", tmp_path / "new", ops="core"))
    assert not (tmp_path / "new").exists()


# -- archives ---------------------------------------------------------------------------------------------------------

WORDS = (*ENTRIES[:5], "hell", "##o", "你", "好", "！", "α", "##σ", "##ς", "[", "]", "mask")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive `core`, exported and unpacked beside; as a preprocess archive, the slow tests export it, too."""
    out = tmp_path_factory.mktemp("core")
    with packed_only("preprocess"):
        export_core(out)
    unpack(out / "core.tar.gz", out / "core")
    return out


def export_core(out: Path) -> None:
    (out / "vocab.txt").write_text("".join(f"{entry}\n" for entry in WORDS), encoding="utf-8")
    export_tokenizer(TokenizerRequest(out / "vocab.txt", "core", out, ops="core", special_tokens_in_text=True))


def check_card_and_operations(directory: Path) -> None:
    card = read_card(directory)
    assert isinstance(card, TokenizerCard)
    assert card.needs == [] and len(card.certificate) > 8
    assert card.notes == ["all operations are TensorFlow's own: the archive loads without tensorflow-text"]
    assert set(card.ops) <= CORE_TOKENIZER_OPS
    assert not unknown_to_2_9(directory)


def test_card_operations_and_certificate(out: Path) -> None:
    check_card_and_operations(out / "core")
    assert verify(out / "core").compared > 8


@pytest.mark.slow
def test_a_preprocess_archive_too(tmp_path: Path) -> None:
    export_core(tmp_path)  # verifies both
    unpack(tmp_path / "core_preprocess.tar.gz", tmp_path / "unpacked")
    check_card_and_operations(tmp_path / "unpacked")


def test_a_preprocessor_packs() -> None:
    """Nothing is saved here."""
    packed = Preprocessor(Vocabulary(WORDS), TokenizerRules.original(True), True, 10, "core")(
        ["Hello 你好！", "[MASK]"]
    )
    assert packed["input_word_ids"].numpy().tolist() == [[2, 5, 6, 7, 8, 9, 3, 0, 0, 0], [2, 4, 3] + [0] * 7]
    assert packed["input_mask"].numpy().sum(axis=1).tolist() == [7, 3]


ALONE = """
import json, sys
sys.modules["tensorflow_text"] = None  # importing it raises
import tensorflow as tf, zoo
directory, archive = sys.argv[1:]
texts = ["Hello 你好！", "ΑΣ [MASK]\\u0301hellO", ""]
model = tf.saved_model.load(directory)
packed = model.preprocess([texts[:2]], seq_length=16)
again = model.bert_pack_inputs([model.tokenize(texts[:1]), model.tokenize(texts[1:2])], seq_length=16)
tokens, by_zoo = (
    [[token.decode() for token in row] for row in each(texts).numpy().tolist()]
    for each in (model, zoo.load(archive, allow_unverified=True))
)
assert tokens == by_zoo
print(json.dumps([
    tokens,
    [part.to_list() for part in model.tokenize_with_offsets(texts)],
    model.tokenize(texts).to_list(),
    {key: value.numpy().tolist() for key, value in packed.items()},
    again["input_word_ids"].numpy().tolist(),
    model.detokenize(packed["input_word_ids"]).numpy()[0].decode(),
]))
"""


@pytest.mark.parametrize("process", ["this one", pytest.param("a new one", marks=pytest.mark.slow)])
def test_loads_with_tensorflow_alone(process: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That its operations are TensorFlow's own, says its card; in this process those of others are there, too."""
    arguments = [str(out / "core"), str(out / "core.tar.gz")]
    if process == "this one":
        monkeypatch.setitem(sys.modules, "tensorflow_text", None)
        monkeypatch.setattr(sys, "argv", ["-c", *arguments])
        with redirect_stdout(io.StringIO()) as printed:
            exec(ALONE, {})
        said = printed.getvalue()
    else:
        said = subprocess.run(
            [sys.executable, "-c", ALONE, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    tokens, (ids, starts, limits), plain_ids, packed, again, joined = json.loads(said.splitlines()[-1])
    assert tokens == [["hell", "##o", "你", "好", "！"], ["α", "##ς", "[MASK]", "hell", "##o"], [""] * 5]
    assert ids == plain_ids == [[[5, 6], [7], [8], [9]], [[10, 12], [4], [5, 6]], []]
    assert starts == [[[0, 4], [6], [9], [12]], [[0, 2], [5], [13, 17]], []]
    assert limits == [[[4, 5], [9], [12], [15]], [[2, 4], [11], [17, 18]], []]
    row = [2, 5, 6, 7, 8, 9, 3, 10, 12, 4, 5, 6, 3, 0, 0, 0]
    assert packed["input_word_ids"] == again == [row]
    assert packed["input_type_ids"] == [[0] * 7 + [1] * 6 + [0] * 3]
    assert joined == "hello 你 好 ！ ας [MASK] hello"


@pytest.mark.slow
def test_the_same_bytes_every_time(out: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from export.options import TokenizerRequest;"
        "from export.pipeline import export_tokenizer;"
        "export_tokenizer(TokenizerRequest(Path(sys.argv[1]), 'core', Path(sys.argv[2]), ops='core',"
        "special_tokens_in_text=True))"
    )
    subprocess.run([sys.executable, "-c", code, str(out / "vocab.txt"), str(tmp_path)], cwd=ROOT, check=True)
    assert sha256_of(tmp_path / "core.tar.gz") == sha256_of(out / "core.tar.gz")
