"""Blocks that come and go do so without the system."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import torch
from fairbench.execution.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.ones(12_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pages_are_touched_once() -> None:
    """Fifty times 48 MB are 590,000 pages of 4 KiB, or the same few again and again."""

    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < 0.2 * faults("give back")


def test_it_says_so_where_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    from fairbench.execution.freed_memory import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "win32")
    assert keep_freed_memory() is False
