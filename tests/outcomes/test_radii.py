"""The curve of an outcome file by hand, and the radius with half of the clean accuracy."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairbench.errors import UserError
from fairbench.outcomes.metrics import ClassAccuracies, average, worst
from fairbench.outcomes.radii import accuracies_by_radius, half_radius, lines_by_radius
from fairbench.outcomes.store import Outcomes, read_outcomes, write_outcomes
from fixture_types import WriteRun

RADII = (0.1, 0.2, 0.4)


def by_class(*correct: int, count: int = 10) -> ClassAccuracies:
    return ClassAccuracies(counts=np.full(len(correct), count), correct=np.array(correct))


def curve(**values: tuple[int, ...]) -> Mapping[float, ClassAccuracies]:
    return {float(radius.strip("r").replace("_", ".")): by_class(*correct) for radius, correct in values.items()}


class TestHalfRadius:
    def test_between_two_radii(self) -> None:
        """From 8 of ten at 0.1 to 2 at 0.2; half of ten is reached in the middle."""
        assert half_radius(curve(r0=(10,), r0_1=(8,), r0_2=(2,)), worst) == pytest.approx(0.15)

    def test_at_a_radius(self) -> None:
        assert half_radius(curve(r0=(8,), r0_1=(4,), r0_2=(4,)), worst) == pytest.approx(0.1)

    def test_beyond_the_curve(self) -> None:
        assert half_radius(curve(r0=(10,), r0_1=(6,)), worst) == math.inf

    def test_without_clean_accuracy(self) -> None:
        assert math.isnan(half_radius(curve(r0=(0,), r0_1=(0,)), worst))
        assert math.isnan(half_radius({}, worst))

    def test_the_worst_class_may_change(self) -> None:
        """Class 0 is the worst clean, class 1 from the first radius on."""
        found = curve(r0=(8, 10), r0_1=(7, 4), r0_2=(6, 0))
        assert half_radius(found, worst) == pytest.approx(0.1)
        assert half_radius(found, average) == pytest.approx(0.1 + 0.1 * (0.55 - 0.45) / (0.55 - 0.3))


def test_lines_are_the_average_the_worst_and_every_class_with_images() -> None:
    absent = ClassAccuracies(counts=np.array([10, 0, 10]), correct=np.array([9, 0, 8]))
    lines = lines_by_radius({0.0: absent, 0.1: absent}, ["bird", "cat", "deer"])
    assert [(line.name, line.kind) for line in lines] == [
        ("average", "average"),
        ("worst class", "worst"),
        ("bird", "class"),
        ("deer", "class"),
    ]
    assert lines[2].values == (0.9, 0.9)
    assert lines[1].values == (0.8, 0.8)


def with_curve(outcomes: Outcomes, withstood: Any) -> Outcomes:
    provenance = outcomes.provenance
    protocol = provenance.description["protocol"]
    protocol["evaluation"] = {**protocol["evaluation"], "curve": list(RADII)}
    outcomes.rows["curve"] = np.asarray(withstood, dtype=np.int16)
    return outcomes


def test_a_file_holds_its_curve(write_run: WriteRun, tmp_path: Path) -> None:
    """Ten images of each of three classes, by how many of three radii they withstand."""
    outcomes = read_outcomes(write_run(clean=(10, 10, 9), pgd20=(8, 6, 4), autoattack=(7, 5, 3)))
    assert accuracies_by_radius(outcomes) == {}
    withstood = [3] * 10 + [3, 3, 2, 2, 2, 1, 1, 1, 1, 0] + [1] * 9 + [0]
    path = tmp_path / "seed0.parquet"
    write_outcomes(path, with_curve(outcomes, withstood))
    found = accuracies_by_radius(read_outcomes(path))
    assert {radius: one.correct.tolist() for radius, one in found.items()} == {
        0.0: [10, 10, 9],
        0.1: [10, 9, 9],
        0.2: [10, 5, 0],
        0.4: [10, 2, 0],
    }


@pytest.mark.parametrize(("withstood", "radii"), [([4] * 30, RADII), ([-1] * 30, RADII), ([1] * 30, ()), (None, RADII)])
def test_a_curve_that_contradicts_its_protocol_is_refused(
    write_run: WriteRun, tmp_path: Path, withstood: Any, radii: tuple[float, ...]
) -> None:
    outcomes = with_curve(read_outcomes(write_run()), withstood or [0] * 30)
    if withstood is None:
        del outcomes.rows["curve"]
    outcomes.provenance.description["protocol"]["evaluation"]["curve"] = list(radii)
    with pytest.raises(UserError, match="column 'curve' must be there where the protocol has a curve"):
        write_outcomes(tmp_path / "seed0.parquet", outcomes)
