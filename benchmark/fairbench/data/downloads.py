"""Datasets that torchvision fetches: CIFAR-10, CIFAR-100, SVHN, MNIST, Fashion-MNIST and Imagenette.

Torchvision knows the addresses, the file formats and (for CIFAR and SVHN) the checksums. This module adds what a long
unattended run needs: one download at a time per folder, and an error that says which folder, which file and which
command. Nothing of torchvision is imported before a dataset is loaded.
"""

import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from os import W_OK, access
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from fairbench.data.arrays import Arrays
from fairbench.data.fashion_mnist import load_fashion_mnist
from fairbench.errors import UserError

_IMAGENETTE_SIZE = 160
_IMAGENETTE_COUNTS = {"train": 9469, "val": 3925}

# What torchvision raises without a network, for a broken archive, and for a file that is not what its name says.
_FAILURES = (
    OSError,
    HTTPException,
    RuntimeError,
    EOFError,
    tarfile.TarError,
    zlib.error,
    pickle.UnpicklingError,
    AssertionError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """How one dataset is read.

    Attributes:
        load: from its folder, and the size of its images where they have none of their own; may download.
        damaged: files of the folder that are there but not what they should be.
        kind: its class in `torchvision.datasets`.
        fetch: an expression that downloads it, for people, with `{folder}` to fill in.
        package: of Debian that has it too, or "".
    """

    load: Callable[[Path, int], Arrays]
    damaged: Callable[[Path], list[Path]]
    kind: str
    fetch: str
    package: str = ""


def load_download(name: str, *, data_dir: Path, image_size: int) -> Arrays:
    """A dataset of `DOWNLOADS`, fetched into `data_dir/name` if it is not there.

    Raises:
        UserError: if it is neither there nor to be had, or if a file is damaged.
    """
    download, folder = DOWNLOADS[name], data_dir / name
    try:
        with _alone(folder):
            return download.load(folder, image_size)
    except UserError:
        raise
    except _FAILURES as error:
        damaged = ", ".join(map(str, download.damaged(folder)))
        reason = " ".join(str(error).split()) or type(error).__name__
        fetch = download.fetch.format(folder=str(folder))
        raise UserError(
            f"Cannot load {name} from {folder}: {reason.rstrip('.')}."
            + (f" Damaged, to be deleted: {damaged}." if damaged else "")
            + " To fetch it by hand, where there is a network:\n"
            f'  python -c "from torchvision.datasets import {download.kind}; {fetch}"'
            + (f"\nDebian has it too: apt-get install {download.package}" if download.package else "")
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; a folder that cannot be written needs no lock, because nobody downloads into it."""
    if folder.is_dir() and not access(folder, W_OK):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def _cifar(folder: Path, _size: int, *, kind: str) -> Arrays:
    from torchvision import datasets  # noqa: PLC0415

    train, test = (getattr(datasets, kind)(folder, train=train, download=True) for train in (True, False))
    return Arrays(
        train_images=train.data,
        train_labels=np.asarray(train.targets, dtype=np.int64),
        test_images=test.data,
        test_labels=np.asarray(test.targets, dtype=np.int64),
        class_names=tuple(train.classes),
    )


def _cifar_damaged(folder: Path, *, kind: str) -> list[Path]:
    from torchvision import datasets  # noqa: PLC0415

    found = getattr(datasets, kind)
    return _wrong_checksum({folder / found.base_folder / name: md5 for name, md5 in found.train_list + found.test_list})


def _svhn(folder: Path, _size: int) -> Arrays:
    from torchvision.datasets import SVHN  # noqa: PLC0415

    train, test = (SVHN(folder, split=split, download=True) for split in ("train", "test"))
    return Arrays(
        train_images=train.data.transpose(0, 2, 3, 1),
        train_labels=train.labels,
        test_images=test.data.transpose(0, 2, 3, 1),
        test_labels=test.labels,
        class_names=tuple("0123456789"),
    )


def _svhn_damaged(folder: Path) -> list[Path]:
    from torchvision.datasets import SVHN  # noqa: PLC0415

    return _wrong_checksum({folder / name: md5 for _, name, md5 in map(SVHN.split_list.get, ("train", "test"))})


def _wrong_checksum(checksums: dict[Path, str]) -> list[Path]:
    from torchvision.datasets.utils import check_integrity  # noqa: PLC0415

    return [path for path, md5 in checksums.items() if path.exists() and not check_integrity(path, md5)]


def _mnist(folder: Path, _size: int) -> Arrays:
    from torchvision.datasets import MNIST  # noqa: PLC0415

    train, test = (MNIST(folder, train=train, download=True) for train in (True, False))
    return Arrays(
        train_images=train.data.numpy()[..., np.newaxis],
        train_labels=train.targets.numpy(),
        test_images=test.data.numpy()[..., np.newaxis],
        test_labels=test.targets.numpy(),
        class_names=tuple("0123456789"),
    )


def _mnist_damaged(folder: Path) -> list[Path]:
    """The extracted files carry no checksum, but a header that says how long they are."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor  # noqa: PLC0415

    def damaged(path: Path) -> bool:
        try:
            read_sn3_pascalvincent_tensor(str(path))
        except _FAILURES:
            return True
        return False

    return [path for path in sorted((folder / "MNIST" / "raw").glob("*-ubyte")) if damaged(path)]


def _imagenette(folder: Path, size: int) -> Arrays:
    from torchvision.datasets import Imagenette  # noqa: PLC0415

    loader = partial(_fitted, size=size or _IMAGENETTE_SIZE)
    parts: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}
    for split, expected in _IMAGENETTE_COUNTS.items():
        images = Imagenette(folder, split=split, size="160px", download=True, loader=loader)
        if len(images) != expected:  # torchvision takes any existing folder for a complete one
            raise UserError(
                f"{folder} has {len(images)} images of Imagenette's split {split!r} instead of {expected}: "
                "its extraction was interrupted. Delete the folder and run again."
            )
        pixels, labels = zip(*(images[i] for i in range(expected)), strict=True)
        parts[split] = np.stack(pixels), np.asarray(labels, dtype=np.int64)
    return Arrays(
        train_images=parts["train"][0],
        train_labels=parts["train"][1],
        test_images=parts["val"][0],
        test_labels=parts["val"][1],
        class_names=tuple(synonyms[0] for synonyms in images.classes),
    )


def _fitted(path: str, *, size: int) -> NDArray[np.uint8]:
    """The shorter side resized to `size`, the longer one cropped in its centre."""
    from PIL import Image, ImageOps  # noqa: PLC0415

    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), method=Image.Resampling.BILINEAR))
    except OSError as error:
        raise UserError(
            f"{path} is not a readable image ({error}); delete its dataset's folder and run again."
        ) from error


