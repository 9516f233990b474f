"""A dataset in memory: three splits of uint8 images that live on the device, a quarter of the size of floats.

    dataset = load_dataset(suite.dataset, folder=suite.folder, data_dir=Path("data"))     # fairbench.data.loading
    dataset.train.to(device)                                  # uint8 (n, channels, height, width), labels (n,)
    build_model(suite.model, classes=dataset.classes, channels=dataset.channels, size=dataset.size,
                mean=dataset.mean, std=dataset.std)

What reaches training has been checked here: shapes, types, label range, and that no class is empty.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fairbench.errors import UserError


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Images and their labels.

    Attributes:
        images: (n, channels, height, width) uint8; 255 is 1.0.
        labels: (n,) int64.

    Raises:
        UserError: for other shapes or types, or if there is no image.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise UserError(
                f"images of shape {tuple(self.images.shape)} and type {self.images.dtype} are not allowed; "
                "allowed: (n, channels, height, width) of type torch.uint8."
            )
        if self.labels.shape != (len(self.images),) or self.labels.dtype != torch.int64:
            raise UserError(
                f"labels of shape {tuple(self.labels.shape)} and type {self.labels.dtype} are not allowed; "
                f"allowed: ({len(self.images)},) of type torch.int64, one for every image."
            )
        if not len(self.images):
            raise UserError("a split without images is not allowed.")

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "Split":
        """The split on that device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Everything a run sees: training, validation and test, with the names of the classes.

    Attributes:
        name: as in the suite.
        train: what methods train on, after the validation split was taken out.
        validation: held out of the published training set, the same for every method.
        test: the published test set; nothing is ever chosen on it.
        class_names: by label.
        test_indices: positions of the test images in the published test set, (m,) int64, rising; None if it is whole.

    Raises:
        UserError: if images differ in shape, a label is out of range, or a class has no image in a split.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    test_indices: Tensor | None = None

    def __post_init__(self) -> None:
        if self.classes < 2 or len(set(self.class_names)) != self.classes:
            raise UserError(
                f"{self.name}: the class names {list(self.class_names)} are not allowed; "
                "allowed: two or more different names."
            )
        for part in ("train", "validation", "test"):
            split: Split = getattr(self, part)
            if split.images.shape[1:] != self.train.images.shape[1:]:
                raise UserError(
                    f"{self.name}: {part} images have shape {tuple(split.images.shape[1:])}, train images "
                    f"{tuple(self.train.images.shape[1:])}; all must be alike."
                )
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.classes:
                raise UserError(
                    f"{self.name}: {part} labels go from {low} to {high}; allowed: 0 to {self.classes - 1}, "
                    f"for {self.classes} classes."
                )
            counts = split.labels.bincount(minlength=self.classes).tolist()
            if 0 in counts:
                empty = counts.index(0)
                raise UserError(
                    f"{self.name}: class {empty} ({self.class_names[empty]}) has no {part} image; every class needs "
                    "one in each split, and two before the validation split is taken."
                )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Number of colour channels, 1 or 3."""
        return self.train.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.train.images.shape[2], self.train.images.shape[3]

    @property
    def train_counts(self) -> tuple[int, ...]:
        """Training images per class."""
        return tuple(self.train.labels.bincount(minlength=self.classes).tolist())

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel of the training split, in units of [0, 1]."""
        return tuple(mean for mean, _ in self._moments)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel of the training split, same unit; 1 for a constant channel."""
        return tuple(std for _, std in self._moments)

    @cached_property
    def _moments(self) -> list[tuple[float, float]]:
        return [_moments(self.train.images[:, channel]) for channel in range(self.channels)]


def _moments(values: Tensor) -> tuple[float, float]:
    """Mean and standard deviation over 255, from integer sums: the same on every machine and device."""
    counts = values.flatten().bincount(minlength=256).tolist()
    pixels = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    variance = (pixels * squares - total * total) / pixels**2
    return total / pixels / 255, (variance**0.5 / 255) or 1.0
