"""The circumstances of outcomes: what is known of a run and of the machine that computes it, however the run ends."""

from collections.abc import Sequence

import torch

from fairbench.attacks.standard.attack import VERSION
from fairbench.machine import hardware, peak_memory, source, versions
from fairbench.outcomes.provenance import Provenance
from fairbench.protocol.run import AnyRun


def circumstances(
    run: AnyRun, *, suite: str, method: str, class_names: Sequence[str], device: torch.device
) -> Provenance:
    """The provenance of a run without what only its training or its judgement knows.

    Args:
        run: trained here or elsewhere.
        suite: name of the board's data and protocol.
        method: registered name.
        class_names: by label.
        device: that computes.
    """
    return Provenance(
        status="done",
        key=run.key,
        description=run.description(),
        suite=suite,
        method=method,
        label=run.label,
        role=run.role,
        seed=run.seed,
        class_names=list(class_names),
        peak_memory=peak_memory(device),
        versions=recorded_versions(),
        source=source(),
        hardware=hardware(device),
        device=device.type,
        threads=torch.get_num_threads(),
    )


def recorded_versions() -> dict[str, str]:
    """Of what verdicts are made with: Python, the libraries, and our engine of AutoAttack."""
    return versions() | {"engine": str(VERSION)}
