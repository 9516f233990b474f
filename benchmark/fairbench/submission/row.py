"""What is checked of all seeds of a submission together: that they are seeds of one row, and may be ranked.

problems(submission, outcomes, results)
"""

from collections.abc import Iterable, Mapping, Sequence

from fairbench.boards.belonging import board_key, row_key
from fairbench.boards.reading import seed_result
from fairbench.boards.seed_result import SeedResult
from fairbench.boards.unranked import reason_without_rank
from fairbench.errors import UserError
from fairbench.outcomes.store import Outcomes
from fairbench.submission.bundle import Submission


def seed_results(submission: Submission, outcomes: Mapping[int, Outcomes]) -> tuple[list[SeedResult], list[str]]:
    """What each file says, and a sentence for each that contradicts itself.

    Args:
        submission: whose.
        outcomes: by seed.
    """
    found: list[SeedResult] = []
    sentences: list[str] = []
    for seed, one in outcomes.items():
        try:
            found.append(seed_result(one, file=f"{submission.suite}/{submission.label}/seed{seed}.parquet"))
        except UserError as error:
            sentences.append(str(error))
    return found, sentences


def problems(submission: Submission, seeds: Sequence[SeedResult], others: Iterable[SeedResult]) -> list[str]:
    """What speaks against the row, a sentence each.

    Args:
        submission: whose.
        seeds: of it; at least one.
        others: results that are on the boards already.
    """
    sentences: list[str] = []
    for result in seeds:
        found = result.provenance
        if (found.suite, found.label) != (submission.suite, submission.label):
            sentences.append(
                f"Seed {found.seed} is of the row {found.suite}/{found.label}, where the submission is of "
                f"{submission.suite}/{submission.label}."
            )
        if found.role == "teacher":
            sentences.append(f"Seed {found.seed} is a teacher's; it competes with nobody.")
    if len({result.provenance.role for result in seeds}) > 1 or len({row_key(result) for result in seeds}) > 1:
        sentences.append("The seeds are not of one row: they differ in their method, hyper-parameters or protocol.")
    if len({board_key(result) for result in seeds}) > 1:
        sentences.append("The seeds were not judged in one tier; a board holds one.")
    if len({result.images for result in seeds}) > 1:
        sentences.append("The seeds were not evaluated on the same images.")
    sentences += _repeated(seeds)
    if not sentences and not seeds[0].external and (reason := reason_without_rank(seeds)):
        sentences.append(f"The row would have no rank: {reason}.")
    return sentences + _taken(submission, seeds, others)


def _repeated(seeds: Sequence[SeedResult]) -> list[str]:
    """Seeds that are one training under several names."""
    sentences = []
    for number, one in enumerate(seeds):
        for other in seeds[:number]:
            numbers = f"{other.provenance.seed} and {one.provenance.seed}"
            weights = [result.provenance.checkpoints.get("selected", "") for result in (one, other)]
            if weights[0] and weights[0] == weights[1]:
                sentences.append(f"Seeds {numbers} have the same weights: they are one training.")
            elif one.finished and other.finished and one.kept.is_like(other.kept):
                sentences.append(f"Seeds {numbers} have the same verdict on every image: they are one training.")
    return sentences


def _taken(submission: Submission, seeds: Sequence[SeedResult], others: Iterable[SeedResult]) -> list[str]:
    """Whether the row's name belongs to another row already, which would be replaced."""
    mine = {row_key(result) for result in seeds}
    files = {result.file: result for result in others}
    for result in seeds:
        there = files.get(result.file)
        if there is not None and row_key(there) not in mine:
            return [
                f"{result.file} is on the board already, as another row; choose another name than {submission.label}."
            ]
    return []
