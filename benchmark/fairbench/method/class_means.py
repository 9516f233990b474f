"""Per-class means over an epoch: the memory of methods whose next epoch depends on this one.

    means = ClassMeans(classes, device=device)
    means.add(labels, losses)          # once per batch; absent classes are fine
    next_weights = f(means.mean())     # at the end of the epoch
    means.reset()

Sums and counts are float64, so that unbalanced classes and short last batches are exact (several released codes divide
by N / C, which is right on balanced data only).
"""

import torch
from torch import Tensor


class ClassMeans:
    """Running sums and counts of a per-image value, by class."""

    def __init__(self, classes: int, *, device: torch.device | str = "cpu") -> None:
        self.sums = torch.zeros(classes, dtype=torch.float64, device=device)
        self.counts = torch.zeros(classes, dtype=torch.float64, device=device)

    def add(self, labels: Tensor, values: Tensor) -> None:
        """Add one value per image, (batch,); no gradient is kept."""
        self.sums.index_add_(0, labels, values.detach().double())
        self.counts.index_add_(0, labels, torch.ones_like(values, dtype=torch.float64))

    def mean(self) -> Tensor:
        """Class means, (classes,) float64; NaN for a class without images."""
        return self.sums / self.counts

    def reset(self) -> None:
        """Forget everything, for the next epoch."""
        self.sums.zero_()
        self.counts.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Sums and counts, for the checkpoint."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up sums and counts saved by `state_dict`."""
        self.sums.copy_(state["sums"])
        self.counts.copy_(state["counts"])
