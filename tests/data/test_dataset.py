"""What a dataset says about itself is exact, and what cannot be trained on is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fairbench.data.dataset import Dataset, Split
from fairbench.errors import UserError


def split(labels: list[int], *, shape: tuple[int, int, int] = (3, 4, 5)) -> Split:
    generator = torch.Generator().manual_seed(len(labels))
    images = torch.randint(256, (len(labels), *shape), dtype=torch.uint8, generator=generator)
    return Split(images, torch.tensor(labels))


def dataset() -> Dataset:
    return Dataset(
        name="toy",
        train=split([0, 0, 0, 1, 1, 2]),
        validation=split([0, 1, 2]),
        test=split([2, 1, 0, 0]),
        class_names=("a", "b", "c"),
    )


def test_a_dataset_describes_its_training_split() -> None:
    toy = dataset()
    assert (toy.classes, toy.channels, toy.size, toy.train_counts) == (3, 3, (4, 5), (3, 2, 1))
    pixels = toy.train.images.numpy() / 255
    np.testing.assert_allclose(toy.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(toy.std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)


def test_moments_do_not_depend_on_the_order_of_the_images() -> None:
    toy = dataset()
    turned = replace(toy, train=Split(toy.train.images.flip(0), toy.train.labels.flip(0)))
    assert (turned.mean, turned.std) == (toy.mean, toy.std)


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    toy = dataset()
    images = toy.train.images.clone()
    images[:, 1] = 51
    constant = replace(toy, train=Split(images, toy.train.labels))
    assert constant.mean[1] == pytest.approx(0.2)
    assert constant.std[1] == 1.0


def test_a_split_moves_between_devices() -> None:
    moved = split([0, 1]).to("meta")
    assert (moved.images.device.type, moved.labels.device.type, len(moved)) == ("meta", "meta", 2)


@pytest.mark.parametrize(
    ("images", "labels", "fragments"),
    [
        (torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), ["(2, 3, 4, 4)", "torch.float32", "torch.uint8"]),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ["(2, 4, 4)", "(n, channels, height, width)"]),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0]), ["labels of shape (1,)", "allowed: (2,)"]),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.tensor([0.0]), ["torch.float32", "torch.int64"]),
        (torch.zeros(0, 3, 4, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), ["without images"]),
    ],
)
def test_a_split_refuses_what_is_not_one(images: torch.Tensor, labels: torch.Tensor, fragments: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        Split(images, labels)
    for fragment in fragments:
        assert fragment in str(refused.value)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"train": split([0, 0, 1])}, ["toy", "class 2 (c)", "no train image"]),
        ({"test": split([0, 1])}, ["class 2 (c)", "no test image"]),
        ({"validation": split([0, 1, 3])}, ["validation labels go from 0 to 3", "0 to 2", "3 classes"]),
        ({"test": split([-1, 0, 1, 2])}, ["test labels go from -1 to 2"]),
        ({"test": split([0, 1, 2], shape=(1, 4, 5))}, ["test images", "(1, 4, 5)", "(3, 4, 5)"]),
        ({"class_names": ("a", "b", "a")}, ["class names", "different"]),
        ({"class_names": ("a",)}, ["class names", "two or more"]),
    ],
)
def test_a_dataset_refuses_what_cannot_be_trained_on(change: dict[str, Split], fragments: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        replace(dataset(), **change)  # type: ignore[arg-type]  # a table of different fields
    for fragment in fragments:
        assert fragment in str(refused.value)