def _cannot_tell(_folder: Path) -> list[Path]:
    return []


def _cifar_download(kind: str) -> Download:
    return Download(
        load=partial(_cifar, kind=kind),
        damaged=partial(_cifar_damaged, kind=kind),
        kind=kind,
        fetch=kind + "({folder!r}, download=True)",
    )


DOWNLOADS: dict[str, Download] = {
    "cifar10": _cifar_download("CIFAR10"),
    "cifar100": _cifar_download("CIFAR100"),
    "fashion-mnist": Download(
        load=load_fashion_mnist,
        damaged=_cannot_tell,  # loading tells
        kind="FashionMNIST",
        fetch="FashionMNIST({folder!r}, download=True)",
        package="dataset-fashion-mnist",
    ),
    "imagenette": Download(
        load=_imagenette,
        damaged=_cannot_tell,
        kind="Imagenette",
        fetch="Imagenette({folder!r}, size='160px', download=True)",
    ),
    "mnist": Download(load=_mnist, damaged=_mnist_damaged, kind="MNIST", fetch="MNIST({folder!r}, download=True)"),
    "svhn": Download(
        load=_svhn,
        damaged=_svhn_damaged,
        kind="SVHN",
        fetch="[SVHN({folder!r}, split=split, download=True) for split in ('train', 'test')]",
    ),
}
"""The datasets that torchvision fetches, by their names in a suite."""
