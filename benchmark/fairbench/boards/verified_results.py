"""Which results were verified: a receipt counts only if it fits the outcome file that it lies beside, byte for byte.

results, problems = with_receipts(results, Path("results"))
results[0].verified
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fairbench.boards.board import Problem
from fairbench.boards.seed_result import SeedResult
from fairbench.errors import UserError
from fairbench.outcomes.receipt import ENDING, Receipt, outcomes_sha256, read_receipt, receipt_file, receipt_files


def with_receipts(results: Sequence[SeedResult], folder: Path) -> tuple[list[SeedResult], list[Problem]]:
    """The results with what a second look at each found, and the receipts that cannot be used.

    Args:
        results: of the outcome files that could be read.
        folder: that their files are below.
    """
    expected = {receipt_file(folder / result.file): result for result in results}
    receipts: dict[str, Receipt] = {}
    problems = []
    for path in receipt_files(folder):
        result = expected.get(path)
        outcomes = path.with_name(path.name.removesuffix(ENDING) + ".parquet")
        file = path.relative_to(folder).as_posix()
        if result is not None:
            try:
                receipts[result.file] = _fitting(path, result, outcomes)
            except UserError as error:
                message = f"{error} The run is not verified: verify it again, or remove the receipt."
                problems.append(Problem(file=file, message=message.replace(str(path), file)))
        elif not outcomes.exists():  # one that is there and unusable is a problem by itself
            message = f"{file} speaks of {outcomes.name}, which is not there; remove it, or put that file back."
            problems.append(Problem(file=file, message=message))
    return [replace(result, receipt=receipts.get(result.file)) for result in results], problems


def _fitting(path: Path, result: SeedResult, outcomes: Path) -> Receipt:
    """The receipt of a result.

    Raises:
        UserError: if it is unreadable, of other bytes, or of images that the result does not have.
    """
    receipt = read_receipt(path)
    if receipt.outcomes != outcomes_sha256(outcomes):
        raise UserError(f"{path} speaks of another {outcomes.name} than the one that is there.")
    counts = result.accuracies["clean"].counts.tolist() if result.finished else []
    attacked = receipt.attacked
    known = len(attacked) == len(counts) and all(0 <= n <= count for n, count in zip(attacked, counts, strict=True))
    verdicts = sum(attacked) * len(result.accuracies)
    if receipt.claimed:
        robust = result.accuracies[result.attack].correct.tolist() if result.finished else []
        limits = zip(receipt.claimed, attacked, robust, strict=False)
        known = known and len(receipt.claimed) == len(robust) and all(0 <= n <= min(most) for n, *most in limits)
    if not known or not verdicts or not 0 <= receipt.overstated <= receipt.disagreements <= verdicts:
        raise UserError(f"{path} counts images or verdicts that {outcomes.name} does not have.")
    return receipt
