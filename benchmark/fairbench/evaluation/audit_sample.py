"""Which survivors the audit of tier `fast` looks at."""

import numpy as np
from numpy.typing import NDArray

from fairbench.data.stratified import Indices, ranks_within_class


def audit_sample(labels: Indices, indices: Indices, *, share: float) -> NDArray[np.bool_]:
    """Which survivors are audited, (n,): this share of every class, rounded up.

    Args:
        labels: of the survivors, (n,).
        indices: of the survivors in the test set, (n,).
        share: in (0, 1].
    """
    if not len(labels):
        return np.zeros(0, dtype=bool)
    # 0.1 of 30 images is 3.0000000000000004 in binary.
    wanted = np.ceil(np.round(share * np.bincount(labels), 9)).astype(np.int64)
    sampled: NDArray[np.bool_] = ranks_within_class(labels, indices, name="audit") < wanted[labels]
    return sampled
