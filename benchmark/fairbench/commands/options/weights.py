"""Which weights a model has, as `evaluate` and `verify` share it."""

from dataclasses import dataclass
from pathlib import Path

from fairbench.commands.options.option import FILE, option
from fairbench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the user says about them.

    Attributes:
        arguments: `name=value` texts with which the factory of the model is called.
        checkpoint: the file; None for models that bring theirs.
        key: entry of the checkpoint, or what the names of one of its networks begin with.
        ignored: weights of the checkpoint to leave out, by what their names begin with.
        mean: per channel, with commas; "" if the model normalises.
        std: alike.
        transform: of the weights before they are judged; "" for none.
    """

    arguments: tuple[str, ...] = option(
        "--model-argument", "For the factory (repeatable).", default=(), repeatable=True, metavar="NAME=VALUE"
    )
    checkpoint: Path | None = option(
        "--checkpoint", "Weights: safetensors or .pt.", default=None, kind=FILE, metavar="FILE"
    )
    key: str = option("--key", "Entry of the checkpoint that holds the weights, or prefix of their names.", default="")
    ignored: tuple[str, ...] = option(
        "--ignore",
        "Leave out weights of the checkpoint whose names begin so (repeatable).",
        default=(),
        repeatable=True,
        metavar="PREFIX",
    )
    mean: str = option("--mean", "Normalisation of a network that has none inside.", default="", metavar="R,G,B")
    std: str = option("--std", "Goes with --mean.", default="", metavar="R,G,B")
    transform: str = option(
        "--transform",
        "Change the weights first: head-norm equalises the norms of the last layer's rows.",
        default="",
        metavar="head-norm[:TAU]",
    )

    def __post_init__(self) -> None:
        if bool(self.mean) != bool(self.std):
            raise UserError("--mean and --std go together: a network is normalised by both.")
