"""Elastic transforms among the common corruptions: an image is sheared a little, and its parts are pulled about."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fairbench.attacks.further.blurs import gaussian_blur
from fairbench.attacks.further.contract import ChunkNoise


def elastic(images: Tensor, strength: tuple[float, float, float], noise: ChunkNoise) -> Tensor:
    """Shares of the image's size: how far a field of that smoothness moves, and how far three points of a shear.

    Args:
        images: (n, channels, height, width).
        strength: length of the field, its standard deviation, and the distance of the three points.
        noise: of these images.
    """
    height, width = images.shape[2:]
    size = min(height, width)
    length, smoothness, shear = (size * share for share in strength)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=images.dtype),
        torch.arange(width, device=images.device, dtype=images.dtype),
        indexing="ij",
    )
    down, right = (length * _field(noise, way, smoothness) for way in ("down", "right"))
    places = torch.stack([columns + right, rows + down, torch.ones_like(down)], dim=-1)  # (n, height, width, 3)
    middle, reach = torch.tensor([width // 2, height // 2], device=images.device, dtype=images.dtype), size // 3
    corners = middle + reach * torch.tensor([[1, 1], [1, -1], [-1, -1]], device=images.device, dtype=images.dtype)
    moved = corners + shear * (2 * noise.uniform("elastic", "shear").flatten(1)[:, :6].view(-1, 3, 2) - 1)
    homogeneous = torch.cat([moved, torch.ones_like(moved[..., :1])], dim=-1)
    back = torch.linalg.solve(homogeneous, corners.expand_as(moved))  # where a point of the new image was, (n, 3, 2)
    sources = torch.einsum("nhwk,nkd->nhwd", places, back)
    span = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=images.device, dtype=images.dtype)
    return F.grid_sample(images, 2 * sources / span - 1, padding_mode="reflection", align_corners=True)


def _field(noise: ChunkNoise, way: str, smoothness: float) -> Tensor:
    """(n, height, width), of mean zero."""
    drawn = 2 * noise.uniform("elastic", way)[:, :1] - 1
    return (gaussian_blur(drawn, smoothness, noise) if smoothness > 0 else drawn)[:, 0]
