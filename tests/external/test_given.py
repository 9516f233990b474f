"""What a caller of `fairbench.evaluate` brings along, and every way in which it can be wrong."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.given import given_sample

Spoil = Callable[[Tensor], object]


def test_images_of_ones_own(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    """They are identified by their content; classes are counted by the model."""
    sample = given_sample(images, labels, model=linear)
    assert (sample.name, sample.class_names) == ("images", ("0", "1", "2"))
    assert sample.indices.tolist() == list(range(30))
    other = given_sample(1 - images, labels, model=linear)
    assert sample.identity["sha256"] not in ("", other.identity["sha256"])
    assert sample.identity == given_sample(images.clone(), labels.to(torch.int16), model=linear).identity


def test_a_part_of_a_known_test_set(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    indices = torch.arange(30) * 3
    sample = given_sample(images, labels, model=linear, dataset="mnist", class_names="abc", indices=indices)
    assert sample.identity == {"name": "mnist", "image_size": 0, "sha256": ""}
    assert sample.class_names == ("a", "b", "c")
    assert torch.equal(sample.indices, indices)


IMAGES: list[tuple[str, Spoil, str]] = [
    ("0 to 255", lambda x: 255 * x, r"pixels from .* to 25\d.* allowed: \[0, 1\]"),
    ("standardised", lambda x: (x - 0.5) / 0.2, r"pixels from -.* belong into the model, as its first layer"),
    ("NaN", lambda x: x / 0 * 0, "Images with NaN or infinite pixels are not allowed: 3?\\d of 30"),
    ("double", lambda x: x.double(), r"torch\.float64 are not .* in \[0, 1\], or uint8\. Give images\.float\(\)"),
    ("numpy", lambda x: x.numpy(), r"images of type ndarray .* a torch\.Tensor\. Give torch\.from_numpy\(images\)"),
    ("meta", lambda x: x.to("meta"), "images as a tensor that is without values, on the meta device, are not allowed"),
    ("sparse", lambda x: x.to_sparse(), "images as a tensor that is sparse_coo are not allowed"),
    ("empty", lambda x: x[:0], r"shape \(0, 1, 4, 4\).*n at least 1"),
    ("flat", lambda x: x.flatten(1), r"shape \(30, 16\).*allowed: \(n, channels, height, width\)"),
    ("fewer", lambda x: x[:29], r"shape \(29, 1, 4, 4\) with labels of shape \(30,\)"),
]
LABELS: list[tuple[str, Spoil, str]] = [
    ("floats", lambda y: y + 0.7, r"Labels of type torch\.float32 are not allowed; allowed: an integer type"),
    ("booleans", lambda y: y > 0, r"Labels of type torch\.bool"),
    ("whole floats", lambda y: y.float(), r"an integer type\. Give labels\.long\(\)"),
    ("a list", lambda y: y.tolist(), r"labels of type list .* Give torch\.tensor\(labels\)"),
    ("one-hot", nn.functional.one_hot, r"Labels of shape \(30, 3\).* make labels by labels\.argmax\(dim=1\)"),
    ("negative", lambda y: y - 1, "Labels from -1 to 1 are not allowed; allowed: 0 to"),
    ("empty", lambda y: y[:0], r"labels of shape \(0,\)"),
]
INDICES: list[tuple[str, Spoil, str]] = [
    (
        "too few",
        lambda i: i[:3],
        r"indices of shape \(3,\) are not allowed; allowed: \(n,\), one for every image, rising",
    ),
    ("falling", lambda i: i.flip(0), "rising"),
    ("repeated", lambda i: i // 2, "rising"),
    ("negative", lambda i: i - 1, "rising from 0 or more"),
    ("a list", lambda i: i.tolist(), "indices of type list"),
]


@pytest.mark.parametrize(("spoil", "said"), [row[1:] for row in IMAGES], ids=[row[0] for row in IMAGES])
def test_wrong_images(spoil: Spoil, said: str, linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match=said):
        given_sample(spoil(images), labels, model=linear)  # type: ignore[arg-type]


@pytest.mark.parametrize(("spoil", "said"), [row[1:] for row in LABELS], ids=[row[0] for row in LABELS])
def test_wrong_labels(spoil: Spoil, said: str, linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match=said):
        given_sample(images, spoil(labels), model=linear)  # type: ignore[arg-type]


@pytest.mark.parametrize(("spoil", "said"), [row[1:] for row in INDICES], ids=[row[0] for row in INDICES])
def test_wrong_indices(spoil: Spoil, said: str, linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match=said):
        given_sample(images, labels, model=linear, indices=spoil(torch.arange(30)))  # type: ignore[arg-type]


def test_a_dataset_that_nobody_has(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    """It would be the name of a folder, and of a board that does not exist."""
    with pytest.raises(UserError, match=r"Unknown dataset '\.\./mnist'.*Leave it out for images of your own"):
        given_sample(images, labels, model=linear, dataset="../mnist")


def test_images_of_another_size_than_on_its_boards(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match=r"4x4 pixels are not those of imagenette, which its suite resizes to 64x64"):
        given_sample(images, labels, model=linear, dataset="imagenette")


def test_a_model_that_returns_more_than_logits(images: Tensor, labels: Tensor) -> None:
    class Pair(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, None]:
            return images.flatten(1), None

    with pytest.raises(UserError, match=r"must return logits of shape \(batch, classes\), and nothing else"):
        given_sample(images, labels, model=Pair())


def test_counting_classes_leaves_the_random_state_and_the_model(images: Tensor, labels: Tensor) -> None:
    """Batch norm in train mode, and one image alone, are no obstacle."""

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(16)

        def forward(self, images: Tensor) -> Tensor:
            flat: Tensor = self.norm(images.flatten(1))
            return flat + torch.rand(flat.shape)

    model, before = Noisy().train(), torch.random.get_rng_state()
    assert len(given_sample(images[:1], labels[:1], model=model).class_names) == 16
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.norm.training
    assert int(model.norm.num_batches_tracked or 0) == 0


@pytest.mark.parametrize("indices", [torch.tensor([0.0, 0.5, 1.0]), torch.tensor([False, True, True])], ids=str)
def test_indices_are_integers(indices: Tensor) -> None:
    """Two images with one number would be taken for one another."""
    with pytest.raises(UserError, match="indices of type"):
        given_sample(
            torch.rand(3, 1, 8, 8),
            torch.arange(3),
            model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
            class_names=(),
            dataset="",
            indices=indices,
        )


def test_class_names_are_different() -> None:
    with pytest.raises(UserError, match="The class names a, a, b are not allowed"):
        given_sample(
            torch.rand(3, 1, 8, 8),
            torch.arange(3),
            model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
            class_names=("a", "a", "b"),
            dataset="",
            indices=None,
        )
