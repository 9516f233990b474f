"""Any dataset as one `.npz` file, checked array by array before anything is trained.

    np.savez("flowers.npz",
        train_images=...,       # uint8 (n, height, width, channels) with 1 or 3 channels, or (n, height, width)
        train_labels=...,       # integers (n,), from 0
        test_images=..., test_labels=...,
        class_names=...)        # optional: strings (classes,)

Other arrays in the file are not read. Pickled objects are refused, so that a dataset from a stranger is only data.
"""

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from fairbench.data.arrays import Arrays
from fairbench.data.class_names import checked_class_names
from fairbench.errors import UserError

_TRAIN, _TEST = ("train_images", "train_labels"), ("test_images", "test_labels")


def read_npz(path: Path, *, test_only: bool = False) -> Arrays:
    """Read and check a dataset file.

    Args:
        path: of the file.
        test_only: nothing is trained on it: the training arrays are not read, may be absent, and are empty.

    Raises:
        UserError: naming the file, the array, what was found and what is allowed.
    """
    try:
        with path.open("rb") as stream, _opened(stream, path) as file:
            return _read(file, path, test_only=test_only)
    except OSError as error:
        raise UserError(f"Cannot read the dataset {path}: {error.strerror or error}.") from error


def _opened(stream: BinaryIO, path: Path) -> NpzFile:
    try:
        file = np.load(stream, allow_pickle=False)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path} is no .npz file, or it is truncated ({error}).") from error
    except ValueError as error:  # numpy takes it for a pickle, and advises to run it
        raise UserError(f"{path} is no .npz file; write a dataset with np.savez.") from error
    if not isinstance(file, NpzFile):
        raise UserError(f"{path} holds a single array; write a dataset with np.savez.")
    return file


def _read(file: NpzFile, path: Path, *, test_only: bool) -> Arrays:
    required = _TEST if test_only else (*_TRAIN, *_TEST)
    missing = [name for name in required if name not in file.files]
    if missing:
        raise UserError(
            f"{path} has no array {missing[0]!r}; it has: {', '.join(file.files) or 'nothing'}. "
            f"Needed: {', '.join(required)}, and optionally class_names."
        )
    test_images = _images(file, path, "test_images")
    test_labels = _labels(file, path, "test_labels", count=len(test_images))
    train_images, train_labels = test_images[:0], test_labels[:0]
    if not test_only:
        train_images = _images(file, path, "train_images")
        train_labels = _labels(file, path, "train_labels", count=len(train_images))
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"{path}: 'train_images' has images of shape {train_images.shape[1:]}, 'test_images' of "
            f"{test_images.shape[1:]}; they must be alike (height, width, channels)."
        )
    naming = ("test_labels", test_labels) if test_only else ("train_labels", train_labels)
    class_names = _class_names(file, path, *naming)
    for name, labels in (("train_labels", train_labels), ("test_labels", test_labels)):
        if len(labels) and (labels.min() < 0 or labels.max() >= len(class_names)):
            raise UserError(
                f"{path}: {name!r} goes from {labels.min()} to {labels.max()}; allowed: 0 to {len(class_names) - 1}, "
                f"for {len(class_names)} classes."
            )
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
    )


def _array(file: NpzFile, path: Path, name: str) -> NDArray[np.generic]:
    try:
        return np.asarray(file[name])
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise UserError(f"{path}: the array {name!r} is damaged ({error}).") from error
    except ValueError as error:
        raise UserError(
            f"{path}: the array {name!r} is damaged or holds pickled objects, which could run code ({error}). Numbers "
            "are stored by astype(np.int64), strings by astype(str)."
        ) from error


def _images(file: NpzFile, path: Path, name: str) -> NDArray[np.uint8]:
    """(n, height, width, channels), with the channel of a greyscale array added."""
    images = _array(file, path, name)
    grey = images.ndim == 3
    if images.dtype != np.uint8 or not (grey or (images.ndim == 4 and images.shape[3] in (1, 3))) or 0 in images.shape:
        raise UserError(
            f"{path}: {name!r} has shape {images.shape} and type {images.dtype}; allowed: "
            "(n, height, width, channels) with 1 or 3 channels, or (n, height, width), of type uint8, not empty."
            f"{_pixel_advice(images)}"
        )
    pixels = images.astype(np.uint8, copy=False)
    return pixels[..., np.newaxis] if grey else pixels


def _pixel_advice(images: NDArray[np.generic]) -> str:
    """How to make pixels of what is in their place, where that is plain."""
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        return " Channels seem to come first: transpose(0, 2, 3, 1)."
    if images.dtype.kind not in "iuf" or images.dtype == np.uint8 or images.size == 0:
        return ""
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        return " Of pixels in [0, 1], make levels by (255 * images).round().astype(np.uint8)."
    return " Store them by astype(np.uint8)." if low >= 0 and high <= np.iinfo(np.uint8).max else ""


def _labels(file: NpzFile, path: Path, name: str, *, count: int) -> NDArray[np.int64]:
    labels = _array(file, path, name)
    if labels.shape == (count, 1):  # a column, as MedMNIST has it
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise UserError(
            f"{path}: {name!r} has shape {labels.shape} and type {labels.dtype}; "
            f"allowed: ({count},) of an integer type, one label for every image.{_advice(labels, count)}"
        )
    if labels.dtype.kind == "u" and labels.size and labels.max() > np.iinfo(np.int64).max:
        raise UserError(f"{path}: {name!r} has the label {labels.max()}; allowed: 0 to classes - 1.")
    return labels.astype(np.int64)


def _advice(labels: NDArray[np.generic], count: int) -> str:
    """How to make labels of what is in their place, where that is plain."""
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        return " Of one column per class, make labels by argmax(axis=1)."
    if labels.dtype.kind in "US":
        return " Number them: class_names, labels = np.unique(labels, return_inverse=True), and store both."
    whole = labels.shape == (count,) and labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels))
    return " Store them by astype(np.int64)." if whole else ""


def _class_names(file: NpzFile, path: Path, array: str, labels: NDArray[np.int64]) -> tuple[str, ...]:
    """The file's names, or the labels of the array themselves."""
    present = np.unique(labels)
    if "class_names" not in file.files:
        expected = np.arange(len(present))
        if not np.array_equal(present, expected):
            stray = present[present != expected][0]
            named = ", or any of them with an array 'class_names'" if array == "test_labels" else ""
            raise UserError(
                f"{path}: {array!r} has the label {stray} but not every label below it; "
                f"allowed: 0 to classes - 1, each at least once{named}."
            )
        return tuple(map(str, present))
    names = _array(file, path, "class_names")
    if names.dtype.kind != "U" or names.ndim != 1:
        raise UserError(
            f"{path}: 'class_names' has shape {names.shape} and type {names.dtype}; allowed: (classes,) strings."
            f"{' Store them by astype(str).' if names.dtype.kind == 'S' else ''}"
        )
    if len(names) != len(present) and array == "train_labels":
        raise UserError(
            f"{path}: 'class_names' has {len(names)} names, but 'train_labels' has {len(present)} different labels; "
            "they must agree."
        )
    return checked_class_names(names, given=f"{path}: the class names")
