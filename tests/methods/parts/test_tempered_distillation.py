"""The loss of the tempered methods, ARD and Fair-ARD."""

import pytest
import torch

from fairbench.method.losses import kl_divergence
from fairbench_methods.parts.tempered_distillation import tempered_loss


def test_by_hand() -> None:
    """T = 2: teacher (4,2,0) is (2,1,0), student uniform: KL 0.266217, times T^2 / 10."""
    loss = tempered_loss(torch.ones(1, 3), torch.tensor([[4.0, 2.0, 0.0]]), temperature=2.0)
    assert loss.item() == pytest.approx(0.4 * 0.266217, abs=1e-6)


def test_temperature_one_is_a_tenth_of_the_divergence() -> None:
    student, teacher = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tempered_loss(student, teacher, temperature=1.0), kl_divergence(student, teacher) / 10)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_hot_networks_compare_centred_logits(classes: int) -> None:
    """T^2 KL -> |z_S - z_T|^2 / (2C) of the centred logits; both networks are tempered, the scale is constant."""
    drawn = torch.Generator().manual_seed(classes)
    student, teacher = torch.randn(2, 5, classes, generator=drawn, dtype=torch.float64)
    centred = (student - student.mean(dim=1, keepdim=True)) - (teacher - teacher.mean(dim=1, keepdim=True))
    expected = centred.square().sum(dim=1) / (2 * classes) / 10
    found = tempered_loss(student, teacher, temperature=100.0)
    torch.testing.assert_close(found.double(), expected, rtol=0.05, atol=2e-4)  # T^2 magnifies float32's rounding


def test_half_precision_logits_are_tempered_in_full() -> None:
    """At T = 30 the differences that matter are below the resolution of bfloat16."""
    student, teacher = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0)).bfloat16()
    loss = tempered_loss(student, teacher, temperature=30.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, tempered_loss(student.float(), teacher.float(), temperature=30.0))
