"""The digest identifies a dataset file by its bytes alone."""

import hashlib
from pathlib import Path

import pytest

from fairbench.data.digest import dataset_digest
from fairbench.errors import UserError
from fairbench.protocol.dataset_source import DatasetSource


def test_a_built_in_dataset_has_none() -> None:
    assert dataset_digest(DatasetSource(name="digits"), folder="anywhere") == ""


def test_equal_bytes_have_equal_digests_wherever_they_lie(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(b"pixels")
    first = dataset_digest(DatasetSource(name="x", file="a.npz"), folder=str(tmp_path))
    second = dataset_digest(DatasetSource(name="y", file=str(tmp_path / "b.npz")), folder="elsewhere")
    assert first == second == hashlib.sha256(b"pixels").hexdigest()


@pytest.mark.parametrize(("file", "reason"), [("absent.npz", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"Cannot read the dataset .*{reason}.*relative to the folder of the suite"):
        dataset_digest(DatasetSource(name="x", file=file), folder=str(tmp_path))
