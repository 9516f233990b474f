"""Random crops and mirror images: the augmentation of every recipe."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def crop_and_flip(images: Tensor, *, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crop of the zero-padded image, and a mirror image every second time.

    Args:
        images: (batch, channels, height, width).
        padding: pixels added on every side before the crop; 0 switches it off.
        flip: whether to mirror left and right.
        generator: on the images' device.
    """
    count, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(count, -1)
    columns = torch.arange(width, device=device).expand(count, -1)
    if padding:
        shift = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
        rows, columns = rows + shift[0], columns + shift[1]
    if flip:
        mirrored = torch.randint(2, (count, 1), generator=generator, device=device, dtype=torch.bool)
        columns = torch.where(mirrored, columns.flip(1), columns)
    return picked(pad(images, (padding,) * 4), rows, columns)


def picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images made of the rows (batch, height) and the columns (batch, width) named for each of them."""
    count, channels = images.shape[:2]
    return images[
        torch.arange(count, device=images.device).view(-1, 1, 1, 1),
        torch.arange(channels, device=images.device).view(1, -1, 1, 1),
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
