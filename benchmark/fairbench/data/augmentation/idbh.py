"""IDBH: the augmentation that a search found good for adversarial training."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from fairbench.data.augmentation.crop_and_flip import crop_and_flip, picked
from fairbench.data.augmentation.magnitudes import signs
from fairbench.data.augmentation.operations import NUMBER, transformed
from fairbench.data.augmentation.random_erasing import random_erasing

LARGEST_SHIFT = 10 / 32
"""Rows and columns that a crop may lose together, as a share of the image: 10 pixels of CIFAR's 32.

The share is ours, so that smaller images keep as much of themselves; the authors have 8 pixels on SVHN.
"""

POOL = (
    ("saturation", -0.9, 0.9),
    ("brightness", -0.5, 0.9),
    ("contrast", -0.5, 0.9),
    ("sharpness", -0.9, 0.9),
    ("autocontrast", 0.0, 0.0),
    ("equalize", 0.0, 0.0),
    ("shear-x", 0.05, 0.15),
    ("rotate", 1.0, 10.0),
)
"""(operation, smallest and largest amount); radians and degrees get a random sign, and shear a random axis."""


def idbh(images: Tensor, *, flip: bool, erasing: float, generator: torch.Generator) -> Tensor:
    """Flip, move a crop, one operation of eight, erase a rectangle (Li and Spratling, ICLR 2023).

    The operations, each with probability 1/8: saturation by a factor of 0.1 to 1.9; brightness, 0.5 to 1.9; contrast,
    0.5 to 1.9; sharpness, 0.1 to 1.9; autocontrast; equalize; shear by 0.05 to 0.15 radians along either axis; rotation
    by 1 to 10 degrees. It brings its own crop, so no other one follows.

    Args:
        images: (batch, channels, height, width) with 1 or 3 channels; colour leaves grey images as they are.
        flip: whether to mirror left and right.
        erasing: probability of erasing a rectangle; 0.5 is the authors' weak variant, 1 the strong one.
        generator: on the images' device.
    """
    images = crop_and_flip(images, padding=0, flip=flip, generator=generator)
    images = crop_shift(images, generator=generator)
    images = transformed(images, *pool_draws(len(images), generator=generator))
    return random_erasing(images, probability=erasing, generator=generator)


def crop_shift(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Cut a random crop out of each image and put it back at a random place; the rest is black.

    A number of lines is drawn from 0 to ten 32nds of the smaller side, and split at random into rows and columns that
    the crop loses.
    """
    count, _, height, width = images.shape

    def drawn(largest: int | Tensor) -> Tensor:
        """Whole numbers from 0 to `largest`, (batch, 1)."""
        return (torch.rand(count, 1, generator=generator, device=images.device) * (largest + 1)).floor().long()

    lost = drawn(math.floor(LARGEST_SHIFT * min(height, width)))
    lost_rows = drawn(lost)

    def source(size: int, lost: Tensor) -> Tensor:
        """Where each line comes from in an image with a black border of one pixel, (batch, size)."""
        place, first = torch.arange(size, device=images.device) - drawn(lost), drawn(lost)
        return torch.where((place >= 0) & (place < size - lost), place + first + 1, 0)

    return picked(pad(images, (1, 1, 1, 1)), source(height, lost_rows), source(width, lost - lost_rows))


def pool_draws(count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Operations of the pool and their amounts, (count,) each, for `transformed`."""
    device = generator.device
    drawn = torch.randint(len(POOL), (count,), generator=generator, device=device)
    share = torch.rand(count, generator=generator, device=device)
    sign = signs(count, generator=generator)
    along_y = torch.randint(2, (count,), generator=generator, device=device, dtype=torch.bool)
    names, lows, highs = zip(*POOL, strict=True)
    choice = torch.tensor([NUMBER[name] for name in names], device=device)[drawn]
    low, high = (torch.tensor(values, device=device)[drawn] for values in (lows, highs))
    amounts = (low + (high - low) * share) * sign.where(low > 0, 1.0)
    shear = choice == NUMBER["shear-x"]
    return choice.where(~(shear & along_y), NUMBER["shear-y"]), amounts.tan().where(shear, amounts)
