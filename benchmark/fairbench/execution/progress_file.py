"""How far a run is, for whoever asks from elsewhere: `progress.json` in its work folder, written by who computes it.

    told = ProgressFile(folder.progress, order=task.order, listener=progress)
    told("training", 12, 30)
    read_progress(folder.progress)          # Reported(stage='training', done=12, total=30, host='node3', ...)

It is written as soon as the lock is held, so that what an earlier attempt left is never taken for the present one, and
then every few seconds at most.
"""

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fairbench.atomic import atomic
from fairbench.errors import UserError
from fairbench.progress import Progress
from fairbench.typed_json import read_object

SECONDS = 2.0
"""Between two reports."""

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What an attempt said last.

    Attributes:
        order: that it carries out, see `fairbench.execution.task.Task`.
        host: where.
        process: its number there.
        stage: such as `training` or `fab-t`; "" at the beginning.
        done: units of the stage.
        total: units that the stage has.
    """

    order: str
    host: str
    process: int
    stage: str = ""
    done: int = 0
    total: int = 0

    def sentence(self) -> str:
        """For people."""
        return f"{self.stage or 'starting'}{f' {self.done}/{self.total}' if self.stage else ''} on {self.host}"


class ProgressFile:
    """Writes what it is told, and passes it on.

    Args:
        path: of the file.
        order: that the attempt carries out.
        listener: who is told as well, every time.
    """

    def __init__(self, path: Path, *, order: str, listener: Progress) -> None:
        self._path, self._listener = path, listener
        self._reported = Reported(order=order, host=socket.gethostname(), process=os.getpid())
        self._write(self._reported)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """A stage went on."""
        self._listener(stage, done, total)
        if time.monotonic() >= self._not_before or (stage != self._stage):
            known = self._reported
            self._write(
                Reported(order=known.order, host=known.host, process=known.process, stage=stage, done=done, total=total)
            )

    def _write(self, reported: Reported) -> None:
        """A full disk must not end a run here; whatever matters more will say so."""
        self._stage, self._not_before = reported.stage, time.monotonic() + SECONDS
        with contextlib.suppress(UserError), atomic(self._path) as temporary:
            temporary.write_text(json.dumps({"schema": SCHEMA, **asdict(reported)}), encoding="utf-8")


def read_progress(path: Path) -> Reported | None:
    """What was said last; None if nothing was, or nothing that can be read."""
    try:
        return read_object(Reported, path.read_bytes(), origin=str(path), schema=SCHEMA)
    except (OSError, UserError):
        return None
