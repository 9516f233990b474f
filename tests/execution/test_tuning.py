"""Which trials are missing: as many for everyone, prerequisites first, and never on a seed that is ranked."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench import Suite, load_suite
from fairbench.execution.plan import Planner
from fairbench.execution.tuning import Tuning, last_rate, trial_of
from fairbench.method import registry
from fairbench.outcomes.tuned_rates import no_rates
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run
from fairbench.protocol.tuning import Trial

GRID = (1 / 3, 1.0, 3.0, 10.0, 30.0)


@pytest.fixture
def suite() -> Suite:
    return load_suite("digits").trial()


@pytest.fixture
def tuning(suite: Suite, tmp_path: Path) -> Tuning:
    rates = no_rates(load_suite("digits"), dataset_digest="")
    return Tuning(Planner(suite=suite, create=registry.create, rates=rates), work_dir=tmp_path, grid=GRID)


def trained(run: Run, work_dir: Path, *, score: float) -> None:
    """Leave what a training leaves: ten classes of which the score is the average plus the worst."""
    folder = WorkFolder.of(run, work_dir)
    folder.path.mkdir(parents=True)
    robust = [score / 2] * 10
    summary = {"selected_epoch": 1, "history": [{"epoch": k, "validation_robust": robust} for k in range(3)]}
    folder.summary.write_text(json.dumps(summary))
    for rule in ("selected", "last"):
        folder.checkpoint(rule).touch()


def complete(tuning: Tuning, names: list[str], work_dir: Path, score: Callable[[Run], float]) -> list[list[Run]]:
    """Train wave after wave."""
    chosen = [(name, registry.create(name, {})) for name in names]
    waves = []
    while runs := tuning.next_runs(chosen):
        waves.append(runs)
        for run in runs:
            trained(run, work_dir, score=score(run))
    return waves


def trials(scores: Mapping[float, float | None]) -> list[Trial]:
    return [
        Trial(rate=rate, reason="diverged")
        if score is None
        else Trial(rate=rate, average=score / 2, worst=score / 2, epoch=0)
        for rate, score in scores.items()
    ]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5), 90.0),
        ((0.5, 0.4, 0.3, 0.2, 0.1), 0.111),
        ((0.1, 0.2, 0.3, 0.5, 0.4), 17.3),  # sqrt(10 * 30)
        ((0.1, 0.2, 0.4, 0.5, 0.3), 5.48),  # sqrt(10 * 3)
        ((0.1, 0.5, 0.2, None, None), 1.73),
        ((0.4, 0.5, 0.2, None, None), 0.577),  # sqrt(1 / 3)
        ((None, None, None, None, None), 0.111),
    ],
)
def test_where_the_last_trial_goes(scores: tuple[float | None, ...], expected: float) -> None:
    assert last_rate(trials(dict(zip(GRID, scores, strict=True)))) == expected


@given(st.lists(st.none() | st.floats(0, 2), min_size=5, max_size=5))
def test_the_last_trial_is_a_new_rate(scores: list[float | None]) -> None:
    found = last_rate(trials(dict(zip(GRID, scores, strict=True))))
    assert found not in GRID
    assert found > 0


def test_every_row_has_the_same_number_of_trials(tuning: Tuning, tmp_path: Path) -> None:
    complete(tuning, ["pgd-at", "trades", "fat", "frl", "absld"], tmp_path, lambda run: 1 / (1 + run.rate))
    assert set(tuning.found.methods) == {"pgd-at", "trades", "fat", "frl", "absld", "teacher-trades"}
    assert {len(method.trials) for method in tuning.found.methods.values()} == {len(GRID) + 1}


def test_the_best_rate_is_found(tuning: Tuning, tmp_path: Path) -> None:
    complete(tuning, ["pgd-at"], tmp_path, lambda run: {10.0: 0.9, 30.0: 0.3, 17.3: 0.95}.get(run.rate, 0.2))
    assert tuning.found.methods["pgd-at"].rate == 17.3


@pytest.mark.parametrize(
    ("student", "needed", "role"), [("absld", "teacher-trades", "teacher"), ("frl", "trades", "hot start")]
)
def test_what_a_method_needs_is_tuned_first_and_trained_at_its_best_rate(
    tuning: Tuning, tmp_path: Path, student: str, needed: str, role: str
) -> None:
    waves = complete(tuning, [student], tmp_path, lambda run: 0.9 if run.rate == 3 else 0.1)
    first = next(wave for wave, runs in enumerate(waves) if any(run.label == student for run in runs))
    assert {run.label for runs in waves[:first] for run in runs} == {needed}
    for run in (run for runs in waves[first:] for run in runs):
        prerequisite = dict(run.prerequisites)[role]
        assert (prerequisite.label, prerequisite.rate) == (needed, 3.0)
        assert WorkFolder.of(prerequisite, tmp_path).is_trained


def test_a_trial_has_the_tuning_seed_its_rate_and_its_length(tuning: Tuning, suite: Suite, tmp_path: Path) -> None:
    waves = complete(tuning, ["absld"], tmp_path, lambda _: 0.5)
    for run in (run for runs in waves for run in runs):
        assert run.seed == suite.seeds[0]
        assert run.seed not in load_suite("digits").seeds
        assert run.recipe.learning_rate == run.rate * suite.recipe.learning_rate
        assert run.recipe.epochs == suite.recipe.epochs


def test_a_failed_training_has_spent_its_trial(tuning: Tuning, tmp_path: Path) -> None:
    chosen = [("pgd-at", registry.create("pgd-at", {}))]
    for run in tuning.next_runs(chosen):
        if run.rate < 10:
            trained(run, tmp_path, score=run.rate / 10)
        else:
            WorkFolder.of(run, tmp_path).path.mkdir(parents=True)
            WorkFolder.of(run, tmp_path).remember_failure("the loss became nan (epoch 1)", training=True)
    (last,) = tuning.next_runs(chosen)
    assert last.rate == 1.73
    trained(last, tmp_path, score=0.1)
    assert tuning.next_runs(chosen) == []
    found = tuning.found.methods["pgd-at"].trials
    assert [trial.reason for trial in found if trial.rate >= 10] == ["the loss became nan (epoch 1)"] * 2


def test_a_crash_has_not(tuning: Tuning, tmp_path: Path) -> None:
    chosen = [("pgd-at", registry.create("pgd-at", {}))]
    runs = tuning.next_runs(chosen)
    for run in runs:
        WorkFolder.of(run, tmp_path).path.mkdir(parents=True)
        WorkFolder.of(run, tmp_path).remember_failure("No space left on device")
    assert [run.key for run in tuning.next_runs(chosen)] == [run.key for run in runs]
    assert tuning.waiting == {"pgd-at"}


def test_what_is_known_is_not_tried_again(tuning: Tuning, tmp_path: Path) -> None:
    complete(tuning, ["trades"], tmp_path, lambda _: 0.5)
    known = dict(tuning.found.methods)
    waves = complete(tuning, ["trades", "frl"], tmp_path, lambda _: 0.5)
    assert {run.label for runs in waves for run in runs} == {"frl"}
    assert tuning.found.methods["trades"] == known["trades"]


def test_a_trial_is_scored_at_the_selected_epoch_and_without_absent_classes(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path)
    history: list[dict[str, Any]] = [
        {"epoch": 0, "validation_robust": [0.9, 0.9, None]},
        {"epoch": 1, "validation_robust": [0.5, 0.25, None]},
    ]
    folder.summary.write_text(json.dumps({"selected_epoch": 1, "history": history}))
    assert trial_of(folder, rate=3.0) is None  # the checkpoints are missing
    folder.checkpoint("selected").touch()
    folder.checkpoint("last").touch()
    assert trial_of(folder, rate=3.0) == Trial(rate=3.0, average=0.375, worst=0.25, epoch=1)
