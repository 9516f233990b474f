"""What is left of a published split: without the images that a suite excludes, and with the pixels that it insists on.

    train = remaining(arrays.train_images, arrays.train_labels, source=source, part="train", origin="cifar10")
    train.images, train.positions       # images[k] was number positions[k] of the published split

A copy that lacks exactly the excluded images is taken for what it is if its digest says so. So whoever has the whole
dataset and whoever has one without its damaged images compute the same.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairbench.errors import UserError
from fairbench.protocol.dataset_source import DatasetSource

PARTS = {"train": "training", "test": "test"}
"""The published splits, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remaining:
    """Images of a published split.

    Attributes:
        images: (n, height, width, channels) uint8.
        labels: (n,) int64.
        positions: in the published split, (n,), rising.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    positions: NDArray[np.int64]


def remaining(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    source: DatasetSource,
    part: Literal["train", "test"],
    origin: str,
) -> Remaining:
    """Leave out what the suite excludes, and check the rest.

    Args:
        images: of the published split, (n, height, width, channels).
        labels: (n,).
        source: says what is excluded, and which digest is expected.
        part: the split.
        origin: where the images came from, for messages.

    Raises:
        UserError: if a position does not exist, or if the images are not those that the suite insists on.
    """
    excluded: tuple[int, ...] = getattr(source.exclude, part)
    expected: str = getattr(source.pixels, part)
    if excluded and expected and pixel_digest(images, labels) == expected:
        published = np.arange(len(labels) + len(excluded))
        return Remaining(images=images, labels=labels, positions=np.setdiff1d(published, excluded))
    if max(excluded, default=-1) >= len(labels):
        raise UserError(
            f"dataset.exclude.{part} has {max(excluded)}, but {origin} has {len(labels)} {PARTS[part]} images; "
            f"allowed: positions from 0 to {len(labels) - 1}."
        )
    positions = np.setdiff1d(np.arange(len(labels)), excluded)
    if not len(positions):
        raise UserError(f"dataset.exclude.{part} leaves none of the {len(labels)} {PARTS[part]} images of {origin}.")
    kept = positions if excluded else slice(None)  # without a copy where nothing is left out
    found = Remaining(images=images[kept], labels=labels[kept], positions=positions)
    digest = pixel_digest(found.images, found.labels) if expected else ""
    if digest != expected:
        raise UserError(
            f"The {PARTS[part]} images of {origin} are not those of the suite: the {len(positions)} that are not "
            f"excluded have the SHA-256 {digest[:16]}..., dataset.pixels.{part} is {expected[:16]}.... They were "
            "changed, are in another order or are not all there; use the published files as they are."
        )
    return found


def pixel_digest(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """SHA-256 of images and labels, as `PixelDigests` describes it."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()
