"""What boards and pages need of the history of one run: robust validation accuracies, epoch by epoch, as one array.

    found = validation(provenance)
    found.robust[found.epochs - 1]          # (classes,) after the last epoch
    found.selected                          # at the selected epoch

Results are not trusted: what is not one accuracy for each class is left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairbench.outcomes.metrics import Vector
from fairbench.outcomes.provenance import Provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """Of one run.

    Attributes:
        robust: accuracy per class under the attack by which checkpoints are selected, (epochs, classes); NaN for a
            class without one, and in every class of an epoch that has none.
        selected: at the selected epoch, (classes,); None if the history does not say it in full.
    """

    robust: Vector
    selected: Vector | None

    @property
    def epochs(self) -> int:
        """Entries of the history."""
        return len(self.robust)


def validation(provenance: Provenance) -> Validation:
    """The validation accuracies of a run, whose history can be freed afterwards."""
    classes = len(provenance.class_names)
    robust = [_accuracies(entry.get("validation_robust"), classes=classes) for entry in provenance.history]
    table: Vector = np.array(robust, dtype=np.float64).reshape(len(robust), classes)
    selected = (
        line
        for entry, line in zip(provenance.history, table, strict=True)
        if entry.get("epoch") == provenance.selected_epoch and isinstance(entry.get("validation_robust"), list)
    )
    found = next(selected, None)
    return Validation(robust=table, selected=found if found is not None and np.isfinite(found).all() else None)


def _accuracies(values: Any, *, classes: int) -> list[float | None]:
    """A list from a file, None where it has no accuracy; nothing but None if it is something else."""
    if not isinstance(values, list) or len(values) != classes or not {type(one) for one in values} <= _KINDS:
        return [None] * classes
    return values if all(value is None or 0 <= value <= 1 for value in values) else [None] * classes


_KINDS = {int, float, type(None)}
