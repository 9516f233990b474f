"""Robust accuracy against the radius of the attack, from the column `curve` of an outcome file.

found = accuracies_by_radius(read_outcomes(path))
found[8 / 255].values                             # (classes,) at that radius; found[0.0] is clean
half_radius(found, worst)                         # where the worst class has half of its clean accuracy
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fairbench.outcomes.metrics import ClassAccuracies, Vector, average, class_accuracies, worst
from fairbench.outcomes.provenance import curve_of
from fairbench.outcomes.store import CURVE, Outcomes


def accuracies_by_radius(outcomes: Outcomes) -> dict[float, ClassAccuracies]:
    """Accuracy per class at every radius, rising from 0, which is no attack; empty without a curve."""
    rows, radii = outcomes.rows, curve_of(outcomes.provenance)
    if not radii or CURVE not in rows:
        return {}
    classes = len(outcomes.provenance.class_names)
    labels, withstood = rows["label"].to_numpy(), rows[CURVE].to_numpy()
    clean = class_accuracies(rows, classes, "clean")
    found = {0.0: clean}
    for number, radius in enumerate(radii, start=1):
        correct = np.bincount(labels[withstood >= number], minlength=classes).astype(np.int64)
        found[radius] = ClassAccuracies(counts=clean.counts, correct=correct)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A curve.

    Attributes:
        name: `average`, `worst class`, or a class.
        kind: `average`, `worst` or `class`.
        values: at every radius, clean first.
        half: the radius with half of the clean value, see `half_radius`.
    """

    name: str
    kind: str
    values: tuple[float, ...]
    half: float


def lines_by_radius(found: Mapping[float, ClassAccuracies], class_names: Sequence[str]) -> list[Line]:
    """The average, the worst class of every radius, then every class that has images."""

    def line(name: str, kind: str, metric: Callable[[Vector], float]) -> Line:
        values = tuple(metric(accuracies.values) for accuracies in found.values())
        return Line(name=name, kind=kind, values=values, half=half_radius(found, metric))

    present = np.flatnonzero(next(iter(found.values())).counts).tolist()
    classes = [line(class_names[k], "class", lambda accuracies, k=k: float(accuracies[k])) for k in present]  # type: ignore[misc]
    return [line("average", "average", average), line("worst class", "worst", worst), *classes]


def half_radius(found: Mapping[float, ClassAccuracies], metric: Callable[[Vector], float]) -> float:
    """The radius at which a metric of the class accuracies is down to half of its clean value.

    Linear between the radii of the curve.

    Returns:
        infinity if it is more at the largest radius; NaN where the clean value is 0 or unknown.
    """
    values = [(radius, metric(accuracies.values)) for radius, accuracies in found.items()]
    if not values or not values[0][1] > 0:
        return math.nan
    half = values[0][1] / 2
    for (low, above), (high, below) in pairwise(values):
        if below <= half:
            return low + (high - low) * (above - half) / (above - below)
    return math.inf
