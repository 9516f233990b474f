"""AutoAugment: pairs of operations that a search found good for CIFAR-10."""

import torch
from torch import Tensor

from fairbench.data.augmentation.magnitudes import signs
from fairbench.data.augmentation.operations import NUMBER, transformed
from fairbench.data.augmentation.randaugment import randaugment_scale

MAGNITUDES = 10

Step = tuple[str, float, int]
"""(operation, probability, magnitude 0 to 9; 0 where it takes none)."""

CIFAR10_POLICY: tuple[tuple[Step, Step], ...] = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate-x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear-y", 0.5, 8), ("translate-y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear-y", 0.2, 7), ("posterize", 0.3, 7)),
    (("saturation", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("saturation", 0.7, 7), ("translate-x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate-y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("saturation", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("saturation", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("saturation", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate-y", 0.9, 9), ("translate-y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate-y", 0.7, 9), ("autocontrast", 0.9, 0)),
)
"""The 25 sub-policies of Cubuk et al., CVPR 2019, in the order of torchvision, which has the same."""


def autoaugment(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Each image under a pair of the CIFAR-10 policy drawn for it alone; each half acts with its probability.

    Magnitudes and signs are those of `torchvision.transforms.v2.AutoAugment`.

    Args:
        images: (batch, channels, height, width) with 1 or 3 channels; colour leaves grey images as they are.
        generator: on the images' device.
    """
    count, device = len(images), images.device
    amounts = randaugment_scale(*images.shape[2:], magnitudes=MAGNITUDES).amounts(device)
    pair = torch.randint(len(CIFAR10_POLICY), (count,), generator=generator, device=device)
    for half in (0, 1):
        steps = [policy[half] for policy in CIFAR10_POLICY]
        probability = torch.tensor([step[1] for step in steps], device=device)[pair]
        acts = torch.rand(count, generator=generator, device=device) < probability
        choice = torch.tensor([NUMBER[step[0]] for step in steps], device=device)[pair]
        magnitude = torch.tensor([step[2] for step in steps], device=device)[pair]
        sign = signs(count, generator=generator)
        images = transformed(images, choice.where(acts, NUMBER["identity"]), sign * amounts[choice, magnitude])
    return images
