"""Noise that belongs to an image: verdicts do not depend on batch size, order, subset or interruption.

The numbers are the raw bits of numpy's Philox, a counter-based stream that numpy promises to keep; the key is a hash of
the evaluation seed and the attack's name, the counter is the image's index in the test set.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from fairbench.attacks.ball import Ball
from fairbench.seeding import derived_seed


def uniform_start(ball: Ball, indices: Iterable[int], *, seed: int, attack: str) -> Tensor:
    """Points uniform in the ball, clipped to [0, 1]; on the device of the ball.

    Args:
        ball: around the images, (batch, channels, height, width).
        indices: of the images, in the same order.
        seed: of the evaluation.
        attack: name of the attack that starts here.
    """
    key, pixels = derived_seed(seed, attack), ball.centre[0].numel()
    drawn = np.stack([_open_unit(key, index, pixels + 1) for index in indices])
    draws = torch.from_numpy(drawn).to(ball.centre.device)
    signed, share = 2 * draws[:, :pixels] - 1, draws[:, pixels:]
    if ball.norm == "L2":
        gaussian = torch.erfinv(signed)
        signed = gaussian / gaussian.norm(dim=1, keepdim=True) * share ** (1 / pixels)
    return (ball.centre + ball.radius * signed.to(ball.centre.dtype).view_as(ball.centre)).clamp(0, 1)


def image_bits(key: int, index: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Random words of an image, (count,); those of different keys or images have nothing to do with one another."""
    # The index is the high word of the counter: streams of different images cannot overlap.
    return np.random.Philox(key=key, counter=[0, 0, 0, index]).random_raw(count)


def _open_unit(key: int, index: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Uniform numbers in the open interval (0, 1); 52 bits, so that neither end is reached by rounding."""
    raw = image_bits(key, index, count)
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
