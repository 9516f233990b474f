"""Attacks that several workers share find what one would have found, to the last flag."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks.autoattack import log_name
from fairbench.errors import UserError
from fairbench.evaluation.judgement import Judgement, judge
from fairbench.evaluation.sharing import attack_share, gather
from fairbench.protocol.evaluation import Evaluation

THREAT = Threat(epsilon=0.1, step=0.05, steps=2)
CLASSES = 3


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, CLASSES)).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels(model: nn.Module, images: Tensor) -> Tensor:
    """Right on most images, so that there is something to attack."""
    found: Tensor = model(images).argmax(dim=1)
    found[::7] = (found[::7] + 1) % CLASSES
    return found


def judged(model: nn.Module, images: Tensor, labels: Tensor, *, evaluation: Evaluation, folder: Path) -> Judgement:
    return judge(model, model, images, labels, classes=CLASSES, threat=THREAT, evaluation=evaluation, folder=folder)


@pytest.mark.parametrize("tier", ["fast", "full"])
def test_shares_make_the_whole(tier: str, model: nn.Module, images: Tensor, labels: Tensor, tmp_path: Path) -> None:
    """Rows, flags, what the audit saw; and of the images of the shares none is attacked again."""
    evaluation = Evaluation(tier=tier, batch_size=8, pgd_steps=2, pgd_step=0.05)  # type: ignore[arg-type]  # one of both
    alone = judged(model, images, labels, evaluation=evaluation, folder=tmp_path / "alone")
    for number in (1, 2, 3):
        attack_share(
            model,
            images,
            labels,
            number=number,
            of=3,
            classes=CLASSES,
            threat=THREAT,
            evaluation=evaluation,
            folder=tmp_path / "shared" / f"shard-{number}-of-3" / "attacks",
        )
    gather(tmp_path / "shared", evaluation)
    gathered = (tmp_path / "shared" / log_name(evaluation)).read_bytes()
    assert [path.name for path in (tmp_path / "shared").iterdir()] == [log_name(evaluation)]
    shared = judged(model, images, labels, evaluation=evaluation, folder=tmp_path / "shared")
    pd.testing.assert_frame_equal(shared.rows, alone.rows)
    assert (shared.flags, shared.warnings, shared.reached) == (alone.flags, alone.warnings, alone.reached)
    assert {*shared.rows["broken_by"]} > {"", "clean"}
    after = (tmp_path / "shared" / log_name(evaluation)).read_bytes()
    assert after.startswith(gathered)
    assert (after == gathered) == (shared.reached.tier == tier == "full")


def test_a_share_that_stopped_early_is_made_up_for(
    model: nn.Module, images: Tensor, labels: Tensor, tmp_path: Path
) -> None:
    """One never ran, another was killed in the middle of a line, and an older evaluation left a third."""
    evaluation = Evaluation(tier="full", batch_size=8, pgd_steps=2, pgd_step=0.05)
    alone = judged(model, images, labels, evaluation=evaluation, folder=tmp_path / "alone")
    for number, used in ((1, evaluation), (3, replace(evaluation, seed=7))):
        attack_share(
            model,
            images,
            labels,
            number=number,
            of=3,
            classes=CLASSES,
            threat=THREAT,
            evaluation=used,
            folder=tmp_path / f"shard-{number}-of-3" / "attacks",
        )
    log = tmp_path / "shard-1-of-3" / "attacks" / log_name(evaluation)
    log.write_bytes(log.read_bytes()[:-30])
    gather(tmp_path, evaluation)
    found = judged(model, images, labels, evaluation=evaluation, folder=tmp_path)
    pd.testing.assert_frame_equal(found.rows, alone.rows)
    gather(tmp_path, evaluation)  # nothing is left to gather
    assert judged(model, images, labels, evaluation=evaluation, folder=tmp_path).flags == alone.flags
    with pytest.raises(UserError, match="another evaluation"):
        judged(model, images, labels, evaluation=replace(evaluation, seed=8), folder=tmp_path)
