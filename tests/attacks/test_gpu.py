"""The engine on an accelerator: nothing is left on the CPU, and its verdicts are those of a CPU but for round-off.

pytest -m gpu
"""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks.autoattack import AutoAttack, AutoAttacked
from fairbench.evaluation.screening import screen
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Engine, Evaluation
from fairbench.protocol.threat import Norm, Precision

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

QUICK = AutoAttackSettings(apgd_iterations=25, fab_iterations=15, square_queries=300, targets=4)
RADIUS = {"Linf": 0.15, "L2": 0.9}


def attacked(
    device: str,
    network: tuple[nn.Module, Tensor, Tensor],
    folder: Path,
    *,
    norm: Norm,
    engine: Engine = "fairbench",
    search: Precision = "fp32",
    batch_size: int = 500,
) -> AutoAttacked:
    model, images, labels = deepcopy(network[0]).to(device), network[1].to(device), network[2].to(device)
    threat = Threat(norm=norm, epsilon=RADIUS[norm], step=RADIUS[norm] / 4)
    evaluation = Evaluation(pgd_step=threat.step, engine=engine, search=search, batch_size=batch_size)
    screened = screen(model, images, labels, classes=10, threat=threat, evaluation=evaluation)
    attacking = AutoAttack(
        model,
        images,
        labels,
        clean=screened.clean,
        classes=10,
        threat=threat,
        evaluation=evaluation,
        folder=folder / f"{device}-{engine}-{search}-{batch_size}",
        settings=QUICK,
    )
    found = attacking.attack(*ATTACKS)
    assert found.predictions.device.type == images.device.type
    return found


def agreement(one: AutoAttacked, other: AutoAttacked) -> float:
    """Share of images that both call robust, or neither."""
    same = [(a == "") == (b == "") for a, b in zip(one.broken_by, other.broken_by, strict=True)]
    return sum(same) / len(same)


@pytest.mark.parametrize("search", ["fp32", "bf16"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_verdicts_are_those_of_a_cpu(
    *, norm: Norm, search: Precision, trained: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    network = (trained, *digits)
    expected = attacked("cpu", network, tmp_path, norm=norm)
    found = attacked("cuda", network, tmp_path, norm=norm, search=search)
    assert agreement(expected, found) >= 0.94
    assert found.unverified == 0


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_of_any_size(
    batch_size: int, trained: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    """Kernels round by the size of a batch there, so that a verdict on the edge may flip."""
    network = (trained, *digits)
    whole = attacked("cuda", network, tmp_path, norm="Linf")
    assert agreement(whole, attacked("cuda", network, tmp_path, norm="Linf", batch_size=batch_size)) >= 0.94


def test_the_reference_runs_there_too(trained: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    network = (trained, *digits)
    ours = attacked("cuda", network, tmp_path, norm="Linf")
    assert agreement(ours, attacked("cuda", network, tmp_path, norm="Linf", engine="reference")) >= 0.94
