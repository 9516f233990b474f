"""What identifies a dataset in a run's key: the bytes of a file, or the name of a built-in dataset."""

from pathlib import Path

from fairbench.errors import UserError
from fairbench.identity import file_sha256
from fairbench.protocol.dataset_source import DatasetSource


def dataset_digest(source: DatasetSource, *, folder: str) -> str:
    """SHA-256 of the `.npz` file, in hexadecimal; "" for a built-in dataset.

    Args:
        source: of the suite.
        folder: of the suite file, against which `source.file` is resolved.

    Raises:
        UserError: if the file is missing or unreadable.
    """
    if not source.file:
        return ""
    return file_digest(Path(folder, source.file), advice="`dataset.file` is relative to the folder of the suite file.")


def file_digest(path: Path, *, advice: str = "Check the path.") -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        UserError: if it is missing or unreadable.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise UserError(f"Cannot read the dataset {path}: {error.strerror or error}. {advice}") from error
