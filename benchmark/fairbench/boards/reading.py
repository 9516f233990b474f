"""From the content of one outcome file to a run that may stand on a board: what strangers wrote is checked here.

run = run_of(read_outcomes(path), file="digits/trades/seed0.parquet")
"""

import hashlib

from fairbench.boards.seed_result import SeedResult
from fairbench.errors import UserError
from fairbench.outcomes.comparability import asked_tier, check_description, read_audit
from fairbench.outcomes.metrics import class_accuracies
from fairbench.outcomes.store import NOT_RUN, Outcomes
from fairbench.protocol.attack_names import TIERS, Attack


def run_of(outcomes: Outcomes, *, file: str) -> SeedResult:
    """What a file says, as a run of a board.

    Args:
        outcomes: its content.
        file: its path below the results folder, for people.

    Raises:
        UserError: if the protocol is incomplete, or the verdicts and what is said about them do not fit.
    """
    provenance = outcomes.provenance
    check_description(provenance, file=file)
    if provenance.status == "failed":
        if provenance.role == "external":
            raise UserError(f"{file} says that training failed, yet its model was not trained here.")
        return SeedResult(file=file, provenance=provenance, accuracies={})
    judged = bool((outcomes.rows["autoattack"] != NOT_RUN).any())
    allowed = TIERS[TIERS.index(asked_tier(provenance)) :]
    if provenance.tier not in allowed or judged != (provenance.tier != "screen"):
        raise UserError(f"{file} says that it reached tier {provenance.tier!r}, which its verdicts contradict.")
    attacks: tuple[Attack, ...] = ("clean", "pgd20", "autoattack") if judged else ("clean", "pgd20")
    try:
        accuracies = {
            attack: class_accuracies(outcomes.rows, len(provenance.class_names), attack) for attack in attacks
        }
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    return SeedResult(
        file=file,
        provenance=provenance,
        accuracies=accuracies,
        rows=outcomes.rows,
        images=_images(outcomes),
        audit=read_audit(provenance, file=file),
    )


def _images(outcomes: Outcomes) -> str:
    """Digest of what was tested."""
    digest = hashlib.sha256(repr(outcomes.provenance.class_names).encode())
    for column in ("index", "label"):
        digest.update(outcomes.rows[column].to_numpy().tobytes())
    return digest.hexdigest()
