"""Freed memory stays with the process.

glibc gives large blocks back to the system as soon as they are free, and a network frees its activations in every pass:
the next pass then touches it page by page again. Kept, an attack meets a quarter of the page faults and takes from the
same time to 1.4 times less (digits, MNIST and CNN-A, one core). It is a setting of the whole process, so only commands
make it, never the library.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of `mallopt`, from malloc.h
_GIBIBYTE = 1 << 30


def keep_freed_memory() -> bool:
    """Reuse blocks of up to a gibibyte instead of giving them back; whether the C library can be told so."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(mallopt(name, _GIBIBYTE) for name in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
