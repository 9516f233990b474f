"""Weights & Biases: `--track wandb` makes one run there of every run here, which goes on after an interruption.

Where it goes is said by its own variables: `WANDB_PROJECT` (else `fairbench`), `WANDB_MODE=offline`, `WANDB_API_KEY`.
"""

import os
from typing import Any

from fairbench.errors import UserError
from fairbench.tracking.tracker import Attacked, Epoch, Subject, scalars


class WeightsAndBiases:
    """Logs scalars by epoch; those of the test images as a summary as well.

    Args:
        subject: which run; its key is the identity of the run there.

    Raises:
        UserError: if the package is not installed.
    """

    def __init__(self, subject: Subject) -> None:
        try:
            import wandb  # noqa: PLC0415  an extra, for those who ask for it
        except ImportError as error:
            raise UserError("--track wandb needs another package: pip install 'fairbench[wandb]'.") from error
        subject.folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "fairbench",
            id=subject.key,
            resume="allow",
            name=f"{subject.label}, seed {subject.seed}",
            group=subject.suite,
            config={"suite": subject.suite, "label": subject.label, "seed": subject.seed, **subject.parameters},
            dir=str(subject.folder),
        )

    def on_epoch(self, epoch: Epoch) -> None:
        """A point on every curve."""
        self._run.log({"epoch": epoch.number + 1, **scalars(epoch)})

    def on_attack(self, attack: Attacked) -> None:
        """Numbers of the run."""
        self._run.summary.update(scalars(attack))

    def close(self) -> None:
        """Whatever is in memory is sent, or kept to be synchronised."""
        self._run.finish()
