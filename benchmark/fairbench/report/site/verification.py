"""What a second look at a row's outcome files found: the mark on its board, and the table on its page.

verification_mark(row)      # "verified", "2 of 3 seeds verified", "4 of 300 verdicts differ", or ""
verification(row)           # [Fact(name="Images attacked again", texts=("100 of 1,000", "–", "–")), ...]
"""

from collections.abc import Callable

from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.receipt import Receipt
from fairbench.report.phrases import plural
from fairbench.report.site.facts import Fact, known


def verification_mark(row: Row) -> str:
    """What the board says about it in a few words; "" if nobody looked again."""
    if contradicted(row):
        compared = sum(_verdicts(result, result.receipt) for result in row.finished if result.receipt is not None)
        differing = sum(result.receipt.disagreements for result in row.finished if result.receipt is not None)
        return f"{differing:,} of {plural(compared, 'verdict')} differ"
    if row.verified:
        return "verified"
    confirmed = sum(result.verified for result in row.finished)
    return f"{confirmed} of {plural(len(row.finished), 'seed')} verified" if confirmed else ""


def contradicted(row: Row) -> bool:
    """Whether a second look came to another verdict on any image."""
    return any(result.receipt is not None and result.receipt.disagreements for result in row.finished)


def verification(row: Row) -> list[Fact]:
    """What was attacked again, with which weights and where, and what came of it; nothing if nobody looked."""

    def said(say: Callable[[SeedResult, Receipt], str]) -> list[str]:
        return [say(result, result.receipt) if result.receipt is not None else "" for result in row.results]

    words = {name: said(say) for name, say in _SAID.items()}
    hashes = {"SHA-256: weights": said(lambda _, found: found.weights)}
    return [*known(words), *known(hashes, code=True)]


def _verdicts(result: SeedResult, receipt: Receipt) -> int:
    """How many were compared: on every image, one for each attack."""
    return sum(receipt.attacked) * len(result.accuracies)


def _images(result: SeedResult, receipt: Receipt) -> str:
    return f"{sum(receipt.attacked):,} of {len(result.labels):,}"


def _differing(result: SeedResult, receipt: Receipt) -> str:
    found = f"{receipt.disagreements:,} of {_verdicts(result, receipt):,}"
    return f"{found}; {receipt.overstated:,} of them overstate the run" if receipt.disagreements else found


def _others(result: SeedResult, receipt: Receipt) -> str:
    others = len(result.labels) - sum(receipt.attacked)
    if receipt.disagreements or not others:
        return ""
    if receipt.claimed:
        robust = [int(count) for count in result.accuracies[result.attack].correct]
        rest = sum(robust) - sum(receipt.claimed)
        return f"at most {receipt.overstated_at_most(robust):,} of {rest:,} robust verdicts (95 %)" if rest else ""
    counts = [int(count) for count in result.accuracies["clean"].counts]
    return f"at most {receipt.others_at_most(counts):,} of {others:,} (95 %)"


def _weights(result: SeedResult, receipt: Receipt) -> str:
    evaluated = result.provenance.checkpoints.get("selected", "")
    if not receipt.weights:
        return "given without a file"
    if not evaluated:
        return "a file; the run names none"
    return "the evaluated file" if receipt.weights == evaluated else "another file than the evaluated one"


_SAID: dict[str, Callable[[SeedResult, Receipt], str]] = {
    "Images attacked again": _images,
    "Verdicts that differ": _differing,
    "Other images that could differ": _others,
    "Drawn by": lambda _, found: f"--seed {found.seed}",
    "Weights": _weights,
    "Version: fairbench": lambda _, found: found.versions.get("fairbench", ""),
    "Version: torch": lambda _, found: found.versions.get("torch", ""),
    "Hardware": lambda _, found: found.hardware,
    "Device": lambda _, found: found.device,
}
"""By fact: how it is said of one seed."""
