"""Weather among the common corruptions: fog and snow, drawn for each image; frost would need photographs of it."""

import math

import torch
from torch import Tensor

from fairbench.attacks.further.blurs import magnified, moved
from fairbench.attacks.further.contract import ChunkNoise

LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601)."""


def fog(images: Tensor, strength: tuple[float, float], noise: ChunkNoise) -> Tensor:
    """So much of a plasma on top, scaled back to the brightest pixel; it is the smoother the faster it decays."""
    amount, decay = strength
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    height, width = images.shape[2:]
    cloud = plasma(noise, size=max(height, width), decay=decay)[:, None, :height, :width]
    return (images + amount * cloud) * brightest / (brightest + amount)


def snow(images: Tensor, strength: tuple[float, float, float, float, int, float, float], noise: ChunkNoise) -> Tensor:
    """Flakes that fall, in both directions, before an image that is paler.

    The strength is mean and deviation of the flakes' noise, their magnification, the threshold below which there is
    none, radius and deviation of the fall's blur, and the share of the image that keeps its colours.
    """
    mean, deviation, zoom, threshold, radius, fading, kept = strength
    drawn = mean + deviation * noise.normal("snow", "flakes")[:, :1]
    flakes = magnified(drawn, zoom)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    angles = -math.pi / 4 - math.pi / 2 * noise.uniform("snow", "angle").flatten(1)[:, 0]
    falling = moved(flakes, angles, (radius, fading))
    pale = torch.maximum(images, 1.5 * _grey(images) + 0.5)
    return kept * images + (1 - kept) * pale + falling + falling.rot90(2, dims=(2, 3))


def plasma(noise: ChunkNoise, *, size: int, decay: float) -> Tensor:
    """Fractal clouds by the diamond-square algorithm on a torus, in [0, 1].

    Args:
        noise: of the images.
        size: height and width; the next power of two is drawn.
        decay: the square of it divides the amplitude at every halving of the distance between points.

    Returns:
        (n, power, power).
    """
    step = 2 ** max(1, math.ceil(math.log2(size)))
    grid = torch.zeros(len(noise.indices), step, step, device=noise.indices.device)
    amplitude = 1.0
    while step > 1:
        half = step // 2
        corners = grid[:, ::step, ::step].clone()
        pairs = corners + corners.roll(-1, dims=1)
        centres = (pairs + pairs.roll(-1, dims=2)) / 4 + amplitude * _signed(noise, corners, step, "squares")
        across = centres + centres.roll(1, dims=1) + corners + corners.roll(-1, dims=2)
        along = centres + centres.roll(1, dims=2) + corners + corners.roll(-1, dims=1)
        grid[:, half::step, half::step] = centres
        grid[:, ::step, half::step] = across / 4 + amplitude * _signed(noise, corners, step, "across")
        grid[:, half::step, ::step] = along / 4 + amplitude * _signed(noise, corners, step, "along")
        step, amplitude = half, amplitude / decay**2
    low, high = (found(grid, dim=(1, 2), keepdim=True) for found in (torch.amin, torch.amax))
    return (grid - low) / (high - low).clamp_min(1e-12)


def _signed(noise: ChunkNoise, like: Tensor, *name: str | int) -> Tensor:
    """Uniform in [-1, 1), in a shape that need not be an image's."""
    count, drawn = like[0].numel(), [noise.uniform("plasma", *name, 0).flatten(1)]
    while sum(part.shape[1] for part in drawn) < count:
        drawn.append(noise.uniform("plasma", *name, len(drawn)).flatten(1))
    return 2 * torch.cat(drawn, dim=1)[:, :count].view_as(like) - 1


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] != len(LUMINANCE):
        return images.mean(dim=1, keepdim=True)
    weights = torch.tensor(LUMINANCE, device=images.device, dtype=images.dtype)
    return (images * weights.view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
