"""Files that appear complete or not at all: results, checkpoints, partial verdicts."""

import os
import tempfile
from pathlib import Path

from fairbench.errors import UserError


def check_writable(folder: Path) -> None:
    """Create a folder and try it, before anything is computed.

    Raises:
        UserError: if it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror or error}.") from error


def sweep(folder: Path, name: str = "*") -> None:
    """Remove temporary files that a kill left behind; for those who know that nobody is writing them.

    Args:
        folder: where they lie; it need not exist.
        name: of the file that they did not become; all by default.
    """
    for stray in folder.glob(f".{name}.*.tmp"):
        stray.unlink(missing_ok=True)


class atomic:  # noqa: N801  reads as a verb: `with atomic(path) as temporary`
    """Write to a temporary name in the same folder; rename over `path` if the block succeeds, remove it if not.

    Args:
        path: of the file.
        lasting: whether it must outlive a power cut a moment later, for which the disk is waited for; what can be
            written again in no time need not.

    Raises:
        UserError: if the folder cannot be created or written, or the disk is full.
    """

    def __init__(self, path: Path, *, lasting: bool = True) -> None:
        self._path, self._lasting = path, lasting

    def __enter__(self) -> Path:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".tmp", dir=self._path.parent)
        except OSError as error:
            raise UserError(f"Cannot write {self._path}: {error.strerror or error}.") from error
        os.close(handle)
        self._temporary = Path(name)
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                if self._lasting:
                    with self._temporary.open("rb") as written:
                        os.fsync(written.fileno())
                self._temporary.chmod(0o644)
                self._temporary.replace(self._path)
        except OSError as problem:
            raise UserError(f"Cannot write {self._path}: {problem.strerror or problem}.") from problem
        finally:
            self._temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"Cannot write {self._path}: {error.strerror or error}.") from error
