"""Why a row has no rank although its numbers are shown."""

from collections.abc import Sequence

from fairbench.boards.seed_result import SeedResult
from fairbench.protocol.thresholds import REQUIRED_SEEDS

UNFIT = ("randomised", "grad_at_inference")
"""Flags of models for which AutoAttack standard says too little; a person has to look first."""


def reason_without_rank(seeds: Sequence[SeedResult], *, promoted: Sequence[SeedResult] = ()) -> str:
    """One sentence without its full stop; "" if the row is ranked.

    Args:
        seeds: of the row; at least one.
        promoted: seeds that a higher tier took from it. Those that remain are a selection.
    """
    if failed := [result for result in seeds if not result.finished]:
        return f"{len(failed)} of {len(seeds)} seeds failed"
    if promoted:
        taken = [
            f"seed {result.provenance.seed} was promoted to {result.tier}: {result.provenance.promotion}"
            for result in promoted
        ]
        return "; ".join([*taken, f"run the others with --tier {promoted[0].tier}"])
    if len(seeds) < REQUIRED_SEEDS:
        return f"{len(seeds)} of the {REQUIRED_SEEDS} seeds that a rank needs"
    if unfit := [flag for flag in UNFIT if any(result.provenance.flags.get(flag) is True for result in seeds)]:
        return f"AutoAttack standard does not fit this model: {', '.join(unfit)}"
    return ""
