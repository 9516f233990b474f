"""Dataset files: what is read, and every way in which a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fairbench.data.npz import read_npz
from fairbench.errors import UserError

Table = dict[str, NDArray[np.generic]]


def test_a_valid_file_is_read_as_it_is(tmp_path: Path, valid_arrays: Table) -> None:
    path = tmp_path / "toy.npz"
    np.savez_compressed(path, **valid_arrays)  # type: ignore[arg-type]  # the stub's `allow_pickle` comes first
    found = read_npz(path)
    assert np.array_equal(found.train_images, valid_arrays["train_images"])
    assert np.array_equal(found.test_labels, valid_arrays["test_labels"])
    assert found.train_labels.dtype == np.int64
    assert found.class_names == ("bird", "cat", "deer")


def test_grey_images_may_lack_their_channel_and_classes_their_names(tmp_path: Path, valid_arrays: Table) -> None:
    path = tmp_path / "grey.npz"
    np.savez(
        path,
        train_images=valid_arrays["train_images"][..., 0],
        test_images=valid_arrays["test_images"][..., 0],
        train_labels=valid_arrays["train_labels"].astype(np.uint8),
        test_labels=valid_arrays["test_labels"].astype(np.int32),
        extra=np.zeros(3),
    )
    found = read_npz(path)
    assert found.train_images.shape == (30, 4, 5, 1)
    assert found.class_names == ("0", "1", "2")


def test_a_column_of_labels_is_read(tmp_path: Path, valid_arrays: Table) -> None:
    """As MedMNIST stores them."""
    path = tmp_path / "column.npz"
    columns = {name: valid_arrays[name][:, None].astype(np.uint8) for name in ("train_labels", "test_labels")}
    np.savez(path, **{**valid_arrays, **columns})  # type: ignore[arg-type]
    found = read_npz(path)
    assert np.array_equal(found.train_labels, valid_arrays["train_labels"])
    assert np.array_equal(found.test_labels, valid_arrays["test_labels"])


REFUSED: list[tuple[str, Table, list[str]]] = [
    ("float images", {"train_images": np.zeros((30, 4, 5, 3))}, ["'train_images'", "float64", "uint8"]),
    ("channels first", {"train_images": np.zeros((30, 3, 4, 5), np.uint8)}, ["(30, 3, 4, 5)", "1 or 3 channels"]),
    ("flat images", {"test_images": np.zeros((6, 60), np.uint8)}, ["'test_images'", "(6, 60)"]),
    ("no images", {"test_images": np.zeros((0, 4, 5, 3), np.uint8)}, ["'test_images'", "not empty"]),
    ("other size", {"test_images": np.zeros((6, 5, 5, 3), np.uint8)}, ["(4, 5, 3)", "(5, 5, 3)", "alike"]),
    ("float labels", {"test_labels": np.zeros(6)}, ["'test_labels'", "float64", "integer type", "astype(np.int64)"]),
    ("boolean labels", {"test_labels": np.zeros(6, bool)}, ["'test_labels'", "bool", "integer type"]),
    ("one-hot labels", {"train_labels": np.zeros((30, 3), int)}, ["(30, 3)", "(30,)", "argmax(axis=1)"]),
    ("too few labels", {"train_labels": np.zeros(29, int)}, ["(29,)", "one label for every image"]),
    ("negative label", {"test_labels": np.array([0, 1, 2, 0, 1, -1])}, ["'test_labels'", "-1 to 2", "0 to 2"]),
    (
        "test label out of range",
        {"test_labels": np.array([0, 1, 2, 0, 1, 3])},
        ["'test_labels'", "0 to 3", "3 classes"],
    ),
    ("train label out of range", {"train_labels": np.arange(30) % 3 + 1}, ["'train_labels'", "1 to 3", "0 to 2"]),
    ("too many names", {"class_names": np.array(["a", "b", "c", "d"])}, ["4 names", "3 different labels"]),
    ("one name twice", {"class_names": np.array(["a", "b", "a"])}, ["the class names a, b, a", "'a' is the name of"]),
    ("names of bytes", {"class_names": np.array([b"a", b"b", b"c"])}, ["'class_names'", "S1", "by astype(str)"]),
    ("pickled names", {"class_names": np.array(["a", "b", "c"], object)}, ["'class_names'", "pickle", "astype(str)"]),
    ("names as labels", {"test_labels": np.array(list("abcabc"))}, ["'test_labels'", "np.unique(labels, return_in"]),
    ("huge label", {"test_labels": np.full(6, 2**63 + 5, np.uint64)}, ["the label 9223372036854775813; allowed"]),
    ("pixels in [0, 1]", {"test_images": np.zeros((6, 4, 5, 3)) + 0.5}, ["float64", "(255 * images).round()"]),
    ("wide levels", {"test_images": np.zeros((6, 4, 5, 3), int) + 255}, ["int64", "Store them by astype(np.uint8)"]),
    ("channels first", {"test_images": np.zeros((6, 3, 4, 5), np.uint8)}, ["(6, 3, 4, 5)", "transpose(0, 2, 3, 1)"]),
]


@pytest.mark.parametrize(("change", "fragments"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_wrong_array_is_refused_by_file_and_name(
    tmp_path: Path, valid_arrays: Table, change: Table, fragments: list[str]
) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, **{**valid_arrays, **change})  # type: ignore[arg-type]
    with pytest.raises(UserError) as refused:
        read_npz(path)
    for fragment in ["wrong.npz", *fragments]:
        assert fragment in str(refused.value)


@pytest.mark.parametrize(("labels", "stray"), [([0, 1, 3] * 10, "3"), ([1, 2, 3] * 10, "1"), ([-1, 0, 1] * 10, "-1")])
def test_without_names_labels_must_count_from_zero(
    tmp_path: Path, valid_arrays: Table, labels: list[int], stray: str
) -> None:
    del valid_arrays["class_names"]
    path = tmp_path / "gap.npz"
    np.savez(path, **{**valid_arrays, "train_labels": np.array(labels)})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"gap\.npz: 'train_labels' has the label {stray} "):
        read_npz(path)


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_a_missing_array_is_named_with_what_is_there(tmp_path: Path, valid_arrays: Table, name: str) -> None:
    del valid_arrays[name]
    path = tmp_path / "short.npz"
    np.savez(path, **valid_arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"short\.npz has no array '{name}'; it has: .*class_names"):
        read_npz(path)


@pytest.mark.parametrize("kept", [0, 10, 200, 3000])
def test_a_truncated_file_is_refused(tmp_path: Path, valid_arrays: Table, kept: int) -> None:
    path = tmp_path / "cut.npz"
    np.savez(path, **valid_arrays)  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cut\.npz is no \.npz file, or it is truncated"):
        read_npz(path)


def test_a_flipped_byte_inside_an_array_is_noticed(tmp_path: Path, valid_arrays: Table) -> None:
    path = tmp_path / "flipped.npz"
    np.savez(path, **valid_arrays)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    content[content.index(valid_arrays["train_images"].tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"flipped\.npz: the array 'train_images' is damaged"):
        read_npz(path)


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read the dataset .*absent\.npz: No such file"):
        read_npz(tmp_path / "absent.npz")
    with pytest.raises(UserError, match=r"Cannot read the dataset .*: Is a directory"):
        read_npz(tmp_path)
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"single\.npz holds a single array"):
        read_npz(single)
    text = tmp_path / "text.npz"
    text.write_text("label,pixel\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"text\.npz is no \.npz file; write a dataset with np\.savez\.$"):
        read_npz(text)  # numpy takes it for a pickle, and advises to run it


class TestTestSetAlone:
    """What is only evaluated on needs no training images."""

    @pytest.mark.parametrize("left_out", [(), ("train_images", "train_labels")])
    def test_training_arrays_may_be_missing_and_are_not_read(
        self, tmp_path: Path, valid_arrays: Table, left_out: tuple[str, ...]
    ) -> None:
        path = tmp_path / "toy.npz"
        valid_arrays["train_images"] = np.zeros(3)  # no images at all
        np.savez(path, **{name: array for name, array in valid_arrays.items() if name not in left_out})  # type: ignore[arg-type]
        found = read_npz(path, test_only=True)
        assert np.array_equal(found.test_images, valid_arrays["test_images"])
        assert (len(found.train_images), len(found.train_labels)) == (0, 0)
        assert found.class_names == ("bird", "cat", "deer")

    def test_classes_without_images_need_names(self, tmp_path: Path, valid_arrays: Table) -> None:
        """A part of a test set may lack some."""
        path = tmp_path / "part.npz"
        given = {"test_images": valid_arrays["test_images"], "test_labels": np.array([0, 2, 2, 0, 0, 2])}
        np.savez(path, **given)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"'test_labels' has the label 2 but not .*, or any of them with an array"):
            read_npz(path, test_only=True)
        np.savez(path, **given, class_names=valid_arrays["class_names"])  # type: ignore[arg-type]
        assert read_npz(path, test_only=True).class_names == ("bird", "cat", "deer")

    @pytest.mark.parametrize("name", ["test_images", "test_labels"])
    def test_test_arrays_are_needed(self, tmp_path: Path, valid_arrays: Table, name: str) -> None:
        path = tmp_path / "short.npz"
        del valid_arrays[name]
        np.savez(path, **valid_arrays)  # type: ignore[arg-type]
        with pytest.raises(
            UserError, match=rf"has no array '{name}'.*Needed: test_images, test_labels, and optionally"
        ):
            read_npz(path, test_only=True)

    def test_labels_beyond_the_names(self, tmp_path: Path, valid_arrays: Table) -> None:
        path = tmp_path / "beyond.npz"
        np.savez(path, **{**valid_arrays, "test_labels": np.array([0, 1, 2, 0, 1, 3])})  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"'test_labels' goes from 0 to 3; allowed: 0 to 2, for 3 classes"):
            read_npz(path, test_only=True)
