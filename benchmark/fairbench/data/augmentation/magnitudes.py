"""How much each operation does at each magnitude: the scales of RandAugment, AutoAugment and TrivialAugment."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Amounts that grow in equal steps from nothing, at magnitude 0, to these, at the last magnitude.

    Attributes:
        magnitudes: how many there are.
        shear: tangent.
        across: pixels to the side.
        down: pixels downwards.
        rotation: degrees.
        colour: of brightness, saturation, contrast and sharpness, relative to the image.
        bits: that posterize takes away, of 8.
    """

    magnitudes: int
    shear: float
    across: float
    down: float
    rotation: float
    colour: float
    bits: int

    def amounts(self, device: torch.device) -> Tensor:
        """(operations, magnitudes) float32, in the order of `OPERATIONS`; zeros for operations without an amount."""
        share = torch.linspace(0, 1, self.magnitudes)
        nothing = torch.zeros_like(share)
        lasts = (self.shear, self.shear, self.across, self.down, self.rotation, *[self.colour] * 4)
        directed = [torch.linspace(0, last, self.magnitudes) for last in lasts]
        kept = (8 - torch.arange(self.magnitudes) / ((self.magnitudes - 1) / self.bits)).round()
        threshold = torch.linspace(1, 0, self.magnitudes)
        return torch.stack([nothing, *directed, kept, threshold, nothing, nothing, nothing]).to(device)


def signs(count: int, *, generator: torch.Generator) -> Tensor:
    """-1 or 1, (count,) float32, equally often."""
    return 2.0 * torch.randint(2, (count,), generator=generator, device=generator.device) - 1
