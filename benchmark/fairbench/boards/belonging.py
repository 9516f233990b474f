"""Where a seed result belongs: with those that have an equal key.

    board_key(result) == board_key(other)       # they stand on one board
    row_key(result) == row_key(other)           # they are seeds of one row

A board holds results of one suite whose protocols are equal and which were judged in one tier. A row is one method with
one set of hyper-parameters. A teacher belongs to the rows that it serves, and a model that was trained elsewhere stands
beside those whose judgement and images it shares.
"""

from fairbench.boards.seed_result import SeedResult
from fairbench.identity import content_key
from fairbench.outcomes.comparability import asked_tier, conditions, judged_protocol
from fairbench.protocol.attack_names import TIERS

BoardKey = tuple[str, int, str]
"""Suite, tier and protocol of a board; sorts the highest tier first."""


def board_key(result: SeedResult, *, tier: str = "") -> BoardKey:
    """Of its board, in the tier that it reached or in another one."""
    protocol = judged_protocol(result.provenance, tier=tier)
    height = TIERS.index(protocol["evaluation"]["tier"])
    return result.provenance.suite, -height, content_key(protocol)


def asked_board_key(result: SeedResult) -> BoardKey:
    """Of the board that it would be on, had it not been promoted to a higher tier."""
    return board_key(result, tier=asked_tier(result.provenance))


def served_key(result: SeedResult) -> tuple[str, str]:
    """What a teacher has in common with the rows that it serves."""
    return result.provenance.suite, content_key({**judged_protocol(result.provenance), "model": None, "network": None})


def beside_key(result: SeedResult) -> tuple[str, str]:
    """What a model trained elsewhere has in common with the rows that it stands beside."""
    return content_key(conditions(result.provenance)), result.images


def row_key(result: SeedResult, *, tier: str = "") -> tuple[str, str]:
    """Of its row: the label, and what the seeds share, in the tier that it reached or in another one."""
    if result.external:
        return result.provenance.label, "-".join(beside_key(result))
    description = result.provenance.description
    shared = {name: description.get(name) for name in ("method", "parameters")}
    protocol = judged_protocol(result.provenance, tier=tier)
    return result.provenance.label, content_key({"protocol": protocol, **shared})


def asked_row_key(result: SeedResult) -> tuple[str, str]:
    """Of the row that it would be a seed of, had it not been promoted to a higher tier."""
    return row_key(result, tier=asked_tier(result.provenance))
