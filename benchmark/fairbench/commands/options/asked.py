"""What `evaluate` is asked: which models, on which images, under which attacks."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click

from fairbench.commands.options.option import FILE, option
from fairbench.commands.options.weights import Weights
from fairbench.protocol.evaluation import Engine, Tier
from fairbench.protocol.threat import Norm, Precision

_TIERS: dict[str, Tier] = {"autoattack": "full", "pgd20": "screen"}
"""Attacks that say how far an evaluation goes, the higher tier first."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user wants to know of which models.

    Attributes:
        models: specifications, each `robustbench:NAME` or another form that needs a name.
        name: of the row; "" for the name in the zoo.
        weights: for a single model.
        dataset: name or `.npz` file.
        image_size: height and width to resize to; None as usual for the dataset.
        norm: of the threat.
        epsilons: its radius as text, or the radii of a curve; none as usual for the dataset.
        attacks: another way to say the tier, and what is tried beside.
        plugins: files with attacks.
        adversarial: images that somebody found; None for none.
        tier: how far AutoAttack goes; None if it is said by attacks, or not at all.
        engine: of AutoAttack.
        search: arithmetic in which our engine searches.
        batch_size: images attacked together.
        limit: images, class-stratified; None for all.
        seed: of the training.
        trackers: who watches, see `fairbench.tracking`.
    """

    models: tuple[str, ...] = option(
        "--model",
        "A name of `list models`, package.module:factory, file.py:factory, robustbench:NAME, hf:org/repo (repeatable).",
        repeatable=True,
        metavar="SPEC",
    )
    name: str = option("--name", "Name of the row; models of the zoo bring theirs.", default="")
    weights: Weights
    dataset: str = option("--dataset", "Test images.", metavar="NAME|FILE.npz")
    image_size: int | None = option(
        "--image-size",
        "Resize to N x N; default: as in its suite.",
        default=None,
        kind=click.IntRange(min=1),
        metavar="N",
    )
    norm: Norm = option("--norm", "Of the ball.", default="Linf", kind=click.Choice(get_args(Norm)))
    epsilons: tuple[str, ...] = option(
        "--eps",
        "Radius; default: as in the suite of the dataset. Repeatable: robust accuracy of every class at each radius.",
        default=(),
        repeatable=True,
        metavar="8/255",
    )
    attacks: tuple[str, ...] = option(
        "--attack",
        "pgd20 (tier screen), autoattack (full), or what is tried beside: a name of `list attacks` or of a plug-in, "
        "with settings as in l1-apgd:radius=6 (repeatable).",
        default=(),
        repeatable=True,
        metavar="NAME[:OPTION=VALUE]",
    )
    plugins: tuple[Path, ...] = option(
        "--plugin", "A file with attacks.", default=(), repeatable=True, kind=FILE, metavar="FILE"
    )
    adversarial: Path | None = option(
        "--adversarial",
        "Adversarial images to be judged as well: `images` and their `indices` in the test set.",
        default=None,
        kind=FILE,
        metavar="FILE.npz",
    )
    tier: Tier | None = option(
        "--tier", "How far AutoAttack goes; default: full.", default=None, kind=click.Choice(get_args(Tier))
    )
    engine: Engine = option(
        "--engine",
        "AutoAttack by our engine or by pyautoattack.",
        default="fairbench",
        kind=click.Choice(get_args(Engine)),
    )
    search: Precision = option(
        "--search",
        "Arithmetic of the search; breaks are verified in fp32.",
        default="fp32",
        kind=click.Choice(get_args(Precision)),
    )
    batch_size: int = option("--batch-size", "Images at a time.", default=500, kind=click.IntRange(min=1), metavar="N")
    limit: int | None = option(
        "--limit",
        "N images, as many of each class as of the others.",
        default=None,
        kind=click.IntRange(min=1),
        metavar="N",
    )
    seed: int = option(
        "--seed",
        "Of the training that made the model; names the file.",
        default=0,
        kind=click.IntRange(0, 2**31 - 1),
        metavar="N",
    )

    trackers: tuple[str, ...] = option(
        "--track",
        "Report attacks when they end: tensorboard, wandb or file.py:Class (repeatable).",
        default=(),
        repeatable=True,
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        said = self._tier_of_attacks
        if said and self.tier and said != self.tier:
            raise click.UsageError(f"--tier {self.tier} contradicts --attack, which says {said}; give one of them.")

    @property
    def judged_tier(self) -> Tier:
        """The tier, said by itself or by attacks."""
        return self.tier or self._tier_of_attacks or "full"

    @property
    def _tier_of_attacks(self) -> Tier | None:
        said = [tier for attack, tier in _TIERS.items() if attack in self.attacks]
        return said[0] if said else None

    @property
    def further(self) -> tuple[str, ...]:
        """What is tried beside, as it was given."""
        return tuple(dict.fromkeys(attack for attack in self.attacks if attack not in _TIERS))
