"""TensorBoard: `--track tensorboard` writes event files into the folder of every run (`tensorboard --logdir runs`)."""

from typing import Any

from fairbench.errors import UserError
from fairbench.tracking.tracker import Attacked, Epoch, Subject, scalars


class TensorBoard:
    """Writes scalars by epoch; those of the test images at the last one.

    Args:
        subject: which run.

    Raises:
        UserError: if TensorBoard is not installed.
    """

    def __init__(self, subject: Subject) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra, for those who ask for it
        except ImportError as error:
            raise UserError(
                "--track tensorboard needs another package: pip install 'fairbench[tensorboard]'."
            ) from error
        self._writer: Any = SummaryWriter(log_dir=str(subject.folder / "tensorboard"))
        self._step = 0

    def on_epoch(self, epoch: Epoch) -> None:
        """A point on every curve."""
        self._step = epoch.number + 1
        self._write(scalars(epoch))

    def on_attack(self, attack: Attacked) -> None:
        """A point for every class."""
        self._write(scalars(attack))

    def close(self) -> None:
        """Whatever is in memory reaches the disk."""
        self._writer.close()

    def _write(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._step)
        self._writer.flush()
