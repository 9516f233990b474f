"""Names of attacks and tiers, as outcome files, boards and the attacks themselves spell them."""

from typing import Literal, get_args

from fairbench.protocol.evaluation import Tier

Attack = Literal["clean", "pgd20", "autoattack"]
"""What a verdict is about; `clean` is no attack at all."""

Checkpoint = Literal["selected", "last"]
"""Of a training: the one that is ranked, and that of the last epoch."""

ATTACKS = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The attacks of AutoAttack standard, in order."""

WHITE_BOX, AUDITED = ATTACKS[:2], ATTACKS[2:]
"""Those of every image in tier `fast`, and those of a sample alone."""

BROKEN_BY = ("", "clean", *ATTACKS)
"""What may have broken an image: "" for a robust one, "clean" for one that is misclassified without an attack."""

TIERS: tuple[Tier, ...] = get_args(Tier)
"""Lowest first; each contains the verdicts of those before it."""


def strongest(tier: str) -> Attack:
    """The attack that ranks in a tier."""
    return "pgd20" if tier == "screen" else "autoattack"
