"""Whether the locks of a file system hold: without them two workers compute the same run, and neither knows.

Three things are wrong in practice: a mount that knows no locks at all, a lock service that does not answer, and locks
that exclude nobody (on NFS with `nolock`: nobody on another machine).
"""

import errno
import fcntl
import os
import tempfile
from pathlib import Path

ADVICE = "Mount it with locks (NFS without `nolock`, Lustre with `flock`), or choose another --work-dir."


def lock_problem(folder: Path) -> str:
    """What is wrong with locks in a folder as this machine sees it, in a sentence or two; "" if they hold.

    Args:
        folder: which exists.

    Raises:
        OSError: if it cannot be written.
    """
    with (
        tempfile.NamedTemporaryFile(dir=folder, prefix=".lock-", suffix=".tmp") as first,
        Path(first.name).open() as other,
    ):
        try:
            fcntl.flock(first.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return _refused(folder, error)
        if not is_locked(other.fileno()):
            return f"Locks in {folder} exclude nobody. {ADVICE}"
    return ""


def is_locked(descriptor: int) -> bool:
    """Whether somebody else holds the lock of an open file; if nobody does, it is taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    return False


def _refused(folder: Path, error: OSError) -> str:
    said = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ENOLCK:
        return f"The lock service of {folder} does not answer ({said}). {ADVICE}"
    return f"{folder} is on a file system without locks ({said}). {ADVICE}"
