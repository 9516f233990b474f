"""The test images that a model is evaluated on: a dataset's, or a class-stratified part of them.

sample = load_sample("cifar10", data_dir=Path("data"), limit=1000)
sample.indices              # where they lie in the test set, which keys the attacks' noise
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairbench.data.arrays import Arrays
from fairbench.data.digest import file_digest
from fairbench.data.loading import load_test_images, resized
from fairbench.data.npz import read_npz
from fairbench.data.sources import dataset_names, load_source
from fairbench.data.stratified import stratified_subset
from fairbench.errors import UserError, unknown
from fairbench.fields import build
from fairbench.protocol.dataset_source import DatasetSource
from fairbench.protocol.suite import Suite
from fairbench.protocol.suite_file import load_suite, suite_names


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Test images with what identifies them.

    Attributes:
        name: of the dataset, and of the folder of its outcomes.
        images: (n, channels, height, width), uint8 or float32 in [0, 1].
        labels: (n,) int64.
        indices: positions in the test set, (n,) int64, rising.
        class_names: by label.
        identity: of the dataset, as in the description of a run.
    """

    name: str
    images: Tensor
    labels: Tensor
    indices: Tensor
    class_names: tuple[str, ...]
    identity: Mapping[str, object]

    def part(self, limit: int, *, draw: str = "subset") -> "Sample":
        """As many images of each class as of the others, `limit` in all; a larger part contains a smaller one.

        Args:
            limit: at least 1.
            draw: its name; another one takes other images.
        """
        return self.at(torch.from_numpy(stratified_subset(self.labels.numpy(), limit=limit, name=draw)))

    def at(self, rows: Tensor) -> "Sample":
        """The images of these rows, (m,) rising."""
        return replace(self, images=self.images[rows], labels=self.labels[rows], indices=self.indices[rows])

    def numbered(self, indices: Tensor) -> "Sample":
        """The images at these positions in the test set, (m,) rising.

        Raises:
            UserError: if one of them is not here.
        """
        rows = torch.searchsorted(self.indices, indices).clamp(max=len(self.indices) - 1)
        if not torch.equal(self.indices[rows], indices):
            missing = int(indices[self.indices[rows] != indices][0])
            raise UserError(f"{self.name} has no test image {missing}; there are {len(self.indices):,}.")
        return self.at(rows)


def load_sample(dataset: str, *, data_dir: Path, image_size: int | None = None) -> Sample:
    """The whole test set of a dataset.

    Args:
        dataset: a name of `fairbench list datasets`, or an `.npz` file, of which the test arrays are enough.
        data_dir: of downloads.
        image_size: height and width to resize to, 0 for none; None as the suite of that dataset has it.

    Raises:
        UserError: if it cannot be read or downloaded.
    """
    path = Path(dataset)
    if path.suffix.lower() == ".npz":
        arrays, size = read_npz(path, test_only=True), image_size or 0
        name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-.") or "file"
        identity = {"name": name, "image_size": size, "sha256": file_digest(path)}
        return _sample(arrays, name=name, size=size, identity=identity)
    if dataset not in dataset_names():
        raise unknown("dataset", dataset, dataset_names(), advice="Images of your own are given as an .npz file.")
    size = usual_size(dataset) if image_size is None else image_size
    arrays = load_source(dataset, data_dir=data_dir, image_size=size)
    return _sample(arrays, name=dataset, size=size, identity={"name": dataset, "image_size": size, "sha256": ""})


def load_described(identity: Mapping[str, Any], *, file: str, data_dir: Path) -> Sample:
    """The test images that a run's description names.

    Args:
        identity: of its dataset.
        file: the dataset, if that is an `.npz` file; else "".
        data_dir: of downloads.

    Raises:
        UserError: if they cannot be had, or are not those that the run's suite insists on.
    """
    name, size = str(identity.get("name", "")), int(identity.get("image_size", 0))
    if file or "pixels" not in identity or name not in dataset_names():
        return load_sample(file or name, data_dir=data_dir, image_size=size)
    restrictions = {key: identity[key] for key in ("exclude", "pixels") if key in identity}
    if "exclude" in restrictions:
        restrictions["exclude"] = {**restrictions["exclude"], "why": "as the run's description says"}
    source = build(DatasetSource, {"name": name, **restrictions}, prefix="dataset.")
    found, class_names = load_test_images(source, data_dir=data_dir)
    return Sample(
        name=name,
        images=resized(torch.from_numpy(found.images.transpose(0, 3, 1, 2).copy()), size),
        labels=torch.from_numpy(found.labels.astype(np.int64)),
        indices=torch.from_numpy(found.positions),
        class_names=class_names,
        identity=identity,
    )


def usual_suite(dataset: str) -> Suite | None:
    """The first suite that ships for a whole test set; its threat and image size hold for all of those."""
    suites = (suite for suite in map(load_suite, suite_names()) if not suite.dataset.exclude.test)
    return next((suite for suite in suites if suite.dataset.name == dataset), None)


def usual_size(dataset: str) -> int:
    """Height and width to which its images are resized; 0 for none."""
    suite = usual_suite(dataset)
    return suite.dataset.image_size if suite else 0


def _sample(arrays: Arrays, *, name: str, size: int, identity: Mapping[str, object]) -> Sample:
    images = torch.from_numpy(arrays.test_images.transpose(0, 3, 1, 2).copy())
    return Sample(
        name=name,
        images=resized(images, size),
        labels=torch.from_numpy(arrays.test_labels.astype(np.int64)),
        indices=torch.arange(len(images)),
        class_names=arrays.class_names,
        identity=identity,
    )
