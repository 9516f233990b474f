"""What rows are sorted by, on many accuracy vectors at once.

    KEYS["worst-20"](ascending)         # (..., classes) -> (...)

Every key depends on the sorted accuracies alone, so a resample is sorted once for all keys. `outcomes.metrics` has the
same numbers for a single vector, where absent classes are still present as NaN.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from fairbench.outcomes.metrics import Vector

Key = Callable[[Vector], Vector]
"""From accuracies of the classes with data, (..., classes), ascending along the last axis, to (...)."""


def average(ascending: Vector) -> Vector:
    """Mean over the classes."""
    mean: Vector = ascending.mean(axis=-1)
    return mean


def worst(ascending: Vector) -> Vector:
    """Accuracy of the worst class."""
    return ascending[..., 0]


def worst_share(ascending: Vector, *, percent: int) -> Vector:
    """Mean of the worst `percent` % of the classes, rounded up to whole classes."""
    return average(ascending[..., : share_size(ascending.shape[-1], percent=percent)])


def average_and_worst(ascending: Vector) -> Vector:
    """The index by which checkpoints are selected."""
    return average(ascending) + worst(ascending)


def share_size(classes: int, *, percent: int) -> int:
    """Classes in the worst `percent` %, in integer arithmetic: `math.ceil(0.07 * 100)` is 8."""
    return -(-percent * classes // 100)


SHARES: Mapping[str, int] = MappingProxyType({"worst-10": 10, "worst-20": 20, "worst-30": 30})
"""Percent of the classes; on ten classes the first is the minimum."""

KEYS: Mapping[str, Key] = MappingProxyType(
    {"worst": worst}
    | {name: partial(worst_share, percent=percent) for name, percent in SHARES.items()}
    | {"average": average, "average+worst": average_and_worst}
)
"""All of them concave and homogeneous of degree one, on which the bound of the bias in the bootstrap relies."""


def first_of_equals(classes: int) -> dict[str, str]:
    """For every key the first that is the same on so few classes: the worst 10 % of ten are the worst class."""
    sizes = {"worst": 1, **{name: share_size(classes, percent=percent) for name, percent in SHARES.items()}}
    sizes["average"] = classes
    first = {size: name for name, size in reversed(sizes.items())}
    return {name: first[sizes[name]] if name in sizes else name for name in KEYS}


def distinct_keys(classes: int) -> list[str]:
    """Keys without those that are another one on so few classes."""
    return [name for name, first in first_of_equals(classes).items() if name == first]


def deviation(ascending: Vector) -> Vector:
    """Population standard deviation over the classes; smaller is better, so it is no key, but it can be resampled."""
    spread: Vector = ascending.std(axis=-1)
    return spread
