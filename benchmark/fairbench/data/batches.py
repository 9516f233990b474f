"""Batches straight from device memory: no worker processes, no copies from the host, every draw from a named stream.

batches = TrainingBatches(train, recipe=suite.recipe, order=order, augmentation=augmentation, views=views)
for batch in batches.epoch(epoch, epochs): ...
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property, partial

import torch
from torch import Tensor

from fairbench.data.augmentation import crop_and_flip, diverse_view
from fairbench.data.dataset import Split
from fairbench.errors import UserError
from fairbench.method.contract import Batch
from fairbench.protocol.recipe import Recipe


def _as_they_come() -> None:
    """No class is drawn."""


class TrainingBatches:
    """The training split in random order, augmented as the recipe says; a short last batch is kept.

    Args:
        split: on the device.
        recipe: batch size, crop and flip.
        order: CPU generator of the permutation of each epoch, and of what is drawn by class instead.
        augmentation: generator of crops and flips, on the device.
        views: generator of further views and passes, on the device; a method that asks for them changes nobody else's
            draws.
    """

    def __init__(
        self,
        split: Split,
        *,
        recipe: Recipe,
        order: torch.Generator,
        augmentation: torch.Generator,
        views: torch.Generator,
    ) -> None:
        self._split = split
        self._recipe = recipe
        self._order = order
        self._augmentation = augmentation
        self._views = views

    def __len__(self) -> int:
        """Steps per epoch."""
        return math.ceil(len(self._split) / self._recipe.batch_size)

    def epoch(
        self, epoch: int, epochs: int, *, sampling: Callable[[], Tensor | None] = _as_they_come
    ) -> Iterator[Batch]:
        """Every image once, or as many as there are, drawn by class.

        Args:
            epoch: 0-based, for the batches' progress only.
            epochs: of the whole training.
            sampling: asked before every batch, see `fairbench.method.sampling.class_shares`; with None a batch takes
                its place in the permutation of the epoch.

        Raises:
            UserError: if only classes without images are to be drawn.
        """
        order = torch.randperm(len(self._split), generator=self._order).to(self._split.images.device)
        for step, permuted in enumerate(torch.split(order, self._recipe.batch_size)):
            shares = sampling()
            indices = permuted if shares is None else self._drawn(shares, len(permuted))
            yield self._batch(indices, progress=(epoch + step / len(self)) / epochs, generator=self._augmentation)

    def in_order(self) -> Iterator[Batch]:
        """Every image once, in the order of the split, augmented from the stream of the views."""
        for indices in torch.split(torch.arange(len(self._split)), self._recipe.batch_size):
            yield self._batch(indices, progress=0.0, generator=self._views)

    def _batch(self, indices: Tensor, *, progress: float, generator: torch.Generator) -> Batch:
        recipe, indices = self._recipe, indices.to(self._split.images.device)
        # Augmentation happens in uint8, at a quarter of the traffic.
        images = crop_and_flip(
            self._split.images[indices], padding=recipe.crop_padding, flip=recipe.flip, generator=generator
        )
        return Batch(
            images=unit(images),
            labels=self._split.labels[indices],
            indices=indices,
            progress=progress,
            view=partial(self._view, indices),
        )

    def _drawn(self, shares: Tensor, count: int) -> Tensor:
        """Positions in the split, (count,): a class by its share, then any of its images."""
        by_class, members = self._classes
        members = torch.nn.functional.pad(members, (0, len(shares) - len(members)))
        shares = shares * (members > 0)
        if not shares.any():
            raise UserError("A method's `sampling` draws only classes that have no training images.")
        classes = torch.multinomial(shares, count, replacement=True, generator=self._order)
        chosen = (torch.rand(count, dtype=torch.float64, generator=self._order) * members[classes]).long()
        return by_class[(members.cumsum(dim=0) - members)[classes] + chosen]

    @cached_property
    def _classes(self) -> tuple[Tensor, Tensor]:
        """Positions sorted by class, (images,), and images per class, on the CPU, where order is drawn."""
        labels = self._split.labels.cpu()
        return labels.argsort(stable=True), labels.bincount()

    def _view(self, indices: Tensor, name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
        images, recipe = self._split.images[indices[rows]], self._recipe
        return unit(
            diverse_view(
                name,
                images,
                padding=recipe.crop_padding,
                flip=recipe.flip,
                generator=self._views,
                strength=strength,
            )
        )


def evaluation_batches(split: Split, batch_size: int) -> Iterator[Batch]:
    """The split as it is, in its order; a short last batch is kept."""
    indices = torch.arange(len(split), device=split.images.device)
    for rows in torch.split(indices, batch_size):
        yield Batch(
            images=unit(split.images[rows]), labels=split.labels[rows], indices=rows, progress=0.0, view=_no_view
        )


def unit(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    return images.float() / 255


def _no_view(name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
    del rows, strength
    raise UserError(f"The view {name!r} exists in training only; these images are not augmented.")
