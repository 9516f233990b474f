"""The work folder of a run: which files it holds, who is working in it, and how far the work is.

    folder = WorkFolder.of(run, Path("runs"))       # runs/digits/trades/seed0-1b9d3f0e
    with folder.lock():
        folder.is_trained

Everything in it can be computed again: it is what an interrupted run goes on from, and where its checkpoints stay.
"""

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

from filelock import FileLock, Timeout

from fairbench.atomic import atomic, sweep
from fairbench.errors import UserError
from fairbench.protocol.attack_names import Checkpoint
from fairbench.protocol.run import AnyRun

CHECKPOINTS: tuple[Checkpoint, ...] = get_args(Checkpoint)


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """One folder, which need not exist.

    Attributes:
        path: of the folder.
    """

    path: Path

    @classmethod
    def of(cls, run: AnyRun, work_dir: Path) -> Self:
        """The folder of a run, below the one of all runs."""
        return cls(run.work_folder(work_dir))

    @property
    def state(self) -> Path:
        """A training between two epochs; there is none before the first and after the last."""
        return self.path / "state.pt"

    def checkpoint(self, rule: Checkpoint) -> Path:
        """Weights of a trained network."""
        return self.path / f"{rule}.safetensors"

    @property
    def summary(self) -> Path:
        """What training leaves behind apart from the weights; written last."""
        return self.path / "training.json"

    @property
    def attacks(self) -> Path:
        """Folder of the verdicts of AutoAttack, as they are found."""
        return self.path / "attacks"

    @property
    def log(self) -> Path:
        """What the run prints, and its tracebacks."""
        return self.path / "log.txt"

    @property
    def progress(self) -> Path:
        """How far whoever computes the run is, see `fairbench.execution.progress_file`."""
        return self.path / "progress.json"

    @property
    def job(self) -> Path:
        """The job of a cluster that computes the run, or will."""
        return self.path / "job.json"

    @property
    def _failure(self) -> Path:
        return self.path / "failure.json"

    @property
    def is_trained(self) -> bool:
        """Whether training ended here: the summary, which is written last, and both checkpoints."""
        return all(file.exists() for file in self.trained_files)

    @property
    def trained_files(self) -> tuple[Path, ...]:
        """What a finished training has left."""
        return (self.summary, *map(self.checkpoint, CHECKPOINTS))

    @property
    def is_begun(self) -> bool:
        """Whether there is something to go on from."""
        return self.state.exists() or self.is_trained

    @property
    def _cleared(self) -> Path:
        return self.path / "cleared.txt"

    def lock(self) -> FileLock:
        """The lock that whoever computes the run holds; the system releases it when the process dies."""
        return FileLock(self.path / "lock")

    @property
    def is_locked(self) -> bool:
        """Whether somebody computes the run."""
        lock = self.lock()
        if not Path(lock.lock_file).exists():
            return False
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # a read-only folder: nobody can be computing there
            return False
        lock.release()
        return False

    @property
    def failure(self) -> str | None:
        """Why the last attempt failed without a stored outcome; None if it did not."""
        return str(self._read_failure()["reason"]) if self._failure.exists() else None

    @property
    def training_failure(self) -> str | None:
        """The same if it was the training itself that cannot succeed, so that another attempt would end alike."""
        return self.failure if self._failure.exists() and self._read_failure().get("training") is True else None

    def remember_failure(self, reason: str, *, training: bool = False) -> None:
        """Keep a reason for whoever asks later; a full disk must not hide it from who asks now.

        Args:
            reason: in one sentence.
            training: whether the training itself failed, and not what surrounds it.
        """
        with contextlib.suppress(UserError), atomic(self._failure) as temporary:
            temporary.write_text(json.dumps({"reason": reason, "training": training}), encoding="utf-8")

    def _read_failure(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._failure.read_text(encoding="utf-8"))
        return found

    def forget_failure(self) -> None:
        """A new attempt begins."""
        self._failure.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove temporary files that a kill left behind; for the holder of the lock, the only one who writes here."""
        sweep(self.path)
        sweep(self.attacks)

    def is_cleared_for(self, order: str) -> bool:
        """Whether `clear` was called for an order: what lies here is then of its own attempts."""
        return self._cleared.exists() and self._cleared.read_text(encoding="utf-8") == order

    def clear(self, order: str) -> None:
        """Remove earlier work, but neither the caller's lock, nor the log that it writes, nor the job that it may be.

        Args:
            order: for whom.
        """
        kept = (Path(self.lock().lock_file), self.log, self.job)
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry not in kept:
                entry.unlink()
        with atomic(self._cleared) as temporary:
            temporary.write_text(order, encoding="utf-8")
