"""Blurs among the common corruptions: out of focus, through frosted glass, and of a camera that moves or zooms.

Kernels and random numbers of a batch are computed for all of its images at once; at a border images are reflected, and
repeated where something moves.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fairbench.attacks.further.contract import ChunkNoise


def gaussian_blur(images: Tensor, deviation: float, noise: ChunkNoise) -> Tensor:
    """A kernel of that standard deviation, in pixels."""
    del noise
    reach = min(max(1, round(4 * deviation)), min(images.shape[2:]) - 1)
    kernel = _bell(torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype), deviation)
    channels = images.shape[1]
    rows, columns = (kernel.view(shape).expand(channels, 1, *shape[2:]) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    return F.conv2d(F.conv2d(_reflected(images, reach), rows, groups=channels), columns, groups=channels)


def defocus_blur(images: Tensor, strength: tuple[float, float], noise: ChunkNoise) -> Tensor:
    """A disk of that radius in pixels, its edge softened over three pixels by that standard deviation."""
    del noise
    radius, softness = strength
    reach = min(math.ceil(radius) + 1, min(images.shape[2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).to(images.dtype)
    soft = _bell(torch.arange(-1.0, 2, device=images.device), softness)
    kernel = F.conv2d((disk / disk.sum())[None, None], torch.outer(soft, soft)[None, None], padding=1)
    return F.conv2d(_reflected(images, reach), kernel.expand(images.shape[1], 1, -1, -1), groups=images.shape[1])


def glass_blur(images: Tensor, strength: tuple[float, int, int], noise: ChunkNoise) -> Tensor:
    """Between two Gaussian blurs, every pixel in turn changes places with one so near, so many times."""
    deviation, distance, rounds = strength
    height, width = images.shape[2:]
    rows = torch.arange(len(images), device=images.device)
    pixels = gaussian_blur(images, deviation, noise).flatten(2).clone()
    for turn in range(rounds):
        down, right = (
            ((2 * distance + 1) * noise.uniform("glass-blur", turn, way)[:, 0]).long() - distance
            for way in ("down", "right")
        )
        for row in range(height - 1 - distance, distance - 1, -1):
            for column in range(width - 1 - distance, distance - 1, -1):
                here = row * width + column
                there = here + width * down[:, row, column] + right[:, row, column]
                taken = pixels[:, :, here].clone()
                pixels[:, :, here] = pixels[rows, :, there]
                pixels[rows, :, there] = taken
    return gaussian_blur(pixels.view_as(images), deviation, noise)


def motion_blur(images: Tensor, strength: tuple[int, float], noise: ChunkNoise) -> Tensor:
    """Moved within 45 degrees of the horizontal; see `moved`."""
    angles = math.pi / 2 * (noise.uniform("motion-blur").flatten(1)[:, 0] - 0.5)
    return moved(images, angles, strength)


def moved(images: Tensor, angles: Tensor, strength: tuple[int, float]) -> Tensor:
    """A trail of 2 radius + 1 pixels to one side, fading as a Gaussian of that deviation: ImageMagick's motion blur.

    Args:
        images: (n, channels, height, width).
        angles: of the trails, (n,) in radians.
        strength: radius and standard deviation in pixels.
    """
    radius, deviation = strength
    height, width = images.shape[2:]
    steps = torch.arange(2 * radius + 1, device=images.device, dtype=images.dtype)
    weights = _bell(steps, deviation)
    trail = torch.zeros_like(images)
    rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
    for step, weight in zip(steps.tolist(), weights, strict=True):
        down, right = ((step * way).round().long()[:, None] for way in (angles.sin(), angles.cos()))
        there = ((rows + down).clamp(0, height - 1) * width)[:, :, None] + (columns + right).clamp(0, width - 1)[
            :, None
        ]
        index = there.flatten(1)[:, None].expand(-1, images.shape[1], -1)
        trail += weight * images.flatten(2).gather(2, index).view_as(images)
    return trail


def zoom_blur(images: Tensor, zooms: int, noise: ChunkNoise) -> Tensor:
    """The mean of the image and of so many magnifications of it, in steps of 1 %, the first by nothing."""
    del noise
    return (images + sum(magnified(images, 1 + number / 100) for number in range(zooms))) / (zooms + 1)


def magnified(images: Tensor, factor: float) -> Tensor:
    """The middle of every image, as large as the whole."""
    scale = torch.eye(2, 3, device=images.device, dtype=images.dtype).expand(len(images), 2, 3) / factor
    grid = F.affine_grid(scale, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=True)


def _bell(places: Tensor, deviation: float) -> Tensor:
    """A Gaussian of that standard deviation at some places, (n,), of sum 1."""
    return (-0.5 * (places / deviation) ** 2).softmax(dim=0)


def _reflected(images: Tensor, reach: int) -> Tensor:
    """With so many pixels more at every side, mirrored."""
    return F.pad(images, (reach, reach, reach, reach), mode="reflect")
