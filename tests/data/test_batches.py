"""Batches cover the split once, know where training is, and draw from the streams they were given."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairbench.data.augmentation import VIEWS, crop_and_flip, diverse_view, randaugment
from fairbench.data.batches import TrainingBatches, evaluation_batches
from fairbench.data.dataset import Split
from fairbench.errors import UserError
from fairbench.protocol.recipe import Recipe
from fixture_types import Generators


def split(count: int) -> Split:
    """Image i is filled with the value i, so that every batch shows which images it holds."""
    values = torch.arange(count, dtype=torch.uint8)
    return Split(values.view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous(), torch.arange(count) % 7)


def batches(count: int, *, batch_size: int = 8, seed: int = 0, padding: int = 0, flip: bool = False) -> TrainingBatches:
    return TrainingBatches(
        split(count),
        recipe=Recipe(epochs=3, batch_size=batch_size, crop_padding=padding, flip=flip),
        order=torch.Generator().manual_seed(seed),
        augmentation=torch.Generator().manual_seed(seed + 1),
        views=torch.Generator().manual_seed(seed + 2),
    )


@given(count=st.integers(1, 50), batch_size=st.integers(1, 60))
def test_an_epoch_shows_every_image_once_with_its_label(count: int, batch_size: int) -> None:
    training = batches(count, batch_size=batch_size)
    found = list(training.epoch(0, 3))
    assert len(found) == len(training)
    assert sorted(torch.cat([batch.indices for batch in found]).tolist()) == list(range(count))
    assert [len(batch.indices) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    for batch in found:
        assert torch.equal(batch.images[:, 0, 0, 0], batch.indices / 255)
        assert torch.equal(batch.labels, batch.indices % 7)
        assert batch.images.dtype == torch.float32


def test_progress_rises_evenly_over_the_whole_training() -> None:
    training = batches(20, batch_size=8)
    progress = [batch.progress for epoch in range(4) for batch in training.epoch(epoch, 4)]
    assert progress == pytest.approx([step / 12 for step in range(12)])


def test_the_order_changes_by_epoch_and_is_fixed_by_its_generator() -> None:
    first, again, other = batches(40, seed=1), batches(40, seed=1), batches(40, seed=2)

    def order(training: TrainingBatches) -> list[int]:
        return torch.cat([batch.indices for batch in training.epoch(0, 3)]).tolist()

    one = order(first)
    assert one == order(again)
    assert one != order(first)
    assert one != order(other)


def test_training_images_are_cropped_as_the_recipe_says() -> None:
    """With zero padding, some pixel of nearly every image turns black; without, none does."""
    cropped = torch.cat([batch.images for batch in batches(40, padding=2).epoch(0, 3)])
    whole = torch.cat([batch.images for batch in batches(40, padding=0).epoch(0, 3)])
    assert (cropped == 0).flatten(1).any(dim=1).sum() > 30
    assert (whole == 0).flatten(1).any(dim=1).sum() == 1  # image 0 is black


def test_views_belong_to_their_rows_and_leave_the_other_streams_alone() -> None:
    plain, viewing = batches(40), batches(40)
    expected = list(plain.epoch(0, 3))
    for batch, reference in zip(viewing.epoch(0, 3), expected, strict=True):
        rows = torch.tensor([1, 3])
        view = batch.view("randaugment", rows)
        assert view.shape == batch.images[rows].shape
        assert view.dtype == torch.float32
        assert 0 <= view.min() <= view.max() <= 1
        assert torch.equal(batch.images, reference.images)
    mask = torch.zeros(8, dtype=torch.bool)
    mask[:3] = True
    assert len(expected[0].view("randaugment", mask)) == 3


def test_a_view_is_the_raw_image_augmented_and_then_cropped(generator: Generators) -> None:
    """From the stream of views, once for every row that is asked for."""
    training = batches(40, seed=0, padding=2, flip=True)
    batch = next(training.epoch(0, 1))
    rows = torch.tensor([5, 0, 5])
    raw = split(40).images[batch.indices[rows]]
    views = generator(2)
    diverse = crop_and_flip(randaugment(raw, generator=views), padding=2, flip=True, generator=views)
    assert torch.equal(batch.view("randaugment", rows), diverse.float() / 255)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_made_of_the_raw_images(generator: Generators, name: str) -> None:
    """With the recipe's crop and flip; a row that is named twice is drawn twice."""
    training = batches(40, padding=2, flip=True)
    batch = next(training.epoch(0, 1))
    raw = split(40).images[batch.indices[[5, 0, 5]]]
    expected = diverse_view(name, raw, padding=2, flip=True, generator=generator(2))
    assert torch.equal(batch.view(name, torch.tensor([5, 0, 5])), expected.float() / 255)


