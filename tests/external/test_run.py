"""What identifies the evaluation of a model that others trained, and where its files belong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fairbench.errors import UserError
from fairbench.external.run import check_name, device_of
from fairbench.outcomes.comparability import conditions
from fairbench.outcomes.provenance import Provenance
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.suite import protocol_description
from fairbench.protocol.suite_file import load_suite, suite_names
from fairbench.protocol.threat import Threat
from fixture_types import MakeRun


def test_files_have_readable_places(make_run: MakeRun) -> None:
    run = make_run(seed=2)
    assert run.result_file(Path("results")) == Path("results/images/external-mine/seed2.parquet")
    assert run.work_folder(Path("runs")).parent == Path("runs/external")
    assert run.work_folder(Path("runs")).name.startswith("mine-")


def test_tiers_and_engines_share_their_verdicts(make_run: MakeRun) -> None:
    """They have other keys, but one folder of work."""
    screen, full = make_run(tier="screen"), make_run(tier="full", batch_size=7)
    assert screen.key != full.key
    assert screen.work_folder(Path()) == full.work_folder(Path())


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"specification": "models.py:other"},
        {"code_sha256": "ab"},
        {"epsilon": 0.04},
        {"model": nn.Sequential(nn.Flatten(), nn.Linear(16, 3))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_verdict_is_another_evaluation(make_run: MakeRun, change: dict[str, Any]) -> None:
    known, other = make_run(), make_run(**change)
    assert known.key != other.key
    assert known.work_folder(Path()) != other.work_folder(Path())


def test_fewer_images_are_another_evaluation(make_run: MakeRun) -> None:
    run = make_run()
    part = replace(run, sample=run.sample.part(10))
    assert part.work_folder(Path()) != run.work_folder(Path())


@pytest.mark.parametrize("name", ["a", "Wong2020Fast", "my.model_v1-2", "a" * 100])
def test_names_of_rows(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-x", "a b", "a'b", "[red]", "ü", "🐈", "a\n", "a" * 101])
def test_names_that_are_no_folders(name: str) -> None:
    with pytest.raises(UserError, match="is not allowed; allowed: up to 100 letters, digits"):
        check_name(name)


def test_a_seed_is_not_negative(make_run: MakeRun) -> None:
    with pytest.raises(UserError, match=r"seed = -1 is not allowed; allowed: 0 to 2\^31 - 1"):
        make_run(seed=-1)


@pytest.mark.parametrize("name", [name for name in suite_names() if not load_suite(name).dataset.exclude.test])
def test_a_model_judged_as_usual_fits_the_boards_of_its_dataset(make_run: MakeRun, name: str) -> None:
    """Same data, same threat, same judgement: to the last bit of the step size. Fewer test images are other data."""
    suite = load_suite(name)
    identity = {"name": suite.dataset.name, "image_size": suite.dataset.image_size, "sha256": ""}
    epsilon = suite.threat.epsilon
    run = make_run()
    external = replace(
        run,
        sample=replace(run.sample, identity=identity),
        threat=Threat(norm=suite.threat.norm, epsilon=epsilon, step=epsilon / 4),
        evaluation=Evaluation(pgd_step=epsilon / 4, tier=suite.evaluation.tier),
    )
    ours = {"protocol": protocol_description(suite, dataset_digest="")}

    def judged(description: dict[str, Any]) -> dict[str, Any]:
        made = Provenance(
            status="done",
            key="",
            description=description,
            suite=name,
            method="",
            label="",
            seed=0,
            class_names=[],
            tier=suite.evaluation.tier,
        )
        return conditions(made)

    assert judged(external.description()) == judged(ours)


def test_a_model_without_tensors_computes_on_the_cpu() -> None:
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.BatchNorm1d(3, affine=False).to("meta")) == torch.device("meta")
