"""int8 in ONNX: matrices a channel at a time, activations as they come, numbers that stand out made smaller before.

n rows of activations, K columns, N channels. A few of the K columns of an activation are many times larger than the
others, and would take most of the 256 steps that its tensor has. Each column is therefore divided by a factor, and its
row of the matrix multiplied by it, where the products of sample texts come out nearer (Xiao et al. 2022, SmoothQuant):
nearer in the mean of its rows, since a token whose numbers are small counts as much as one whose numbers are large.

An activation has one scale, or, which takes longer, one for each row. `int8_choice` says which products get that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.convert.check import Batch
from export.convert.onnx_runtime import answering

_TABLE = "embeddings.word.table"
_SAMPLE = 128  # rows of activations by which factors are chosen
_FACTORS = ((10, 0.6), (25, 0.75), (25, 1.0), (50, 0.9))  # percentile of all columns that is usual, exponent
_WORTH = 0.8  # a division of all columns takes time: it has to leave this part of the error, or less
_LEAST = 1e-12  # of a range
Array = NDArray[Any]


@dataclass(frozen=True)
class _Form:
    """How columns are divided before a product in int8, None if they are not, and the relative error of the product."""

    factors: Array | None  # [K]
    error: float


@dataclass(frozen=True)
class Product:
    """A matrix, and the best forms of its product with one scale of the activation, and with one for each row."""

    matrix: Array  # [K, N]
    at_once: _Form
    by_row: _Form


def products_of(model: Any, samples: Sequence[Batch]) -> dict[str, Product]:
    """Return each matrix that activations are multiplied by, with the forms that the samples come out best in."""
    return {name: _chosen(matrix, rows) for name, (matrix, rows) in _activations(model, samples).items()}


# -- what is measured -------------------------------------------------------------------------------------------------


def _products(graph: Any) -> dict[str, tuple[str, str]]:
    """Return output -> (activation, matrix) of every product with a matrix of the model."""
    matrices = {each.name for each in graph.initializer if len(each.dims) == 2}
    nodes = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices]
    return {node.output[0]: (node.input[0], node.input[1]) for node in nodes}


def _activations(model: Any, samples: Sequence[Batch]) -> dict[str, tuple[Array, Array]]:
    """Return each matrix [K, N] with rows of what it is multiplied by [n, K]: the samples', and the largest of each."""
    from onnx import TensorProto, helper, numpy_helper

    products, watched = _products(model.graph), type(model)()
    watched.CopyFrom(model)
    inputs = [*dict.fromkeys(x for x, _ in products.values())]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs)
    answer = answering(watched.SerializeToString())
    seen: dict[str, list[Array]] = {matrix: [] for _, matrix in products.values()}
    for batch in samples:
        values = answer(batch)
        for x, matrix in products.values():
            rows = values[x].reshape(-1, values[x].shape[-1])
            step = -(-len(rows) // _SAMPLE)
            if len(rows):
                seen[matrix] += [rows[::step], rows.max(0, keepdims=True), rows.min(0, keepdims=True)]
    matrices = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer if each.name in seen}
    return {name: (matrices[name], np.concatenate(rows)) for name, rows in seen.items()}


