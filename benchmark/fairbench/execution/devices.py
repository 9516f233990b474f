"""Where to compute: what `--device` stands for on this machine, and how much it can do at once."""

import os

from fairbench.errors import UserError


def devices(choice: str) -> tuple[str, ...]:
    """The devices that a choice stands for: every GPU for `auto` and `cuda`, `cpu` where there is none.

    Raises:
        UserError: for one that this machine lacks.
    """
    import torch  # noqa: PLC0415  the command line answers before torch is there

    if choice == "cpu":
        return ("cpu",)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = tuple(f"cuda:{i}" for i in range(count))
    if choice == "auto":
        return every or ("cpu",)
    if choice == "cuda" and every:
        return every
    if choice in every:
        return (choice,)
    raise UserError(f"--device {choice} is not available; available here: {', '.join(('auto', 'cpu', *every))}.")


def tasks_at_once(devices: tuple[str, ...]) -> int:
    """One for every GPU, or one for every core that this process may use."""
    if devices != ("cpu",):
        return len(devices)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
