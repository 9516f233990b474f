"""Shared by the tests of data: generators, and arrays of a small valid dataset file."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray


@pytest.fixture
def generator() -> Callable[[int], torch.Generator]:
    """Seeded CPU generators."""
    return lambda seed: torch.Generator().manual_seed(seed)


@pytest.fixture
def valid_arrays() -> dict[str, NDArray[np.generic]]:
    """Three classes of 4x5 colour images, ten of each for training and two for test."""
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (30, 4, 5, 3), dtype=np.uint8),
        "train_labels": np.arange(30) % 3,
        "test_images": rng.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        "test_labels": np.arange(6) % 3,
        "class_names": np.array(["bird", "cat", "deer"]),
    }
