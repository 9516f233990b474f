"""Batches straight from device memory: no worker processes, no copies from the host, every draw from a named stream.

batches = TrainingBatches(train, recipe=suite.recipe, order=order, augmentation=augmentation, views=views)
for batch in batches.epoch(epoch, epochs): ...
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from fairbench.data.augmentation import crop_and_flip, diverse_view
from fairbench.data.dataset import Split
from fairbench.errors import UserError
from fairbench.method.contract import Batch
from fairbench.protocol.suite import Recipe


class TrainingBatches:
    """The training split in random order, augmented as the recipe says; a short last batch is kept.

    Args:
        split: on the device.
        recipe: batch size, crop and flip.
        order: CPU generator of the permutation of each epoch.
        augmentation: generator of crops and flips, on the device.
        views: generator of further views, on the device; a method that asks for them changes nobody else's draws.
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

    def epoch(self, epoch: int, epochs: int) -> Iterator[Batch]:
        """Every image once.

        Args:
            epoch: 0-based, for the batches' progress only.
            epochs: of the whole training.
        """
        order = torch.randperm(len(self._split), generator=self._order).to(self._split.images.device)
        for step, indices in enumerate(torch.split(order, self._recipe.batch_size)):
            yield Batch(
                images=self._cropped(self._split.images[indices]),
                labels=self._split.labels[indices],
                indices=indices,
                progress=(epoch + step / len(self)) / epochs,
                view=partial(self._view, indices),
            )

    def _cropped(self, images: Tensor) -> Tensor:
        """Augmentation happens in uint8, at a quarter of the traffic."""
        recipe = self._recipe
        return unit(crop_and_flip(images, padding=recipe.crop_padding, flip=recipe.flip, generator=self._augmentation))

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
