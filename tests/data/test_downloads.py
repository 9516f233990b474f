"""Datasets of torchvision, read from tiny files in their real formats; no test touches the network."""

import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from fairbench.data import downloads
from fairbench.data.sources import load_source
from fairbench.errors import UserError

RNG = np.random.default_rng(0)
LABELS = list(range(10))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torchvision would fetch cannot be reached."""

    def unreachable(*_arguments: object, **_settings: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def cifar(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, *, kind: str = "CIFAR10", labels: str = "labels"
) -> NDArray[np.uint8]:
    """One batch for training, one for test, and the names; their checksums take the place of the real ones."""
    cls = getattr(datasets, kind)
    folder = data_dir / kind.lower() / cls.base_folder
    folder.mkdir(parents=True)
    pixels = RNG.integers(0, 256, (10, 3072), dtype=np.uint8)
    for name in ("data_batch_1", "test_batch"):
        (folder / name).write_bytes(pickle.dumps({"data": pixels, labels: LABELS}, protocol=2))
    meta = folder / cls.meta["filename"]
    meta.write_bytes(pickle.dumps({cls.meta["key"]: [f"class {k}" for k in LABELS]}, protocol=2))
    monkeypatch.setattr(cls, "train_list", [["data_batch_1", md5(folder / "data_batch_1")]])
    monkeypatch.setattr(cls, "test_list", [["test_batch", md5(folder / "test_batch")]])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": md5(meta)})
    return pixels


def svhn(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    folder = data_dir / "svhn"
    folder.mkdir(parents=True)
    pixels = RNG.integers(0, 256, (32, 32, 3, 10), dtype=np.uint8)
    files = {}
    for split in ("train", "test"):
        path = folder / f"{split}_32x32.mat"
        savemat(path, {"X": pixels, "y": np.arange(1, 11, dtype=np.uint8)[:, np.newaxis]})
        files[split] = ["http://nowhere.invalid", path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    return pixels


def mnist(data_dir: Path) -> NDArray[np.uint8]:
    folder = data_dir / "mnist" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = RNG.integers(0, 256, (10, 28, 28), dtype=np.uint8)
    for split in ("train", "t10k"):
        header = struct.pack(">IIII", 0x803, *pixels.shape)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 10) + bytes(LABELS))
    return pixels


def imagenette(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images whose left half is black and right half white, twice as wide as high; two per class."""
    monkeypatch.setattr(downloads, "_IMAGENETTE_COUNTS", {"train": 20, "val": 20})
    pixels = np.zeros((160, 320, 3), dtype=np.uint8)
    pixels[:, 160:] = 255
    for split in ("train", "val"):
        for wnid in datasets.Imagenette._WNID_TO_CLASS:
            folder = data_dir / "imagenette" / "imagenette2-160" / split / wnid
            folder.mkdir(parents=True)
            for number in range(2):
                Image.fromarray(pixels).save(folder / f"{number}.jpeg", format="JPEG")


@pytest.mark.parametrize(("kind", "labels"), [("CIFAR10", "labels"), ("CIFAR100", "fine_labels")])
def test_cifar_is_read_from_its_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, labels: str
) -> None:
    pixels = cifar(tmp_path, monkeypatch, kind=kind, labels=labels)
    found = load_source(kind.lower(), data_dir=tmp_path)
    assert np.array_equal(found.train_images, pixels.reshape(10, 3, 32, 32).transpose(0, 2, 3, 1))
    assert found.test_labels.tolist() == LABELS
    assert found.class_names[3] == "class 3"


def test_svhn_is_read_from_matlab_files_with_ten_as_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = svhn(tmp_path, monkeypatch)
    found = load_source("svhn", data_dir=tmp_path)
    assert np.array_equal(found.train_images, pixels.transpose(3, 0, 1, 2))
    assert found.test_labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_mnist_is_read_from_idx_files(tmp_path: Path) -> None:
    pixels = mnist(tmp_path)
    found = load_source("mnist", data_dir=tmp_path)
    assert np.array_equal(found.test_images[..., 0], pixels)
    assert found.train_labels.tolist() == LABELS
    assert found.train_labels.dtype == np.int64


