"""The command line. Nothing heavy is imported here: `--help` and `list` answer at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fairbench import __version__
from fairbench.errors import INTERRUPTED, UserError

_F = TypeVar("_F", bound=Callable[..., Any])


class _Refused(click.ClickException):
    exit_code = 2  # as for any other wrong usage


class _Commands(click.Group):
    """Shows user errors as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise _Refused(str(error)) from error
        except KeyboardInterrupt:
            click.echo("Interrupted before anything was computed.", err=True)
            raise SystemExit(INTERRUPTED) from None


def _folder(option: str, default: str, about: str) -> Callable[[_F], _F]:
    kind = click.Path(file_okay=False, path_type=Path)
    return click.option(option, type=kind, default=Path(default), show_default=True, help=about)


def _selection(command: _F) -> _F:
    """Options that say which runs are meant."""
    plugin = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in reversed(
        (
            click.option(
                "--suite", default="digits", show_default=True, metavar="NAME|FILE", help="Protocol to follow."
            ),
            click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this method (repeatable)."),
            click.option(
                "--seed",
                "seeds",
                type=click.IntRange(0, 2**31 - 1),
                multiple=True,
                metavar="N",
                help="Only this seed (repeatable).",
            ),
            click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a hyper-parameter."),
            click.option(
                "--plugin", "plugins", type=plugin, multiple=True, metavar="FILE", help="A file with methods."
            ),
            click.option(
                "--tier",
                type=click.Choice(["screen", "fast", "full"]),
                help="How far AutoAttack goes; default: as the suite says. A higher tier takes up a lower one.",
            ),
            click.option(
                "--engine",
                type=click.Choice(["fairbench", "reference"]),
                help="AutoAttack by our engine or by pyautoattack; default: as the suite says. Rows never mix.",
            ),
            click.option(
                "--search",
                type=click.Choice(["fp32", "bf16"]),
                help="Arithmetic of our engine's search; default: as the suite says. Breaks are verified in fp32.",
            ),
            _folder("--results", "results", "Outcomes, one parquet file per run."),
            _folder("--work-dir", "runs", "Checkpoints, partial attacks and logs."),
        )
    ):
        command = option(command)
    return command


def _weights(command: _F) -> _F:
    """Options that say which weights a model has."""
    checkpoint = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in reversed(
        (
            click.option("--checkpoint", type=checkpoint, metavar="FILE", help="Weights: safetensors or .pt."),
            click.option("--key", default="", help="Entry of the checkpoint that holds the weights, if several do."),
            click.option(
                "--mean", default="", metavar="R,G,B", help="Normalisation of a network that has none inside."
            ),
            click.option("--std", default="", metavar="R,G,B", help="Goes with --mean."),
        )
    ):
        command = option(command)
    return command


def _board(command: _F) -> _F:
    """Options that say which board is meant."""
    for option in reversed(
        (
            click.option("--suite", default="", metavar="NAME", help="Of the board; needed if several fit."),
            click.option(
                "--board", default="", metavar="NAME", help="As in its link on the page, if still several do."
            ),
            _folder("--results", "results", "Outcomes, one parquet file per run."),
        )
    ):
        command = option(command)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fairbench")
def main() -> None:
    """Class-wise robust fairness: train, attack and rank adversarial-training methods under one protocol."""


@main.command("run-all")
@_selection
@_folder("--data-dir", "data", "Downloaded datasets.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Runs at a time; default: one per GPU or core.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute.")
@click.option(
    "--rerun",
    type=click.Choice(["never", "failed", "always"]),
    default="never",
    show_default=True,
    help="What to compute again although it has an outcome.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be computed.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: the plan as JSON.")
def run_all(**given: Any) -> None:
    """Compute every run of a suite that is missing, then show the board."""
    if given["as_json"] and not given["dry_run"]:
        raise click.UsageError("--json goes with --dry-run; the outcomes themselves are the parquet files.")
    from fairbench.commands.run_all import run_all as command  # noqa: PLC0415

    options = {name: given[name] for name in ("jobs", "device", "rerun", "dry_run", "as_json")}
    raise SystemExit(command(_selected(given), _where(given), **options))


@main.command()
@_selection
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(**given: Any) -> None:
    """Show the state of every run of a suite."""
    from fairbench.commands.status import status as command  # noqa: PLC0415

    raise SystemExit(command(_selected(given), _where(given), as_json=given["as_json"]))


@main.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="SPEC",
    help="A name of `list models`, package.module:factory, file.py:factory or robustbench:NAME (repeatable).",
)
@click.option("--name", default="", help="Name of the row; models of the zoo bring theirs.")
@_weights
@click.option("--dataset", required=True, metavar="NAME|FILE.npz", help="Test images.")
@click.option(
    "--image-size", type=click.IntRange(min=1), metavar="N", help="Resize to N x N; default: as in its suite."
)
@click.option("--norm", type=click.Choice(["Linf", "L2"]), default="Linf", show_default=True, help="Of the ball.")
@click.option("--eps", "epsilon", default="", metavar="8/255", help="Radius; default: as in the suite of the dataset.")
@click.option(
    "--attack",
    "attacks",
    type=click.Choice(["pgd20", "autoattack"]),
    multiple=True,
    help="Another way to say the tier: pgd20 is screen, autoattack is full.",
)
@click.option("--tier", type=click.Choice(["screen", "fast", "full"]), help="How far AutoAttack goes; default: full.")
@click.option(
    "--engine",
    type=click.Choice(["fairbench", "reference"]),
    default="fairbench",
    show_default=True,
    help="AutoAttack by our engine or by pyautoattack.",
)
@click.option(
    "--search",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Arithmetic of the search; breaks are verified in fp32.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=500, show_default=True, metavar="N", help="Images at a time."
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="N images, as many of each class as of the others."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Of the training that made the model; names the file.",
)
@_folder("--results", "results", "Outcomes, one parquet file per model.")
@_folder("--work-dir", "runs", "Partial verdicts.")
@_folder("--data-dir", "data", "Downloaded datasets and models.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute.")
def evaluate(**given: Any) -> None:
    """Judge models that were trained elsewhere, per class; they stand beside the ranked ones on the board."""
    from fairbench.commands.evaluate import Asked, Folders  # noqa: PLC0415
    from fairbench.commands.evaluate import evaluate as command  # noqa: PLC0415
    from fairbench.protocol.suite import Evaluation  # noqa: PLC0415

    judged = {name: given[name] for name in ("engine", "search", "batch_size")}
    evaluation = Evaluation(tier=_tier(given), pgd_step=0.0, **judged)
    names = ("models", "name", "dataset", "image_size", "norm", "epsilon", "limit", "seed")
    asked = Asked(**{name: given[name] for name in names}, weights=_given_weights(given), evaluation=evaluation)
    folders = Folders(**{name: given[name] for name in ("results", "work_dir", "data_dir")})
    raise SystemExit(command(asked, folders, device=given["device"]))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.parquet")
