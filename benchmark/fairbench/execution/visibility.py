"""Files that another machine has written, and that this one may not see yet.

A network file system answers from its cache for a while: that a file is missing there proves nothing. Listing its
folder asks anew.
"""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

PATIENCE = 60.0
"""Seconds; NFS caches attributes for up to as long by default (`acdirmax`)."""


def visible(paths: Iterable[Path], *, seconds: float = PATIENCE) -> bool:
    """Whether all files are there, at once or after a while.

    Args:
        paths: of files that somebody says exist.
        seconds: to wait for them.
    """
    wanted, end, pause = list(paths), time.monotonic() + seconds, 0.05
    while not all(path.exists() for path in wanted):
        if time.monotonic() >= end:
            return False
        time.sleep(min(pause, max(end - time.monotonic(), 0.0)))
        pause = min(2 * pause, 2.0)
        for folder in {path.parent for path in wanted}:
            with contextlib.suppress(OSError):
                list(folder.iterdir())
    return True
