"""An encoder archive as a source: what is exported from it is what is exported from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.certificate import golden_arrays
from export.inspect import inspect_checkpoint
from export.options import EncoderRequest
from export.planning import PlannedEncoder, plan_encoder
from export.readers import open_checkpoint
from scripts import checkpoint_writers as writers
from scripts.layouts import LAYOUTS
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import VOCABULARY, odd_config
from zoo.archive.card import read_card
from zoo.errors import BadCheckpoint, DamagedArchive, Unsupported


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


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """Writes a small archive of a family, with changes to its card."""

    def write(layout: str = "bert", card: dict[str, Any] | None = None, **changes: Any) -> Path:
        config = odd_config(**changes)
        encoder = {k: a for k, a in random_arrays(LAYOUTS[layout](config)).items() if k.startswith("bert/")}
        writers.write_own_archive(tmp_path / "small", encoder, config, VOCABULARY, family=layout, **(card or {}))
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
    with pytest.raises(BadCheckpoint, match="is an archive of kind tokenizer, and has no weights. Give an encoder's"):
        open_checkpoint(folder)
