"""Files to seed results: what strangers wrote is checked here, and what cannot be used is a problem with its reason.

read = read_results(Path("results"))
read.results[0].accuracies["autoattack"]
read.problems
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from fairbench.boards.board import Problem
from fairbench.boards.condensed import condensed
from fairbench.boards.seed_result import SeedResult
from fairbench.boards.validation import validation
from fairbench.boards.verified_results import with_receipts
from fairbench.errors import UserError
from fairbench.outcomes import board_version
from fairbench.outcomes.comparability import asked_tier, check_description, read_audit
from fairbench.outcomes.metrics import count_correct
from fairbench.outcomes.store import NOT_RUN, Outcomes, read_outcomes, result_files, stray_files
from fairbench.protocol.attack_names import TIERS, Attack
from fairbench.statistics.verdicts import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """Everything below a results folder.

    Attributes:
        results: of the outcome files, in the order of their names, with the receipts that fit them.
        problems: outcome files and receipts that could not be used.
    """

    results: tuple[SeedResult, ...]
    problems: tuple[Problem, ...]


class Reader:
    """Reads a results folder, and a file of it again only if it has changed: a page is written while runs end.

    Args:
        folder: of `<suite>/<label>/seed<k>.parquet`; it need not exist.
        suite: whose runs are wanted, with the models trained elsewhere that may stand beside them; "" for all.
    """

    def __init__(self, folder: Path, *, suite: str = "") -> None:
        self._folder, self._suite = folder, suite
        self._known: dict[Path, tuple[tuple[int, int, int], SeedResult | Problem]] = {}
        self._labels: dict[str, Labels] = {}
        self._given: dict[str, SeedResult] = {}

    def read(self) -> Read:
        """Every outcome file and receipt, as they are now; a result that is as it was is the same object."""
        known, self._known = self._known, {}
        for path in result_files(self._folder):
            if not self._suite or path.parts[-3] == self._suite or path.parts[-2].startswith("external-"):
                stamp = _stamp(path)
                found = known.get(path)
                self._known[path] = found if found and found[0] == stamp else (stamp, self._one(path))
        contents = [content for _, content in self._known.values()]
        results, unfit = with_receipts([one for one in contents if isinstance(one, SeedResult)], self._folder)
        unreadable = (one for one in contents if isinstance(one, Problem))
        strays = (_misplaced(path, self._folder) for path in stray_files(self._folder) if not self._released(path))
        self._given = {one.file: self._as_it_was(one) for one in results}
        return Read(results=tuple(self._given.values()), problems=(*unreadable, *unfit, *strays))

    def _as_it_was(self, result: SeedResult) -> SeedResult:
        """What was given before if neither the file nor its receipt has changed."""
        before = self._given.get(result.file)
        same = before and before.provenance is result.provenance and before.receipt == result.receipt
        return before if before and same else result

    def _released(self, path: Path) -> bool:
        """Whether it belongs to a version of a board, which is read elsewhere."""
        return path.relative_to(self._folder).parts[1:2] == (board_version.FOLDER,)

    def _one(self, path: Path) -> SeedResult | Problem:
        file = path.relative_to(self._folder).as_posix()
        try:
            return self._with_shared_labels(seed_result(read_outcomes(path), file=file))
        except UserError as error:
            return Problem(file=file, message=str(error).replace(str(path), file))

    def _with_shared_labels(self, result: SeedResult) -> SeedResult:
        """The result with the labels of those before it that were tested on the same images."""
        if result.verdicts is None:
            return result
        labels = self._labels.setdefault(result.images, result.verdicts.labels)
        return replace(result, verdicts=replace(result.verdicts, labels=labels))


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes with the content of a file, which is written anew and renamed; zeros if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_results(folder: Path) -> Read:
    """Read every outcome file and receipt.

    Args:
        folder: of `<suite>/<label>/seed<k>.parquet`; it need not exist.
    """
    return Reader(folder).read()


def seed_result(outcomes: Outcomes, *, file: str) -> SeedResult:
    """What a file says.

    Args:
        outcomes: its content.
        file: its path below the results folder, for people.

    Raises:
        UserError: if the protocol is incomplete, or the verdicts and what is said about them do not fit.
    """
    provenance = outcomes.provenance
    check_description(provenance, file=file)
    lean, validated = replace(provenance, history=[]), validation(provenance)
    if provenance.status == "failed":
        if provenance.role == "external":
            raise UserError(f"{file} says that training failed, yet its model was not trained here.")
        return SeedResult(file=file, provenance=lean, accuracies={}, validation=validated)
    judged = bool((outcomes.verdicts["autoattack"] != NOT_RUN).any())
    allowed = TIERS[TIERS.index(asked_tier(provenance)) :]
    if provenance.tier not in allowed or judged != (provenance.tier != "screen"):
        raise UserError(f"{file} says that it reached tier {provenance.tier!r}, which its verdicts contradict.")
    attacks: tuple[Attack, ...] = ("clean", "pgd20", "autoattack") if judged else ("clean", "pgd20")
    try:
        kept = condensed(outcomes, attacks=attacks)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    return SeedResult(
        file=file,
        provenance=lean,
        accuracies={
            attack: count_correct(kept.labels, predicted == kept.labels, classes=len(provenance.class_names))
            for attack, predicted in kept.predictions.items()
        },
        validation=validated,
        verdicts=kept,
        images=_images(outcomes),
        audit=read_audit(provenance, file=file),
    )


def _misplaced(path: Path, folder: Path) -> Problem:
    """A file that is not read, and what to do about it."""
    file = path.relative_to(folder)
    above = len(file.parts) - 3  # of <suite>/<label>/seed<k>.parquet
    if not (file.name.startswith("seed") and file.suffix == ".parquet"):
        advice = "it is not named seed<k>.parquet. Give it the name that fairbench gave it, or move it away."
    elif above > 0:
        advice = f"it lies deeper. Read it with --results {folder.joinpath(*file.parts[:above])}, or move it up."
    else:
        advice = f"it lies less deep. Read it with --results {folder.absolute().parents[-above - 1]}, or move it down."
    message = f"{file.as_posix()} was not read: outcomes lie in <suite>/<label>/seed<k>.parquet, and {advice}"
    return Problem(file=file.as_posix(), message=message)


def _images(outcomes: Outcomes) -> str:
    """Digest of what was tested."""
    digest = hashlib.sha256(repr(outcomes.provenance.class_names).encode())
    for column in ("index", "label"):
        digest.update(outcomes.verdicts[column].tobytes())
    return digest.hexdigest()
