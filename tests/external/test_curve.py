"""A curve over radii: what separate evaluations find, from the smallest radius up, and never rising."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fairbench.attacks.autoattack import AutoAttack
from fairbench.errors import UserError
from fairbench.external.outcomes import compute_outcomes
from fairbench.external.run import ExternalRun
from fairbench.outcomes.store import Outcomes
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation, Tier, evaluation_description
from fairbench.protocol.threat import Threat
from fixture_types import MakeRun

RADII = (0.005, 0.015, 0.03, 0.06)

every_tier = pytest.mark.parametrize("tier", ["screen", "fast", "full"])


def robust(outcomes: Outcomes) -> NDArray[np.bool_]:
    rows = outcomes.rows
    column = rows["pgd20"] if outcomes.provenance.tier == "screen" else rows["autoattack"]
    return ((rows["clean"] == rows["label"]) & (column == rows["label"])).to_numpy()


@pytest.fixture
def curved(make_run: MakeRun) -> Callable[..., ExternalRun]:
    """A run with a curve."""

    def make(*, epsilon: float = 0.03, curve: tuple[float, ...] = RADII, **options: Any) -> ExternalRun:
        run = make_run(epsilon=epsilon, **options)
        return replace(run, evaluation=replace(run.evaluation, curve=curve))

    return make


@every_tier
@pytest.mark.parametrize("epsilon", [0.03, 0.02], ids=["a radius of the curve", "another radius"])
def test_it_is_what_separate_evaluations_find(
    curved: Callable[..., ExternalRun], make_run: MakeRun, quick: AutoAttackSettings, tier: Tier, epsilon: float
) -> None:
    """Also of images that a smaller radius broke, which the separate ones attack again."""
    found = compute_outcomes(curved(tier=tier, epsilon=epsilon), settings=quick)
    alone = [robust(compute_outcomes(make_run(tier=tier, epsilon=radius), settings=quick)) for radius in RADII]
    for number in range(1, len(RADII) + 1):
        assert np.array_equal(found.rows["curve"] >= number, np.logical_and.reduce(alone[:number]))
    counts = found.rows["curve"].value_counts()
    assert len(counts) > 2  # images break at different radii


@every_tier
def test_the_evaluation_itself_is_what_it_was(
    curved: Callable[..., ExternalRun], make_run: MakeRun, quick: AutoAttackSettings, tier: Tier
) -> None:
    """AutoAttack's column does not know of a curve; nor does the key of a run without one."""
    plain, with_curve = (compute_outcomes(run, settings=quick) for run in (make_run(tier=tier), curved(tier=tier)))
    assert with_curve.rows.drop(columns="curve").equals(plain.rows)
    assert "curve" not in str(plain.provenance.description)
    assert with_curve.provenance.key != plain.provenance.key
    assert with_curve.provenance.description["protocol"]["evaluation"]["curve"] == list(RADII)


def test_what_a_smaller_radius_broke_is_not_attacked_again(
    curved: Callable[..., ExternalRun], quick: AutoAttackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacked: dict[float, int] = {}
    original = AutoAttack.attack

    def spy(self: AutoAttack, *names: str, among: Any = None) -> Any:
        left = self.robust if among is None else self.robust & among
        attacked.setdefault(self._threat.epsilon, int(left.sum()))  # the protocol's own has two calls
        return original(self, *names, among=among)

    monkeypatch.setattr(AutoAttack, "attack", spy)
    rows = compute_outcomes(curved(epsilon=0.005), settings=quick).rows
    correct = int((rows["clean"] == rows["label"]).sum())
    withstood = [int((rows["curve"] >= number).sum()) for number in range(1, len(RADII) + 1)]
    assert attacked == dict(zip(RADII, [correct, *withstood[:-1]], strict=True))
    assert withstood[0] < correct


def test_it_goes_on_where_it_was_interrupted(
    curved: Callable[..., ExternalRun], quick: AutoAttackSettings, tmp_path: Path
) -> None:
    """In the middle of a radius; verdicts of finished chunks are kept for each."""

    class KilledError(Exception):
        pass

    def killing(stage: str, done: int, _total: int) -> None:
        if stage == "apgd-t within 15.3/255" and done:
            raise KilledError

    run = curved(curve=(0.005, 0.06), batch_size=4)
    expected = compute_outcomes(run, settings=quick)
    with pytest.raises(KilledError):
        compute_outcomes(run, settings=quick, work_dir=tmp_path, progress=killing)
    stages: list[str] = []
    found = compute_outcomes(
        run, settings=quick, work_dir=tmp_path, progress=lambda stage, done, _total: stages.append(f"{stage} {done}")
    )
    assert found.rows.equals(expected.rows)
    assert "apgd-t within 15.3/255 4" in stages
    assert "apgd-t within 15.3/255 0" not in stages  # of which four images were done


@pytest.mark.parametrize("curve", [(0.02, 0.01), (0.01, 0.01), (0.0, 0.1), (-0.1,)])
def test_radii_rise_from_above_zero(curve: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match=r"evaluation.curve = .* is not allowed; allowed: rising radii above 0"):
        Evaluation(pgd_step=0.1, curve=curve)


def test_l_inf_has_no_radius_above_one(curved: Callable[..., ExternalRun]) -> None:
    with pytest.raises(UserError, match="radii of at most 1 where the norm is Linf"):
        curved(curve=(0.5, 1.5))
    assert replace(curved(), threat=Threat(norm="L2", epsilon=2.0, step=0.5)).threat.epsilon == 2


def test_without_a_curve_a_description_says_nothing_of_one() -> None:
    described = evaluation_description(Evaluation(pgd_step=0.1))
    assert {"curve", "attacks"}.isdisjoint(described)
    assert evaluation_description(Evaluation(pgd_step=0.1, curve=(0.1,)))["curve"] == [0.1]
