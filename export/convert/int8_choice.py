"""Which products of an int8 model get a scale for each row, and which stay in float32: as few as its drift allows.

One scale for each activation is fastest. If the model drifts too far so, each product is measured alone: how far the
texts that fared worst drift if it is the only one in int8, in either form. A product then takes the form whose time,
plus its drift times a price, is least; the lowest price at which the whole model is near enough is found by bisection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from export.convert.check import Batch
from export.convert.drift import Drift, cosines, drift
from export.convert.onnx_int8 import Product, in_int8, products_of
from export.convert.onnx_runtime import answering
from zoo.basics.progress import progress
from zoo.errors import VerificationFailed

_WORST = 16  # rows of which the drift of a product alone is the mean
_AMONG = 64  # or more rows, of whole batches, among which they are
_BY_ROW = 70  # numbers of a matrix whose products in float32 take as long as a row and a column more with own scales
_MOST_KEPT = 0.5  # of the numbers of all matrices


@dataclass(frozen=True)
class _Choice:
    """The names of the matrices with a scale for each row of the activation, and of those in float32."""

    by_row: Sequence[str] = ()
    kept: Sequence[str] = ()


def quantized_model(model: Any, samples: Sequence[Batch]) -> tuple[Any, Drift]:
    """Return the model in int8, and its drift from `model` on the samples.

    Raises VerificationFailed if it is too large unless more than half of all numbers stay in float32.
    """
    exact = _answers(model, samples)
    products = products_of(model, samples)
    costs: dict[str, float] = {}

    def tried(choice: _Choice) -> tuple[Any, Drift, list[Batch]]:
        made = in_int8(model, {name: products[name] for name in products if name not in choice.kept}, choice.by_row)
        found = _answers(made, samples)
        return made, drift(samples, exact, found, choice.kept, costs, choice.by_row), found

    made, measured, found = tried(_Choice())
    if measured.is_small:
        return made, measured
    drifts = _drifts(model, products, *_worst(samples, exact, found))
    costs |= {name: float(f"{at_once:.3g}") for name, (at_once, _) in drifts.items()}
    choices = _choices(products, drifts)
    made, measured, _ = tried(choices[-1])
    if not measured.is_small:
        worst = ", ".join(f"{name} ({cost:.2g})" for name, cost in [*measured.costs.items()][:4])
        raise VerificationFailed(
            f"int8 is too far from float32: {measured}. The products that cost most, with the drift of each alone: "
            f"{worst}. Keep the model in float32, or give texts of your own with --calibrate FILE."
        )
    low, high = 0, len(choices) - 1
    with progress("the fewest products with more than int8", high.bit_length(), unit="models") as advance:
        while low < high:
            middle = (low + high) // 2
            *attempt, _ = tried(choices[middle])
            if attempt[1].is_small:
                high, (made, measured) = middle, attempt
            else:
                low = middle + 1
            advance(1)
    return made, measured


def _choices(products: Mapping[str, Product], drifts: Mapping[str, tuple[float, float]]) -> list[_Choice]:
    """Return the choices of all prices of drift, the fastest first, up to half of all numbers in float32."""
    forms = {}  # of each product the time and drift of one scale, of one for each row, of float32
    for name, product in products.items():
        by_row = _BY_ROW * sum(product.matrix.shape)
        float32 = by_row + product.matrix.size  # of a small matrix it takes less time, but four times the bytes
        forms[name] = [*zip((0, by_row, float32), (*drifts[name], 0.0), strict=True)]
    pairs = [pair for each in forms.values() for pair in combinations(each, 2)]
    prices = sorted({(b[0] - a[0]) / (a[1] - b[1]) for a, b in pairs if a[1] > b[1]})
    total = sum(product.matrix.size for product in products.values())
    found = [_Choice()]
    for price in prices:
        best = {
            name: int(np.argmin([time + 1.000001 * price * far for time, far in each])) for name, each in forms.items()
        }
        choice = _Choice(*(tuple(name for name in best if best[name] == form) for form in (1, 2)))
        if sum(products[name].matrix.size for name in choice.kept) > _MOST_KEPT * total:
            break
        found += [choice] if choice != found[-1] else []
    return found


def _worst(
    samples: Sequence[Batch], exact: Sequence[Batch], found: Sequence[Batch]
) -> tuple[Sequence[Batch], Sequence[Batch]]:
    """Return the batches with the rows that drifted farthest, and their exact answers."""
    near = [cosines([a], [b], [c]) for a, b, c in zip(samples, exact, found, strict=True)]
    order = np.argsort([float(each.min(initial=1.0)) for each in near], kind="stable").tolist()
    rows = np.cumsum([len(near[place]) for place in order])
    chosen = order[: int(np.searchsorted(rows, _AMONG)) + 1]
    return [samples[place] for place in chosen], [exact[place] for place in chosen]


def _drifts(
    model: Any, products: Mapping[str, Product], samples: Sequence[Batch], exact: Sequence[Batch]
) -> dict[str, tuple[float, float]]:
    """Return what each product alone adds to the drift, with one scale and with one for each row."""

    def far(chosen: Mapping[str, Product], by_row: Sequence[str]) -> float:
        found = cosines(samples, exact, _answers(in_int8(model, chosen, by_row), samples))
        return float(np.mean(1 - np.sort(found)[:_WORST]))

    with progress("the drift of each product in int8", 2 * len(products), unit="models") as advance:
        tables = far({}, ())
        drifts: dict[str, tuple[float, float]] = {}
        for name, product in products.items():
            at_once, by_row = (max(0.0, far({name: product}, rows) - tables) for rows in ((), (name,)))
            drifts[name] = at_once, by_row
            advance(2)
    return drifts


def _answers(model: Any, samples: Sequence[Batch]) -> list[Batch]:
    return [*map(answering(model.SerializeToString()), samples)]
