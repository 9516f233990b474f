"""TrivialAugment: one random operation of random magnitude."""

import torch
from torch import Tensor

from fairbench.data.augmentation.magnitudes import Scale, signs
from fairbench.data.augmentation.operations import NUMBER, transformed

MAGNITUDES = 31


def trivialaugment(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """One operation and one magnitude for each image, from the wide ranges (Müller and Hutter, ICCV 2021).

    Operations, ranges and signs are those of `torchvision.transforms.v2.TrivialAugmentWide`. It moves images by up to
    32 pixels, the width of CIFAR's; a smaller image moves by up to its own width and height.

    Args:
        images: (batch, channels, height, width) with 1 or 3 channels; colour leaves grey images as they are.
        generator: on the images' device.
    """
    count, device = len(images), images.device
    choice = torch.randint(NUMBER["invert"], (count,), generator=generator, device=device)
    magnitude = torch.randint(MAGNITUDES, (count,), generator=generator, device=device)
    amounts = trivialaugment_scale(*images.shape[2:]).amounts(device)[choice, magnitude]
    return transformed(images, choice, signs(count, generator=generator) * amounts)


def trivialaugment_scale(height: int, width: int) -> Scale:
    """What magnitudes mean on images of this size."""
    return Scale(
        magnitudes=MAGNITUDES,
        shear=0.99,
        across=min(32, width),
        down=min(32, height),
        rotation=135,
        colour=0.99,
        bits=6,
    )
