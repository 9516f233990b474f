"""Which runs are meant."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click

from fairbench.commands.options.option import FILE, NEW_FILE, option
from fairbench.protocol.evaluation import Engine, Tier
from fairbench.protocol.threat import Precision


@dataclass(frozen=True, kw_only=True)
class Named:
    """Which methods of which suite are meant.

    Attributes:
        suite: name or file.
        model: the network instead of the suite's; "" for that one.
        model_arguments: `name=value` texts with which its factory is called.
        methods: registered names; empty for all.
        settings: `field=value` texts, for every named method.
        plugins: files whose methods must be known.
        tuned: file of learning rates beside those that the suite brings; None for these alone.
    """

    suite: str = option("--suite", "Protocol to follow.", default="digits", metavar="NAME|FILE")
    model: str = option(
        "--model",
        "Train this instead of the suite's: a name of `list models`, file.py:factory or package.module:factory.",
        default="",
        metavar="SPEC",
    )
    model_arguments: tuple[str, ...] = option(
        "--model-argument", "For the factory (repeatable).", default=(), repeatable=True, metavar="NAME=VALUE"
    )
    methods: tuple[str, ...] = option(
        "--method", "Only this method (repeatable).", default=(), repeatable=True, metavar="NAME"
    )
    settings: tuple[str, ...] = option(
        "--set", "Change a hyper-parameter.", default=(), repeatable=True, metavar="FIELD=VALUE"
    )
    plugins: tuple[Path, ...] = option(
        "--plugin", "A file with methods.", default=(), repeatable=True, kind=FILE, metavar="FILE"
    )
    tuned: Path | None = option(
        "--tuned",
        "Learning rates that `tune` found, beside those of the suite.",
        default=None,
        kind=NEW_FILE,
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class Selection(Named):
    """Which runs are meant.

    Attributes:
        seeds: empty for the suite's.
        tier: how far AutoAttack goes; None for the suite's.
        engine: of AutoAttack; None for the suite's.
        search: arithmetic in which our engine searches; None for the suite's.
    """

    seeds: tuple[int, ...] = option(
        "--seed",
        "Only this seed (repeatable).",
        default=(),
        repeatable=True,
        kind=click.IntRange(0, 2**31 - 1),
        metavar="N",
    )
    tier: Tier | None = option(
        "--tier",
        "How far AutoAttack goes; default: as the suite says. A higher tier takes up a lower one.",
        default=None,
        kind=click.Choice(get_args(Tier)),
    )
    engine: Engine | None = option(
        "--engine",
        "AutoAttack by our engine or by pyautoattack; default: as the suite says. Rows never mix.",
        default=None,
        kind=click.Choice(get_args(Engine)),
    )
    search: Precision | None = option(
        "--search",
        "Arithmetic of our engine's search; default: as the suite says. Breaks are verified in fp32.",
        default=None,
        kind=click.Choice(get_args(Precision)),
    )
