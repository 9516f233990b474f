"""A short suite as a file, the command line in a process of its own, and stored outcomes of a run."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from fairbench.cli import main
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, write_outcomes
from fairbench.protocol.run import Run
from fixture_types import Command, Start

SHORT = """
title = "digits, three epochs"
model = "digits-cnn"
teacher = "digits-cnn"
seeds = [0, 1]

[dataset]
name = "digits"
validation = "1/7"

[threat]
epsilon = 0.15
step = 0.075
steps = 3

[recipe]
epochs = 3
learning_rate = 0.2
schedule = "one-cycle"
crop_padding = 1
flip = false

[evaluation]
tier = "screen"
pgd_steps = 3
pgd_step = 0.075
"""

ENTRY_POINT = [sys.executable, "-c", "from fairbench.cli import main; main()"]


@pytest.fixture
def short_file(tmp_path: Path) -> Path:
    """A suite that is computed in seconds."""
    path = tmp_path / "short.toml"
    path.write_text(SHORT)
    return path


@pytest.fixture
def fairbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command line in `tmp_path`, in this process, which has imported everything; workers are others."""

    def command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        words = [*map(str, arguments)]
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            done = CliRunner(catch_exceptions=False).invoke(main, words)
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return command


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command in `tmp_path` and goes on; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*ENTRY_POINT, *map(str, arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Whoever runs the tests in the background ignores SIGINT, and children inherit that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads here
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def write_outcome() -> Callable[[Run, Path], None]:
    """Stores a finished outcome of a run, made up."""

    def write(run: Run, results: Path) -> None:
        labels = np.arange(20) % 2
        rows = pd.DataFrame({"index": np.arange(20), "label": labels})
        for column in ("clean", "pgd20", "autoattack", "last_clean", "last_pgd20"):
            rows[column] = labels
        rows["pgd20_any"], rows["pgd20_survived"], rows["broken_by"] = True, 20, ""
        provenance = Provenance(
            status="done",
            key=run.key,
            description=json.loads(json.dumps(run.description())),
            suite=run.suite.name,
            method=run.method,
            label=run.label,
            role=run.role,
            seed=run.seed,
            class_names=["0", "1"],
        )
        write_outcomes(run.result_file(results), Outcomes(rows=rows, provenance=provenance))

    return write