@pytest.mark.parametrize(("asked", "given"), [(0, 160), (64, 64)])
def test_imagenette_is_resized_by_its_shorter_side_and_cropped_in_the_centre(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, given: int
) -> None:
    imagenette(tmp_path, monkeypatch)
    found = load_source("imagenette", data_dir=tmp_path, image_size=asked)
    assert found.train_images.shape == (20, given, given, 3)
    black, white = found.train_images[:, :, : given // 2 - 8], found.train_images[:, :, given // 2 + 8 :]
    assert black.max() < 20
    assert white.min() > 235
    assert found.class_names[:2] == ("tench", "English springer")
    assert found.train_labels.tolist() == [k for k in range(10) for _ in range(2)]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cifar10", "CIFAR10({folder!r}, download=True)"),
        ("cifar100", "CIFAR100({folder!r}, download=True)"),
        ("mnist", "MNIST({folder!r}, download=True)"),
        ("svhn", "[SVHN({folder!r}, split=split, download=True) for split in ('train', 'test')]"),
        ("imagenette", "Imagenette({folder!r}, size='160px', download=True)"),
    ],
)
def test_a_failed_download_names_the_folder_the_reason_and_the_command(tmp_path: Path, name: str, command: str) -> None:
    folder = str(tmp_path / name)
    with pytest.raises(UserError) as refused:
        load_source(name, data_dir=tmp_path)
    message = str(refused.value)
    assert f"Cannot load {name} from {folder}" in message
    assert "Name or service not known" in message
    assert command.format(folder=folder) in message
    assert "Damaged" not in message


def test_the_command_of_the_message_is_python() -> None:
    for download in downloads.DOWNLOADS.values():
        compile(f"from torchvision.datasets import {download.kind}; {download.fetch.format(folder='x')}", "c", "exec")
        assert hasattr(datasets, download.kind)


Maker = Callable[[Path, pytest.MonkeyPatch], Any]


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (cifar, "cifar10/cifar-10-batches-py/data_batch_1"),
        (svhn, "svhn/test_32x32.mat"),
        (lambda folder, _: mnist(folder), "mnist/MNIST/raw/train-images-idx3-ubyte"),
    ],
    ids=["cifar10", "svhn", "mnist"],
)
@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_truncated_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Maker, file: str, kept: int
) -> None:
    make(tmp_path, monkeypatch)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError) as refused:
        load_source(file.partition("/")[0], data_dir=tmp_path)
    assert f"Damaged, to be deleted: {path}." in str(refused.value)


def test_a_broken_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagenette(tmp_path, monkeypatch)
    broken = tmp_path / "imagenette" / "imagenette2-160" / "train" / "n01440764" / "1.jpeg"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UserError, match=r"n01440764/1\.jpeg is not a readable image"):
        load_source("imagenette", data_dir=tmp_path)


def test_an_interrupted_extraction_of_imagenette_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagenette(tmp_path, monkeypatch)
    (tmp_path / "imagenette" / "imagenette2-160" / "val" / "n01440764" / "1.jpeg").unlink()
    with pytest.raises(UserError, match=r"has 19 images of Imagenette's split 'val' instead of 20.*Delete the folder"):
        load_source("imagenette", data_dir=tmp_path)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"Cannot load mnist from .*file/mnist: .*Not a directory"):
        load_source("mnist", data_dir=tmp_path / "file")


def test_a_folder_that_cannot_be_written_is_read_without_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist(tmp_path)
    monkeypatch.setattr(downloads, "access", lambda _path, _mode: False)
    assert len(load_source("mnist", data_dir=tmp_path).test_labels) == 10
    assert not (tmp_path / "mnist" / ".lock").exists()
