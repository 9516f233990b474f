"""What a run tells whoever watches it: every epoch of the training, and every attack of the evaluation.

    class Printing:
        def on_epoch(self, epoch: Epoch) -> None:
            print(epoch.number, epoch.loss, min(epoch.robust))

        def on_attack(self, attack: Attacked) -> None:
            print(attack.name, attack.worst)

        def close(self) -> None: ...

A tracker hears values and returns nothing: it can change no run. After a kill an epoch may be told twice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Which run is watched.

    Attributes:
        suite: name of the suite, or of the dataset of a model that was trained elsewhere.
        label: of the row.
        seed: of the training.
        key: of the run.
        parameters: resolved hyper-parameters.
        folder: of the run's work, where a tracker may write files of its own.
    """

    suite: str
    label: str
    seed: int
    key: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """An epoch that ended.

    Attributes:
        number: from 0.
        learning_rate: at its end.
        loss: mean over its steps; None if it had none.
        clean: accuracy per class on the validation split, in [0, 1]; None for a class without images.
        robust: the same under PGD-20.
        reported: what the method says of its state, by name.
    """

    number: int
    learning_rate: float
    loss: float | None
    clean: tuple[float | None, ...]
    robust: tuple[float | None, ...]
    reported: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attacked:
    """An attack on the test images that ended.

    Attributes:
        name: `clean`, `pgd20` or `autoattack`.
        accuracies: per class, in [0, 1]; NaN for a class without images.
    """

    name: str
    accuracies: tuple[float, ...]

    @property
    def average(self) -> float:
        """Over the classes with images."""
        found = [value for value in self.accuracies if not math.isnan(value)]
        return math.fsum(found) / len(found)

    @property
    def worst(self) -> float:
        """Of the worst class."""
        return min(value for value in self.accuracies if not math.isnan(value))


class Tracker(Protocol):
    """Whoever watches a run."""

    def on_epoch(self, epoch: Epoch) -> None:
        """An epoch of the training ended."""

    def on_attack(self, attack: Attacked) -> None:
        """An attack of the evaluation ended."""

    def close(self) -> None:
        """The run ended, or was interrupted; called once."""


class Nobody:
    """Nobody watches."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Not heard."""

    def on_attack(self, attack: Attacked) -> None:
        """Not heard."""

    def close(self) -> None:
        """Nothing to close."""


NOBODY: Tracker = Nobody()


def scalars(report: Epoch | Attacked) -> dict[str, float]:
    """The numbers of a report by name, as plots show them; what is missing or no number is left out."""
    if isinstance(report, Attacked):
        per_class = {f"test/{report.name}/class {k}": value for k, value in enumerate(report.accuracies)}
        found: dict[str, Any] = {
            f"test/{report.name}/average": report.average,
            f"test/{report.name}/worst": report.worst,
            **per_class,
        }
    else:
        found = {"training/learning rate": report.learning_rate, "training/loss": report.loss}
        for name, values in (("clean", report.clean), ("robust", report.robust)):
            present = [value for value in values if value is not None]
            if present:
                found |= {f"validation/{name}/average": math.fsum(present) / len(present)}
                found |= {f"validation/{name}/worst": min(present)}
            found |= {f"validation/{name}/class {k}": value for k, value in enumerate(values)}
        for name, value in report.reported.items():
            listed = isinstance(value, list | tuple)
            found |= {f"method/{name} {k}": one for k, one in enumerate(value)} if listed else {f"method/{name}": value}
    return {
        name: float(value) for name, value in found.items() if isinstance(value, int | float) and math.isfinite(value)
    }
