"""Where a result was made: versions, source, hardware, memory."""

import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

LIBRARIES = ("fairbench", "torch", "torchvision", "pyautoattack", "numpy", "pandas", "pyarrow")


@cache
def versions() -> dict[str, str]:
    """Of Python and of every library that can change a number."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


@cache
def source() -> str:
    """Commit of the working tree that fairbench runs from, with `+dirty` if it was changed; "" outside one."""
    folder = Path(__file__).resolve().parent
    tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git(folder, "rev-parse", "HEAD") if tracked else ""
    return commit + ("+dirty" if commit and _git(folder, "status", "--porcelain", "--", ".") else "")


def hardware(device: torch.device) -> str:
    """Name of the accelerator, or of the processor with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
    )


def peak_memory(device: torch.device) -> int:
    """Bytes: allocated on the accelerator, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str:
    try:
        found = subprocess.run(  # noqa: S603  fixed arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607  whichever git the user has
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
