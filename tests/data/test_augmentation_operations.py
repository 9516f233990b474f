"""Operations with an amount for every image are torchvision's, which has one for all, and so are the three policies."""

import math
from collections.abc import Iterator
from itertools import product, repeat
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from fairbench.data.augmentation import autoaugment, randaugment, trivialaugment
from fairbench.data.augmentation.autoaugment import CIFAR10_POLICY
from fairbench.data.augmentation.magnitudes import Scale
from fairbench.data.augmentation.operations import NUMBER, OPERATIONS, transformed
from fairbench.data.augmentation.randaugment import randaugment_scale
from fairbench.data.augmentation.trivialaugment import trivialaugment_scale
from fixture_types import Generators

Reference = Any
"""One of torchvision's transforms."""

NAMES = {name: name.lower() for name in ("Identity", "Rotate", "Brightness", "Contrast", "Sharpness", "Posterize")}
NAMES |= {name: name.lower() for name in ("Solarize", "AutoContrast", "Equalize", "Invert")}
NAMES |= {"ShearX": "shear-x", "ShearY": "shear-y", "TranslateX": "translate-x", "TranslateY": "translate-y"}
NAMES |= {"Color": "saturation"}
"""Ours by torchvision's."""

# These amounts put pixels halfway between two, so that rounding errors choose one of them, and not always the same.
TIES = dict.fromkeys(("ShearX", "ShearY"), (0.04, 1 / 15, 0.12, 0.2, 0.28)) | {"Rotate": (30.0,)}


def images(count: int, *, channels: int = 3, size: tuple[int, int] = (32, 32), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, *size), dtype=torch.uint8, generator=generator)


def referred(reference: Reference, image: Tensor, name: str, amount: float) -> Tensor:
    """One image under torchvision's operation."""
    found: Tensor = reference._apply_image_or_video_transform(image, name, amount, interpolation="nearest", fill={})
    return found


def settings_of(
    reference: Reference, name: str, bins: int, size: tuple[int, int]
) -> Iterator[tuple[int, float, float]]:
    """(magnitude, sign, torchvision's amount), without ties."""
    magnitudes, signed = reference._AUGMENTATION_SPACE[name]
    values = magnitudes(bins, *size)
    for magnitude, sign in product(range(bins), (-1.0, 1.0) if signed else (1.0,)):
        amount = 0.0 if values is None else float(values[magnitude])
        if not any(math.isclose(amount, tie, rel_tol=1e-6) for tie in TIES.get(name, ())):
            yield magnitude, sign, sign * amount


def scale_of(reference: Reference, size: tuple[int, int]) -> Scale:
    if isinstance(reference, v2.TrivialAugmentWide):
        return trivialaugment_scale(*size)
    return randaugment_scale(*size, magnitudes=10 if isinstance(reference, v2.AutoAugment) else 31)


