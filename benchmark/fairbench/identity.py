"""What things are recognised by: files by their bytes, descriptions by their content; without torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Of its bytes, in hexadecimal.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(description: Mapping[str, object]) -> str:
    """Sixteen hexadecimal digits of a description made of plain values; equal content gives an equal key."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