@click.option(
    "--model", default="", metavar="SPEC", help="As for evaluate; default: the architecture of the submission."
)
@_weights
@click.option("--dataset", default="", metavar="FILE.npz", help="The file, if the dataset is one.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Images.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Which images; default: drawn anew every time.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=500, show_default=True, metavar="N", help="Images at a time."
)
@_folder("--data-dir", "data", "Downloaded datasets and models.")
@click.option("--record", is_flag=True, help="Write what was found beside FILE, for the board.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute.")
def verify(file: Path, **given: Any) -> None:
    """Attack a sample of a submission again and compare verdicts, image by image."""
    from fairbench.commands.verify import verify as command  # noqa: PLC0415

    names = ("model", "dataset", "limit", "seed", "batch_size", "data_dir", "device", "record")
    raise SystemExit(command(file, _given_weights(given), **{name: given[name] for name in names}))


@main.command()
@_folder("--results", "results", "Outcomes to show.")
@_folder("--site", "site", "Where the page is written.")
@click.option("--check", is_flag=True, help="Write nothing; fail if the page is not what the results imply.")
def report(results: Path, site: Path, *, check: bool) -> None:
    """Write the leaderboard, a page that works offline."""
    from fairbench.commands.report import report as command  # noqa: PLC0415

    raise SystemExit(command(results, site, check=check))


@main.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@_board
def compare(first: str, second: str, **given: Any) -> None:
    """Test two rows of a board, by label, on the same images."""
    from fairbench.commands.compare import compare as command  # noqa: PLC0415

    raise SystemExit(command(first, second, **given))


@main.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "latex", "markdown", "bibtex"]),
    default="csv",
    show_default=True,
    help="csv has unrounded numbers and counts; latex needs booktabs.",
)
@_board
def export(**given: Any) -> None:
    """Print a board for a paper or a spreadsheet."""
    from fairbench.commands.export import export as command  # noqa: PLC0415

    raise SystemExit(command(**given))


@main.command()
@click.option("--suite", default="digits", show_default=True, metavar="NAME|FILE", help="Protocol to describe.")
def protocol(suite: str) -> None:
    """Print a protocol in words, for the appendix of a paper."""
    from fairbench.commands.protocol import protocol as command  # noqa: PLC0415

    command(suite)


@main.command("list")
@click.argument("kind", type=click.Choice(["methods", "suites", "datasets", "models", "zoo"]))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def listing(kind: str, *, as_json: bool) -> None:
    """List what there is."""
    from fairbench.commands.listing import listing as command  # noqa: PLC0415

    command(kind, as_json=as_json)


@main.command("new-method")
@click.argument("name")
@click.option("--directory", type=click.Path(path_type=Path), metavar="DIR", help="Where to write it; default: ./NAME.")
def new_method(name: str, directory: Path | None) -> None:
    """Write a method of your own: a small installable package with one loss to edit."""
    from fairbench.commands.new_method import new_method as command  # noqa: PLC0415

    command(name, directory)


@main.command("check-method")
@click.argument("method", metavar="NAME|FILE")
def check_method(method: str) -> None:
    """Check that a method, or every method of a file, does what methods must; explain what does not."""
    from fairbench.commands.check_method import check  # noqa: PLC0415

    raise SystemExit(check(method))


def _tier(given: dict[str, Any]) -> Any:
    """The tier, said by itself or by attacks."""
    said = {(): None, ("pgd20",): "screen"}.get(tuple(sorted(set(given["attacks"]))), "full")
    if said and given["tier"] and said != given["tier"]:
        raise click.UsageError(f"--tier {given['tier']} contradicts --attack, which says {said}; give one of them.")
    return said or given["tier"] or "full"


def _given_weights(given: dict[str, Any]) -> Any:
    from fairbench.commands.given_model import Weights  # noqa: PLC0415

    return Weights(**{name: given[name] for name in ("checkpoint", "key", "mean", "std")})


def _selected(given: dict[str, Any]) -> Any:
    from fairbench.commands.selection import Selection  # noqa: PLC0415

    names = ("suite", "methods", "seeds", "settings", "plugins", "tier", "engine", "search")
    return Selection(**{name: given[name] for name in names})


def _where(given: dict[str, Any]) -> Any:
    from fairbench.execution.runner import Where  # noqa: PLC0415

    return Where(
        results=given["results"],
        work_dir=given["work_dir"],
        data_dir=given.get("data_dir", Path("data")),
        plugins=given["plugins"],
    )
