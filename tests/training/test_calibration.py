"""A few steps are enough to say what a training takes, and what makes it longer."""

from dataclasses import replace
from pathlib import Path

import pytest

from fairbench import load_suite
from fairbench.data.dataset import Dataset
from fairbench.data.loading import load_dataset
from fairbench.execution.plan import Planner
from fairbench.method import registry
from fairbench.protocol.run import Run
from fairbench.training import calibration
from fairbench.training.calibration import calibrated


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(load_suite("digits").dataset, folder="", data_dir=Path())


@pytest.fixture
def run() -> Run:
    return Planner(suite=load_suite("digits"), create=registry.create).run(
        "pgd-at", registry.create("pgd-at", {}), seed=0
    )


def test_it_counts_what_the_suite_asks_for(run: Run, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the epochs are twice the training; a lower tier is a shorter evaluation. The clock is ours here."""
    monkeypatch.setattr(calibration, "_seconds", lambda work, device: 0.1)  # noqa: ARG005
    suite = run.suite
    training, evaluation = calibrated(run, digits, device="cpu")
    longer = replace(run, suite=replace(suite, recipe=replace(suite.recipe, epochs=2 * suite.recipe.epochs)))
    assert calibrated(longer, digits, device="cpu") == pytest.approx((2 * training, evaluation))
    shorter = [
        calibrated(
            replace(run, suite=replace(suite, evaluation=replace(suite.evaluation, tier=tier))), digits, device="cpu"
        )
        for tier in ("screen", "fast", "full")
    ]
    assert [one[0] for one in shorter] == [training] * 3
    assert shorter[0][1] < shorter[1][1] < shorter[2][1] == evaluation
    steps = len(digits.train.labels) / suite.recipe.batch_size
    assert training > suite.recipe.epochs * steps * 0.1


def test_it_really_times_steps(run: Run, digits: Dataset) -> None:
    training, evaluation = calibrated(run, digits, device="cpu")
    assert 0 < training < 3600
    assert 0 < evaluation < 3600
