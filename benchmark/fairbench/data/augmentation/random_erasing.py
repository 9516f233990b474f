"""Random erasing: a black rectangle somewhere in the image."""

import math

import torch
from torch import Tensor

ATTEMPTS = 10
"""Rectangles drawn for each image; the first that fits is used, and if none does the image stays as it is."""


def random_erasing(
    images: Tensor,
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    generator: torch.Generator,
) -> Tensor:
    """Erase one rectangle of each image (Zhong et al., AAAI 2020), as `torchvision.transforms.v2.RandomErasing`.

    Args:
        images: (batch, channels, height, width).
        probability: that an image loses one at all.
        area: smallest and largest share of the image.
        ratio: smallest and largest height divided by width, uniform in its logarithm.
        generator: on the images' device.
    """
    count, _, height, width = images.shape

    def uniform(low: float, high: float, attempts: int = 1) -> Tensor:
        drawn = torch.rand(count, attempts, generator=generator, device=images.device)
        return low + (high - low) * drawn

    erased = uniform(0, 1) < probability
    size = height * width * uniform(*area, ATTEMPTS)
    aspect = uniform(math.log(ratio[0]), math.log(ratio[1]), ATTEMPTS).exp()
    heights, widths = (size * aspect).sqrt().round(), (size / aspect).sqrt().round()
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(dim=1, keepdim=True)
    heights, widths = heights.gather(1, first), widths.gather(1, first)
    top, left = (uniform(0, 1) * (height - heights + 1)).floor(), (uniform(0, 1) * (width - widths + 1)).floor()
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    in_rows = (rows >= top) & (rows < top + heights) & erased & fits.any(dim=1, keepdim=True)
    in_columns = (columns >= left) & (columns < left + widths)
    return images.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0)
