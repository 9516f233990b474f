"""How far AutoAttack goes: everything in `full`, two attacks and an audit in `fast`, nothing in `screen`.

    reached = attack_by_tier(attacking, screened, labels, classes=10, evaluation=suite.evaluation)
    reached.tier, reached.promotion         # ("full", "2 of 30 audited images were broken"), say

FAB and Square are two thirds of the cost and change next to nothing on sound models; a training benchmark produces
unsound ones, too. So `fast` audits a sample, and promotes itself to `full` whenever something looks wrong. A promoted
evaluation has exactly the verdicts that `full` would have had.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench.attacks.autoattack import AutoAttack
from fairbench.evaluation.audit_sample import audit_sample
from fairbench.evaluation.screening import Screened
from fairbench.outcomes.audit import Audit
from fairbench.protocol.attack_names import AUDITED, WHITE_BOX
from fairbench.protocol.evaluation import Evaluation, Tier
from fairbench.protocol.thresholds import NOTABLE_PGD_AA_GAP_PP, NOTABLE_ZERO_GRADIENT_SHARE


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """Where an evaluation ended.

    Attributes:
        tier: the one whose attacks every image has faced.
        promotion: why it is higher than the one asked for, as a sentence; "" if it is not.
        audit: what the audit saw; None if there was none.
    """

    tier: Tier
    promotion: str = ""
    audit: Audit | None = None


def attack_by_tier(
    attacking: AutoAttack,
    screened: Screened,
    labels: Tensor,
    *,
    classes: int,
    evaluation: Evaluation,
    indices: Tensor | None = None,
) -> Reached:
    """Run the attacks of a tier.

    Args:
        attacking: the evaluation; it keeps the verdicts.
        screened: of the same model and images.
        labels: (n,).
        classes: number of classes.
        evaluation: tier and share of the audit.
        indices: positions in the test set, which decide who is audited; 0 to n - 1 by default.
    """
    if evaluation.tier == "screen":
        return Reached(tier="screen")
    attacking.attack(*WHITE_BOX)
    if evaluation.tier == "full":
        attacking.attack(*AUDITED)
        return Reached(tier="full")
    audit, doubts = None, _doubts(screened, attacking.robust, labels)
    if not doubts:
        audit = _audit(attacking, labels, classes=classes, share=evaluation.audit, indices=indices)
        if audit.breaks:
            doubts.append(f"{audit.breaks} of {sum(audit.audited)} audited images were broken by FAB or Square")
    if not doubts:
        return Reached(tier="fast", audit=audit)
    attacking.attack(*AUDITED)
    return Reached(tier="full", promotion="; ".join(doubts), audit=audit)


def zero_gradient_share(screened: Screened, labels: Tensor) -> float:
    """Of the correctly classified images, those on which PGD-20 began with a gradient of exactly zero."""
    correct = screened.clean == labels
    return float(screened.zero_gradient[correct].float().mean()) if bool(correct.any()) else 0.0


def _doubts(screened: Screened, robust: Tensor, labels: Tensor) -> list[str]:
    """What speaks against leaving attacks out before any audit."""
    doubts, share = [], zero_gradient_share(screened, labels)
    if share >= NOTABLE_ZERO_GRADIENT_SHARE:
        doubts.append(f"the first gradient of PGD-20 is zero for {share:.1%} of the correctly classified images")
    under_pgd = (screened.clean == labels) & (screened.pgd20 == labels)
    gap = 100 * (int(under_pgd.sum()) - int(robust.sum())) / len(labels)  # in images, so that ten points are ten
    if gap > NOTABLE_PGD_AA_GAP_PP:
        doubts.append(f"APGD is {gap:.1f} points below PGD-20")
    return doubts


def _audit(attacking: AutoAttack, labels: Tensor, *, classes: int, share: float, indices: Tensor | None) -> Audit:
    survivors = attacking.robust
    rows = survivors.nonzero().flatten()
    positions = rows if indices is None else indices.to(rows.device)[rows]
    chosen = audit_sample(labels[rows].cpu().numpy(), positions.cpu().numpy(), share=share)
    sampled = torch.zeros_like(survivors)
    sampled[rows[torch.from_numpy(chosen).to(rows.device)]] = True
    attacking.attack(*AUDITED, among=sampled)

    def per_class(images: Tensor) -> tuple[int, ...]:
        return tuple(labels[images].bincount(minlength=classes).tolist())

    return Audit(
        survivors=per_class(survivors),
        audited=per_class(sampled),
        breaks=int((sampled & ~attacking.robust).sum()),
    )
