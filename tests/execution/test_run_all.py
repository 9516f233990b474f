"""`run-all` as a stranger uses it: in a process of its own, killed at any moment, twice at once."""

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fairbench.outcomes.store import read_outcomes, result_files
from fixture_types import Command, Start

ARGUMENTS = ("run-all", "--suite", "short.toml", "--method", "frl", "--method", "pgd-at", "--jobs", "2")
"""FRL brings TRADES with it: six runs with two seeds."""

pytestmark = pytest.mark.usefixtures("short_file")


def _verdicts(results: Path) -> dict[str, str]:
    """Every result without what differs between machines and moments."""
    return {
        path.relative_to(results).as_posix(): read_outcomes(path).rows.to_csv(index=False)
        for path in result_files(results)
    }


def _training(results: Path) -> dict[str, object]:
    """What training must reproduce: history, passes and checkpoints."""
    found = {path: read_outcomes(path).provenance for path in result_files(results)}
    return {str(path.relative_to(results)): (p.history, p.passes, p.checkpoints) for path, p in found.items()}


def test_a_board_from_nothing_and_nothing_to_do_afterwards(fairbench: Command, tmp_path: Path) -> None:
    """One command computes everything with its prerequisites; the second one does nothing, and says so."""
    first = fairbench(*ARGUMENTS)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "[6/6]" in first.stdout
    names = [f"{method}/seed{seed}.parquet" for method in ("frl", "pgd-at", "trades") for seed in (0, 1)]
    assert [
        str(path.relative_to(tmp_path / "results" / "short")) for path in result_files(tmp_path / "results")
    ] == names
    for path in result_files(tmp_path / "results"):
        provenance = read_outcomes(path).provenance
        assert provenance.cost > 0
        assert provenance.card["idea"].endswith(".")
        assert set(provenance.hyperparameters) == set(provenance.description["parameters"])
        assert len(provenance.history) == (1 if provenance.method == "frl" else 3)
        hot_start = tmp_path / "results/short/trades" / path.name
        expected = read_outcomes(hot_start).provenance.cost if provenance.method == "frl" else 0
        assert provenance.prerequisite_cost == pytest.approx(expected, abs=0)
    written = {path: path.stat().st_mtime_ns for path in result_files(tmp_path / "results")}
    second = fairbench(*ARGUMENTS)
    assert second.returncode == 0
    assert "Nothing to do" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in result_files(tmp_path / "results")} == written
    status = fairbench("status", *ARGUMENTS[1:7], "--json")
    assert {run["state"] for run in json.loads(status.stdout)["runs"]} == {"done"}
    report = fairbench("report")
    assert report.returncode == 0, report.stdout
    assert (tmp_path / "site" / "index.html").stat().st_size > 5_000
    assert fairbench("report", "--check").returncode == 0
    (tmp_path / "site" / "index.html").write_text("stale")
    assert fairbench("report", "--check").returncode == 1


def test_killed_at_any_moment_equals_undisturbed(fairbench: Command, start: Start, tmp_path: Path) -> None:
    """A kill -9 of the whole command, again and again, changes no verdict and no checkpoint."""
    undisturbed = fairbench(*ARGUMENTS, "--results", "other", "--work-dir", "elsewhere")
    assert undisturbed.returncode == 0, undisturbed.stdout + undisturbed.stderr
    for seconds in (5.0, 8.0):
        process = start(*ARGUMENTS)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert fairbench(*ARGUMENTS).returncode == 0
    assert _verdicts(tmp_path / "results") == _verdicts(tmp_path / "other")
    assert _training(tmp_path / "results") == _training(tmp_path / "other")
    assert not list(tmp_path.glob("results/**/.*.tmp"))