def test_the_strength_of_a_view_goes_with_its_rows(generator: Generators) -> None:
    batch = next(batches(40).epoch(0, 1))
    rows, strength = torch.tensor([2, 6, 1, 4]), torch.tensor([0.0, 1.0, 0.5, 0.25])
    raw = split(40).images[batch.indices[rows]]
    magnitude = torch.tensor([0, 8, 4, 2])
    expected = randaugment(raw, magnitude=magnitude, generator=generator(2)).float() / 255
    assert torch.equal(batch.view("randaugment", rows, strength=strength), expected)


def test_an_unknown_view_is_refused_with_the_known_ones() -> None:
    batch = next(batches(8).epoch(0, 1))
    with pytest.raises(UserError, match=r"Unknown view 'randaug'\. Did you mean 'randaugment'\?"):
        batch.view("randaug", torch.tensor([0]))


@pytest.mark.parametrize("batch_size", [1, 7, 20, 100])
def test_evaluation_shows_the_split_as_it_is(batch_size: int) -> None:
    data = split(20)
    found = list(evaluation_batches(data, batch_size))
    assert torch.equal(torch.cat([batch.indices for batch in found]), torch.arange(20))
    assert torch.equal(torch.cat([batch.images for batch in found]), data.images.float() / 255)
    assert torch.equal(torch.cat([batch.labels for batch in found]), data.labels)
    assert {batch.progress for batch in found} == {0.0}


def test_evaluation_has_no_views() -> None:
    batch = next(evaluation_batches(split(4), 4))
    with pytest.raises(UserError, match="'randaugment' exists in training only"):
        batch.view("randaugment", torch.tensor([0]))


class TestDrawnByClass:
    """Where a method says which classes the next batch is drawn from."""

    def test_shares_act_from_the_next_batch_on(self) -> None:
        """Asked before each batch, as it is at that moment; labels are the positions modulo 7."""
        shares = torch.zeros(7, dtype=torch.float64)
        drawn = batches(30).epoch(0, 3, sampling=lambda: shares)
        for chosen in (3, 5, 0):
            shares.zero_()[chosen] = 1
            batch = next(drawn)
            assert batch.labels.eq(chosen).all()
            assert torch.equal(batch.images[:, 0, 0, 0], batch.indices / 255)
            assert torch.equal(batch.indices % 7, batch.labels)

    @given(count=st.integers(7, 50), batch_size=st.integers(1, 60))
    def test_an_epoch_keeps_its_steps(self, count: int, batch_size: int) -> None:
        plain, drawn = (
            [len(batch.labels) for batch in batches(count, batch_size=batch_size).epoch(0, 3, sampling=sampling)]
            for sampling in (lambda: None, lambda: torch.ones(7))
        )
        assert plain == drawn

    def test_every_image_of_a_class_can_be_drawn(self) -> None:
        one = torch.eye(7, dtype=torch.float64)[2]
        found = torch.cat([batch.indices for batch in batches(40, batch_size=200).epoch(0, 3, sampling=lambda: one)])
        assert sorted(set(found.tolist())) == [2, 9, 16, 23, 30, 37]

    def test_a_class_without_images_is_never_drawn(self) -> None:
        shares = torch.ones(9, dtype=torch.float64)  # the labels are 0 to 6
        labels = torch.cat([batch.labels for batch in batches(50).epoch(0, 3, sampling=lambda: shares)])
        assert labels.max() < 7
        with pytest.raises(UserError, match="only classes that have no training images"):
            next(batches(50).epoch(0, 3, sampling=lambda: torch.eye(9)[8]))

    def test_who_says_nothing_draws_as_ever(self) -> None:
        plain, asked = batches(40), batches(40)
        for one, other in zip(plain.epoch(0, 3), asked.epoch(0, 3, sampling=lambda: None), strict=True):
            assert torch.equal(one.indices, other.indices)


def test_a_pass_in_order_draws_from_the_views_alone() -> None:
    """Augmented as training is, once each, and the next epoch is what it would have been."""
    plain, passing = batches(20, padding=2), batches(20, padding=2)
    found = list(passing.in_order())
    assert torch.cat([batch.indices for batch in found]).tolist() == list(range(20))
    assert (torch.cat([batch.images for batch in found]) == 0).flatten(1).any(dim=1).sum() > 10
    for one, other in zip(plain.epoch(0, 3), passing.epoch(0, 3), strict=True):
        assert torch.equal(one.images, other.images)
