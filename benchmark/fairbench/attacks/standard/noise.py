"""Where the random numbers of the attacks come from.

Every draw has a name (attack, and target or query) and belongs to an image, so that a verdict depends neither on batch
size, order and subset nor on an interruption. The source is a parameter of the attacks: the tests put one in its place
that draws as the reference does, for a whole batch from torch's global generator, and compare verdicts.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fairbench.attacks.image_noise import image_bits
from fairbench.seeding import derived_seed

WORD = np.dtype("<u4")


class NoiseSource(Protocol):
    """Random numbers by name and image."""

    def uniform(self, *name: str | int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Uniform in [0, 1), (images, *shape) float32 on the device of the indices.

        Args:
            name: of the draw.
            indices: of the images in the test set, (images,) int64.
            shape: of the numbers for one image; a longer first dimension continues a shorter one.
        """

    def normal(self, *name: str | int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Standard normal; otherwise as `uniform`."""


class ImageNoise:
    """Noise keyed by evaluation seed, name and image, from numpy's Philox, a stream that numpy promises to keep.

    Args:
        seed: of the evaluation.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def uniform(self, *name: str | int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Uniform multiples of 2^-24 in [0, 1), as torch draws them."""
        words = self._words(name, indices, shape)
        return torch.from_numpy((words >> 8).astype(np.float32) * np.float32(2**-24)).to(indices.device)

    def normal(self, *name: str | int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Standard normal, by inversion of the distribution function in double precision on the CPU."""
        signed = torch.from_numpy((self._words(name, indices, shape).astype(np.float64) + 0.5) * 2**-31 - 1)
        return (2**0.5 * torch.erfinv(signed)).float().to(indices.device)

    def _words(
        self, name: tuple[str | int, ...], indices: Tensor, shape: tuple[int, ...]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
        """Random words of 32 bits, (images, *shape); a stream per image."""
        key, count = derived_seed(self._seed, *name), int(np.prod(shape))
        raw = np.empty((len(indices), -(-count // 2)), dtype="<u8")
        for stream, index in zip(raw, indices.tolist(), strict=True):
            stream[:] = image_bits(key, index, len(stream))
        return raw.view(WORD)[:, :count].reshape(len(indices), *shape)
