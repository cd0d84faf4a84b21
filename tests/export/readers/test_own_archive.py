"""An encoder archive as a source: what is exported from it is what is exported from its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.certificate import golden_arrays
from export.inspect import inspect_checkpoint
from export.options import EncoderRequest
from export.oracle.forward import ACTIVATIONS, reference_layer_norm
from export.pipeline import _tokenizer_of
from export.planning import PlannedEncoder, plan_encoder
from export.readers import open_checkpoint
from scripts import checkpoint_writers as writers
from scripts.layouts import LAYOUTS
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import VOCABULARY, odd_config
from zoo.archive.card import read_card
from zoo.archive.wordpiece_model import vocabulary_sha256
from zoo.errors import BadCheckpoint, BadVocabulary, DamagedArchive, Unsupported


def planned(path: Path, **how: Any) -> PlannedEncoder:
    return plan_encoder(EncoderRequest(path, "odd", path.parent, **how))


def numbers(plan: PlannedEncoder) -> dict[str, np.ndarray]:
    complete = plan.plan.checked("odd")
    return {each.name: complete.read(each, plan.checkpoint) for each in complete.variables}


@pytest.mark.parametrize("source", ["odd", "odd.tar.gz"])
@pytest.mark.parametrize(
    "how", [{}, {"layers": 2}, {"dtype": "bfloat16"}, {"heads": ("nsp",)}, {"pooler": "first_token", "heads": ()}]
)
def test_every_option_gives_the_same_model_as_the_checkpoint(
    source: str, how: dict[str, Any], odd: Path, out: Path
) -> None:
    first, again = planned(odd, **how), planned(out / source, **how)
    wanted, found = numbers(first), numbers(again)
    assert [*found] == [*wanted]
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert again.config.sizes() == first.config.sizes()
    assert (again.heads, again.vocabulary) == (first.heads, first.vocabulary)
    if source == "odd":
        golden = golden_arrays(again.checkpoint, again.config, again.heads)
        for key, array in golden_arrays(first.checkpoint, first.config, first.heads).items():
            np.testing.assert_allclose(golden[key], array, atol=1e-6, err_msg=key)


def test_the_card_says_where_the_numbers_come_from(out: Path) -> None:
    checkpoint = open_checkpoint(out / "odd.tar.gz")
    assert checkpoint.facts[0].startswith("made from the archive odd, which was made from bert_config.json, ")
    assert checkpoint.files == (out / "odd.tar.gz",)
    inspection = inspect_checkpoint(out / "odd")
    assert inspection.complete and inspection.vocabulary.fits and inspection.format == "archive"


def encoder_arrays(config: dict[str, Any], layout: str = "bert") -> dict[str, np.ndarray]:
    return {name: array for name, array in random_arrays(LAYOUTS[layout](config)).items() if name.startswith("bert/")}


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """Writes a small archive of a family, with changes to its card."""

    def write(
        layout: str = "bert", card: dict[str, Any] | None = None, entries: Sequence[str] = VOCABULARY, **changes: Any
    ) -> Path:
        config = odd_config(**changes)
        encoder = encoder_arrays(config, layout)
        writers.write_own_archive(tmp_path / "small", encoder, config, entries, **{"family": layout, **(card or {})})
        return tmp_path / "small"

    return write


def test_the_oracle_reads_an_archive_of_albert(small: Any, tmp_path: Path) -> None:
    """Its blocks have other names; the activation is the archive's own, and not what TF1's ALBERT means by its word."""
    again = planned(small("albert", embedding_size=20, num_hidden_groups=1))
    assert (again.family.name, again.config.activation) == ("albert", "gelu")
    golden = golden_arrays(again.checkpoint, again.config)
    tf1 = golden_arrays_of_tf1(tmp_path)
    for key, array in golden.items():
        np.testing.assert_allclose(tf1[key], array, atol=1e-6, err_msg=key)


def golden_arrays_of_tf1(folder: Path) -> dict[str, np.ndarray]:
    from scripts.random_checkpoint import write_tf1, write_vocabulary

    config = odd_config(embedding_size=20, num_hidden_groups=1)
    write_tf1(folder / "tf1", config, LAYOUTS["albert"](config))
    write_vocabulary(folder / "tf1/vocab.txt", VOCABULARY)
    whole = planned(folder / "tf1", activation="gelu")
    return golden_arrays(whole.checkpoint, whole.config)


def test_a_cut_albert_of_several_groups_is_refused(small: Any) -> None:
    folder = small("albert", {"truncated_from": 5}, embedding_size=20, num_hidden_groups=2)
    with pytest.raises(
        Unsupported, match="cut to 3 of 5 layers that share 2 blocks.*export the checkpoint that it was"
    ):
        open_checkpoint(folder)


def test_a_cut_and_rounded_archive_says_so(small: Any) -> None:
    rounded = {"parent_sha256": "a" * 64, "stored_in": "float16", "drift": {}}
    facts = open_checkpoint(small("bert", {"truncated_from": 12, "derivation": rounded, "notes": ["a note"]})).facts
    assert "the archive small holds the first 3 of 12 layers" in facts
    assert "the matrices of small are rounded to float16" in facts
    assert facts[-1] == "a note"


def test_archives_without_a_vocabulary_and_with_another(small: Any) -> None:
    assert not any(open_checkpoint(small("bert", {"vocabulary_sha256": None})).path.iterdir())
    with pytest.raises(DamagedArchive, match="does not hold the vocabulary that its card states"):
        open_checkpoint(small("bert", {"vocabulary_sha256": "b" * 64}))


SPELLINGS = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>"}


@pytest.mark.parametrize("entry", ["[PAD]", "two\nlines", " space", "\ufeff"])
def test_special_tokens_of_other_spellings(small: Any, entry: str) -> None:
    """An entry that is called [PAD] is no padding where the archive says that <pad> is."""
    entries = [entry, *SPELLINGS.values(), *VOCABULARY[5:]]
    ids = {name: entries.index(spelling) for name, spelling in SPELLINGS.items()}
    card = {"vocabulary_sha256": vocabulary_sha256(entries), "padding_id": ids["[PAD]"], "special_tokens": ids}
    again = planned(small("bert", card, entries), heads=())
    assert again.vocabulary is not None
    assert (again.vocabulary.entries, again.padding_id) == (tuple(entries), 1)
    assert again.vocabulary.special_tokens == ids  # it has no [MASK]
    with pytest.raises(BadCheckpoint, match="the card states special tokens"):
        planned(small("bert", {**card, "special_tokens": {"[PAD]": 99}}, entries))


def test_the_head_for_masked_tokens_is_that_of_the_archive(tmp_path: Path) -> None:
    """Its decoder may be a matrix of its own, and its activation another one than the encoder's."""
    config = odd_config()
    dense, norm, output = (f"cls/predictions/{part}" for part in ("transform/dense", "transform/LayerNorm", ""))
    own = {f"{dense}/kernel": (32, 32), f"{dense}/bias": (32,), f"{norm}/gamma": (32,), f"{norm}/beta": (32,)}
    head = random_arrays({**own, f"{output}output_bias": (99,), "mlm/decoder/rows": (99, 32)}, seed=2)
    for activation in ("relu", None):
        card = {"mlm_activation": activation}
        writers.write_own_archive(tmp_path / str(activation), encoder_arrays(config) | head, config, VOCABULARY, **card)
        again = planned(tmp_path / str(activation), heads=("mlm",))
        assert again.config.mlm_activation == activation
        assert "mlm/decoder/rows" in [each.ours for each in again.plan.checked("odd").variables]
        golden = golden_arrays(again.checkpoint, again.config, ("mlm",))
        x = np.take_along_axis(golden["0/sequence_output"], golden["0/masked_lm_positions"][..., None], axis=1)
        x = ACTIVATIONS[activation or "gelu"](x @ head[f"{dense}/kernel"] + head[f"{dense}/bias"])
        x = reference_layer_norm(x, head[f"{norm}/gamma"], head[f"{norm}/beta"], 1e-12)
        logits = x @ head["mlm/decoder/rows"].T + head[f"{output}output_bias"]
        np.testing.assert_allclose(golden["0/mlm_logits"], logits, atol=1e-5)


