"""From a suite's `DatasetSource` to a `Dataset`: read, resize, hold the validation split out, check."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fairbench.data.dataset import Dataset, Split
from fairbench.data.npz import read_npz
from fairbench.data.sources import load_source
from fairbench.data.split import hold_out
from fairbench.errors import UserError
from fairbench.protocol.suite import DatasetSource

VALIDATION_SPLIT = "validation"
"""Name of the split, from which its draws follow; a change is a new protocol version."""


def load_dataset(source: DatasetSource, *, folder: str, data_dir: Path) -> Dataset:
    """The dataset of a suite, on the CPU.

    Args:
        source: of the suite.
        folder: of the suite file, against which `source.file` is resolved.
        data_dir: where downloads live.

    Raises:
        UserError: if it cannot be read or downloaded, or if its content cannot be trained on.
    """
    if source.file:
        arrays = read_npz(Path(folder, source.file))
    else:
        arrays = load_source(source.name, data_dir=data_dir, image_size=source.image_size)
    kept, held = hold_out(arrays.train_labels, share=source.validation, name=VALIDATION_SPLIT)
    if not len(kept):
        raise UserError(f"{source.name}: every class has one training image only; at least two are needed.")

    def split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
        tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        return Split(resized(tensor, source.image_size), torch.from_numpy(labels.copy()))

    return Dataset(
        name=source.name,
        train=split(arrays.train_images[kept], arrays.train_labels[kept]),
        validation=split(arrays.train_images[held], arrays.train_labels[held]),
        test=split(arrays.test_images, arrays.test_labels),
        class_names=arrays.class_names,
    )


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images of that height and width; 0 keeps them. In chunks, because the arithmetic is in float."""
    if size in (0, images.shape[2]) and size in (0, images.shape[3]):
        return images
    from torchvision.transforms.v2.functional import resize  # noqa: PLC0415  most suites resize nothing

    return torch.cat([resize(chunk, [size, size], antialias=True) for chunk in torch.split(images, 1000)])
