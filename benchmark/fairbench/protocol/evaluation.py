"""How a trained model of a suite is judged."""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from fairbench.errors import not_allowed
from fairbench.fields import Allowed, check_fields
from fairbench.protocol.threat import Precision, Threat

Tier = Literal["screen", "fast", "full"]
Engine = Literal["fairbench", "reference"]

Seed = Annotated[int, Allowed(at_least=0, below=2**31, words="0 to 2^31 - 1")]


def _rising_radii(radii: tuple[float, ...]) -> bool:
    return list(radii) == sorted({radius for radius in radii if radius > 0})


Radii = Annotated[
    tuple[float, ...],
    Allowed(holds=_rising_radii, words="rising radii above 0 in units of pixel values, such as ['2/255', '4/255']"),
]
Furthers = Annotated[
    tuple[str, ...],
    Allowed(holds=lambda names: all(names) and len(set(names)) == len(names), words="attacks, each of them once"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How a trained model is judged.

    Attributes:
        tier: `screen` is PGD-20, on both checkpoints; `full` adds AutoAttack standard on the selected one; `fast`
            leaves its last two attacks out but for an audit: a sample of the images that survive the first two faces
            them, and whatever makes them look necessary promotes the run to `full`.
        pgd_steps: steps of the evaluating PGD, on validation and test.
        pgd_step: its step size, in units of pixel values.
        seed: of the attacks' noise; it is not the training seed.
        batch_size: images attacked together; the resume unit of AutoAttack.
        engine: of AutoAttack; `fairbench` draws noise for each image, `reference` is pyautoattack, for arbitration.
        search: arithmetic in which our engine looks for breaks; each one is verified in fp32, so that `bf16` can miss
            breaks but not invent them.
        audit: share of the survivors of each class that `fast` attacks in full; at least one image of each.
        curve: radii at which every class is judged as well, by the attacks of the tier; see
            `fairbench.evaluation.curve`. Like `attacks`, it enters a key only where it is given, and no comparison of
            rows.
        attacks: what else is tried on the selected checkpoint, by name and settings; see `fairbench.attacks.further`.
    """

    tier: Tier = "full"
    pgd_steps: Annotated[int, Allowed(at_least=1, at_most=10_000, words="1 to 10000")] = 20
    pgd_step: Annotated[float, Allowed(at_least=0, words="0 or more")]
    seed: Seed = 0
    batch_size: Annotated[int, Allowed(at_least=1, words="1 or more")] = 500
    engine: Engine = "fairbench"
    search: Precision = "fp32"
    audit: Annotated[float, Allowed(above=0, at_most=1, words="a share of the survivors in (0, 1]")] = 0.1
    curve: Radii = ()
    attacks: Furthers = ()

    def __post_init__(self) -> None:
        check_fields(self, prefix="evaluation.")
        if self.search != "fp32" and self.engine == "reference":
            allowed = "fp32 with the reference engine, which searches in the precision of the model"
            raise not_allowed(f"evaluation.search = {self.search!r}", allowed)


ADDED = ("curve", "attacks")
"""Fields of an evaluation that add verdicts and change none."""


def evaluation_description(evaluation: Evaluation) -> dict[str, object]:
    """An evaluation as plain values; of what is optional, only what is asked for."""
    described = asdict(evaluation)
    for name in ADDED:
        asked = list(described.pop(name))
        described |= {name: asked} if asked else {}
    return described


def check_curve(threat: Threat, evaluation: Evaluation) -> None:
    """Refuse radii that a norm does not have.

    Raises:
        UserError: if one exceeds 1 on L-inf.
    """
    if threat.norm == "Linf" and max(evaluation.curve, default=0.0) > 1:
        raise not_allowed(f"evaluation.curve = {list(evaluation.curve)!r}", "radii of at most 1 where the norm is Linf")