def test_fewer_tokens_need_the_rules_of_the_tokenizer(small: Any, tmp_path: Path) -> None:
    """The archive has the vocabulary alone; an uncased tokenizer would be made for a cased model."""
    (tmp_path / "kept.txt").write_text("你\n", encoding="utf-8")
    folder = small()
    with pytest.raises(BadVocabulary, match="Give the tokenizer's own files with --vocab DIR, or choose --cased or"):
        _tokenizer_of(planned(folder, keep_tokens=tmp_path / "kept.txt"))
    for cased in (True, False):
        made = _tokenizer_of(planned(folder, keep_tokens=tmp_path / "kept.txt", cased=cased))
        assert made[1].lower_case is not cased


def test_files_that_differ_from_the_card(small: Any) -> None:
    folder = small()
    for name in ("saved_model.pb", "variables/variables.data-00000-of-00001"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DamagedArchive, match=f"{name} of small in .* is not the file on its card"):
            open_checkpoint(folder)
        (folder / name).write_bytes(content)
    card = json.loads((folder / "assets.extra/card.json").read_text())
    card["variables"]["bert/more"] = [["bert/more", 3]]
    (folder / "assets.extra/card.json").write_text(json.dumps(card))
    with pytest.raises(DamagedArchive, match="has no bert/more"):
        open_checkpoint(folder)


def test_a_tokenizer_archive_has_no_weights(small: Any) -> None:
    folder = small()
    card = read_card(folder).model_dump(mode="json") | {
        "kind": "tokenizer",
        "lower_case": True,
        "lower_case_reason": "given",
        "special_tokens": {},
        "special_tokens_in_text": False,
        "vocab_size": 9,
        "certificate": [],
    }
    (folder / "assets.extra/card.json").write_text(json.dumps(card))
    with pytest.raises(BadCheckpoint, match="kind tokenizer, and has no weights. Give that of an encoder"):
        open_checkpoint(folder)
