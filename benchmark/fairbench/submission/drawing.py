"""Which images of a submission are attacked again, and how likely an invented verdict is found.

    drawn = draw(outcomes.rows, classes=10, limit=100, seed=secrets.randbelow(2**31))
    chance(share=0.02, claimed=3000, drawn=100)         # 0.867: two of a hundred robust verdicts are invented

Only a verdict that counts as robust can be too good, so that is what is drawn: the same share of such images of every
class, rounded up, `limit` in all or a few more. A quarter as many of the others follow, because clean accuracy and that
under PGD-20 are claimed as well. Whoever submits does not know the seed.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairbench.data.stratified import ranks_within_class
from fairbench.outcomes.metrics import Counts, attacked_predictions
from fairbench.protocol.attack_names import Attack

OTHERS = 4
"""Images that count as robust for each of the others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """A sample.

    Attributes:
        positions: of the rows to attack again, rising.
        claimed: of them, those that count as robust, by class, (classes,).
    """

    positions: npt.NDArray[np.int64]
    claimed: Counts


def counted_robust(rows: pd.DataFrame, attack: Attack) -> npt.NDArray[np.bool_]:
    """Which images count as robust, (images,)."""
    robust: npt.NDArray[np.bool_] = attacked_predictions(rows, attack) == rows["label"].to_numpy()
    return robust


def draw(rows: pd.DataFrame, *, attack: Attack, classes: int, limit: int, seed: int) -> Draw:
    """Draw images of an outcome file.

    Args:
        rows: its verdicts.
        attack: that ranks.
        classes: how many there are.
        limit: images that count as robust; all if there are no more.
        seed: of the reviewer.
    """
    robust = counted_robust(rows, attack)
    labels = rows["label"].to_numpy().astype(np.int64)
    ranks = ranks_within_class(2 * labels + robust, rows["index"].to_numpy().astype(np.int64), name=f"review {seed}")
    chosen = np.zeros(len(rows), dtype=bool)
    for counts, wanted in ((robust, limit), (~robust, -(-limit // OTHERS))):
        available = np.bincount(labels[counts], minlength=classes)
        share = min(1.0, wanted / max(int(available.sum()), 1))
        most = np.ceil(share * available - 1e-9).astype(np.int64)
        chosen |= counts & (ranks < most[labels])
    claimed = np.bincount(labels[chosen & robust], minlength=classes).astype(np.int64)
    return Draw(positions=np.flatnonzero(chosen), claimed=claimed)


def chance(*, share: float, claimed: int, drawn: int) -> float:
    """How likely at least one invented verdict is among those that are attacked again, at least.

    With `m = ceil(share * claimed)` invented verdicts, however they spread over the classes, all of them stay hidden
    with probability (1 - drawn / claimed)^m or less, since of every class at least that share is drawn.

    Args:
        share: of the robust verdicts that are invented, in [0, 1].
        claimed: robust verdicts of the file.
        drawn: of them, those that are attacked again.
    """
    invented = math.ceil(share * claimed - 1e-9)
    return 1.0 - (1.0 - min(1.0, drawn / claimed)) ** invented if invented else 0.0
