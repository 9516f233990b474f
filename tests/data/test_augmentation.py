"""Batched augmentation equals its one-image definition, stays in range, and follows its generator alone."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from fairbench.data.augmentation import _operations, crop_and_flip, randaugment

Generators = Callable[[int], torch.Generator]


def images(count: int, *, channels: int = 3, size: tuple[int, int] = (8, 8), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, *size), dtype=torch.uint8, generator=generator)


def shifted(image: Tensor, *, rows: int, columns: int) -> Tensor:
    """One image moved up and left by whole pixels, zeros coming in: the reference of a crop."""
    height, width = image.shape[1:]
    result = torch.zeros_like(image)
    for i in range(height):
        for j in range(width):
            if 0 <= i + rows < height and 0 <= j + columns < width:
                result[:, i, j] = image[:, i + rows, j + columns]
    return result


@settings(max_examples=20, deadline=None)
@given(
    padding=st.integers(0, 3),
    flip=st.booleans(),
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    seed=st.integers(0, 1000),
)
def test_every_result_is_a_shifted_and_perhaps_mirrored_original(
    *, padding: int, flip: bool, channels: int, size: tuple[int, int], seed: int
) -> None:
    originals = images(4, channels=channels, size=size, seed=seed)
    found = crop_and_flip(originals, padding=padding, flip=flip, generator=torch.Generator().manual_seed(seed))
    assert found.dtype == originals.dtype
    reach = range(-padding, padding + 1)
    for original, result in zip(originals, found, strict=True):
        moved = [shifted(original, rows=rows, columns=columns) for rows in reach for columns in reach]
        allowed = moved + [image.flip(2) for image in moved] if flip else moved
        assert any(torch.equal(result, image) for image in allowed)


def test_all_shifts_and_both_orientations_occur_equally_often(generator: Generators) -> None:
    """A chi-squared test over 18 outcomes; 45 is far beyond the 0.1 % quantile of 17 degrees of freedom (40.8)."""
    original = images(1, channels=1, size=(4, 4))[0]
    count = 9000
    found = crop_and_flip(original.expand(count, -1, -1, -1), padding=1, flip=True, generator=generator(0))
    moved = [shifted(original, rows=rows, columns=columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]
    outcomes = moved + [image.flip(2) for image in moved]
    counts = [int((found == image).flatten(1).all(dim=1).sum()) for image in outcomes]
    assert sum(counts) == count
    assert sum((observed - count / 18) ** 2 / (count / 18) for observed in counts) < 45


def test_without_crop_and_flip_images_stay_and_nothing_is_drawn(generator: Generators) -> None:
    g = generator(3)
    before = g.get_state()
    originals = images(5)
    assert torch.equal(crop_and_flip(originals, padding=0, flip=False, generator=g), originals)
    assert torch.equal(g.get_state(), before)


def test_no_mirror_image_unless_asked(generator: Generators) -> None:
    """An image that is bright on the left stays so in every crop."""
    originals = torch.zeros(200, 1, 8, 8)
    originals[..., :2] = 1
    found = crop_and_flip(originals, padding=1, flip=False, generator=generator(0))
    assert torch.all(found[..., :4].sum(dim=(1, 2, 3)) > found[..., 4:].sum(dim=(1, 2, 3)))


@pytest.mark.parametrize("augment", ["crop_and_flip", "randaugment"])
def test_the_same_generator_gives_the_same_images(generator: Generators, augment: str) -> None:
    originals = images(64)

    def draw(seed: int) -> Tensor:
        if augment == "randaugment":
            return randaugment(originals, generator=generator(seed))
        return crop_and_flip(originals, padding=2, flip=True, generator=generator(seed))

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("augment", ["crop_and_flip", "randaugment"])
def test_an_image_does_not_see_its_neighbours(generator: Generators, augment: str) -> None:
    """Replacing every other image of a batch changes no result but theirs."""
    originals, others = images(48), images(48, seed=1)
    mixed = torch.where(torch.arange(48).view(-1, 1, 1, 1) % 2 == 0, originals, others)
    found, found_mixed = (
        randaugment(batch, generator=generator(5))
        if augment == "randaugment"
        else crop_and_flip(batch, padding=2, flip=True, generator=generator(5))
        for batch in (originals, mixed)
    )
    assert torch.equal(found[::2], found_mixed[::2])
    assert not torch.equal(found[1::2], found_mixed[1::2])


@pytest.mark.parametrize("magnitude", [0, 8, 30])
@pytest.mark.parametrize("size", [(8, 8), (32, 24)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_is_torchvisions(channels: int, size: tuple[int, int], magnitude: int) -> None:
    """Bit for bit, on bytes, both signs; the order of the table is torchvision's too."""
    reference = v2.RandAugment(magnitude=magnitude)
    batch = images(6, channels=channels, size=size)
    table = _operations(magnitude / 30, height=size[0], width=size[1])
    assert len(table) == len(reference._AUGMENTATION_SPACE)
    for operation, (name, (magnitudes, signed)) in zip(table, reference._AUGMENTATION_SPACE.items(), strict=True):
        values = magnitudes(31, *size)
        for sign in (-1.0, 1.0) if signed else (1.0,):
            amount = 0.0 if values is None else sign * float(values[magnitude])
            expected = torch.stack(
                [
                    reference._apply_image_or_video_transform(image, name, amount, interpolation="nearest", fill={})
                    for image in batch
                ]
            )
            assert torch.equal(operation(batch, sign), expected), (name, sign)


def test_operations_are_drawn_for_each_image_alone_and_all_occur(generator: Generators) -> None:
    """Copies of one image come back in about as many ways as there are operations and signs."""
    original = images(1, size=(16, 16))[0]
    found = randaugment(original.expand(2000, -1, -1, -1), operations=1, generator=generator(0))
    different = {image.numpy().tobytes() for image in found}
    table = _operations(8 / 30, height=16, width=16)
    possible = {operation(original[None], sign)[0].numpy().tobytes() for operation in table for sign in (-1.0, 1.0)}
    assert different == possible
    assert len(possible) > 15


@settings(max_examples=25, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(8, 20), st.integers(8, 20)),
    magnitude=st.integers(0, 30),
    operations=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_float_images_stay_in_range(
    channels: int, size: tuple[int, int], magnitude: int, operations: int, seed: int
) -> None:
    originals = images(40, channels=channels, size=size, seed=seed).float() / 255
    g = torch.Generator().manual_seed(seed)
    found = randaugment(originals, operations=operations, magnitude=magnitude, generator=g)
    assert found.shape == originals.shape
    assert found.dtype == torch.float32
    assert 0 <= found.min() <= found.max() <= 1
    if not operations:
        assert torch.equal(found, originals)
