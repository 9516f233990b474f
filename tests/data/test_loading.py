"""From a source to a dataset: digits, files, resizing, and what stays fixed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from fairbench.data import sources
from fairbench.data.dataset import Dataset
from fairbench.data.loading import load_dataset
from fairbench.data.sources import dataset_names
from fairbench.errors import UserError
from fairbench.protocol.dataset_source import DatasetSource
from fairbench.protocol.suite_file import load_suite, suite_names

Table = dict[str, NDArray[np.generic]]
SHARED_MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist" / "mnist_test.npz"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(load_suite("digits").dataset, folder="", data_dir=Path("unused"))


def test_digits_are_split_60_10_30_in_every_class(digits: Dataset) -> None:
    total = np.bincount(load_digits().target)
    for split, share in ((digits.train, 0.6), (digits.validation, 0.1), (digits.test, 0.3)):
        counts = split.labels.bincount(minlength=10).numpy()
        assert np.all(np.abs(counts - share * total) <= 1)
    assert len(digits.train) + len(digits.validation) + len(digits.test) == 1797


def test_digits_are_the_published_images_on_the_scale_of_bytes(digits: Dataset) -> None:
    published = {image.astype(int).tobytes() for image in load_digits().images}
    found = torch.cat([digits.train.images, digits.validation.images, digits.test.images])
    assert found.max() == 255
    assert {(image.double() * 16 / 255).round().long().numpy().tobytes() for image in found} == published
    assert (digits.channels, digits.size, digits.class_names) == (1, (8, 8), tuple("0123456789"))


def test_digits_are_the_same_by_scikit_learn_itself(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that keeps them in another file is asked by its function."""
    monkeypatch.setattr(sources, "find_spec", {}.get)
    arrays = sources.load_source("digits", data_dir=Path("unused"))
    assert np.array_equal(arrays.test_images[..., 0], digits.test.images[:, 0].numpy())
    assert np.array_equal(arrays.test_labels, digits.test.labels.numpy())


def test_the_splits_of_digits_are_pinned(digits: Dataset) -> None:
    assert digits.test.labels[:20].tolist() == [0, 7, 1, 3, 4, 8, 3, 4, 7, 9, 5, 5, 0, 1, 0, 2, 8, 0, 1, 6]
    assert [int(split.images.long().sum()) for split in (digits.train, digits.validation, digits.test)] == [
        5376772,
        887666,
        2689363,
    ]


def test_a_file_becomes_channels_first_and_keeps_its_pixels(tmp_path: Path, valid_arrays: Table) -> None:
    np.savez(tmp_path / "toy.npz", **valid_arrays)  # type: ignore[arg-type]
    source = DatasetSource(name="toy", file="toy.npz", validation=0.2)
    toy = load_dataset(source, folder=str(tmp_path), data_dir=tmp_path)
    assert np.array_equal(toy.test.images.numpy(), valid_arrays["test_images"].transpose(0, 3, 1, 2))
    assert (len(toy.train), len(toy.validation), toy.class_names) == (24, 6, ("bird", "cat", "deer"))
    together = {image.numpy().tobytes() for image in torch.cat([toy.train.images, toy.validation.images])}
    assert together == {image.transpose(2, 0, 1).tobytes() for image in valid_arrays["train_images"]}


def test_loading_twice_gives_the_same_split(tmp_path: Path, valid_arrays: Table) -> None:
    np.savez(tmp_path / "toy.npz", **valid_arrays)  # type: ignore[arg-type]
    source = DatasetSource(name="toy", file="toy.npz", validation=0.2)
    first, second = (load_dataset(source, folder=str(tmp_path), data_dir=tmp_path) for _ in range(2))
    assert torch.equal(first.validation.images, second.validation.images)


def test_images_are_resized_to_a_square_of_bytes(tmp_path: Path, valid_arrays: Table) -> None:
    np.savez(tmp_path / "toy.npz", **valid_arrays)  # type: ignore[arg-type]
    source = DatasetSource(name="toy", file="toy.npz", validation=0.2, image_size=8)
    toy = load_dataset(source, folder=str(tmp_path), data_dir=tmp_path)
    assert toy.size == (8, 8)
    assert toy.train.images.dtype == torch.uint8
    means = valid_arrays["test_images"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(toy.test.images.float().mean(dim=(1, 2, 3)).numpy(), means, atol=25)


def test_one_image_per_class_cannot_be_split(tmp_path: Path, valid_arrays: Table) -> None:
    few = {**valid_arrays, "train_images": valid_arrays["train_images"][:3], "train_labels": np.arange(3)}
    np.savez(tmp_path / "few.npz", **few)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="few: every class has one training image only"):
        load_dataset(DatasetSource(name="few", file="few.npz"), folder=str(tmp_path), data_dir=tmp_path)


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown dataset 'cifar-10'\. Did you mean 'cifar10'\?.*\.npz"):
        load_dataset(DatasetSource(name="cifar-10"), folder="", data_dir=tmp_path)


def test_every_shipped_suite_names_a_dataset_that_exists() -> None:
    assert {load_suite(name).dataset.name for name in suite_names()} == set(dataset_names())


@pytest.mark.skipif(not SHARED_MNIST.exists(), reason="needs the shared folder with real images beside the repository")
def test_real_mnist_images_load_from_a_file(tmp_path: Path) -> None:
    """The official test images, half of them as a training set."""
    official = np.load(SHARED_MNIST)
    images, labels = official["images"].reshape(-1, 28, 28, 1), official["labels"].astype(np.int64)
    np.savez(
        tmp_path / "mnist.npz",
        train_images=images[:5000],
        train_labels=labels[:5000],
        test_images=images[5000:],
        test_labels=labels[5000:],
    )
    source = DatasetSource(name="mnist-half", file="mnist.npz")
    mnist = load_dataset(source, folder=str(tmp_path), data_dir=tmp_path)
    assert (mnist.channels, mnist.size, mnist.classes, len(mnist.test)) == (1, (28, 28), 10, 5000)
    assert mnist.mean[0] == pytest.approx(0.13, abs=0.02)
    assert mnist.std[0] == pytest.approx(0.31, abs=0.02)
