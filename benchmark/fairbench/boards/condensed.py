"""What boards and pages need of the verdicts of one run, in a tenth of their memory: thousands of runs fit at once.

found = condensed(outcomes, attacks=("clean", "pgd20", "autoattack"))
found.predictions["autoattack"]         # (images,) in the smallest type that holds every class
found.last["pgd20"]                     # counts of the last checkpoint
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairbench.outcomes.metrics import (
    ClassAccuracies,
    Counts,
    Vector,
    attacked_predictions,
    class_accuracies,
    steps_survived,
)
from fairbench.outcomes.provenance import attacks_of, curve_of
from fairbench.outcomes.radii import accuracies_by_radius
from fairbench.outcomes.store import REACHED, Outcomes
from fairbench.outcomes.tried import counted, hardest_accuracies, made_into, tried_accuracies
from fairbench.protocol.attack_names import Attack
from fairbench.statistics.verdicts import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Condensed:
    """Of one finished run.

    Attributes:
        labels: true class per image, (images,).
        predictions: by attack, what every image is taken for, (images,), see `metrics.attacked_predictions`.
        last: accuracies of the last checkpoint, clean and under PGD-20.
        steps_survived: iterates of PGD-20 classified correctly, mean per class, (classes,) from 0; NaN for an absent
            class.
        hardest: by attack, what is correct under it and under all that was tried beside.
        by_radius: accuracies at every radius, rising from 0, which is no attack; empty without a curve.
        tried: accuracies under each further attack, by its text.
        made_into: by text, of those attacks in the ball of the threat that turn an image into several classes: images
            of a class that become another one, (classes, classes); correct ones on the diagonal.
    """

    labels: Labels
    predictions: Mapping[Attack, Labels]
    last: Mapping[Attack, ClassAccuracies]
    steps_survived: Vector
    hardest: Mapping[Attack, ClassAccuracies]
    by_radius: Mapping[float, ClassAccuracies]
    tried: Mapping[str, ClassAccuracies]
    made_into: Mapping[str, Counts]

    def is_like(self, other: "Condensed") -> bool:
        """Whether another run has the same verdict on every image, and the same counts where counts alone are kept."""

        def counts(of: Condensed) -> list[list[float]]:
            last = [one.correct.tolist() for one in of.last.values()]
            return [*last, np.nan_to_num(of.steps_survived, nan=-1.0).tolist()]

        return (
            self.predictions.keys() == other.predictions.keys()
            and np.array_equal(self.labels, other.labels)
            and all(np.array_equal(found, other.predictions[name]) for name, found in self.predictions.items())
            and counts(self) == counts(other)
        )


def condensed(outcomes: Outcomes, *, attacks: Sequence[Attack]) -> Condensed:
    """The verdicts of a finished run, which can be freed afterwards.

    Args:
        outcomes: of the run.
        attacks: that judged it.

    Raises:
        ValueError: if one of them has not judged every image.
    """
    rows, provenance = outcomes.rows, outcomes.provenance
    columns = outcomes.verdicts
    classes, texts = len(provenance.class_names), counted(provenance)
    small = np.min_scalar_type(classes - 1)
    several = [text for text in texts if (rows[REACHED + text].map(len) > 1).any()]
    harder = attacks if texts or curve_of(provenance) else ()
    last: tuple[Attack, ...] = ("clean", "pgd20")
    return Condensed(
        labels=columns["label"].astype(small),
        predictions={attack: attacked_predictions(columns, attack).astype(small) for attack in attacks},
        last={attack: class_accuracies(columns, classes, attack, checkpoint="last") for attack in last},
        steps_survived=steps_survived(columns, classes),
        hardest={attack: hardest_accuracies(outcomes, attack) for attack in harder},
        by_radius=accuracies_by_radius(outcomes),
        tried=tried_accuracies(outcomes) if attacks_of(provenance) else {},
        made_into={text: made_into(outcomes, text) for text in several},
    )
