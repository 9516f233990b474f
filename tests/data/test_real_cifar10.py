"""CIFAR-10 as `cifar10-small` has it, from a copy in which 93 images are damaged: the same as from the original.

No test knows the original. What it can know is that the suite leaves out the damaged images, all of them and no other,
and that it insists on the bytes of the rest.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fairbench.data.loading import load_dataset
from fairbench.errors import UserError
from fairbench.protocol.suite_file import load_suite

COPY = Path(__file__).parents[2].parent / "shared" / "data" / "cifar10"
PARTS = ("train", "test")

pytestmark = pytest.mark.skipif(
    not COPY.is_dir(), reason="needs the shared folder with real images beside the repository"
)


def tiles(part: str) -> NDArray[np.uint8]:
    """All images of a split in the published order; sheets of 25 rows with 40 images each."""
    sheets = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(COPY.glob(f"{part}_*.webp"))]
    rows = [sheet.reshape(25, 32, 40, 32, 3).transpose(0, 2, 1, 3, 4).reshape(1000, 32, 32, 3) for sheet in sheets]
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    meta = np.load(COPY / "meta.npz")
    labels = {f"{part}_labels": meta[f"{part}_labels"].astype(np.int64) for part in PARTS}
    return {**{f"{part}_images": tiles(part) for part in PARTS}, **labels, "class_names": meta["class_names"]}


def test_the_suite_leaves_out_what_is_damaged_in_the_copy() -> None:
    exclude, meta = load_suite("cifar10-small").dataset.exclude, np.load(COPY / "meta.npz")
    for part in PARTS:
        assert sorted(getattr(exclude, part)) == np.flatnonzero(~meta[f"{part}_lossless"]).tolist()


def test_the_copy_loads_through_the_suite_and_a_changed_pixel_does_not(tmp_path: Path, arrays: dict[str, Any]) -> None:
    source = load_suite("cifar10-small").dataset
    np.savez(tmp_path / "cifar10.npz", **arrays)
    cifar10 = load_dataset(source, folder="", data_dir=tmp_path)
    kept = np.delete(np.arange(10_000), source.exclude.test)
    assert cifar10.test_indices is not None
    assert np.array_equal(cifar10.test_indices.numpy(), kept)
    assert len(cifar10.test) == 9_980
    assert torch.equal(cifar10.test.labels, torch.from_numpy(arrays["test_labels"][kept]))
    assert len(cifar10.train) + len(cifar10.validation) == source.train_images
    assert cifar10.class_names[3] == "cat"

    changed = arrays["test_images"].copy()
    changed[kept[0], 0, 0, 0] ^= 1
    np.savez(tmp_path / "cifar10.npz", **{**arrays, "test_images": changed})
    with pytest.raises(UserError, match=r"The test images of .*cifar10\.npz are not those of the suite"):
        load_dataset(source, folder="", data_dir=tmp_path)