@pytest.mark.parametrize(
    ("reference", "bins"), [(v2.RandAugment(), 31), (v2.TrivialAugmentWide(), 31), (v2.AutoAugment(), 10)], ids=str
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_at_every_magnitude_is_torchvisions(reference: Reference, bins: int, channels: int) -> None:
    """All magnitudes of an operation in one batch, each against its own reference.

    Bit for bit, except that a blend of two images is rounded down to bytes after sums in another order.
    """
    size = (40, 32)
    amounts = scale_of(reference, size).amounts(torch.device("cpu"))
    for name in reference._AUGMENTATION_SPACE:
        number = NUMBER[NAMES[name]]
        magnitudes, signs, theirs = zip(*settings_of(reference, name, bins, size), strict=True)
        originals = images(len(theirs), channels=channels, size=size)
        ours = torch.tensor(signs) * amounts[number, list(magnitudes)]
        found = transformed(originals, torch.full_like(ours, number, dtype=torch.long), ours)
        expected = torch.stack(
            [referred(reference, *each) for each in zip(originals, repeat(name), theirs, strict=False)]
        )
        difference = (found.int() - expected.int()).abs().max()
        assert difference <= (1 if name in ("Color", "Contrast", "Sharpness") else 0), name


@pytest.mark.parametrize("name", ["brightness", "saturation", "contrast", "sharpness", "posterize", "solarize"])
def test_float_images_are_treated_as_torchvision_treats_them(name: str) -> None:
    reference = v2.RandAugment()
    theirs = next(key for key, value in NAMES.items() if value == name)
    originals = images(31) / 255
    amounts = randaugment_scale(32, 32).amounts(torch.device("cpu"))[NUMBER[name]]
    found = OPERATIONS[name](originals, amounts)
    for image, result, amount in zip(originals, found, amounts, strict=True):
        torch.testing.assert_close(result, referred(reference, image, theirs, float(amount)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("autocontrast", "equalize", "invert")])
@pytest.mark.parametrize("size", [(8, 8), (9, 15)])
def test_no_amount_leaves_an_image_as_it_is(name: str, size: tuple[int, int]) -> None:
    """No move, no change of colour, all eight bits, and inverting nothing but white."""
    originals = images(5, size=size).clamp(max=254)
    amount = {"posterize": 8.0, "solarize": 1.0}.get(name, 0.0)
    assert torch.equal(OPERATIONS[name](originals, torch.full((5,), amount)), originals)


def test_moves_by_hand() -> None:
    """A bright pixel right of and above the centre of a 5x5 image."""
    original = torch.zeros(1, 1, 5, 5)
    original[0, 0, 1, 3] = 1

    def place(name: str, amount: float) -> list[int]:
        return OPERATIONS[name](original, torch.tensor([amount]))[0, 0].nonzero().flatten().tolist()

    assert place("translate-x", 1.9) == [1, 4]
    assert place("translate-x", -1.9) == [1, 2]
    assert place("translate-y", 2.0) == [3, 3]
    assert place("translate-y", -2.0) == []
    assert place("rotate", 90.0) == [1, 1]
    assert place("rotate", -90.0) == [3, 3]


def test_the_policy_is_torchvisions() -> None:
    reference = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    expected = tuple(
        tuple((NAMES[name], probability, magnitude or 0) for name, probability, magnitude in pair)
        for pair in reference._policies
    )
    assert expected == CIFAR10_POLICY


class TestDraws:
    """Copies of one image come back in exactly the ways in which the reference can return it."""

    size = (8, 8)

    def ways(self, original: Tensor, choices: Iterator[tuple[str, float]]) -> set[bytes]:
        kinds = ((torch.tensor([NUMBER[name]]), torch.tensor([amount])) for name, amount in choices)
        return {transformed(original, *kind)[0].numpy().tobytes() for kind in kinds}

    def amounts(self, scale: Scale, name: str, magnitude: int) -> tuple[float, float]:
        value = float(scale.amounts(torch.device("cpu"))[NUMBER[name], magnitude])
        return -value, value

    def test_randaugment(self, generator: Generators) -> None:
        original, scale = images(1, size=self.size), randaugment_scale(*self.size)
        possible = self.ways(
            original, ((name, v) for name in list(OPERATIONS)[:-1] for v in self.amounts(scale, name, 8))
        )
        found = randaugment(original.expand(2000, -1, -1, -1), operations=1, generator=generator(0))
        assert {image.numpy().tobytes() for image in found} == possible
        assert len(possible) > 15

    def test_trivialaugment(self, generator: Generators) -> None:
        original, scale = images(1, size=self.size), trivialaugment_scale(*self.size)
        possible = self.ways(
            original,
            (
                (name, v)
                for name, magnitude in product(list(OPERATIONS)[:-1], range(31))
                for v in self.amounts(scale, name, magnitude)
            ),
        )
        found = trivialaugment(original.expand(12_000, -1, -1, -1), generator=generator(0))
        assert {image.numpy().tobytes() for image in found} == possible
        assert len(possible) > 300

    def test_autoaugment(self, generator: Generators) -> None:
        """Each half of each pair acts or not; every pair occurs."""
        original, scale = images(1, size=self.size), randaugment_scale(*self.size, magnitudes=10)
        count = 30_000
        found = autoaugment(original.expand(count, -1, -1, -1), generator=generator(0))
        pairs = torch.randint(25, (count,), generator=generator(0))  # the first thing that it draws
        for number, pair in enumerate(CIFAR10_POLICY):
            possible: set[bytes] = set()
            for acts in product(*([False, True] if 0 < step[1] < 1 else [step[1] == 1] for step in pair)):
                steps = [step for step, act in zip(pair, acts, strict=True) if act]
                results = [original]
                for name, _, magnitude in steps:
                    results = [
                        transformed(image, torch.tensor([NUMBER[name]]), torch.tensor([amount]))
                        for image in results
                        for amount in self.amounts(scale, name, magnitude)
                    ]
                possible |= {image.numpy().tobytes() for image in results}
            assert {image.numpy().tobytes() for image in found[pairs == number]} == possible, pair

    def test_autoaugments_probabilities(self, generator: Generators) -> None:
        """Pair 1 rotates 7 images of 10; pair 24 leaves 3 % alone."""
        original, count = images(1, size=(16, 16)), 30_000
        found = autoaugment(original.expand(count, -1, -1, -1), generator=generator(0))
        pairs = torch.randint(25, (count,), generator=generator(0))
        same = (found == original).flatten(1).all(dim=1)
        assert same[pairs == 1].double().mean() == pytest.approx(0.3 * 0.7, abs=0.03)
        assert same[pairs == 24].double().mean() == pytest.approx(0.3 * 0.1, abs=0.02)

    def test_small_images_do_not_move_further_than_their_size(self) -> None:
        for size in ((8, 8), (32, 32), (64, 20)):
            amounts = trivialaugment_scale(*size).amounts(torch.device("cpu"))
            assert amounts[NUMBER["translate-x"]].max() == min(32, size[1])
            assert amounts[NUMBER["translate-y"]].max() == min(32, size[0])
