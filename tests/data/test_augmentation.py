"""Crops, mirror images and views: what all of them promise, and what each of them does to an image."""

from collections.abc import Callable
from functools import partial
from math import nan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from fairbench.data.augmentation import VIEWS, crop_and_flip, diverse_view, idbh, randaugment, random_erasing
from fairbench.data.augmentation.idbh import crop_shift, pool_draws
from fairbench.data.augmentation.operations import NUMBER, OPERATIONS, transformed
from fairbench.errors import UserError
from fixture_types import Generators

Augment = Callable[..., Tensor]

AUGMENTATIONS: dict[str, Augment] = {
    "crop-and-flip": partial(crop_and_flip, padding=2, flip=True),
    **{name: partial(diverse_view, name, padding=2, flip=True) for name in VIEWS},
}

each_augmentation = pytest.mark.parametrize("augment", AUGMENTATIONS.values(), ids=AUGMENTATIONS.keys())


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


@each_augmentation
def test_the_same_generator_gives_the_same_images(generator: Generators, augment: Augment) -> None:
    """And nothing is drawn from the global one."""
    originals = images(64)
    state = torch.get_rng_state()
    first, again, other = (augment(originals, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@each_augmentation
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_does_not_see_its_neighbours(generator: Generators, augment: Augment, dtype: torch.dtype) -> None:
    """Replacing every other image of a batch changes no result but theirs, bit for bit."""
    originals, others = (
        (images(48, seed=seed) / 255 if dtype.is_floating_point else images(48, seed=seed)) for seed in (0, 1)
    )
    mixed = torch.where(torch.arange(48).view(-1, 1, 1, 1) % 2 == 0, originals, others)
    found, found_mixed = (augment(batch, generator=generator(5)) for batch in (originals, mixed))
    assert torch.equal(found[::2], found_mixed[::2])
    assert not torch.equal(found[1::2], found_mixed[1::2])


@each_augmentation
@settings(max_examples=20, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(8, 36), st.integers(8, 36)),
    count=st.integers(0, 30),
    seed=st.integers(0, 1000),
)
def test_float_and_byte_images_stay_in_range(
    *, augment: Augment, channels: int, size: tuple[int, int], count: int, seed: int
) -> None:
    """And in their type and shape; the two results are the same up to what rounding to bytes costs."""
    originals = images(count, channels=channels, size=size, seed=seed)
    for batch in (originals, originals.float() / 255):
        before = batch.clone()
        found = augment(batch, generator=torch.Generator().manual_seed(seed))
        assert found.shape == batch.shape
        assert found.dtype == batch.dtype
        assert ((found >= 0) & (found <= (1 if batch.is_floating_point() else 255))).all()
        assert torch.equal(batch, before)


@each_augmentation
def test_copies_of_an_image_differ(generator: Generators, augment: Augment) -> None:
    """Every image has draws of its own."""
    found = augment(images(1, size=(32, 32)).expand(200, -1, -1, -1), generator=generator(0))
    assert len({image.numpy().tobytes() for image in found}) > 40


@pytest.mark.parametrize("name", VIEWS)
def test_views_mirror_only_where_the_recipe_does(generator: Generators, name: str) -> None:
    """A mirrored digit is no digit: images that are bright on the left stay so on the whole."""
    originals = torch.zeros(400, 1, 16, 16)
    originals[..., :8] = 1
    sides = []
    for flip in (False, True):
        found = diverse_view(name, originals, padding=0, flip=flip, generator=generator(0))
        sides.append((found[..., :8].sum(dim=(1, 2, 3)) >= found[..., 8:].sum(dim=(1, 2, 3))).double().mean())
    assert sides[0] > 0.8
    assert 0.4 < sides[1] < 0.7


def test_views_that_do_not_exist_and_strengths_that_have_no_effect_are_refused(generator: Generators) -> None:
    with pytest.raises(UserError, match=r"Unknown view 'randaug'\. Did you mean 'randaugment'\?"):
        diverse_view("randaug", images(2), padding=1, flip=True, generator=generator(0))
    with pytest.raises(UserError, match="'idbh' has no strength to set; the only one that has: 'randaugment'"):
        diverse_view("idbh", images(2), padding=1, flip=True, generator=generator(0), strength=torch.ones(2))


@pytest.mark.parametrize(("wrong", "found"), [(-1.0, "-1 to 1"), (2.0, "0.5 to 2"), (5.0, "0.5 to 5"), (nan, "nan")])
def test_a_strength_out_of_range_is_refused(wrong: float, found: str, generator: Generators) -> None:
    """Also where the table of magnitudes would have an entry for it."""
    strength = torch.tensor([0.5, wrong, 1.0])
    with pytest.raises(ValueError, match=rf"Strengths from {found}.* not allowed; allowed: \[0, 1\]"):
        diverse_view("randaugment", images(3), padding=1, flip=True, generator=generator(0), strength=strength)


def test_the_strength_of_randaugment_is_a_share_of_magnitude_eight(generator: Generators) -> None:
    originals, strength = images(90), torch.arange(90) % 9 / 8
    view = partial(diverse_view, "randaugment", originals, padding=0, flip=False)
    found = view(generator=generator(0), strength=strength)
    assert torch.equal(view(generator=generator(0), strength=torch.ones(90)), view(generator=generator(0)))
    for magnitude in range(9):
        expected = randaugment(originals, magnitude=magnitude, generator=generator(0))
        assert torch.equal(found[magnitude::9], expected[magnitude::9])


class TestRandomErasing:
    def test_one_black_rectangle_of_the_right_size_and_shape(self, generator: Generators) -> None:
        height, width = 30, 40
        found = random_erasing(torch.ones(500, 3, height, width), probability=1.0, generator=generator(0))
        for image in found:
            black = image == 0
            assert torch.equal(black[0], black[2])
            rows, columns = black[0].any(dim=1).sum(), black[0].any(dim=0).sum()
            assert black[0].sum() == rows * columns > 0
            # The sides are rounded to whole pixels.
            assert 0.02 * height * width <= (rows + 0.5) * (columns + 0.5)
            assert (rows - 0.5) * (columns - 0.5) <= 0.33 * height * width
            assert (rows + 0.5) / (columns - 0.5) >= 0.3
            assert (rows - 0.5) / (columns + 0.5) <= 3.3

    @pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
    def test_its_probability(self, generator: Generators, probability: float) -> None:
        originals = torch.ones(4000, 1, 16, 16)
        found = random_erasing(originals, probability=probability, generator=generator(0))
        share = (found == 0).flatten(1).any(dim=1).double().mean().item()
        assert share == pytest.approx(probability, abs=0.03 if 0 < probability < 1 else 0)

    def test_its_rectangles_are_torchvisions(self, generator: Generators) -> None:
        """Means of place and size over many draws; a wrong aspect ratio or area would move them by far more."""
        reference = v2.RandomErasing(p=1.0)
        torch.manual_seed(0)
        original = torch.ones(1, 32, 32)
        expected = torch.stack([reference(original) for _ in range(1500)])
        found = random_erasing(original.expand(1500, 1, 32, 32), probability=1.0, generator=generator(0))

        def measures(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """Area, height, and area in the upper half."""
            black = (batch == 0).double()[:, 0]
            return black.mean(dim=(1, 2)), black.amax(dim=2).mean(dim=1), black[:, :16].mean(dim=(1, 2))

        for first, second in zip(measures(found), measures(expected), strict=True):
            error = ((first.var() + second.var()) / 1500).sqrt()
            assert (first.mean() - second.mean()).abs() < 4 * error
            assert first.std() == pytest.approx(second.std().item(), rel=0.1)

    def test_an_image_that_no_rectangle_fits_stays(self, generator: Generators) -> None:
        originals = images(20)
        assert torch.equal(random_erasing(originals, probability=1.0, area=(1, 1), generator=generator(0)), originals)


class TestIDBH:
    @pytest.mark.parametrize(("size", "lines"), [((32, 32), 10), ((8, 8), 2), ((8, 40), 2), ((96, 96), 30)])
    def test_crop_shift_puts_a_crop_somewhere_else(
        self, generator: Generators, size: tuple[int, int], lines: int
    ) -> None:
        """What is not black is a rectangle of the original; together its sides lose at most ten 32nds of a side."""
        height, width = size
        original = 1 + torch.arange(height * width).view(1, 1, height, width)
        lost = []
        for image in crop_shift(original.expand(600, -1, -1, -1), generator=generator(0))[:, 0]:
            rows, columns = (image > 0).any(dim=1), (image > 0).any(dim=0)
            crop = image[rows][:, columns]
            assert (crop > 0).all()
            top, left = divmod(int(crop[0, 0]) - 1, width)
            kept = crop.shape
            assert torch.equal(crop, original[0, 0, top : top + kept[0], left : left + kept[1]])
            lost.append((height - kept[0], width - kept[1]))
        totals = {rows + columns for rows, columns in lost}
        assert totals == set(range(lines + 1))
        for side in zip(*lost, strict=True):
            assert min(side) == 0
            assert max(side) > 0.8 * lines

    def test_the_pool(self, generator: Generators) -> None:
        """Eight operations with probability 1/8 each, uniform amounts, both signs and both axes of what has them."""
        count = 80_000
        choice, amounts = pool_draws(count, generator=generator(0))
        ranges = {
            "saturation": (-0.9, 0.9),
            "brightness": (-0.5, 0.9),
            "contrast": (-0.5, 0.9),
            "sharpness": (-0.9, 0.9),
            "shear-x": (0.05, 0.15),
            "shear-y": (0.05, 0.15),
            "rotate": (1, 10),
        }
        shares = {name: float((choice == NUMBER[name]).double().mean()) for name in OPERATIONS}
        expected = dict.fromkeys(ranges, 1 / 8) | {"shear-x": 1 / 16, "shear-y": 1 / 16}
        expected |= {"autocontrast": 1 / 8, "equalize": 1 / 8}
        assert shares == pytest.approx(dict.fromkeys(OPERATIONS, 0.0) | expected, abs=0.005)
        for name, (low, high) in ranges.items():
            found = amounts[choice == NUMBER[name]]
            if low > 0:
                assert (found < 0).double().mean() == pytest.approx(0.5, abs=0.03)
                found = found.abs()
            if name.startswith("shear"):
                found = found.atan()  # the amount is a tangent, the range is in radians
            assert low <= found.min() < low + 0.01 * (high - low)
            assert high - 0.01 * (high - low) < found.max() <= high
            assert found.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))

    def test_it_is_all_of_its_parts(self, generator: Generators) -> None:
        """Flip, crop, operation, erasing, in this order and from one stream."""
        originals, g = images(30, size=(32, 32)), generator(0)
        expected = crop_shift(crop_and_flip(originals, padding=0, flip=True, generator=g), generator=g)
        expected = transformed(expected, *pool_draws(30, generator=g))
        expected = random_erasing(expected, probability=0.5, generator=g)
        assert torch.equal(idbh(originals, flip=True, erasing=0.5, generator=generator(0)), expected)
        assert torch.equal(diverse_view("idbh", originals, padding=4, flip=True, generator=generator(0)), expected)
        strong = idbh(originals, flip=True, erasing=1.0, generator=generator(0))
        assert torch.equal(diverse_view("idbh-strong", originals, padding=4, flip=True, generator=generator(0)), strong)
