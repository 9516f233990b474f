"""Random subsets with every class in its share, nested: a larger one contains the smaller.

An image's place in the order of its class depends on the name of the draw and on the image's index alone, so that
whoever repeats a subset, on whichever images are left, gets the same one. Only raw Philox output is used, which numpy
fixes for good.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def ranks_within_class(labels: Indices, indices: Indices, *, name: str) -> Indices:
    """The place, from 0, of every image in a random order of its class, (n,).

    Args:
        labels: (n,).
        indices: of the images in the test set, (n,), at least one.
        name: of the draw.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
    priority = np.random.Philox(key=key).random_raw(int(indices.max()) + 1)[indices]
    ranks = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks[members[np.argsort(priority[members], kind="stable")]] = np.arange(len(members))
    return ranks


def stratified_subset(labels: Indices, *, limit: int, name: str = "subset") -> Indices:
    """Positions of `limit` images, rising: as many of each class as of the others, as far as a class has them.

    Args:
        labels: of the whole test set, (n,).
        limit: at least 1; all images if there are no more.
        name: of the draw.
    """
    ranks = ranks_within_class(labels, np.arange(len(labels)), name=name)
    return np.sort(np.lexsort((labels, ranks))[:limit])
