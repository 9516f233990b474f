"""Two checkpoints on the same images: only the images on which they differ say who is better.

    mcnemar(40, 20)                             # .0135: images that one of them alone gets right

A gain of 2 points on 1,000 images of which 6 % differ is found with power 70 %; a test that forgets the pairs has 18 %.
"""

import numpy as np
import numpy.typing as npt
from scipy import special

from fairbench.outcomes.metrics import Vector


def mcnemar(first_only: npt.ArrayLike, second_only: npt.ArrayLike) -> Vector:
    """Exact two-sided p-values (McNemar 1947): the smaller count as Binomial(both, 1/2); 1 if nothing differs."""
    fewer, both = np.minimum(first_only, second_only), np.add(first_only, second_only)
    # One discordant image, or equal counts, would give more than 1; bdtr(0, 0, .) is 1.
    p_values: Vector = np.minimum(1.0, 2 * special.bdtr(fewer.astype(np.float64), both, 0.5))
    return p_values
