"""The options that say which weights a model has, as `evaluate` and `verify` share them."""

from dataclasses import dataclass
from pathlib import Path

from fairbench.errors import UserError
from fairbench.external.normalisation import Normalisation
from fairbench.external.sample import Sample
from fairbench.external.specification import External, load_external
from fairbench.protocol.suite import Norm


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the user says about them.

    Attributes:
        checkpoint: the file; None for models that bring theirs.
        key: entry of the checkpoint.
        mean: per channel, with commas; "" if the model normalises.
        std: alike.
    """

    checkpoint: Path | None = None
    key: str = ""
    mean: str = ""
    std: str = ""

    def __post_init__(self) -> None:
        if bool(self.mean) != bool(self.std):
            raise UserError("--mean and --std go together: a network is normalised by both.")

    @property
    def normalisation(self) -> Normalisation | None:
        """Of a network that has none inside."""
        return Normalisation.parse(self.mean, self.std) if self.mean else None


def given_model(given: str, weights: Weights, *, sample: Sample, norm: Norm, data_dir: Path) -> External:
    """Load a model for images like these.

    Args:
        given: as `fairbench.external.specification` reads it.
        weights: and normalisation.
        sample: the images.
        norm: of the threat.
        data_dir: of downloads.

    Raises:
        UserError: saying what does not fit.
    """
    return load_external(
        given,
        dataset=sample.name,
        classes=len(sample.class_names),
        channels=sample.images.shape[1],
        size=(sample.images.shape[2], sample.images.shape[3]),
        checkpoint=weights.checkpoint,
        key=weights.key,
        normalisation=weights.normalisation,
        norm=norm,
        folder=data_dir,
    )
