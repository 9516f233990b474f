"""How hard the attacks of AutoAttack try."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoAttackSettings:
    """The effort of each attack; the defaults are `standard`.

    Attributes:
        apgd_iterations: of apgd-ce, and of apgd-t per target.
        fab_iterations: of fab-t per target.
        square_queries: of square.
        targets: of apgd-t and fab-t, the likeliest wrong classes; at most the number of classes less one.
    """

    apgd_iterations: int = 100
    fab_iterations: int = 100
    square_queries: int = 5000
    targets: int = 9

    def forwards(self, attack: str, *, classes: int) -> int:
        """Forward calls of an attack on images that survive it."""
        targets = min(self.targets, classes - 1)
        return {
            "apgd-ce": self.apgd_iterations + 2,
            "apgd-t": 1 + targets * (self.apgd_iterations + 2),
            "fab-t": 1 + targets * (2 * self.fab_iterations + 3),
            "square": self.square_queries + 3,
        }[attack]


STANDARD = AutoAttackSettings()
