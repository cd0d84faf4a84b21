"""Where tokens are put: seen against what a person would check by hand, in numpy, over random masks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from export.encoder.unpadding import packed_layout

HEADS = 2


def packed(mask: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
    return {name: value.numpy() for name, value in packed_layout(tf.constant(mask), HEADS)._asdict().items()}


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.int32]:
    """Texts of every length, some with holes, some without a real token; never their first position alone padded."""
    rows, length = draw(st.integers(1, 40)), draw(st.integers(1, 37))
    lengths = draw(st.lists(st.integers(0, length), min_size=rows, max_size=rows))
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int32)
    for row, column in draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, length - 1)), max_size=4)):
        mask[row, column] = 0
    return mask


@settings(max_examples=60, deadline=None)
@given(masks())
def test_every_token_has_a_place_of_its_own_beside_its_text_and_sees_its_text_alone(mask: NDArray[np.int32]) -> None:
    found = packed(mask)
    is_kept = mask != 0
    is_kept[:, 0] = True
    texts, _ = np.nonzero(is_kept)
    assert found["kept"].tolist() == np.argwhere(is_kept).tolist()
    assert found["position"].tolist() == np.nonzero(is_kept)[1].tolist()
    assert found["first"].tolist() == [np.flatnonzero(texts == text)[0] for text in range(len(mask))]

    length = is_kept.sum(1).max()
    places = (found["row"][:, None] * length + found["column"])[is_kept]
    assert (found["column"][is_kept] < length).all()
    assert len(set(places.tolist())) == len(places)
    for text in range(len(mask)):
        own = places[texts == text]
        assert (np.diff(own) == 1).all() and own[0] // length == own[-1] // length, "in one row, side by side"

    rows = found["split"].shape[1]
    visible = np.broadcast_to(found["scores_mask"] == 0, [rows, 1, length, length])[:, 0]
    is_key = mask != 0
    is_key[~is_key.any(1), 0] = True
    keys = is_key[is_kept]
    for token, place in enumerate(places):
        row, column = divmod(place, length)
        assert set(np.flatnonzero(visible[row, column])) == set(places[keys & (texts == texts[token])] % length)


@settings(max_examples=20, deadline=None)
@given(masks())
def test_what_was_taken_apart_is_put_back(mask: NDArray[np.int32]) -> None:
    packing = packed_layout(tf.constant(mask), HEADS)
    tokens = np.arange(1, len(packing.kept) + 1, dtype=np.float32)
    heads = np.stack([tokens, -tokens], 1)  # [n, A] with D = 1, and the same for query, key and value
    joined = tf.reshape(tf.constant(np.repeat(heads[:, None], 3, 1)), [-1, 1])
    for part in packing.split_heads(joined):  # [R, A, S, 1]
        assert packing.scores_shape().numpy().tolist() == [*part.shape[:3], part.shape[2]]
        assert packing.join_heads(part).numpy()[:, :, 0].tolist() == heads.tolist()
    spread = packing.unpack(tf.constant(tokens[:, None])).numpy()[:, :, 0]
    is_kept = mask != 0
    is_kept[:, 0] = True
    expected = np.zeros(mask.shape, np.float32)
    expected[is_kept] = tokens
    assert spread.tolist() == (expected * (mask != 0)).tolist()


@pytest.mark.parametrize(
    ("lengths", "rows"), [([64] * 5, 5), ([64, 4], 2), ([64] + [4] * 16, 2), ([64, 32, 32, 16, 8, 8, 3], 3), ([], 0)]
)
def test_short_texts_share_rows(lengths: list[int], rows: int) -> None:
    mask = (np.arange(64) < np.array(lengths, int).reshape(-1, 1)).astype(np.int32)
    found = packed(mask)
    assert found["split"].shape[1] == rows
    shared = 1 if rows == len(lengths) else found["split"].shape[3]
    assert found["scores_mask"].shape[2] == shared, "one line of mask does for a row with one text"
