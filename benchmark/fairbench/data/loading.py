"""From a suite's `DatasetSource` to a `Dataset`: read, exclude, draw, hold the validation split out, resize, check."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fairbench.data.arrays import Arrays
from fairbench.data.dataset import Dataset, Split
from fairbench.data.npz import read_npz
from fairbench.data.remaining import Remaining, remaining
from fairbench.data.sources import load_source
from fairbench.data.split import hold_out
from fairbench.data.stratified import stratified_subset
from fairbench.errors import UserError
from fairbench.protocol.dataset_source import DatasetSource

VALIDATION_SPLIT = "validation"
"""Name of the split, from which its draws follow; a change is a new protocol version."""

TRAINING_SUBSET = "training images"
"""Name of the draw of `dataset.train_images`; likewise."""


def load_dataset(source: DatasetSource, *, folder: str, data_dir: Path) -> Dataset:
    """The dataset of a suite, on the CPU.

    Args:
        source: of the suite.
        folder: of the suite file, against which `source.file` is resolved.
        data_dir: where downloads live.

    Raises:
        UserError: if it cannot be read or downloaded, or if its content cannot be trained on.
    """
    arrays, origin = _read(source, folder=folder, data_dir=data_dir)
    train = remaining(arrays.train_images, arrays.train_labels, source=source, part="train", origin=origin)
    test = remaining(arrays.test_images, arrays.test_labels, source=source, part="test", origin=origin)
    drawn = _drawn(train.labels, source, origin=origin)
    kept, held = hold_out(train.labels[drawn], share=source.validation, name=VALIDATION_SPLIT)
    if not len(kept):
        raise UserError(f"{source.name}: every class has one training image only; at least two are needed.")

    def split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
        tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        return Split(resized(tensor, source.image_size), torch.from_numpy(labels.copy()))

    return Dataset(
        name=source.name,
        train=split(train.images[drawn[kept]], train.labels[drawn[kept]]),
        validation=split(train.images[drawn[held]], train.labels[drawn[held]]),
        test=split(test.images, test.labels),
        class_names=arrays.class_names,
        test_indices=torch.from_numpy(test.positions) if source.exclude.test else None,
    )


def load_test_images(source: DatasetSource, *, data_dir: Path) -> tuple[Remaining, tuple[str, ...]]:
    """The test images of a suite as they are stored, without those that it excludes; and the class names.

    Args:
        source: a dataset that ships.
        data_dir: where downloads live.

    Raises:
        UserError: as `load_dataset`.
    """
    arrays, origin = _read(source, folder="", data_dir=data_dir)
    images, labels = arrays.test_images, arrays.test_labels
    return remaining(images, labels, source=source, part="test", origin=origin), arrays.class_names


def _read(source: DatasetSource, *, folder: str, data_dir: Path) -> tuple[Arrays, str]:
    """The published splits, and where they came from.

    A file may take a download's place where the suite says what must be in it.
    """
    if source.file:
        path = Path(folder, source.file)
        return read_npz(path), str(path)
    stored = data_dir / f"{source.name}.npz"
    checked = bool(source.pixels.train and source.pixels.test)
    if checked and stored.is_file():
        return read_npz(stored), str(stored)
    try:
        return load_source(source.name, data_dir=data_dir, image_size=source.image_size), source.name
    except UserError as error:
        if not checked:
            raise
        raise UserError(
            f"{error}\nOr put its images there as {stored}, in the format of a dataset file; the suite knows their "
            "SHA-256, so that no other can take their place. Those that it leaves out may be missing or damaged."
        ) from error


def _drawn(labels: NDArray[np.int64], source: DatasetSource, *, origin: str) -> NDArray[np.int64]:
    """Positions of the training images that are used, rising."""
    if not source.train_images:
        return np.arange(len(labels))
    if source.train_images > len(labels):
        raise UserError(
            f"dataset.train_images = {source.train_images} is not allowed: {origin} has {len(labels)} training images "
            "that are not excluded; allowed: as many at most, or 0 for all of them."
        )
    return stratified_subset(labels, limit=source.train_images, name=TRAINING_SUBSET)


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images of that height and width; 0 keeps them. In chunks, because the arithmetic is in float."""
    if size in (0, images.shape[2]) and size in (0, images.shape[3]):
        return images
    from torchvision.transforms.v2.functional import resize  # noqa: PLC0415  most suites resize nothing

    return torch.cat([resize(chunk, [size, size], antialias=True) for chunk in torch.split(images, 1000)])
