"""What every method costs per epoch, counted in real trainings, against the table of its specification."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fairbench import Suite
from fairbench.data.dataset import Dataset, Split
from fairbench.data.loading import load_dataset
from fairbench.method import registry
from fairbench.models import build_model
from fairbench.training.loop import _multiply_adds
from fairbench.training.passes import PGD_AT_UNITS
from fixture_types import PlanOne, Train

EPOCHS = 4

MULTIPLES = {
    "absld": 1.17,
    "adaad": 2.1,
    "ard": 1.04,
    "at-awp": 1.13,
    "cfa-at": 1.06,
    "cfa-trades": 1.23,
    "cfol": 1.00,
    "confusional-spectral": 48 / 23,
    "dafa": 1.17,
    "dafa-at": 1.00,
    "faal": 1.00,
    "fair-ard": 1.04,
    "fair-rslad": 1.17,
    "fairat": 1.04,
    "frl": 1.29,
    "gairat": 1.00,
    "mart": 1.13,
    "pgd-at": 1.00,
    "rslad": 1.17,
    "standard": 3 / 23,
    "trades": 1.17,
    "trades-awp": 1.43,
    "wat": 1.25,
}
"""Per epoch, in PGD-10 adversarial training, with a teacher of the student's size and 6 % held out for validation."""

CHANGES = {"confusional-spectral": {"hot_start": "none"}}
"""An epoch costs the same from scratch; an epoch of fine-tuning leaves an untrained network with a single class."""

BY_DATA = {"bat": (11 / 23, 31 / 23), "fat": (4 / 23, 24 / 23), "ham": (7 / 23, 24 / 23)}
"""What early stopping or mining spends depends on the images; the formulas are in their own tests, image by image."""


@pytest.fixture
def suite(short_suite: Suite) -> Suite:
    """The digits as the specification counts: ten steps, PGD-20 on 6 % of the images."""
    return replace(
        short_suite,
        dataset=replace(short_suite.dataset, validation=0.06),
        threat=replace(short_suite.threat, steps=10, step=0.0375),
        evaluation=replace(short_suite.evaluation, pgd_steps=20),
        recipe=replace(short_suite.recipe, epochs=EPOCHS),
    )


@pytest.fixture
def fewer(suite: Suite, tmp_path: Path) -> Dataset:
    """Five batches and 6 % of all images held out: costs per image are what they are on all digits."""
    dataset = load_dataset(suite.dataset, folder=suite.folder, data_dir=tmp_path)
    train, held_out = dataset.train, dataset.validation
    return replace(
        dataset,
        train=Split(train.images[:640], train.labels[:640]),
        validation=Split(held_out.images[:41], held_out.labels[:41]),
    )


@pytest.mark.parametrize("name", registry.names())
def test_cost_per_epoch(
    name: str, suite: Suite, fewer: Dataset, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """Within three per cent; forwards and backwards of teachers and validation passes are included."""
    run = plan_one(name, suite=suite, **CHANGES.get(name, {}))
    method = registry.create(name, CHANGES.get(name, {}))
    trained = train_one(run, tmp_path / "run", method=method, dataset=fewer)
    multiple = trained.cost * EPOCHS / run.recipe.epochs
    if name in BY_DATA:
        low, high = BY_DATA[name]
        assert low < multiple < high
    else:
        assert multiple == pytest.approx(MULTIPLES[name], rel=0.03)


@pytest.mark.parametrize(("name", "units"), [("pgd-at", 1.0), ("trades", 27 / 23)])
def test_what_selection_costs_is_not_the_methods(
    name: str,
    units: float,
    suite: Suite,
    plan_one: PlanOne,
    train_one: Train,
    tmp_path: Path,
) -> None:
    """Where a method does not steer by validation, its cost is that of its updates, exactly."""
    suite = replace(suite, recipe=replace(suite.recipe, epochs=1))
    assert train_one(plan_one(name, suite=suite), tmp_path).cost == pytest.approx(units, rel=1e-12)


def test_mining_costs_what_its_hard_share_says(
    suite: Suite, fewer: Dataset, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """HAM: 2M + 1 + 2 (K - M) h + 3 h units per image, with h the share that stays, which its history holds."""
    trained = train_one(plan_one("ham", suite=suite, start_frac=0.0), tmp_path, dataset=fewer)
    shares = torch.tensor([epoch["method"]["kept_share"] for epoch in trained.history])
    expected = (7 + 14 * shares + 3 * shares).mean() / PGD_AT_UNITS
    assert trained.cost == pytest.approx(float(expected), rel=0.01)


@pytest.mark.parametrize(
    ("teacher", "student", "ratio"),
    [("wrn-34-10", "resnet18", 12), ("wrn-28-10", "resnet18", 9.4), ("resnet18", "resnet18", 1)],
)
def test_a_teacher_counts_by_its_size(teacher: str, student: str, ratio: float) -> None:
    """Multiply-adds at 32x32, as in the specification."""
    image = torch.zeros(1, 3, 32, 32, device="meta")
    counts = []
    for name in (teacher, student):
        with torch.device("meta"):
            model = build_model(name, classes=10, channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
        counts.append(_multiply_adds(model.to("meta"), image))
    assert counts[0] / counts[1] == pytest.approx(ratio, rel=0.01)
