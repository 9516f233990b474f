"""Noise: named, per image, pinned."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench.attacks.standard.noise import ImageNoise
from fairbench.seeding import derived_seed

KINDS = ["uniform", "normal"]


def draw(kind: str, *name: str | int, indices: list[int], shape: tuple[int, ...] = (3, 5), seed: int = 0) -> Tensor:
    drawn: Tensor = getattr(ImageNoise(seed), kind)(*name, indices=torch.tensor(indices), shape=shape)
    return drawn


@pytest.mark.parametrize("kind", KINDS)
@given(indices=st.lists(st.integers(0, 2**62), min_size=1, max_size=5))
def test_the_numbers_belong_to_the_image(kind: str, indices: list[int]) -> None:
    """Whichever other images are asked for, and in whichever order."""
    together = draw(kind, "square", 100, indices=indices)
    alone = torch.cat([draw(kind, "square", 100, indices=[index]) for index in indices])
    assert together.dtype == torch.float32
    assert together.shape == (len(indices), 3, 5)
    assert torch.equal(together, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_key_matters(kind: str) -> None:
    drawn = [
        draw(kind, "apgd-t", 0, indices=[4]),
        draw(kind, "apgd-t", 1, indices=[4]),
        draw(kind, "apgd-ce", 0, indices=[4]),
        draw(kind, "apgd-t", 0, indices=[5]),
        draw(kind, "apgd-t", 0, indices=[4], seed=1),
    ]
    assert len({tuple(numbers.flatten().tolist()) for numbers in drawn}) == len(drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_draw_continues_a_shorter_one(kind: str) -> None:
    """So that the last block of queries is not another one when it is cut short; odd counts included."""
    long = draw(kind, "square", 0, indices=[1, 2], shape=(4, 5))
    assert torch.equal(draw(kind, "square", 0, indices=[1, 2], shape=(3, 5)), long[:, :3])


def test_the_bits_are_those_of_philox() -> None:
    """A change of the stream would change every published verdict: two numbers of 24 bits from each word of 64."""
    drawn = draw("uniform", "apgd-ce", indices=[12], shape=(4,), seed=5)[0]
    words = np.random.Philox(key=derived_seed(5, "apgd-ce"), counter=[0, 0, 0, 12]).random_raw(2).tolist()
    expected = [((word >> shift) & 0xFFFFFFFF) >> 8 for word in words for shift in (0, 32)]
    assert (drawn * 2**24).tolist() == expected
    assert expected == [13442103, 10914754, 16243407, 10215261]


def test_the_distributions() -> None:
    uniform = draw("uniform", "square", 0, indices=list(range(40)), shape=(1000,))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert torch.equal(uniform * 2**24, (uniform * 2**24).round())
    normal = draw("normal", "apgd-ce", indices=list(range(40)), shape=(1000,)).double()
    moments = [float((normal**k).mean()) for k in range(1, 5)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.1)


def test_global_generators_stay_untouched() -> None:
    def state() -> tuple[list[int], str]:
        return torch.get_rng_state().tolist(), str(np.random.get_state())  # noqa: NPY002  what must not change

    before = state()
    draw("uniform", "square", 0, indices=[0])
    draw("normal", "square", 0, indices=[0])
    assert state() == before
