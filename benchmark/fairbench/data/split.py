"""Fixed stratified splits: the same images are held out for every method, seed, machine and library version.

A split has a name, and every class of it draws from a stream keyed by the hash of that name and the class. Only raw
Philox output and a stable sort are used: numpy fixes those for good, but not what `Generator.permutation` returns.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def hold_out(labels: Indices, *, share: float, name: str) -> tuple[Indices, Indices]:
    """Hold out a share of every class.

    Args:
        labels: (n,) of any order.
        share: of the images of each class, rounded half up, at least one image.
        name: of the split; equal names and labels give equal splits.

    Returns:
        Positions kept and positions held out, both rising.
    """
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        key = int.from_bytes(hashlib.sha256(f"{name}/{label}".encode()).digest()[:16], "big")
        shuffled = members[np.argsort(np.random.Philox(key=key).random_raw(len(members)), kind="stable")]
        # 0.29 of 50 images is 14.5, but 14.499999999999998 in binary.
        count = max(1, math.floor(round(share * len(members), 9) + 0.5))
        held[shuffled[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
