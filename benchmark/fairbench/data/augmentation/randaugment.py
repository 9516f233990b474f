"""RandAugment: a few random operations, all of the same magnitude."""

import torch
from torch import Tensor

from fairbench.data.augmentation.magnitudes import Scale, signs
from fairbench.data.augmentation.operations import NUMBER, transformed


def randaugment(
    images: Tensor, *, operations: int = 2, magnitude: int | Tensor = 8, generator: torch.Generator
) -> Tensor:
    """Each image passes through operations drawn for it alone (Cubuk et al., CVPR workshops 2020).

    The fourteen operations, their ranges and signs are those of `torchvision.transforms.v2.RandAugment`.

    Args:
        images: (batch, channels, height, width) with 1 or 3 channels; colour leaves grey images as they are.
        operations: number of operations per image, drawn with replacement.
        magnitude: 0 to 30, or one for each image, (batch,) int64.
        generator: on the images' device.
    """
    amounts = randaugment_scale(*images.shape[2:]).amounts(images.device)
    for _ in range(operations):
        choice = torch.randint(NUMBER["invert"], (len(images),), generator=generator, device=images.device)
        sign = signs(len(images), generator=generator)
        images = transformed(images, choice, sign * amounts[choice, magnitude])
    return images


def randaugment_scale(height: int, width: int, *, magnitudes: int = 31) -> Scale:
    """What magnitudes mean on images of this size; AutoAugment has ten of them."""
    return Scale(
        magnitudes=magnitudes,
        shear=0.3,
        across=150 / 331 * width,
        down=150 / 331 * height,
        rotation=30,
        colour=0.9,
        bits=4,
    )
