"""Augmentation of whole batches on the device, one draw per image and no Python loop over images.

    crop_and_flip(images, padding=4, flip=True, generator=g)      # what the recipe asks for
    randaugment(images, generator=g)                              # FairAT's diverse view of its hard examples

Images are (batch, channels, height, width), uint8 or float in [0, 1], and come back in the same type. An image's
result depends on its own draws alone, never on its neighbours.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import functional as F

_BINS = 31  # RandAugment's scale: magnitude m is the share m / 30 of each operation's maximum
_Operation = Callable[[Tensor, float], Tensor]


def crop_and_flip(images: Tensor, *, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crop of the zero-padded image, and a mirror image every second time.

    Args:
        images: (batch, channels, height, width).
        padding: pixels added on every side before the crop; 0 switches it off.
        flip: whether to mirror left and right.
        generator: on the images' device.
    """
    count, channels, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(count, -1)
    columns = torch.arange(width, device=device).expand(count, -1)
    if padding:
        shift = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
        rows, columns = rows + shift[0], columns + shift[1]
    if flip:
        mirrored = torch.randint(2, (count, 1), generator=generator, device=device, dtype=torch.bool)
        columns = torch.where(mirrored, columns.flip(1), columns)
    return pad(images, (padding,) * 4)[
        torch.arange(count, device=device).view(-1, 1, 1, 1),
        torch.arange(channels, device=device).view(1, -1, 1, 1),
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def randaugment(images: Tensor, *, operations: int = 2, magnitude: int = 8, generator: torch.Generator) -> Tensor:
    """RandAugment (Cubuk et al., 2020): each image passes through operations drawn for it alone.

    The fourteen operations, their ranges and the sign of each are those of `torchvision.transforms.RandAugment`.

    Args:
        images: (batch, channels, height, width) with 1 or 3 channels; colour leaves grey images as they are.
        operations: number of operations per image, drawn with replacement.
        magnitude: 0 to 30.
        generator: on the images' device.
    """
    table = _operations(magnitude / (_BINS - 1), height=images.shape[2], width=images.shape[3])
    for _ in range(operations):
        choice = torch.randint(len(table), (len(images),), generator=generator, device=images.device)
        positive = torch.randint(2, (len(images),), generator=generator, device=images.device)
        group = 2 * choice + positive
        sizes = group.bincount(minlength=2 * len(table)).tolist()
        augmented = torch.empty_like(images)
        for number, rows in enumerate(torch.split(group.argsort(stable=True), sizes)):
            if len(rows):
                augmented[rows] = table[number // 2](images[rows], 1.0 if number % 2 else -1.0)
        images = augmented
    return images


def _operations(share: float, *, height: int, width: int) -> list[_Operation]:
    """The operations at that share of their maxima; each takes images and a sign, which some ignore."""
    shear = math.degrees(math.atan(0.3 * share))
    # Whole pixels, rounded towards zero: none at all on very small images, as in the reference.
    across, down = int(150 / 331 * width * share), int(150 / 331 * height * share)

    def sheared(images: Tensor, *, x: float = 0, y: float = 0) -> Tensor:
        moved: Tensor = F.affine(images, angle=0, translate=[0, 0], scale=1, shear=[x, y], center=[0, 0])
        return moved

    def translated(images: Tensor, *, x: int = 0, y: int = 0) -> Tensor:
        moved: Tensor = F.affine(images, angle=0, translate=[x, y], scale=1, shear=[0, 0])
        return moved

    return [
        lambda images, _: images,
        lambda images, sign: sheared(images, x=sign * shear),
        lambda images, sign: sheared(images, y=sign * shear),
        lambda images, sign: translated(images, x=int(sign) * across),
        lambda images, sign: translated(images, y=int(sign) * down),
        lambda images, sign: F.rotate(images, sign * 30 * share),
        lambda images, sign: F.adjust_brightness(images, 1 + sign * 0.9 * share),
        lambda images, sign: F.adjust_saturation(images, 1 + sign * 0.9 * share),
        lambda images, sign: F.adjust_contrast(images, 1 + sign * 0.9 * share),
        lambda images, sign: F.adjust_sharpness(images, 1 + sign * 0.9 * share),
        lambda images, _: F.posterize(images, 8 - round(4 * share)),
        lambda images, _: F.solarize(images, (1 - share) * (255 if images.dtype == torch.uint8 else 1)),
        lambda images, _: F.autocontrast(images),
        lambda images, _: F.equalize(images),
    ]
