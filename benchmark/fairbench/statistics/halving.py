"""Where a condition ends that holds from the lower end on, of many intervals at once.

low, high = halved(lambda middle: middle**2 < 2, np.zeros(1), np.full(1, 2.0))      # 1.414213562..., twice
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import Vector

_TIMES = 40
"""An interval of length 1 is then known to twelve digits."""


def halved(holds: Callable[[Vector], npt.NDArray[np.bool_]], low: Vector, high: Vector) -> tuple[Vector, Vector]:
    """Both sides of the place, each of the shape of the ends.

    Args:
        holds: whether the condition holds at points between the ends; once it does not, it never does again.
        low: where it holds.
        high: where it does not.
    """
    for _ in range(_TIMES):
        middle = (low + high) / 2
        true = holds(middle)
        low, high = np.where(true, middle, low), np.where(true, high, middle)
    return low, high
