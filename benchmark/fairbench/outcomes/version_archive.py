"""A released version as one file: a zip archive that is packed in one way only, and unpacked with distrust.

    packed = pack(version.folder(results))
    unpack(packed, Path("cache/3f1c..."), origin="https://.../results.zip")

Outcome files are compressed already, so nothing is compressed again, and equal versions are equal bytes.
"""

import io
import zipfile
from pathlib import Path

from fairbench.errors import UserError, first_line
from fairbench.outcomes.board_version import RECORD, version_files

LARGEST = 2**30
"""Bytes, packed and unpacked; a board of 25 methods, five seeds and 50,000 images has less than a tenth of it."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that a zip archive knows


def pack(folder: Path) -> bytes:
    """The outcome files and receipts of a folder of results.

    Raises:
        UserError: if a file cannot be read.
    """
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path in version_files(folder):
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                entry.create_system, entry.external_attr = (
                    3,
                    0o100644 << 16,
                )  # a plain file of Unix, wherever it is packed
                archive.writestr(entry, path.read_bytes())
    except OSError as error:
        raise UserError(f"Cannot read {error.filename or folder}: {error.strerror or error}.") from error
    return target.getvalue()


def unpack(packed: bytes, folder: Path, *, origin: str) -> None:
    """Write what `pack` packed into a folder, and refuse anything else before anything is written.

    Args:
        packed: the archive.
        folder: to write into; it must be empty.
        origin: of the archive, for messages.

    Raises:
        UserError: if it is no such archive, holds other files, or more than `LARGEST`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            entries = archive.infolist()
            if stray := [entry.filename for entry in entries if not RECORD.fullmatch(entry.filename)]:
                raise UserError(
                    f"{origin} holds {stray[0]!r}, which is no outcome file and no receipt; nothing was unpacked."
                )
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise UserError(f"{origin} unpacks to more than {LARGEST // 2**20} MiB; nothing was unpacked.")
            for entry in entries:
                path = folder / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))  # no more than `file_size`, or it is damaged
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{origin} is no readable zip archive ({first_line(error)}).") from error
