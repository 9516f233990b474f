"""What a suite leaves out of a dataset, what it insists on, and how many training images it draws."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fairbench.data import loading
from fairbench.data.arrays import Arrays
from fairbench.data.dataset import Dataset
from fairbench.data.loading import load_dataset
from fairbench.data.remaining import pixel_digest, remaining
from fairbench.errors import UserError
from fairbench.protocol.dataset_source import DatasetSource, Exclusion, PixelDigests

Table = dict[str, NDArray[np.generic]]
EXCLUDED = Exclusion(why="They are damaged.", train=(29, 0, 7), test=(4, 0))


@pytest.fixture
def arrays(valid_arrays: Table) -> Any:
    return valid_arrays


def without(arrays: Any, part: str, excluded: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return np.delete(arrays[f"{part}_images"], excluded, axis=0), np.delete(arrays[f"{part}_labels"], excluded)


def insisting(arrays: Any, *, exclude: Exclusion = EXCLUDED) -> DatasetSource:
    """A source that names the digests of what remains."""
    digests = {part: pixel_digest(*without(arrays, part, getattr(exclude, part))) for part in ("train", "test")}
    return DatasetSource(name="toy", validation=0.2, exclude=exclude, pixels=PixelDigests(**digests))


def load(folder: Path, arrays: Any, source: DatasetSource) -> Dataset:
    np.savez(folder / "toy.npz", **arrays)
    return load_dataset(replace(source, file="toy.npz"), folder=str(folder), data_dir=folder)


def same(first: Dataset, second: Dataset) -> bool:
    return all(
        torch.equal(getattr(first, part).images, getattr(second, part).images)
        and torch.equal(getattr(first, part).labels, getattr(second, part).labels)
        for part in ("train", "validation", "test")
    )


def test_excluded_images_are_in_no_split_and_positions_stay_those_of_the_published_set(
    tmp_path: Path, arrays: Any
) -> None:
    toy = load(tmp_path, arrays, DatasetSource(name="toy", validation=0.2, exclude=EXCLUDED))
    assert toy.test_indices is not None
    assert toy.test_indices.tolist() == [1, 2, 3, 5]
    assert np.array_equal(toy.test.images.numpy(), arrays["test_images"][[1, 2, 3, 5]].transpose(0, 3, 1, 2))
    used = {image.numpy().tobytes() for image in torch.cat([toy.train.images, toy.validation.images])}
    kept, _ = without(arrays, "train", EXCLUDED.train)
    assert used == {image.transpose(2, 0, 1).tobytes() for image in kept}
    assert load(tmp_path, arrays, DatasetSource(name="toy", validation=0.2)).test_indices is None


def test_validation_is_drawn_from_what_is_left(tmp_path: Path, arrays: Any) -> None:
    """As if the excluded images had never been there."""
    source = DatasetSource(name="toy", validation=0.2)
    shorter = dict(arrays)
    for part in ("train", "test"):
        shorter[f"{part}_images"], shorter[f"{part}_labels"] = without(arrays, part, getattr(EXCLUDED, part))
    assert same(load(tmp_path, arrays, replace(source, exclude=EXCLUDED)), load(tmp_path, shorter, source))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_position_that_does_not_exist_is_refused(tmp_path: Path, arrays: Any, part: str) -> None:
    count = len(arrays[f"{part}_labels"])
    source = DatasetSource(name="toy", exclude=Exclusion(why="Damaged.", **{part: (0, count)}))
    with pytest.raises(
        UserError, match=rf"dataset\.exclude\.{part} has {count}, but .*toy\.npz has {count} .*from 0 to {count - 1}\."
    ):
        load(tmp_path, arrays, source)


def test_a_split_cannot_be_excluded_whole(tmp_path: Path, arrays: Any) -> None:
    source = DatasetSource(name="toy", exclude=Exclusion(why="All are damaged.", test=tuple(range(6))))
    with pytest.raises(UserError, match=r"dataset\.exclude\.test leaves none of the 6 test images of"):
        load(tmp_path, arrays, source)


def test_a_digest_is_that_of_the_bytes(arrays: Any) -> None:
    images, labels = arrays["test_images"], arrays["test_labels"]
    by_hand = hashlib.sha256(images.tobytes() + np.asarray(labels, dtype="<i8").tobytes()).hexdigest()
    assert pixel_digest(images, labels) == pixel_digest(images[::-1][::-1], labels.astype(np.int32)) == by_hand


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("change", ["pixel", "label", "order"])
def test_changed_data_are_refused(tmp_path: Path, arrays: Any, part: str, change: str) -> None:
    source = insisting(arrays)
    load(tmp_path, arrays, source)
    images, labels = arrays[f"{part}_images"].copy(), arrays[f"{part}_labels"].copy()
    if change == "pixel":
        images[3, 0, 0, 0] ^= 1
    elif change == "label":
        labels[3] = (labels[3] + 1) % 3
    else:
        images, labels = images[::-1], labels[::-1]
    words = {"train": "training", "test": "test"}[part]
    with pytest.raises(
        UserError, match=rf"The {words} images of .* are not those of the suite: .*SHA-256 .*use the pub"
    ):
        load(tmp_path, {**arrays, f"{part}_images": images, f"{part}_labels": labels}, source)


def test_pixels_of_excluded_images_do_not_matter(tmp_path: Path, arrays: Any) -> None:
    source = insisting(arrays)
    placeholders = {name: values.copy() for name, values in arrays.items()}
    placeholders["train_images"][list(EXCLUDED.train)] = 0
    placeholders["test_images"][list(EXCLUDED.test)] = 0
    assert same(load(tmp_path, arrays, source), load(tmp_path, placeholders, source))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_copy_without_the_excluded_images_is_recognised_by_its_digest(arrays: Any, part: Any) -> None:
    source = insisting(arrays)
    whole = remaining(arrays[f"{part}_images"], arrays[f"{part}_labels"], source=source, part=part, origin="toy")
    images, labels = without(arrays, part, getattr(EXCLUDED, part))
    shorter = remaining(images, labels, source=source, part=part, origin="toy")
    for name in ("images", "labels", "positions"):
        assert np.array_equal(getattr(whole, name), getattr(shorter, name))


def published(arrays: Any) -> Arrays:
    names = tuple(map(str, arrays["class_names"]))
    images = {name: arrays[name] for name in ("train_images", "train_labels", "test_images", "test_labels")}
    return Arrays(**images, class_names=names)


def test_a_file_takes_a_downloads_place_only_where_the_suite_knows_its_pixels(
    tmp_path: Path, arrays: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, downloaded = insisting(arrays), published(arrays)
    monkeypatch.setattr(loading, "load_source", lambda *_, **__: downloaded)
    as_downloaded = load_dataset(source, folder="", data_dir=tmp_path)
    np.savez(tmp_path / "toy.npz", **{**arrays, "test_images": 255 - arrays["test_images"]})
    unchecked = replace(source, pixels=PixelDigests())
    assert same(load_dataset(unchecked, folder="", data_dir=tmp_path), as_downloaded)
    with pytest.raises(UserError, match=r"The test images of .*toy\.npz are not those of the suite"):
        load_dataset(source, folder="", data_dir=tmp_path)
    np.savez(tmp_path / "toy.npz", **arrays)
    monkeypatch.delattr(loading, "load_source")
    assert same(load_dataset(source, folder="", data_dir=tmp_path), as_downloaded)


def test_who_cannot_download_is_told_of_the_file(tmp_path: Path, arrays: Any) -> None:
    with pytest.raises(UserError, match=r"Unknown dataset 'toy'(?s:.*)Or put its images there as .*/toy\.npz"):
        load_dataset(insisting(arrays), folder="", data_dir=tmp_path)
    with pytest.raises(UserError, match=r"Unknown dataset 'toy'") as refused:
        load_dataset(DatasetSource(name="toy"), folder="", data_dir=tmp_path)
    assert "Or put" not in str(refused.value)


def test_training_images_are_a_fixed_stratified_draw_after_exclusion(tmp_path: Path, arrays: Any) -> None:
    source = DatasetSource(name="toy", validation=0.25, exclude=EXCLUDED, train_images=12)
    first, second = (load(tmp_path, arrays, source) for _ in range(2))
    assert same(first, second)
    for split, count in ((first.train, 3), (first.validation, 1)):
        assert split.labels.bincount().tolist() == [count] * 3
    assert len(first.test) == 4
    allowed = {image.transpose(2, 0, 1).tobytes() for image in without(arrays, "train", EXCLUDED.train)[0]}
    drawn = {image.numpy().tobytes() for image in torch.cat([first.train.images, first.validation.images])}
    assert drawn < allowed
    assert len(drawn) == 12


def test_more_training_images_than_there_are_is_refused(tmp_path: Path, arrays: Any) -> None:
    with pytest.raises(UserError, match=r"dataset\.train_images = 28 is not allowed: .* has 27 training images"):
        load(tmp_path, arrays, DatasetSource(name="toy", exclude=EXCLUDED, train_images=28))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"exclude": {"train": (3, 1, 3), "why": "Bad."}}, "dataset.exclude.train = [3, 1, 3]"),
    ({"exclude": {"test": (0, -1), "why": "Bad."}}, "dataset.exclude.test = [0, -1]"),
    ({"exclude": {"test": (0,)}}, "dataset.exclude.why = ''"),
    ({"exclude": {"why": "Nothing is left out."}}, "dataset.exclude.why = 'Nothing is left out.'"),
    ({"pixels": {"train": "abc"}}, "dataset.pixels.train = 'abc'"),
    ({"pixels": {"test": "G" * 64}}, f"dataset.pixels.test = '{'G' * 64}'"),
    ({"train_images": -1}, "dataset.train_images = -1"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    kinds: dict[str, Any] = {"exclude": Exclusion, "pixels": PixelDigests}
    with pytest.raises(UserError) as refused:
        DatasetSource(
            name="toy",
            **{name: kinds[name](**given) if name in kinds else given for name, given in fields.items()},
        )
    assert str(refused.value).startswith(f"{message} is not allowed; allowed: ")
