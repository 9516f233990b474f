"""Rows that share a place because nobody can tell them from the best of them."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import Vector


def tie_groups(
    values: Vector | Sequence[float | Fraction],
    average: Vector | Sequence[float | Fraction],
    *,
    better: npt.NDArray[np.bool_],
) -> list[list[int]]:
    """Groups of methods, by index, best group first.

    The best method anchors the first group, and every method that is not separated from it joins; the best remaining
    one anchors the next. Membership is a statement about the anchor, not about all pairs.

    Args:
        values: the key, higher is better, (methods,); fractions tie exactly.
        average: average robust accuracy, by which a group is sorted, (methods,).
        better: row separated above column, (methods, methods).
    """
    remaining = sorted(range(len(values)), key=lambda i: (-values[i], -average[i], i))
    groups = []
    while remaining:
        anchor = remaining[0]
        members = [i for i in remaining if not better[anchor, i]]
        groups.append(sorted(members, key=lambda i: (-average[i], -values[i], i)))
        remaining = [i for i in remaining if better[anchor, i]]
    return groups
