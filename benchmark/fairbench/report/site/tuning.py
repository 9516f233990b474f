"""How the learning rate of a row was found: a sentence, and a table with every trial, on the row's page.

    rate_sentence(row)      # "Learning rate 2 (10 times the suite's), the best of 6 trials on the validation split."
    trial_lines(row)[0]     # TrialLine(learning_rate="0.067", average="51.0", worst="27.0", score="78.0", ...)

Results are not trusted: a trial that holds something else than it should is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fairbench.boards.row import Row
from fairbench.errors import UserError
from fairbench.fields import build
from fairbench.protocol.tuning import Trial, TunedMethod
from fairbench.report.phrases import NOTHING, percent


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialLine:
    """A line of the table, accuracies in percent.

    Attributes:
        rate: times the suite's learning rate.
        learning_rate: of the trial.
        average: over the classes.
        worst: of the worst class.
        score: their sum; the reason in words where training failed.
        best: whether the row is trained at this rate.
    """

    rate: str
    learning_rate: str
    average: str
    worst: str
    score: str
    best: bool


def rate_sentence(row: Row) -> str:
    """At which rate a row is trained and why; "" for a model that was trained elsewhere."""
    if (usual := _usual_rate(row)) is None:
        return ""
    trials, rate = _trials(row), _rate(row)
    if not trials:
        return f"Learning rate {rate * usual:.3g}, not tuned."
    if TunedMethod(trials=trials).best.reason:
        return f"Learning rate {rate * usual:.3g}, the suite's: training failed in each of {len(trials)} trials."
    times = "the suite's" if rate == 1 else f"{rate:.3g} times the suite's"
    return f"Learning rate {rate * usual:.3g} ({times}), the best of {len(trials)} trials on the validation split."


def tuned(row: Row) -> bool:
    """Whether the learning rate was looked for; a model that was trained elsewhere is nobody's to tune here."""
    return _usual_rate(row) is None or bool(_trials(row))


def trial_lines(row: Row) -> list[TrialLine]:
    """Every trial, the lowest rate first."""
    usual, trials = _usual_rate(row), _trials(row)
    return list(_lines(trials, usual, rate=_rate(row))) if usual is not None else []


def _lines(trials: tuple[Trial, ...], usual: float, *, rate: float) -> Iterator[TrialLine]:
    for trial in sorted(trials, key=lambda trial: trial.rate):
        failed = bool(trial.reason)
        yield TrialLine(
            rate=f"{trial.rate:.3g}",
            learning_rate=f"{trial.rate * usual:.3g}",
            average=NOTHING if failed else percent(trial.average),
            worst=NOTHING if failed else percent(trial.worst),
            score=f"failed: {trial.reason}" if failed else percent(trial.score),
            best=trial.rate == rate and not failed,
        )


def _trials(row: Row) -> tuple[Trial, ...]:
    found = []
    for one in row.provenance.tuning:
        try:
            found.append(build(Trial, one))
        except UserError:  # a stranger's file; what can be read is shown
            continue
    return tuple(found)


def _usual_rate(row: Row) -> float | None:
    """The suite's learning rate."""
    recipe = row.provenance.description["protocol"].get("recipe")
    return float(recipe["learning_rate"]) if recipe else None


def _rate(row: Row) -> float:
    rate = row.provenance.description.get("rate", 1.0)
    return float(rate) if isinstance(rate, int | float) else 1.0
