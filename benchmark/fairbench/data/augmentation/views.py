"""Diverse views by name: a training image as the recipe shows it, but more strongly augmented."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fairbench.data.augmentation.autoaugment import autoaugment
from fairbench.data.augmentation.crop_and_flip import crop_and_flip
from fairbench.data.augmentation.idbh import idbh
from fairbench.data.augmentation.randaugment import randaugment
from fairbench.data.augmentation.random_erasing import random_erasing
from fairbench.data.augmentation.trivialaugment import trivialaugment
from fairbench.errors import UserError, unknown

MAGNITUDE = 8
"""RandAugment's, of an image of full strength."""

_BEFORE_THE_CROP: dict[str, Callable[..., Tensor]] = {
    "randaugment": partial(randaugment, magnitude=MAGNITUDE),
    "autoaugment": autoaugment,
    "trivialaugment": trivialaugment,
    "random-erasing": random_erasing,
}
_INSTEAD_OF_THE_CROP: dict[str, Callable[..., Tensor]] = {
    "idbh": partial(idbh, erasing=0.5),
    "idbh-strong": partial(idbh, erasing=1.0),
}

VIEWS = (*_BEFORE_THE_CROP, *_INSTEAD_OF_THE_CROP)
"""Names of all views."""


def diverse_view(
    name: str,
    images: Tensor,
    *,
    padding: int,
    flip: bool,
    generator: torch.Generator,
    strength: Tensor | None = None,
) -> Tensor:
    """The images under an augmentation, cropped and flipped as the recipe says.

    Args:
        name: one of `VIEWS`.
        images: not augmented yet, (batch, channels, height, width).
        padding: of the recipe's crop.
        flip: whether the recipe mirrors.
        generator: on the images' device.
        strength: share of the magnitude for each image, (batch,) in [0, 1]; RandAugment only.

    Raises:
        UserError: for an unknown name, or a strength where there is none to set, or out of range.
    """
    if name not in VIEWS:
        raise unknown("view", name, VIEWS)
    if strength is not None:
        if name != "randaugment":
            raise UserError(f"The view {name!r} has no strength to set; the only one that has: 'randaugment'.")
        if not bool(((strength >= 0) & (strength <= 1)).all()):
            low, high = strength.aminmax()
            raise UserError(f"Strengths from {low:g} to {high:g} are not allowed; allowed: [0, 1].")
        images = randaugment(images, magnitude=(MAGNITUDE * strength).round().long(), generator=generator)
    elif name in _INSTEAD_OF_THE_CROP:
        return _INSTEAD_OF_THE_CROP[name](images, flip=flip, generator=generator)
    else:
        images = _BEFORE_THE_CROP[name](images, generator=generator)
    return crop_and_flip(images, padding=padding, flip=flip, generator=generator)
