"""The images that a model is judged on: whole test sets, even parts of them, and who they are."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairbench.data.remaining import pixel_digest
from fairbench.errors import UserError
from fairbench.external.sample import Sample, load_described, load_sample, usual_size, usual_suite
from fairbench.protocol.suite_file import load_suite, suite_names


@pytest.fixture(scope="module")
def digits_test(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return load_sample("digits", data_dir=tmp_path_factory.mktemp("data"))


def test_a_built_in_dataset_is_its_name(digits_test: Sample) -> None:
    assert digits_test.identity == {"name": "digits", "image_size": 0, "sha256": ""}
    assert digits_test.images.shape == (539, 1, 8, 8)
    assert digits_test.indices.tolist() == list(range(539))
    assert digits_test.class_names == tuple("0123456789")


def test_a_file_is_its_content(tmp_path: Path) -> None:
    """Its name is that of a folder, whatever the file is called; training images are not needed."""
    path = tmp_path / "Red & blue flowers!.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    np.savez(path, test_images=images, test_labels=[0, 1, 0, 1, 0, 1])
    found = load_sample(str(path), data_dir=tmp_path)
    assert found.name == "red-blue-flowers"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.identity == {"name": "red-blue-flowers", "image_size": 0, "sha256": digest}
    assert np.array_equal(found.images.numpy(), images.transpose(0, 3, 1, 2))
    assert load_sample(str(path), data_dir=tmp_path, image_size=8).images.shape == (6, 3, 8, 8)


def test_a_name_without_letters_is_a_folder_too(tmp_path: Path) -> None:
    path = tmp_path / "🐈.npz"
    np.savez(path, test_images=np.zeros((2, 4, 4), np.uint8), test_labels=[0, 1])
    assert load_sample(str(path), data_dir=tmp_path).name == "file"


class TestStoredInPlaceOfADownload:
    """What `run-all` takes where the suite says what must be in it serves those who look at its runs, too."""

    @pytest.fixture
    def identity(self, tmp_path: Path) -> dict[str, object]:
        """Of six stored test images, of which the second is left out."""
        images = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), dtype=np.uint8)
        labels = np.array([0, 1, 0, 1, 0, 1])
        np.savez(
            tmp_path / "mnist.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels
        )
        kept = np.array([0, 2, 3, 4, 5])
        digest = pixel_digest(images[kept], labels[kept])
        return {
            "name": "mnist",
            "image_size": 0,
            "sha256": "",
            "exclude": {"train": [1], "test": [1]},
            "pixels": {"train": digest, "test": digest},
        }

    def test_the_images_keep_their_numbers(self, identity: dict[str, object], tmp_path: Path) -> None:
        found = load_described(identity, file="", data_dir=tmp_path)
        assert found.indices.tolist() == [0, 2, 3, 4, 5]
        assert found.numbered(torch.tensor([3, 5])).labels.tolist() == [1, 1]
        for missing in (1, 6):
            with pytest.raises(UserError, match=f"mnist has no test image {missing}; there are 5"):
                found.numbered(torch.tensor([0, missing]))

    def test_other_pixels_are_refused(self, identity: dict[str, object], tmp_path: Path) -> None:
        identity["pixels"] = {"train": "0" * 64, "test": "0" * 64}
        with pytest.raises(UserError, match=r"The test images of .*mnist\.npz are not those of the suite"):
            load_described(identity, file="", data_dir=tmp_path)

    def test_a_description_that_makes_no_sense(self, identity: dict[str, object], tmp_path: Path) -> None:
        identity["pixels"] = {"train": "nonsense", "test": 3}
        with pytest.raises(UserError, match=r"pixels\.t"):
            load_described(identity, file="", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("given_name", "said"),
    [
        ("digit", r"Unknown dataset 'digit'\. Did you mean 'digits'\?.* are given as an \.npz file"),
        ("nowhere.npz", r"Cannot read the dataset nowhere\.npz: No such file"),
        ("", "Unknown dataset ''"),
    ],
)
def test_what_is_no_dataset_is_named(given_name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        load_sample(given_name, data_dir=tmp_path)


@given(limit=st.integers(1, 600))
def test_a_part_is_even_and_keeps_positions(digits_test: Sample, limit: int) -> None:
    part = digits_test.part(limit)
    assert len(part.images) == min(limit, 539)
    counts = torch.bincount(part.labels, minlength=10)
    assert limit > 500 or counts.max() - counts.min() <= 1
    assert torch.equal(digits_test.images[part.indices], part.images)
    assert torch.equal(digits_test.labels[part.indices], part.labels)


def test_another_draw_takes_other_images(digits_test: Sample) -> None:
    draws = [digits_test.part(50, draw=name).indices.tolist() for name in ("a", "a", "b")]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("name", [name for name in suite_names() if not load_suite(name).dataset.exclude.test])
def test_what_is_usual_for_a_dataset_holds_in_all_suites_of_the_whole_of_it(name: str) -> None:
    """Otherwise the default threat of `evaluate` would fit one board and miss another."""
    suite = load_suite(name)
    usual = usual_suite(suite.dataset.name)
    assert usual is not None
    assert (usual.threat.norm, usual.threat.epsilon) == (suite.threat.norm, suite.threat.epsilon)
    assert usual_size(suite.dataset.name) == suite.dataset.image_size


def test_nothing_is_usual_for_a_file() -> None:
    assert usual_suite("flowers.npz") is None
    assert usual_size("flowers.npz") == 0
