"""Normalisation as the first layer of the model, so that attacks see pixels in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """A network behind (images - mean) / std; both are buffers and travel with the weights.

    Args:
        network: takes normalised images.
        mean: per channel, in units of [0, 1].
        std: per channel, same unit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        assert all(value > 0 for value in std)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of images (batch, channels, height, width) in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits
