"""Which trainings the tuning of a suite still needs, and what those that are there have found.

    tuning = Tuning(suite, work_dir=Path("runs"), found=shipped, ...)
    tuning.next_runs(chosen)            # trials that can be trained now
    tuning.found.methods["absld"].rate  # 10.0, once the last trial of absld is there

Every row of a board has the same number of trials: one at each rate of the suite's grid, and one more, which goes
beyond the end of the grid if the best rate lies there, and between the best rate and the better one of its neighbours
if not. A training that fails has spent its trial. What a method builds on (a teacher, a hot start) is tuned first, as a
row of its own, and trained at its best rate. Trials are runs on a seed that no ranked run has; they are never evaluated
on test images, and their work folders are the cache.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fairbench.execution.plan import Planner
from fairbench.method.contract import Method
from fairbench.outcomes.tuned_rates import TunedRates
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run
from fairbench.protocol.tuning import Trial, TunedMethod


class Tuning:
    """The state of a suite's tuning.

    Args:
        planner: of the trials' suite, at the rates that are known.
        work_dir: where trials are trained.
        grid: rates that every row is tried at, rising, times the suite's learning rate.
    """

    def __init__(self, planner: Planner, *, work_dir: Path, grid: tuple[float, ...]) -> None:
        self._planner = planner
        self._work_dir = work_dir
        self._grid = grid
        self._waiting: set[str] = set()

    @property
    def found(self) -> TunedRates:
        """What is known by now."""
        assert self._planner.rates is not None
        return self._planner.rates

    @property
    def waiting(self) -> frozenset[str]:
        """Labels of the rows that still lack trials, by the last call of `next_runs`."""
        return frozenset(self._waiting)

    def next_runs(self, chosen: Iterable[tuple[str, Method]]) -> list[Run]:
        """Trials that are missing and whose prerequisites are tuned; none once every row is tuned.

        Rows whose trials are complete are tuned on the way, so that what needs them can go on.

        Args:
            chosen: registered names and configured methods, whose prerequisites are tuned as well.
        """
        self._waiting.clear()
        runs: dict[str, Run] = {}
        for name, method, teacher in self._subjects(chosen):
            row = self._planner.run(name, method, seed=self._seed, teacher=teacher)
            if row.label in self.found.methods or row.label in self._waiting:
                continue
            if any(needed.label in self._waiting for _, needed in row.prerequisites):
                self._waiting.add(row.label)
                continue
            at = {
                rate: self._planner.run(name, method, seed=self._seed, teacher=teacher, rate=rate)
                for rate in self._grid
            }
            trials = self._trials(at)
            if len(trials) == len(self._grid):
                last = last_rate(trials)
                at = {last: self._planner.run(name, method, seed=self._seed, teacher=teacher, rate=last)}
                trials += self._trials(at)
            if len(trials) > len(self._grid):
                tuned = TunedMethod(trials=tuple(sorted(trials, key=lambda trial: trial.rate)))
                self._planner.rates = replace(self.found, methods={**self.found.methods, row.label: tuned})
                continue
            self._waiting.add(row.label)
            tried = {trial.rate for trial in trials}
            runs |= {run.key: run for rate, run in at.items() if rate not in tried}
        return list(runs.values())

    @property
    def _seed(self) -> int:
        return self._planner.suite.seeds[0]

    def _subjects(
        self, chosen: Iterable[tuple[str, Method]], *, teacher: bool = False
    ) -> Iterator[tuple[str, Method, bool]]:
        """Rows to tune, what they need before themselves, and whether they are trained on the teacher's network."""
        for name, method in chosen:
            for need in method.prerequisites():
                made = self._planner.create(need.method, dict(need.parameters))
                yield from self._subjects([(need.method, made)], teacher=teacher or need.role == "teacher")
            yield name, method, teacher

    def _trials(self, runs: Mapping[float, Run]) -> list[Trial]:
        """Those that were trained, or failed in training."""
        found = (trial_of(WorkFolder.of(run, self._work_dir), rate=rate) for rate, run in runs.items())
        return [trial for trial in found if trial is not None]


def trial_of(folder: WorkFolder, *, rate: float) -> Trial | None:
    """What a work folder says of a trial; None if the training has not ended there."""
    if folder.training_failure is not None:
        return Trial(rate=rate, reason=folder.training_failure)
    if not folder.is_trained:
        return None
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    selected = next(entry for entry in summary["history"] if entry["epoch"] == summary["selected_epoch"])
    robust = [accuracy for accuracy in selected["validation_robust"] if accuracy is not None]
    return Trial(rate=rate, average=math.fsum(robust) / len(robust), worst=min(robust), epoch=summary["selected_epoch"])


def last_rate(trials: Iterable[Trial]) -> float:
    """Where the trial after the grid is best spent, to three digits.

    Beyond the grid, by the ratio of its last two rates, if the best rate lies at that end; else at the geometric mean
    of the best rate and the better one of its neighbours. If every training failed, at a rate below all of them.

    Args:
        trials: at every rate of the grid, of which there are two at least.
    """
    ordered = sorted(trials, key=lambda trial: trial.rate)
    best = ordered.index(max(ordered, key=lambda trial: (trial.score, -trial.rate)))
    rates = [trial.rate for trial in ordered]
    if best == 0:
        found = rates[0] * rates[0] / rates[1]
    elif best == len(rates) - 1:
        found = rates[-1] * rates[-1] / rates[-2]
    else:
        neighbour = max(ordered[best - 1], ordered[best + 1], key=lambda trial: (trial.score, -trial.rate))
        found = math.sqrt(rates[best] * neighbour.rate)
    return float(f"{found:.3g}")
