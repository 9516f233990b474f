"""What else was tried on a model, from the columns `tried:...` of an outcome file, beside its strongest attack.

    hardest_accuracies(outcomes, "autoattack")         # correct under AutoAttack and under everything that was tried
    tried_accuracies(outcomes)["targeted"]             # under one attack
    made_into(outcomes, "targeted")                    # (classes, classes): images of a class that can become another

AutoAttack's own numbers stay as they are. An attack in a ball of its own (L1, common corruptions) counts in no number
of the threat.
"""

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import ClassAccuracies, Counts, attacked_predictions, count_correct
from fairbench.outcomes.provenance import Provenance, attacks_of, curve_of
from fairbench.outcomes.store import CURVE, REACHED, TRIED, Outcomes
from fairbench.protocol.attack_names import Attack


def counted(provenance: Provenance) -> tuple[str, ...]:
    """Texts of the attacks that searched in the ball of the threat."""
    return tuple(text for text in attacks_of(provenance) if "norm" not in provenance.tried.get(text, {}))


def tried_accuracies(outcomes: Outcomes) -> dict[str, ClassAccuracies]:
    """Per class, what is correct clean and under each attack, in the order of the protocol."""
    rows = outcomes.rows
    clean = (rows["clean"] == rows["label"]).to_numpy()
    return {
        text: _accuracies(outcomes, clean & (rows[TRIED + text] == rows["label"]).to_numpy())
        for text in attacks_of(outcomes.provenance)
    }


def hardest_accuracies(outcomes: Outcomes, attack: Attack) -> ClassAccuracies:
    """Per class, what is correct under an attack, under all that was tried in its ball, and at every smaller radius."""
    rows, provenance = outcomes.rows, outcomes.provenance
    labels = rows["label"].to_numpy()
    correct: npt.NDArray[np.bool_] = attacked_predictions(rows, attack) == labels
    for text in counted(provenance):
        correct = correct & (rows[TRIED + text].to_numpy() == labels)
    epsilon = float(provenance.description["protocol"]["threat"]["epsilon"])
    within = sum(radius <= epsilon for radius in curve_of(provenance))
    if within:
        correct = correct & (rows[CURVE].to_numpy() >= within)
    return _accuracies(outcomes, correct)


def made_into(outcomes: Outcomes, text: str) -> Counts:
    """Images of a class that an attack has made into another one, (classes, classes); correct ones on the diagonal.

    Of the images of class c that are classified correctly, entry (c, t) counts those that some point is taken for t.
    """
    rows, classes = outcomes.rows, len(outcomes.provenance.class_names)
    counts = np.zeros((classes, classes), dtype=np.int64)
    labels, clean = rows["label"].to_numpy(), rows["clean"].to_numpy()
    for label, predicted, reached in zip(labels, clean, rows[REACHED + text], strict=True):
        if predicted == label:
            counts[label, label] += 1
            counts[label, np.asarray(reached, dtype=int)] += 1
    return counts


def attack_title(text: str) -> str:
    """An attack as people read it: without the digest of its code."""
    return text.partition("#")[0]


def _accuracies(outcomes: Outcomes, correct: npt.NDArray[np.bool_]) -> ClassAccuracies:
    return count_correct(outcomes.rows["label"].to_numpy(), correct, classes=len(outcomes.provenance.class_names))
