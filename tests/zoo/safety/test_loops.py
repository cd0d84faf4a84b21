"""Loops: those with a constant limit are accepted, any other is refused by the name of the function that holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from export.saved_model.slimming import slim
from tests.zoo.safety.test_safety import edited, saved
from zoo.archive.card import read_card
from zoo.errors import BadArchive
from zoo.safety import check_ops, written

State = tuple[tf.Tensor, tf.Tensor]


def looped(condition: Callable[..., Any], step: Callable[..., Any], first: Any = 0) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function of texts with one loop over (count, length of the texts)."""

    def call(text: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(condition, step, [first, tf.size(text)])[1]

    return call


def below(limit: Any) -> Callable[..., Any]:
    return lambda count, size: tf.ensure_shape((count < limit) & (size >= 0), [])


def one_more(count: tf.Tensor, size: tf.Tensor) -> State:
    return count + 1, size + 2


def slimmed(model: Any) -> None:
    """Give loops the form in which the exporter writes them."""
    for function in model.meta_graphs[0].graph_def.library.function:
        slim(function)


def checked(directory: Path, call: Callable[[tf.Tensor], Any]) -> list[str]:
    edited(saved(directory, call), slimmed)
    return check_ops(directory, read_card(directory))


def test_a_loop_with_a_limit_is_accepted(tmp_path: Path) -> None:
    assert "StatelessWhile" in checked(tmp_path / "model", looped(below(written.MOST_LOOPED), one_more))


@pytest.mark.parametrize(
    ("condition", "step", "first"),
    [
        (lambda count, size: tf.ensure_shape(size >= 0, []), one_more, 0),
        (lambda count, size: (count < 200) & (size >= 0), one_more, 0),
        (below(written.MOST_LOOPED + 1), one_more, 0),
        (below(200), one_more, -1),
        (lambda count, size: tf.ensure_shape((count < 200) | (size >= 0), []), one_more, 0),
        (lambda count, size: tf.ensure_shape((count < size) & (size >= 0), []), one_more, 0),
        (lambda count, size: tf.ensure_shape((count <= 200) & (size >= 0), []), one_more, 0),
        (below(200), lambda count, size: (count, size + 2), 0),
        (below(200), lambda count, size: (count + 0, size + 2), 0),
        (below(200), lambda count, size: (count - 1, size + 2), 0),
        (below(200), lambda count, size: (size + 1, size + 2), 0),
        (below(200), lambda count, size: (count + size, size + 2), 0),
        (below(200), lambda count, size: (size, count + 1), 0),
    ],
)
def test_a_loop_without_is_refused(condition: Any, step: Any, first: Any, tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="a loop in __inference_.* may take more than 2,048 steps"):
        checked(tmp_path / "model", looped(condition, step, first))


def test_a_loop_that_begins_with_a_number_of_the_caller_is_refused(tmp_path: Path) -> None:
    def call(text: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(below(200), one_more, [tf.size(text) - 1000, tf.size(text)])[1]

    with pytest.raises(BadArchive, match="a loop in "):
        checked(tmp_path / "model", call)


def test_loops_in_loops_count_as_all_their_steps(tmp_path: Path) -> None:
    def outer(count: tf.Tensor, size: tf.Tensor) -> State:
        inner: tf.Tensor = tf.while_loop(below(200), deepest, [0, size])[1]
        return count + 1, inner

    def deepest(count: tf.Tensor, size: tf.Tensor) -> State:
        return count + 1, tf.while_loop(below(200), one_more, [0, size])[1]

    with pytest.raises(BadArchive, match="runs more than 500,000 nodes"):
        checked(tmp_path / "model", looped(below(200), outer))


def test_a_loop_counts_as_the_steps_that_it_may_take(tmp_path: Path) -> None:
    """Few steps leave room for many operations in each."""

    def many(count: tf.Tensor, size: tf.Tensor) -> State:
        for _ in range(300):
            size = size * size
        return count + 1, size

    assert "StatelessWhile" in checked(tmp_path / "few", looped(below(1_000), many))
    with pytest.raises(BadArchive, match="runs more than 500,000 nodes"):
        checked(tmp_path / "more", looped(below(1_700), many))


def test_a_loop_that_calls_what_is_not_there_is_refused(tmp_path: Path) -> None:
    def rename(model: Any) -> None:
        slimmed(model)
        for function in model.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                if node.op == "StatelessWhile":
                    node.attr["body"].func.name = "nowhere"

    directory = edited(saved(tmp_path / "model", looped(below(200), one_more)), rename)
    with pytest.raises(BadArchive, match=r"calls nowhere, which is not there.*a loop in "):
        check_ops(directory, read_card(directory))


def changed_nodes(op: str, change: Callable[[Any, Any], object]) -> Callable[[Any], None]:
    """Return a function that slims a model, then changes every node of an operation; `change` takes graph and node."""

    def edit(model: Any) -> None:
        slimmed(model)
        graph = model.meta_graphs[0]
        for nodes in (graph.graph_def.node, *(each.node_def for each in graph.graph_def.library.function)):
            for node in nodes:
                if node.op == op:
                    change(graph, node)

    return edit


def test_a_condition_that_may_have_several_values_is_refused(tmp_path: Path) -> None:
    """TensorFlow takes any such condition for true."""

    def of_any_shape(graph: Any, node: Any) -> None:
        node.attr["shape"].shape.unknown_rank = True

    directory = saved(tmp_path / "model", looped(below(200), one_more))
    with pytest.raises(BadArchive, match="a loop in "):
        check_ops(edited(directory, changed_nodes("EnsureShape", of_any_shape)), read_card(directory))


def test_a_loop_that_saves_is_refused(tmp_path: Path) -> None:
    """Its first step would get the name of the file from whoever saves, the second from the loop itself."""

    def looping(graph: Any, node: Any) -> None:
        names = [each.signature.name for each in graph.graph_def.library.function]
        if "traced_save" in node.attr["f"].func.name:
            node.op = "StatelessWhile"
            node.attr["body"].func.name = node.attr["f"].func.name
            node.attr["cond"].func.name = next(name for name in names if "call" in name)
            del node.attr["f"], node.attr["config_proto"]

    directory = saved(tmp_path / "model", looped(below(200), one_more))
    with pytest.raises(BadArchive, match="SaveV2 in __inference__traced_save_[0-9]+ is not allowed"):
        check_ops(edited(directory, changed_nodes("StatefulPartitionedCall", looping)), read_card(directory))
