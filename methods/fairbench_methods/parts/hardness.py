"""Which images are hard: by the value of a measurement, in a batch or in the whole training split, now or before."""

import math
from dataclasses import dataclass

import torch
from scipy.stats import spearmanr
from torch import Tensor

from fairbench import ClassMeans

NEVER = -1.0
"""What the record says of an image that was not visited yet; every hardness is at least 0."""


def entropy(logits: Tensor) -> Tensor:
    """Of the prediction, in nats, (batch,)."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class HardRule:
    """Which of some values are high.

    Attributes:
        name: `fraction`, `above-mean` or `threshold`.
        fraction: share of the values; rounded up to a whole number of them.
        threshold: in the unit of the values.
    """

    name: str
    fraction: float
    threshold: float

    def hard(self, values: Tensor) -> Tensor:
        """The mask of the hard ones, (n,); of two equal values the earlier one is harder."""
        if self.name == "above-mean":
            return values > values.mean()
        if self.name == "threshold":
            return values > self.threshold
        # Rounding first: in floating point 0.28 * 25 is a little more than 7.
        count = math.ceil(round(self.fraction * len(values), 9))
        hardest = values.argsort(descending=True, stable=True)[:count]
        return torch.zeros_like(values, dtype=torch.bool).index_fill(0, hardest, value=True)


class HardnessRecord:
    """What is remembered of every image between its visits.

    Args:
        images: in the training split.
        decay: share that the memory keeps at a new visit; the first visit counts in full.
        device: where the batches are.
    """

    def __init__(self, images: int, *, decay: float, device: torch.device) -> None:
        self.values = torch.full((images,), NEVER, device=device)
        self._decay = decay

    @property
    def complete(self) -> bool:
        """Whether every image was visited."""
        return bool((self.values != NEVER).all())

    def visit(self, indices: Tensor, values: Tensor) -> None:
        """Take up new values of these images, (batch,) each."""
        before = self.values[indices]
        averaged = torch.lerp(values, before, self._decay)
        self.values[indices] = torch.where(before == NEVER, values, averaged)


class HardnessHistory:
    """What an epoch shows of hard images, by class.

    Args:
        classes: number of classes.
        device: where the batches are.
    """

    def __init__(self, classes: int, *, device: torch.device) -> None:
        self._rate, self._hardness, self._accuracy = (ClassMeans(classes, device=device) for _ in range(3))
        self._by_choice = ClassMeans(2, device=device)  # hardness of the images left alone, and of the chosen

    def add_choice(self, labels: Tensor, hardness: Tensor, rows: Tensor) -> None:
        """A batch of which these rows were chosen."""
        chosen = torch.zeros_like(labels).index_fill(0, rows, 1)
        self._rate.add(labels, chosen)
        self._hardness.add(labels, hardness)
        self._by_choice.add(chosen, hardness)

    def add_attacked(self, labels: Tensor, logits: Tensor) -> None:
        """The training forward of the images as they were attacked: basic views, or diverse ones in their place."""
        self._accuracy.add(labels, logits.argmax(dim=1) == labels)

    def close(self) -> dict[str, float | list[float]]:
        """The epoch's means, 0 for a class that was absent; nothing if nothing was chosen from. Forgets the epoch.

        `chosen_hardness` is the mean of the chosen images, in which wrong labels gather. The last entry, left out where
        classes have no order, is the rank correlation, over the classes, of hardness and accuracy under attack. That is
        the accuracy in training. Where diverse views replace basic ones, it is lower for classes that are chosen more
        often, so that some of a negative correlation is the choice itself.
        """
        by_class = {
            "augmentation_rate": self._rate,
            "hardness": self._hardness,
            "attacked_accuracy": self._accuracy,
        }
        history: dict[str, float | list[float]] = {}
        if bool(self._hardness.counts.any()):
            history |= {name: means.mean().nan_to_num(0.0).tolist() for name, means in by_class.items()}
            history["chosen_hardness"] = float(self._by_choice.mean().nan_to_num(0.0)[1])
            correlation = rank_correlation(self._hardness.mean(), self._accuracy.mean())
            if correlation is not None:
                history["hardness_accuracy_correlation"] = correlation
        for means in (*by_class.values(), self._by_choice):
            means.reset()
        return history


def class_matched(order: Tensor, labels: Tensor, *, wanted: Tensor) -> Tensor:
    """The first `wanted[c]` rows of every class c, in this order."""
    grouped = order[labels[order].argsort(stable=True)]
    sizes = torch.bincount(labels, minlength=len(wanted))
    first = (sizes.cumsum(0) - sizes)[labels[grouped]]
    rank = torch.arange(len(labels), device=labels.device) - first
    return grouped[rank < wanted[labels[grouped]]]


def rank_correlation(first: Tensor, second: Tensor) -> float | None:
    """Spearman's correlation of two vectors, in [-1, 1]; ties share their mean rank.

    Pairs with a NaN (a class without images) are left out. None if one vector is constant in the rest: there is no
    order to compare.
    """
    known = ~(first.isnan() | second.isnan())
    pair = [values[known].cpu().numpy() for values in (first, second)]
    if any(len(set(values)) < 2 for values in pair):
        return None
    return float(spearmanr(*pair).statistic)
