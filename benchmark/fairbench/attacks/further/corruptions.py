"""Common corruptions: what cameras and files do to images, without an adversary.

After Hendrycks and Dietterich, ICLR 2019 (https://arxiv.org/abs/1903.12261), for images of any size: fourteen of their
fifteen kinds, and the Gaussian blur that they hold out. Frost is missing, which needs photographs of it. The strengths
are those of their CIFAR-10-C, by severity, as its many public copies have them; how a kind is computed is written from
what it is, and need not agree with theirs in every pixel: shot noise is its normal approximation, a zoom is continuous,
glass blur exchanges pixels both ways. There is no ball, so that what they break counts in no column of the threat.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.further.blurs import defocus_blur, gaussian_blur, glass_blur, motion_blur, zoom_blur
from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.further.elastic import elastic
from fairbench.attacks.further.weather import fog, snow
from fairbench.method.hyperparameter import hyperparameter
from fairbench.protocol.threat import Threat

Corruption = Callable[[Tensor, Any, ChunkNoise], Tensor]
"""Images, strength (a number, or several, as the function says) and noise to images."""


def gaussian_noise(images: Tensor, deviation: float, noise: ChunkNoise) -> Tensor:
    """Additive noise of that standard deviation."""
    return images + deviation * noise.normal("gaussian-noise")


def shot_noise(images: Tensor, photons: float, noise: ChunkNoise) -> Tensor:
    """As if white were that many photons; the normal approximation of the Poisson distribution."""
    return images + (images / photons).sqrt() * noise.normal("shot-noise")


def impulse_noise(images: Tensor, share: float, noise: ChunkNoise) -> Tensor:
    """That share of all values is black or white."""
    drawn = noise.uniform("impulse-noise")
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn < share, 1.0, images))


def brightness(images: Tensor, more: float, noise: ChunkNoise) -> Tensor:
    """The largest channel rises by so much, hue and saturation stay."""
    del noise
    value = images.amax(dim=1, keepdim=True)
    return torch.where(value > 0, images * (value + more).clamp(max=1) / value.clamp_min(1e-12), more)


def contrast(images: Tensor, factor: float, noise: ChunkNoise) -> Tensor:
    """Distances from each channel's mean shrink to that share."""
    del noise
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + factor * (images - mean)


def pixelate(images: Tensor, scale: float, noise: ChunkNoise) -> Tensor:
    """Down to that share of height and width, and back."""
    del noise
    height, width = images.shape[2:]
    smaller = (max(1, int(height * scale)), max(1, int(width * scale)))
    return F.interpolate(F.interpolate(images, size=smaller, mode="area"), size=(height, width), mode="nearest")


def jpeg(images: Tensor, quality: float, noise: ChunkNoise) -> Tensor:
    """Stored as a JPEG file of that quality; channels one by one, unless there are three."""
    del noise
    pictures = images if images.shape[1] == 3 else images.flatten(0, 1).unsqueeze(1)
    stored = []
    for pixels in (255 * pictures).round().clamp(0, 255).to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy():
        file = BytesIO()
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(file, "JPEG", quality=int(quality))
        stored.append(torch.from_numpy(np.array(Image.open(file))).view(*pixels.shape).permute(2, 0, 1))
    return (torch.stack(stored).to(images.device, images.dtype) / 255).view_as(images)


FLAKES = (
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)
"""Of every severity, as `snow` reads them."""

KINDS: Mapping[str, tuple[Corruption, tuple[Any, ...]]] = MappingProxyType(
    {
        "gaussian-noise": (gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
        "shot-noise": (shot_noise, (500, 250, 100, 75, 50)),
        "impulse-noise": (impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
        "gaussian-blur": (gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
        "brightness": (brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
        "contrast": (contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
        "pixelate": (pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
        "jpeg": (jpeg, (80, 65, 58, 50, 40)),
        "defocus-blur": (defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
        "glass-blur": (glass_blur, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))),
        "motion-blur": (motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
        "zoom-blur": (zoom_blur, (7, 12, 16, 21, 26)),
        "snow": (snow, FLAKES),
        "fog": (fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
        "elastic": (
            elastic,
            ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ),
    }
)
"""By name, with the strength of every severity."""


@dataclass(frozen=True, kw_only=True)
class Corruptions:
    """Every kind once at one severity; an image counts as correct if it is under all of them."""

    severity: int = hyperparameter(3, "from 1 to 5", at_least=1, at_most=5)
    kind: str = hyperparameter("all", "which", choices=("all", *KINDS))

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise
    ) -> Iterator[Tensor]:
        """The corrupted images, kind after kind."""
        del model, labels, threat
        for name, (corrupt, strengths) in KINDS.items():
            if self.kind in ("all", name):
                yield corrupt(images, strengths[self.severity - 1], noise).clamp(0, 1)

    @staticmethod
    def ball(images: Tensor, threat: Threat) -> Ball:
        """Every image: there is no adversary to bound."""
        del threat
        return Ball("Linf", images, 1.0)
