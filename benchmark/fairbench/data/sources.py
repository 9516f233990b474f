"""The built-in datasets, by name. Nothing is imported for a dataset before it is loaded."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fairbench.data.arrays import Arrays
from fairbench.data.downloads import DOWNLOADS, load_download
from fairbench.data.split import hold_out
from fairbench.errors import unknown
from fairbench.protocol.dataset_source import DatasetSource


def dataset_names() -> list[str]:
    """Names that a suite may give as `dataset.name`."""
    return sorted(("digits", *DOWNLOADS))


def load_source(name: str, *, data_dir: Path, image_size: int = 0) -> Arrays:
    """A built-in dataset, downloaded on first use.

    Args:
        name: one of `dataset_names()`.
        data_dir: downloads go to `data_dir/name`.
        image_size: for images that are not all of one size (Imagenette); 0 is the dataset's own choice.

    Raises:
        UserError: for an unknown name, and if the data is missing and cannot be downloaded, or is damaged.
    """
    if name == "digits":
        return _digits()
    if name not in DOWNLOADS:
        raise unknown("dataset", name, dataset_names(), advice="A dataset of your own is given as dataset.file, .npz.")
    return load_download(name, data_dir=data_dir, image_size=image_size)


def is_here(source: DatasetSource, *, folder: str, data_dir: Path) -> bool:
    """Whether the images of a suite can be had without a download.

    Args:
        source: of the suite.
        folder: of the suite file, against which `source.file` is resolved.
        data_dir: where downloads live.
    """
    if source.file:
        return Path(folder, source.file).is_file()
    folders = (data_dir / source.name, data_dir / f"{source.name}.npz")
    return source.name == "digits" or any(path.exists() for path in folders)


def _digits() -> Arrays:
    """The 1,797 digits of 8x8 pixels that come with scikit-learn; 30 % of each class are the test split."""
    table = _digits_table()
    labels = table[:, -1]
    grey = table[:, :-1].reshape(-1, 8, 8)  # 0 .. 16
    images = ((grey * 255 + 8) // 16).astype(np.uint8)[..., np.newaxis]
    train, test = hold_out(labels, share=0.3, name="digits test")
    return Arrays(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=tuple("0123456789"),
    )


def _digits_table() -> npt.NDArray[np.int64]:
    """A line per image, (1797, 65): its pixels, then its label.

    From scikit-learn's file, because importing scikit-learn takes as long as importing torch does.
    """
    package = find_spec("sklearn")
    file = Path(str(package and package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",").astype(np.int64)
    from sklearn.datasets import load_digits  # noqa: PLC0415  of a release that keeps it elsewhere

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target]).astype(np.int64)
