"""The normalisation that a network was trained with, for networks that do not bring it along.

    Normalisation.parse("0.4914,0.4822,0.4465", "0.2471,0.2435,0.2616")     # CIFAR-10
    Normalisation.parse("0", "1")                                           # the network takes [0, 1] as it is

Attacks work on images in [0, 1]. A network behind the wrong normalisation, or behind two of them, still classifies,
only worse: so a published model once came out at 45 % (RobustBench #105). A normalisation is read or asked for, never
assumed.
"""

from dataclasses import dataclass

from fairbench.errors import UserError
from fairbench.models.normalised import Normalised

_ROUNDING = 1e-3  # papers print four digits and round differently: 0.4822 and 0.4824


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """(images - mean) / std.

    Attributes:
        mean: per channel in units of [0, 1], or one value for all channels.
        std: alike.

    Raises:
        UserError: for values outside [0, 1], or a standard deviation of 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (all(0 <= value <= 1 for value in self.mean) and all(0 < value <= 1 for value in self.std)):
            raise UserError(
                f"The normalisation {self} is not allowed: it is in units of [0, 1], and no standard deviation "
                "may be 0. Divide by 255 what is in units of [0, 255]."
            )

    @classmethod
    def parse(cls, mean: str, std: str) -> "Normalisation":
        """From numbers with commas between them.

        Raises:
            UserError: for anything else, and for values that are not allowed.
        """
        try:
            values = [tuple(float(value) for value in given.split(",")) for given in (mean, std)]
        except ValueError as error:
            raise UserError(
                f"--mean {mean!r} and --std {std!r} are no normalisation; both are numbers with commas between them, "
                "one per channel or one for all, as in --mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616."
            ) from error
        return cls(mean=values[0], std=values[1])

    def for_channels(self, channels: int) -> "Normalisation":
        """With a value for each channel.

        Raises:
            UserError: if there are neither as many values as channels, nor one for all.
        """
        if not {len(self.mean), len(self.std)} <= {1, channels}:
            raise UserError(
                f"{self} does not fit images with {channels} channel{'s' * (channels > 1)}: give one value for each, "
                "or one for all."
            )
        return Normalisation(mean=self.mean * (channels // len(self.mean)), std=self.std * (channels // len(self.std)))

    @classmethod
    def of(cls, model: Normalised) -> "Normalisation":
        """That of a model, with a value for each channel."""
        return cls(mean=tuple(model.mean.flatten().tolist()), std=tuple(model.std.flatten().tolist()))

    def agrees_with(self, other: "Normalisation") -> bool:
        """Whether two are the same, up to how papers round; both with as many values."""
        pairs = zip(self.mean + self.std, other.mean + other.std, strict=True)
        return all(abs(one - another) < _ROUNDING for one, another in pairs)

    def __str__(self) -> str:
        mean, std = (",".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"--mean {mean} --std {std}"
