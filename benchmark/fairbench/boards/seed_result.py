"""What one outcome file says: the verdicts of one seed, and what is derived from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairbench.boards.condensed import Condensed
from fairbench.boards.validation import Validation
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.comparability import reached_tier
from fairbench.outcomes.metrics import ClassAccuracies, Counts, Vector, worst_class
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.receipt import Receipt
from fairbench.outcomes.tried import counted
from fairbench.protocol.attack_names import Attack, strongest
from fairbench.statistics import attack_gap, boundary_error, confusion
from fairbench.statistics.verdicts import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedResult:
    """One file, without what no board needs of it: its table of verdicts and its history.

    Attributes:
        file: its path below the results folder.
        provenance: where it comes from; its history is empty here.
        accuracies: by attack, in the order of the evaluation; empty if the run failed.
        validation: what the history says of the validation split.
        verdicts: what is kept of them; None if the run failed.
        images: digest of the test images' indices, labels and class names; "" if the run failed.
        audit: what the audit of tier `fast` saw; None if there was none.
        receipt: what a second look at the file found; None if there was none, or none of this file.
    """

    file: str
    provenance: Provenance
    accuracies: Mapping[Attack, ClassAccuracies]
    validation: Validation
    verdicts: Condensed | None = None
    images: str = ""
    audit: Audit | None = None
    receipt: Receipt | None = None

    @property
    def finished(self) -> bool:
        """Whether the run has verdicts."""
        return self.provenance.status == "done"

    @property
    def verified(self) -> bool:
        """Whether images were attacked again, and every verdict on them confirmed."""
        return self.receipt is not None and not self.receipt.disagreements

    @property
    def external(self) -> bool:
        """Whether the model was trained elsewhere."""
        return self.provenance.role == "external"

    @property
    def tier(self) -> str:
        """The one in which the run counts."""
        return reached_tier(self.provenance)

    @property
    def attack(self) -> Attack:
        """The strongest of its tier, which ranks."""
        return strongest(self.tier)

    @property
    def kept(self) -> Condensed:
        """The verdicts of a finished run."""
        assert self.verdicts is not None, f"{self.file} failed."
        return self.verdicts

    @property
    def labels(self) -> Labels:
        """True class per image, (images,)."""
        return self.kept.labels

    @property
    def further(self) -> tuple[str, ...]:
        """Texts of the attacks that were tried beside, in the ball of the threat; none if the run failed."""
        return counted(self.provenance) if self.finished else ()

    def hardest(self, attack: Attack) -> ClassAccuracies:
        """What is correct under an attack and under all that was tried beside."""
        return self.kept.hardest.get(attack, self.accuracies[attack])

    @property
    def cost(self) -> float:
        """Training cost as a multiple of PGD-10 AT, hot start included; NaN if nobody counted it."""
        return math.nan if self.external else self.provenance.cost + self.provenance.prerequisite_cost

    def boundary_error(self, attack: Attack) -> Vector:
        """Images of each class that are correct until they are attacked, as a share, (classes,)."""
        return boundary_error(self.accuracies["clean"].values, self.accuracies[attack].values)

    @property
    def attack_gap(self) -> Vector:
        """Accuracy of each class under PGD-20 minus that under AutoAttack, (classes,)."""
        return attack_gap(self.accuracies["pgd20"].values, self.accuracies["autoattack"].values)

    def worst_class(self, attack: Attack) -> str:
        """Name of the worst class."""
        return self.provenance.class_names[worst_class(self.accuracies[attack].values)]

    def last(self, attack: Attack) -> ClassAccuracies:
        """Of the last checkpoint, clean or under PGD-20; a model that was trained elsewhere has only one."""
        return self.kept.last[attack]

    def correct(self, attack: Attack) -> npt.NDArray[np.bool_]:
        """Which images are classified correctly, clean and under the attack, (images,)."""
        correct: npt.NDArray[np.bool_] = self.kept.predictions[attack] == self.labels
        return correct

    def confusion(self, attack: Attack) -> Counts:
        """Counts of (label, prediction under attack), (classes, classes); on the diagonal the correct images."""
        return confusion(self.labels, self.kept.predictions[attack], classes=len(self.provenance.class_names))

    @property
    def steps_survived(self) -> Vector:
        """Iterates of PGD-20 classified correctly, mean per class, (classes,) from 0; NaN for an absent class."""
        return self.kept.steps_survived