def test_workers_die_with_their_parent(start: Start, tmp_path: Path) -> None:
    """A killed command leaves no process behind that still holds a run."""
    process = start(*ARGUMENTS)
    _wait_for(lambda: any(tmp_path.glob("runs/short/*/*/state.pt")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/short/*/*/state.pt")}
    time.sleep(1.5)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/short/*/*/state.pt")} == before


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(start: Start, tmp_path: Path) -> None:
    process = start(*ARGUMENTS)
    _wait_for(lambda: any(tmp_path.glob("runs/short/*/*/state.pt")))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command goes on from here" in output
    assert "Traceback" not in output


def test_two_at_once_neither_corrupt_nor_repeat_a_run(start: Start, tmp_path: Path) -> None:
    """Both end well, every run is trained by exactly one of them, and the outcomes are those of one."""
    processes = [start(*ARGUMENTS), start(*ARGUMENTS)]
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(_verdicts(tmp_path / "results")) == 6
    for path in result_files(tmp_path / "results"):
        steps = 3 if "frl" not in str(path) else 1
        assert len(read_outcomes(path).provenance.history) == steps


def test_a_failed_run_is_stored_and_the_others_go_on(fairbench: Command, tmp_path: Path) -> None:
    """A loss that becomes NaN is a result with reason and epoch; --rerun failed computes it again."""
    (tmp_path / "mine.py").write_text(
        """
from dataclasses import dataclass
from fairbench import Card, Method
from fairbench.method.losses import cross_entropy

@dataclass(kw_only=True)
class Diverges(Method):
    "Clean training that breaks in the second epoch."
    card = Card(title="D", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@a", code_licence="")
    def loss(self, batch):
        value = cross_entropy(self.model(batch.images), batch.labels).mean()
        return value * (float("nan") if batch.progress > 0.5 else 1)

@dataclass(kw_only=True)
class Raises(Method):
    "Stumbles over its own feet."
    card = Card(title="R", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@a", code_licence="")
    def loss(self, batch):
        return batch.nothing
"""
    )
    run = ("run-all", "--suite", "short.toml", "--seed", "0", "--plugin", "mine.py")
    methods = ("--method", "diverges", "--method", "raises", "--method", "pgd-at")
    done = fairbench(*run, *methods)
    assert done.returncode == 1
    assert "the loss became nan" in done.stdout
    assert "AttributeError" in done.stdout
    assert "Traceback" not in done.stdout
    assert read_outcomes(tmp_path / "results/short/pgd-at/seed0.parquet").provenance.status == "done"
    failed = read_outcomes(tmp_path / "results/short/diverges/seed0.parquet").provenance
    assert (failed.status, failed.failed_epoch) == ("failed", 1)
    assert not (tmp_path / "results/short/raises").exists()
    log = next(tmp_path.glob("runs/short/raises/*/log.txt")).read_text()
    assert "Traceback" in log
    again = fairbench(*run, *methods)
    assert "diverges" not in re.sub(r"Note:.*", "", again.stdout).split("┏")[0]  # a stored failure is not repeated
    assert "raises, seed 0" in again.stdout
    repeated = fairbench(*run, "--method", "diverges", "--rerun", "failed")
    assert "[1/1] diverges, seed 0: failed" in repeated.stdout


def test_a_failed_repetition_does_not_replace_a_good_result(fairbench: Command, tmp_path: Path) -> None:
    """The hot start's outcome exists, its weights do not; training them again fails: the outcome stays."""
    source = """
import os
from dataclasses import dataclass
from fairbench import Card, Method, Prerequisite
from fairbench.method.losses import cross_entropy
CARD = Card(title="D", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@a", code_licence="")

@dataclass(kw_only=True)
class First(Method):
    "Clean training, unless told to break."
    card = CARD
    def loss(self, batch):
        value = cross_entropy(self.model(batch.images), batch.labels).mean()
        return value * (float("nan") if os.environ.get("BREAK") else 1)

@dataclass(kw_only=True)
class Second(Method):
    "Starts from the first."
    card = CARD
    def prerequisites(self):
        return (Prerequisite(role="hot start", method="first"),)
    def loss(self, batch):
        return cross_entropy(self.model(batch.images), batch.labels).mean()
"""
    (tmp_path / "mine.py").write_text(source)
    run = ("run-all", "--suite", "short.toml", "--seed", "0", "--plugin", "mine.py")
    assert fairbench(*run, "--method", "first").returncode == 0
    result = tmp_path / "results/short/first/seed0.parquet"
    before = result.read_bytes()
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "mine.py").write_text(source.replace('os.environ.get("BREAK")', "True"))
    broken = fairbench(*run, "--method", "second")
    assert broken.returncode == 1
    assert "second, seed 0: failed" in broken.stdout
    assert "the loss became nan" in broken.stdout
    assert result.read_bytes() == before


def test_an_interrupted_repetition_is_resumed_without_being_asked(
    fairbench: Command, start: Start, tmp_path: Path
) -> None:
    """Once --rerun always has begun a run, its old outcome no longer says that nothing is to do."""
    only = ("run-all", "--suite", "short.toml", "--method", "pgd-at", "--seed", "0")
    assert fairbench(*only).returncode == 0
    before = _verdicts(tmp_path / "results")
    process = start(*only, "--rerun", "always")
    _wait_for(lambda: any(tmp_path.glob("runs/short/*/*/state.pt")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = fairbench(*only)
    assert "[1/1] pgd-at, seed 0: done" in again.stdout
    assert _verdicts(tmp_path / "results") == before


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_a_higher_tier_takes_up_what_a_lower_one_left(fairbench: Command, short_file: Path, tmp_path: Path) -> None:
    """Nothing is trained twice, and the outcomes are those of the higher tier from the beginning."""
    images, labels = load_digits(return_X_y=True)
    pixels = (images * 15).astype(np.uint8).reshape(-1, 8, 8)
    few = {"train_images": pixels[:600], "train_labels": labels[:600], "test_images": pixels[600:620]}
    np.savez(tmp_path / "few.npz", **few, test_labels=np.arange(20) % 10)
    short_file.write_text(short_file.read_text().replace('name = "digits"', 'name = "few"\nfile = "few.npz"'))
    short = ("run-all", "--suite", "short.toml", "--method", "pgd-at", "--seed", "0")
    whole = (*short, "--results", "whole", "--work-dir", "fresh", "--tier", "full")
    assert fairbench(*short).returncode == 0
    folder = next((tmp_path / "runs" / "short" / "pgd-at").iterdir())
    trained = (folder / "last.safetensors").stat().st_mtime_ns
    assert "lower tier" in fairbench("status", *short[1:], "--tier", "full").stdout
    for tier in ("fast", "full"):
        done = fairbench(*short, "--tier", tier)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "last.safetensors").stat().st_mtime_ns == trained
    assert fairbench(*whole).returncode == 0
    assert list(_verdicts(tmp_path / "results").values()) == list(_verdicts(tmp_path / "whole").values())
    refused = fairbench(*short, "--tier", "fast")
    assert refused.returncode == 1
    assert "in tier full, which goes further than fast" in " ".join(refused.stdout.split())
