"""Attacking a submission again: an honest one repeats itself, and whatever was changed is found."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from fairbench.attacks.autoattack import AutoAttack
from fairbench.errors import UserError
from fairbench.external.outcomes import compute_outcomes
from fairbench.external.run import ExternalRun
from fairbench.external.verification import Verified, judged_by, verify
from fairbench.outcomes.store import Outcomes, no_rows
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Engine, Evaluation, Tier
from fixture_types import MakeRun


@pytest.fixture
def run(make_run: MakeRun) -> ExternalRun:
    return make_run(epsilon=0.02)


@pytest.fixture
def submission(run: ExternalRun, quick: AutoAttackSettings) -> Outcomes:
    return compute_outcomes(run, settings=quick)


def described(outcomes: Outcomes, **changes: Any) -> Outcomes:
    """The same with another provenance."""
    return replace(outcomes, provenance=replace(outcomes.provenance, **changes))


@pytest.mark.parametrize("tier", ["screen", "fast", "full"])
@pytest.mark.parametrize("limit", [7, 30])
def test_an_honest_file_is_confirmed(make_run: MakeRun, quick: AutoAttackSettings, tier: Tier, limit: int) -> None:
    """By any part of it, in batches of any size: verdicts belong to the image."""
    run = make_run(epsilon=0.02, tier=tier)
    outcomes = compute_outcomes(run, settings=quick)
    sample = run.sample.part(limit, draw="a random one")
    found = verify(outcomes, run.model, sample, batch_size=4, settings=quick)
    assert found.disagreements.empty
    assert (sum(found.submitted), sum(found.attacked)) == (30, limit)
    assert (found.others_at_most == 0) == (limit == 30)


def test_one_flipped_verdict_is_found(run: ExternalRun, submission: Outcomes, quick: AutoAttackSettings) -> None:
    """A broken image that the submission calls robust, and what it was found to be."""
    broken = submission.rows.index[submission.rows["broken_by"] == "apgd-ce"][0]
    rows = submission.rows.copy()
    label, truth = rows.loc[broken, ["label", "autoattack"]]
    rows.loc[broken, "autoattack"] = label
    rows.loc[broken, "broken_by"] = ""
    found = verify(replace(submission, rows=rows), run.model, run.sample, settings=quick)
    assert found.disagreements.to_numpy().tolist() == [[broken, label, "autoattack", label, truth]]
    assert found.overstated == 1


def test_understated_verdicts_disagree_and_do_not_speak_for_the_submission(
    run: ExternalRun, submission: Outcomes, quick: AutoAttackSettings
) -> None:
    rows = submission.rows.copy()
    rows.loc[rows["broken_by"] == "", "autoattack"] = (rows["label"] + 1) % 3
    found = verify(replace(submission, rows=rows), run.model, run.sample, settings=quick)
    assert len(found.disagreements) > 3
    assert found.overstated == 0


def test_another_model_is_found(run: ExternalRun, submission: Outcomes, quick: AutoAttackSettings) -> None:
    torch.manual_seed(5)
    other = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    found = verify(submission, other, run.sample, settings=quick)
    assert set(found.disagreements["attack"]) == {"clean", "pgd20", "autoattack"}


@pytest.mark.parametrize(("engine", "batches"), [("fairbench", {4}), ("reference", {30})])
def test_the_reference_engine_keeps_the_batches_of_the_submission(
    run: ExternalRun,
    quick: AutoAttackSettings,
    engine: Engine,
    batches: set[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its noise depends on them; ours does not, so that a smaller machine can verify."""
    evaluation = Evaluation(pgd_step=0.005, engine=engine, batch_size=30)
    submission = compute_outcomes(replace(run, evaluation=evaluation), settings=quick)
    seen: set[int] = set()

    def attacking(*arguments: Any, **given: Any) -> Any:
        seen.add(given["evaluation"].batch_size)
        return AutoAttack(*arguments, **given)

    monkeypatch.setattr("fairbench.external.verification.AutoAttack", attacking)
    found = verify(submission, run.model, run.sample, batch_size=4, settings=quick)
    assert seen == batches
    assert found.disagreements.empty


class TestRefused:
    def test_a_failed_run(self, submission: Outcomes) -> None:
        failed = described(Outcomes(rows=no_rows(), provenance=submission.provenance), status="failed", reason="NaN")
        with pytest.raises(UserError, match=r"This run failed \(NaN\); it has no verdicts to verify"):
            judged_by(failed)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda d: d.pop("protocol"),
            lambda d: d["protocol"].pop("dataset"),
            lambda d: d["protocol"]["threat"].update(norm="linf"),
            lambda d: d["protocol"]["threat"].update(epsilon="much"),
            lambda d: d["protocol"]["evaluation"].update(engine="mine"),
            lambda d: d["protocol"]["evaluation"].update(attack="fgsm"),
            lambda d: d["external"].pop("model"),
        ],
        ids=["protocol", "dataset", "norm", "epsilon", "engine", "unknown field", "model"],
    )
    def test_a_protocol_that_is_not_all_there(self, run: ExternalRun, submission: Outcomes, spoil: Any) -> None:
        """A word with a slip in it would otherwise choose another attack."""
        description = copy.deepcopy(submission.provenance.description)
        spoil(description)
        with pytest.raises(UserError, match="The submission does not say in full under which protocol it was made"):
            verify(described(submission, description=description), run.model, run.sample)

    def test_other_images(self, run: ExternalRun, submission: Outcomes) -> None:
        sample = replace(run.sample, indices=run.sample.indices + 1)
        with pytest.raises(UserError, match="The submission has other test images or labels than this dataset"):
            verify(submission, run.model, sample)

    def test_other_labels(self, run: ExternalRun, submission: Outcomes) -> None:
        sample = replace(run.sample, labels=(run.sample.labels + 1) % 3)
        with pytest.raises(UserError, match="other test images or labels"):
            verify(submission, run.model, sample)

    def test_classes_with_exchanged_names(self, run: ExternalRun, submission: Outcomes) -> None:
        """Every verdict would be confirmed, and the worst class be called by the name of the best."""
        names = ["cat", "bird", "deer"]
        with pytest.raises(
            UserError, match="calls the classes cat, bird, deer; the dataset calls them bird, cat, deer"
        ):
            verify(described(submission, class_names=names), run.model, run.sample)


def test_the_bound_holds_for_the_class_that_was_looked_at_least() -> None:
    """Who falsifies images of a class that is rarely drawn is found less often."""
    none = Verified(submitted=(100, 1000), attacked=(50, 50), disagreements=None)  # type: ignore[arg-type]
    even = Verified(submitted=(100, 1000), attacked=(9, 91), disagreements=None)  # type: ignore[arg-type]
    assert none.others_at_most > even.others_at_most > 0
