"""The audit of tier `fast`: which survivors face the two attacks that it leaves out, and what that proves.

    sampled = audit_sample(labels, indices, share=0.1)
    missed_at_most(survivors=250, audited=25)       # 27: more images that the audit should have caught are unlikely

FAB and Square are most of AutoAttack's cost and break next to nothing that targeted APGD leaves, on sound models. On a
stratified sample without a single break the others can be bounded; with one, the tier is not good enough.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

from fairbench.fields import Allowed
from fairbench.protocol.thresholds import DOUBT

Images = Annotated[int, Allowed(at_least=0)]
"""How many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What the audit saw, per class.

    Attributes:
        survivors: images that apgd-ce and apgd-t left robust, (classes,).
        audited: how many of them faced fab-t and square as well, (classes,).
        breaks: of the audited images, over all classes.
    """

    survivors: tuple[Images, ...]
    audited: tuple[Images, ...]
    breaks: Images

    @property
    def missed_at_most(self) -> tuple[int, ...]:
        """Per class, how many more images FAB and Square would have broken, at most (95 %), if no audited one broke."""
        return tuple(map(missed_at_most, self.survivors, self.audited))

    @property
    def missed_at_most_in_all(self) -> int:
        """Over all classes, at most (95 %), if no audited image broke.

        With a share of at least f of every class audited, m missed breaks stay hidden with probability (1 - f)^m or
        less, however they spread over the classes.
        """
        unseen = sum(self.survivors) - sum(self.audited)
        shares = [audited / found for found, audited in zip(self.survivors, self.audited, strict=True) if found]
        if not shares or min(shares) == 1:
            return 0
        return min(unseen, int(math.log(DOUBT) / math.log1p(-min(shares))))

    def plain(self) -> dict[str, Any]:
        """For the metadata of an outcome file: what was seen and what it bounds."""
        return {
            "survivors": list(self.survivors),
            "audited": list(self.audited),
            "breaks": self.breaks,
            "missed_at_most": list(self.missed_at_most),
            "missed_at_most_in_all": self.missed_at_most_in_all,
        }


def missed_at_most(survivors: int, audited: int) -> int:
    """How many of the survivors could be breakable, at most (95 %), if none of the audited ones was.

    The largest m for which a sample of that size misses all m with probability above 5 % (hypergeometric).
    """
    missed, hidden = 0, 1.0
    while missed < survivors - audited:
        hidden *= (survivors - audited - missed) / (survivors - missed)
        if hidden < DOUBT:
            break
        missed += 1
    return missed
