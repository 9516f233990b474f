"""Where to compute: what `--device` stands for on this machine."""

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
