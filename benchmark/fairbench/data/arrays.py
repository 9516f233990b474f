"""A dataset as files hold it, before any split: numpy arrays, channels last, no torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrays:
    """Images and labels of the two published splits.

    Attributes:
        train_images: (n, height, width, channels) uint8.
        train_labels: (n,) int64.
        test_images: (m, height, width, channels) uint8.
        test_labels: (m,) int64.
        class_names: by label.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
