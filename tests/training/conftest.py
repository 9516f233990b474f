"""Short trainings on the real digits: a suite of three epochs and a function that trains one of its runs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fairbench import Method, Suite, load_suite
from fairbench.data.dataset import Dataset
from fairbench.data.loading import load_dataset
from fairbench.execution.plan import Planner
from fairbench.method import registry
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.progress import Progress, silent
from fairbench.protocol.run import Run
from fairbench.training.loop import Trained, model_of, train
from fixture_types import PlanOne, Train


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The real digits, as the suite splits them."""
    suite = load_suite("digits")
    return load_dataset(suite.dataset, folder=suite.folder, data_dir=Path("unused"))


@pytest.fixture
def short_suite() -> Suite:
    """The digits suite in three epochs, judged by few PGD steps."""
    suite = load_suite("digits")
    return replace(
        suite,
        teacher=suite.model,
        recipe=replace(suite.recipe, epochs=3, warmup=0.5),
        threat=replace(suite.threat, steps=3, step=0.075),
        evaluation=replace(suite.evaluation, tier="screen", pgd_steps=3, pgd_step=0.075),
    )


@pytest.fixture
def plan_one(short_suite: Suite) -> PlanOne:
    """Resolves one run of a method."""

    def plan(
        name: str, method: Method | None = None, *, suite: Suite = short_suite, seed: int = 0, **changes: Any
    ) -> Run:
        method = method or registry.create(name, changes)
        return Planner(suite=suite, create=registry.create).plan([(name, method)], seeds=[seed])[-1]

    return plan


@pytest.fixture
def train_one(digits: Dataset) -> Train:
    """Trains a run, with untrained networks of the right shape as its prerequisites."""

    def run_training(
        run: Run,
        folder: Path,
        *,
        method: Method | None = None,
        progress: Progress = silent,
        dataset: Dataset = digits,
        prerequisites: Mapping[str, torch.nn.Module] | None = None,
    ) -> Trained:
        folder.mkdir(parents=True, exist_ok=True)
        needed = prerequisites or {role: model_of(replace(other, seed=9), dataset) for role, other in run.prerequisites}
        return train(
            run,
            method or registry.create(run.method, dict(run.parameters)),
            dataset,
            folder=WorkFolder(folder),
            device=torch.device("cpu"),
            prerequisites=needed,
            progress=progress,
        )

    return run_training
