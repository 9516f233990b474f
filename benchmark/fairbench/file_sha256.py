"""The SHA-256 of a file, by which outcomes, checkpoints and datasets are recognised; without torch."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Of its bytes, in hexadecimal.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