def _chosen(matrix: Array, rows: Array) -> Product:
    """Return a product with the factors that bring it nearest to that of float32, or without."""
    columns = np.abs(rows).max(0)
    order = np.argsort(-np.abs(rows).max(1))  # rows that set the range of a tensor, and some that do not
    picked = rows[np.concatenate([order[: _SAMPLE // 4], order[:: -(-len(order) // _SAMPLE)]])]
    tried = []
    for percentile, exponent in _FACTORS:
        usual = max(float(np.percentile(columns, percentile)), 1e-6)
        tried.append((np.maximum(1.0, columns / usual) ** exponent).astype(np.float32))
    at_once, by_row = (_best(matrix, picked, tried, each) for each in (False, True))
    return Product(matrix, at_once, by_row)


def _best(matrix: Array, rows: Array, tried: Sequence[Array], by_row: bool) -> _Form:
    plain = _Form(None, _error(matrix, rows, None, by_row))
    forms = [_Form(factors, _error(matrix, rows, factors, by_row)) for factors in tried]
    best = min(forms, key=lambda form: form.error, default=plain)
    return best if best.error < _WORTH * plain.error else plain


def _error(matrix: Array, rows: Array, factors: Array | None, by_row: bool) -> float:
    """Return the mean relative error of rows @ matrix in int8, with one scale of the rows or one for each."""
    exact = rows @ matrix
    divided, multiplied = (rows, matrix) if factors is None else (rows / factors, matrix * factors[:, None])
    largest = np.maximum(np.abs(divided).max(1, keepdims=True), _LEAST) if by_row else np.float32(1)
    parts = divided / largest
    step = max(max(float(parts.max()), 0.0) - min(float(parts.min()), 0.0), _LEAST) / 255
    steps, scale = _int8(multiplied)
    found = (np.round(parts / step) * step * largest) @ (steps * scale)
    far = np.linalg.norm(found - exact, axis=1) / np.maximum(np.linalg.norm(exact, axis=1), _LEAST)
    return float(far.mean())


def _int8(matrix: Array) -> tuple[Array, Array]:
    """Return int8 [K, N] and the scale of each channel, float32 [N].

    CPUs without VNNI add the products of two columns of an activation, 0 and 1, 2 and 3, …, in 16 bits, which saturate
    silently: 255 * (127 + 127) is too much, 255 * 128 is not. Of one sign, the two numbers of a matrix are therefore at
    most 128 together, so that sums are the same on every CPU.
    """
    pairs = np.pad(matrix, ((0, len(matrix) % 2), (0, 0))).reshape(-1, 2, matrix.shape[1])
    largest = np.maximum(np.maximum(pairs, 0).sum(1), np.maximum(-pairs, 0).sum(1)).max(0, initial=0.0)
    return _steps(matrix, largest)  # rounding adds a half to each number of a pair


def _steps(numbers: Array, largest: Array) -> tuple[Array, Array]:
    """Return int8, and the scale, float32, by which the largest numbers are 127 steps."""
    scale = (largest / 127).astype(np.float32)
    scale = np.where(scale == 0, np.float32(1), scale)
    return np.round(numbers / scale).astype(np.int8), scale


# -- the graph --------------------------------------------------------------------------------------------------------


def in_int8(model: Any, products: Mapping[str, Product], by_row: Collection[str]) -> Any:
    """Return a copy whose products with these matrices, and the word table, are of int8."""
    from onnx import ModelProto, helper, numpy_helper

    graph = model.graph
    places, tables = _products(graph), _tables(graph)
    nodes: list[Any] = []
    added: dict[str, Array] = {}
    for node in graph.node:
        out = node.output[0]
        if out in places and places[out][1] in products:
            x, name = places[out]
            product = products[name]
            factors = (product.by_row if name in by_row else product.at_once).factors
            matrix = product.matrix if factors is None else product.matrix * factors[:, None]
            if f"{name}_int8" not in added:
                added[f"{name}_int8"], added[f"{name}_scale"] = _int8(matrix)
            if factors is not None:
                added[f"{name}_factors"] = (1 / factors).astype(np.float32)
                nodes.append(helper.make_node("Mul", [x, f"{name}_factors"], [f"{out}_divided"]))
                x = f"{out}_divided"
            if name in by_row:
                added |= _CONSTANTS
            nodes += (_product_by_row if name in by_row else _product_at_once)(x, name, out)
        elif node.op_type == "Gather" and node.input[0] in tables:
            name, ids = node.input
            largest = np.abs(tables[name]).max(1, keepdims=True)  # a scale for each row
            added[f"{name}_int8"], added[f"{name}_scale"] = _steps(tables[name], largest)
            nodes += [
                helper.make_node("Gather", [f"{name}_int8", ids], [f"{out}_steps"]),
                helper.make_node("Gather", [f"{name}_scale", ids], [f"{out}_scale"]),
                helper.make_node("Cast", [f"{out}_steps"], [f"{out}_float"], to=1),
                helper.make_node("Mul", [f"{out}_float", f"{out}_scale"], [out]),
            ]
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.input}
    made = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name, opset_import=model.opset_import)
    made.graph.name = graph.name
    made.graph.input.extend(graph.input)
    made.graph.output.extend(graph.output)
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(each for each in graph.initializer if each.name in read)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in added.items())
    return made


_CONSTANTS = {"int8_least": np.float32(_LEAST)}


def _product_at_once(x: str, matrix: str, out: str) -> list[Any]:
    """Return the nodes of a product whose activation has one scale.

    They stand in the order and form that ONNX Runtime makes one operation of, DynamicQuantizeMatMul.
    """
    from onnx import helper

    return [
        helper.make_node("DynamicQuantizeLinear", [x], [f"{out}_x", f"{out}_step", f"{out}_zero"]),
        helper.make_node("MatMulInteger", [f"{out}_x", f"{matrix}_int8", f"{out}_zero"], [f"{out}_sums"]),
        helper.make_node("Cast", [f"{out}_sums"], [f"{out}_float"], to=1),
        helper.make_node("Mul", [f"{out}_step", f"{matrix}_scale"], [f"{out}_scale"]),
        helper.make_node("Mul", [f"{out}_float", f"{out}_scale"], [out]),
    ]


def _product_by_row(x: str, matrix: str, out: str) -> list[Any]:
    """Return the nodes of a product whose activation, of two dimensions, has a scale for each row.

    Each row is divided by its largest number, and so is the product multiplied: between them, one scale is enough.
    """
    from onnx import helper

    return [
        helper.make_node("ReduceMax", [x], [f"{out}_high"], axes=[1]),
        helper.make_node("ReduceMin", [x], [f"{out}_low"], axes=[1]),
        helper.make_node("Neg", [f"{out}_low"], [f"{out}_below"]),
        helper.make_node("Max", [f"{out}_high", f"{out}_below", "int8_least"], [f"{out}_largest"]),
        helper.make_node("Div", [x, f"{out}_largest"], [f"{out}_parts"]),
        *_product_at_once(f"{out}_parts", matrix, f"{out}_product"),
        helper.make_node("Mul", [f"{out}_product", f"{out}_largest"], [out]),
    ]


def _tables(graph: Any) -> dict[str, Array]:
    """Return the word table, unless a head multiplies by it too."""
    from onnx import numpy_helper

    users = [node for node in graph.node if _TABLE in node.input]
    if any(node.op_type != "Gather" for node in users):
        return {}
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer if each.name == _TABLE}
