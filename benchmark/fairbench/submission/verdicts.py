"""What verdicts cannot be, whoever found them: a file in which columns contradict one another was edited by hand."""

import numpy as np

from fairbench.outcomes.store import NOT_RUN, Outcomes
from fairbench.protocol.attack_names import ATTACKS


def contradictions(outcomes: Outcomes) -> list[str]:
    """A sentence for every rule that some image breaks, with the first such image.

    Args:
        outcomes: finished, in the schema.
    """
    rows = outcomes.rows
    label, clean, broken = (rows[name].to_numpy() for name in ("label", "clean", "broken_by"))
    right, robust = clean == label, broken == ""
    survived, any_iterate = rows["pgd20_survived"].to_numpy(), rows["pgd20_any"].to_numpy()
    steps = int(outcomes.provenance.description["protocol"]["evaluation"]["pgd_steps"])
    rules = {
        "broken_by is 'clean' where the clean prediction is wrong, and only there": (broken == "clean") != ~right,
        f"pgd20_survived counts from 0 to {steps} iterates": (survived < 0) | (survived > steps),
        "pgd20_any is true only where the clean image and every iterate are right": any_iterate
        & (~right | (rows["pgd20"].to_numpy() != label) | (survived != steps)),
    }
    if outcomes.provenance.tier == "screen":
        rules["no attack is named where none was tried"] = np.isin(broken, ATTACKS)
    else:
        attacked = rows["autoattack"].to_numpy()
        rules |= {
            "autoattack is the label where broken_by is empty": robust & (attacked != label),
            "autoattack is another class where an attack is named": np.isin(broken, ATTACKS) & (attacked == label),
            "autoattack is the clean prediction where that is wrong": (broken == "clean") & (attacked != clean),
            "every image was attacked": attacked == NOT_RUN,
        }
    return [
        f"Image {int(rows['index'].iloc[int(np.argmax(breaks))])} of seed {outcomes.provenance.seed} contradicts "
        f"itself: {rule}."
        for rule, breaks in rules.items()
        if breaks.any()
    ]
