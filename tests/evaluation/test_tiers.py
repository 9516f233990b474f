"""Tiers: what each attacks, what promotes `fast`, and that a promoted evaluation is a full one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks.ball import Ball
from fairbench.attacks.standard.attack import standard_attack
from fairbench.attacks.standard.found import Found
from fairbench.evaluation.judgement import Judgement, judge
from fairbench.outcomes.store import NOT_RUN
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation, Tier

IMAGES = torch.tensor(load_digits().images[:60, None] / 16, dtype=torch.float32)
QUICK = AutoAttackSettings(apgd_iterations=8, fab_iterations=5, square_queries=40, targets=2)
EVALUATION = Evaluation(pgd_step=0.02, audit=0.25)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A linear network on which some images are robust at 0.08 and others are not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture
def in_tier(model: nn.Module, tmp_path: Path) -> Callable[..., Judgement]:
    """An evaluation of images that are classified correctly by definition of their labels."""

    def judged(
        tier: Tier, *, network: nn.Module = model, epsilon: float = 0.02, folder: str = "", audit: float = 0.25
    ) -> Judgement:
        with torch.no_grad():
            labels = network(IMAGES).argmax(dim=1)
        return judge(
            network,
            network,
            IMAGES,
            labels,
            classes=10,
            threat=Threat(epsilon=epsilon, step=epsilon),
            evaluation=replace(EVALUATION, tier=tier, audit=audit),
            folder=tmp_path / (folder or tier),
            settings=QUICK,
        )

    return judged


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """The attacks that are run, each with the images that face it."""
    seen: list[tuple[str, list[int]]] = []

    def told(attack: str, *args: Any, indices: Tensor, **options: Any) -> Found:
        seen.append((attack, indices.tolist()))
        return standard_attack(attack, *args, indices=indices, **options)

    monkeypatch.setattr("fairbench.attacks.autoattack.standard_attack", told)
    return seen


def test_screen_attacks_nothing_more(in_tier: Callable[..., Judgement], attacks: list[tuple[str, list[int]]]) -> None:
    found = in_tier("screen")
    assert attacks == []
    assert (found.rows["autoattack"] == NOT_RUN).all()
    assert (found.reached.tier, found.reached.promotion, found.reached.audit) == ("screen", "", None)


def test_full_attacks_in_order(in_tier: Callable[..., Judgement], attacks: list[tuple[str, list[int]]]) -> None:
    found = in_tier("full")
    assert [name for name, _ in attacks] == list(ATTACKS)
    assert (found.reached.tier, found.reached.audit) == ("full", None)
    assert "audit_breaks" not in found.flags


def test_fast_shows_the_last_two_attacks_a_sample(
    in_tier: Callable[..., Judgement], attacks: list[tuple[str, list[int]]]
) -> None:
    found = in_tier("fast")
    faced = dict(attacks)
    assert [name for name, _ in attacks] == list(ATTACKS)
    audit = found.reached.audit
    assert audit is not None
    assert found.reached.tier == "fast"
    assert 0 < len(faced["fab-t"]) == sum(audit.audited) < sum(audit.survivors)
    assert found.flags["audit_breaks"] == 0
    labels = found.rows["label"]
    robust = found.rows["autoattack"] == labels
    assert robust.groupby(labels).sum().reindex(range(10), fill_value=0).tolist() == list(audit.survivors)


def test_fast_is_a_superset_of_full(in_tier: Callable[..., Judgement]) -> None:
    fast, full = in_tier("fast").rows, in_tier("full").rows
    assert not ((fast["autoattack"] != fast["label"]) & (full["autoattack"] == full["label"])).any()
    early = full["broken_by"].isin(["apgd-ce", "apgd-t"])
    pd.testing.assert_frame_equal(fast[early], full[early])


def test_an_audit_break_promotes(
    in_tier: Callable[..., Judgement], attacks: list[tuple[str, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """APGD that finds nothing leaves the breaks to the audit; the promoted rows are those of `full`."""

    def blind(attack: str, model: nn.Module, images: Tensor, labels: Tensor, **options: Any) -> Found:
        attacks.append((attack, options["indices"].tolist()))
        if attack.startswith("apgd"):
            return Found(images=images, broken=torch.zeros_like(labels, dtype=torch.bool))
        return standard_attack(attack, model, images, labels, **options)

    monkeypatch.setattr("fairbench.attacks.autoattack.standard_attack", blind)
    fast = in_tier("fast", epsilon=0.06)
    audit = fast.reached.audit
    assert audit is not None
    assert audit.breaks == fast.flags["audit_breaks"] > 0
    assert fast.reached.tier == "full"
    assert fast.reached.promotion == (
        f"{audit.breaks} of {sum(audit.audited)} audited images were broken by FAB or Square"
    )
    faced = [indices for name, indices in attacks if name == "fab-t"]
    assert len(faced) == 2
    assert set(faced[0]).isdisjoint(faced[1])
    full = in_tier("full", epsilon=0.06)
    pd.testing.assert_frame_equal(fast.rows, full.rows)


class Stepped(nn.Module):
    """Pixels rounded before the network: every gradient is zero."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images * 16).round() / 16)
        return logits


def test_masked_gradients_promote_without_an_audit(in_tier: Callable[..., Judgement], model: nn.Module) -> None:
    found = in_tier("fast", network=Stepped(model))
    assert found.reached.tier == "full"
    assert found.reached.audit is None
    assert "the first gradient of PGD-20 is zero for 100.0%" in found.reached.promotion
    assert set(found.flags["zero_gradient_share_by_class"]) <= {0.0, 1.0}


def test_a_gap_to_pgd20_promotes(in_tier: Callable[..., Judgement], monkeypatch: pytest.MonkeyPatch) -> None:
    def strong(attack: str, _model: nn.Module, images: Tensor, labels: Tensor, **_options: object) -> Found:
        broken = torch.full_like(labels, attack == "apgd-ce", dtype=torch.bool)
        return Found(images=torch.where(broken.view(-1, 1, 1, 1), 1 - images, images), broken=broken)

    monkeypatch.setattr("fairbench.attacks.autoattack.standard_attack", strong)
    monkeypatch.setattr(Ball, "contains", lambda _ball, points: torch.ones(len(points)).bool())
    found = in_tier("fast")
    assert found.reached.tier == "full"
    assert "points below PGD-20" in found.reached.promotion


def test_full_goes_on_where_fast_ended(in_tier: Callable[..., Judgement], attacks: list[tuple[str, list[int]]]) -> None:
    """In one folder, with the rows of an undisturbed full evaluation."""
    undisturbed = in_tier("full", folder="alone").rows
    in_tier("fast", folder="both")
    attacks.clear()
    full = in_tier("full", folder="both")
    assert [name for name, _ in attacks] == ["fab-t", "square"]
    pd.testing.assert_frame_equal(full.rows, undisturbed)


def test_fast_beside_a_full_log_is_fast(in_tier: Callable[..., Judgement]) -> None:
    undisturbed = in_tier("fast", folder="alone").rows
    in_tier("full", folder="both")
    pd.testing.assert_frame_equal(in_tier("fast", folder="both").rows, undisturbed)
