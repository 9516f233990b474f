"""A key as a fraction: two rows tie exactly if their counts say so, and not as round-off has it.

    exact_value(row_accuracies, "worst")            # Fraction(11, 54), of one ClassAccuracies per seed

In floating point the means over seeds of 9, 9 and 15, and of 8, 9 and 16, of 54 images differ.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from fairbench.outcomes.metrics import ClassAccuracies
from fairbench.statistics.keys import SHARES, share_size


def exact_value(seeds: Sequence[ClassAccuracies], key: str) -> Fraction:
    """A key of `fairbench.statistics.KEYS` per seed, averaged over seeds; at least one seed, with data."""
    found = [[(int(k), int(n)) for k, n in zip(one.correct, one.counts, strict=True) if n] for one in seeds]
    common = math.lcm(*(n for one in found for _, n in one))
    total = sum(_value(sorted(k * (common // n) for k, n in one), key) for one in found)
    return Fraction(total) / (common * len(found))


def _value(ascending: Sequence[int], key: str) -> Fraction:
    """Of accuracies over a common denominator."""
    if key == "average+worst":
        return _value(ascending, "average") + ascending[0]
    sizes = {"worst": 1, "average": len(ascending)}
    size = sizes[key] if key in sizes else share_size(len(ascending), percent=SHARES[key])
    return Fraction(sum(ascending[:size]), size)
