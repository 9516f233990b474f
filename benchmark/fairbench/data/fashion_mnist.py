"""Fashion-MNIST from torchvision's download or from Debian's package `dataset-fashion-mnist`, the same bytes in both.

Torchvision checks the packed files as they come and nothing afterwards, and Debian packs them anew. So what is pinned
here are the raw bytes, read from the first of these places that has a file:

    DATA/fashion-mnist/FashionMNIST/raw/        torchvision's folder, unpacked or not
    /usr/share/datasets/fashion-mnist/          apt-get install dataset-fashion-mnist
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairbench.data.arrays import Arrays
from fairbench.errors import UserError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package puts it."""

_IMAGES = {"train": 60_000, "t10k": 10_000}
_SIZE = 28
_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def load_fashion_mnist(folder: Path, _size: int) -> Arrays:
    """The dataset, downloaded into the folder if it is nowhere.

    Raises:
        UserError: if a file is damaged.
    """
    if not all(map(_places(folder).__contains__, _SHA256)):
        from torchvision.datasets import FashionMNIST  # noqa: PLC0415

        FashionMNIST(folder, download=True)
    places = _places(folder)
    raw = {name: _raw(places[name], sha256=sha256) for name, sha256 in _SHA256.items()}
    return Arrays(
        train_images=_images(raw["train-images-idx3-ubyte"], count=_IMAGES["train"]),
        train_labels=_labels(raw["train-labels-idx1-ubyte"]),
        test_images=_images(raw["t10k-images-idx3-ubyte"], count=_IMAGES["t10k"]),
        test_labels=_labels(raw["t10k-labels-idx1-ubyte"]),
        class_names=_CLASS_NAMES,
    )


def _places(folder: Path) -> dict[str, Path]:
    """The first file that there is, by name."""
    own = folder / "FashionMNIST" / "raw"
    candidates = {name: (own / name, own / f"{name}.gz", DEBIAN / f"{name}.gz") for name in _SHA256}
    found = {name: next(filter(Path.is_file, paths), None) for name, paths in candidates.items()}
    return {name: path for name, path in found.items() if path is not None}


def _raw(path: Path, *, sha256: str) -> bytes:
    """The unpacked content of a file, which must be the published one."""
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        damage = "" if hashlib.sha256(content).hexdigest() == sha256 else "its bytes are not the published ones"
    except (OSError, EOFError, zlib.error) as error:
        damage = str(error)
    if damage:
        cure = (
            "apt-get install --reinstall dataset-fashion-mnist puts it right"
            if path.is_relative_to(DEBIAN)
            else "delete it and run again"
        )
        raise UserError(
            f"{path} is damaged ({damage.rstrip('.')}); unpacked, it must have the SHA-256 {sha256[:16]}.... To go on, "
            f"{cure}."
        )
    return content


def _images(content: bytes, *, count: int) -> NDArray[np.uint8]:
    """After a header of 16 bytes, (count, height, width, 1)."""
    return np.frombuffer(content, np.uint8, offset=16).reshape(count, _SIZE, _SIZE, 1)


def _labels(content: bytes) -> NDArray[np.int64]:
    """After a header of 8 bytes."""
    return np.frombuffer(content, np.uint8, offset=8).astype(np.int64)
