"""Fashion-MNIST from torchvision's folder and from Debian's package; a file that is not the published one is no use."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray

from fairbench.data import fashion_mnist
from fairbench.data.loading import load_dataset
from fairbench.data.remaining import pixel_digest
from fairbench.data.sources import load_source
from fairbench.errors import UserError
from fairbench.protocol.suite_file import load_suite

LABELS = list(range(10))
INSTALLED = fashion_mnist.DEBIAN


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_arguments: object, **_settings: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Ten images for each split in the published format, whose digests take the place of the real ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    content = {}
    for split in ("train", "t10k"):
        content[f"{split}-images-idx3-ubyte"] = struct.pack(">IIII", 0x803, *pixels.shape) + pixels.tobytes()
        content[f"{split}-labels-idx1-ubyte"] = struct.pack(">II", 0x801, 10) + bytes(LABELS)
    digests = {name: hashlib.sha256(given).hexdigest() for name, given in content.items()}
    monkeypatch.setattr(fashion_mnist, "_SHA256", digests)
    monkeypatch.setattr(fashion_mnist, "_IMAGES", {"train": 10, "t10k": 10})
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    return content


def unpacked_by_torchvision(data_dir: Path, raw: dict[str, bytes]) -> Path:
    folder = data_dir / "fashion-mnist" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in raw.items():
        (folder / name).write_bytes(content)
    return folder


def packed_by_torchvision(data_dir: Path, raw: dict[str, bytes]) -> Path:
    folder = data_dir / "fashion-mnist" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in raw.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


def packed_by_debian(_data_dir: Path, raw: dict[str, bytes]) -> Path:
    folder = fashion_mnist.DEBIAN
    folder.mkdir(parents=True)
    for name, content in raw.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


Place = Callable[[Path, dict[str, bytes]], Path]
PLACES: list[Place] = [unpacked_by_torchvision, packed_by_torchvision, packed_by_debian]


def pixels_of(raw: dict[str, bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(raw["train-images-idx3-ubyte"][16:], np.uint8).reshape(10, 28, 28, 1)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_gives_the_same_images(tmp_path: Path, raw: dict[str, bytes], place: Place) -> None:
    place(tmp_path, raw)
    found = load_source("fashion-mnist", data_dir=tmp_path)
    assert np.array_equal(found.train_images, pixels_of(raw))
    assert found.test_labels.tolist() == LABELS
    assert found.test_labels.dtype == np.int64
    assert found.class_names[9] == "Ankle boot"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", ["empty", "truncated", "one bit"])
def test_a_damaged_file_is_refused(tmp_path: Path, raw: dict[str, bytes], place: Place, damage: str) -> None:
    path = min(place(tmp_path, raw).iterdir())
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes({"empty": b"", "truncated": bytes(content[:100]), "one bit": bytes(content)}[damage])
    with pytest.raises(UserError) as refused:
        load_source("fashion-mnist", data_dir=tmp_path)
    cure = "apt-get install --reinstall" if place is packed_by_debian else "delete it and run again"
    for fragment in (f"{path} is damaged (", "it must have the SHA-256 ", cure):
        assert fragment in str(refused.value)


def test_what_is_nowhere_is_downloaded(tmp_path: Path, raw: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_: object) -> None:
        unpacked_by_torchvision(tmp_path, raw)

    monkeypatch.setattr("torchvision.datasets.FashionMNIST.download", download)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST._load_data", lambda _: (None, None))
    assert np.array_equal(load_source("fashion-mnist", data_dir=tmp_path).train_images, pixels_of(raw))


def test_without_a_network_the_command_is_told(tmp_path: Path, raw: dict[str, bytes]) -> None:
    del raw
    with pytest.raises(UserError, match=r"Cannot load fashion-mnist from ") as refused:
        load_source("fashion-mnist", data_dir=tmp_path)
    for fragment in (f"FashionMNIST({str(tmp_path / 'fashion-mnist')!r}, download=True)", "apt-get install dataset-f"):
        assert fragment in str(refused.value)


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_images_are_those_of_the_suite(tmp_path: Path) -> None:
    found = load_source("fashion-mnist", data_dir=tmp_path)
    assert found.train_images.shape == (60_000, 28, 28, 1)
    assert np.bincount(found.train_labels).tolist() == [6000] * 10
    assert np.bincount(found.test_labels).tolist() == [1000] * 10
    assert pixel_digest(found.test_images, found.test_labels).startswith("9a494dc49efeb996")
    suite = load_suite("fashion-mnist")
    fashion = load_dataset(suite.dataset, folder="", data_dir=tmp_path)
    assert (fashion.channels, fashion.size, len(fashion.test)) == (1, (28, 28), 10_000)
    assert len(fashion.train) + len(fashion.validation) == suite.dataset.train_images
