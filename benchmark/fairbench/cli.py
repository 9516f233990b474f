"""The command line. Nothing heavy is imported here: `--help` and `list` answer at once."""

from pathlib import Path
from typing import Any

import click

from fairbench import __version__
from fairbench.commands.options.asked import Asked
from fairbench.commands.options.computing import Computing, Machine
from fairbench.commands.options.folders import ModelFolders, RunFolders, WorkFolders
from fairbench.commands.options.named_board import NamedBoard
from fairbench.commands.options.option import FILE, FOLDER, RESULTS, options
from fairbench.commands.options.pushed import Pushed
from fairbench.commands.options.repetition import Repetition
from fairbench.commands.options.reviewing import Reviewing
from fairbench.commands.options.selection import Named, Selection
from fairbench.commands.options.submitted import Submitted
from fairbench.errors import INTERRUPTED, UserError


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


_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_device = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fairbench")
def main() -> None:
    """Class-wise robust fairness: train, attack and rank adversarial-training methods under one protocol."""


@main.command("run-all")
@options
def run_all(selection: Selection, folders: RunFolders, computing: Computing) -> None:
    """Compute every run of a suite that is missing, then show the board."""
    from fairbench.commands.run_all import run_all as command  # noqa: PLC0415

    raise SystemExit(command(selection, folders, computing))


@main.command()
@options
def tune(named: Named, folders: WorkFolders, machine: Machine) -> None:
    """Find the learning rate of every method on the validation split, by the same number of trials for each."""
    from fairbench.commands.tune import tune as command  # noqa: PLC0415

    raise SystemExit(command(named, folders, machine))


@main.command()
@options
@_as_json
def status(selection: Selection, folders: RunFolders, *, as_json: bool) -> None:
    """Show the state of every run of a suite."""
    from fairbench.commands.status import status as command  # noqa: PLC0415

    raise SystemExit(command(selection, folders, as_json=as_json))


@main.command()
@options
@_device
def evaluate(asked: Asked, folders: ModelFolders, device: str) -> None:
    """Judge models that were trained elsewhere, per class; they stand beside the ranked ones on the board."""
    from fairbench.commands.evaluate import evaluate as command  # noqa: PLC0415

    raise SystemExit(command(asked, folders, device=device))


@main.command()
@click.argument("file", type=FILE, metavar="FILE.parquet")
@options
@_device
def verify(file: Path, repetition: Repetition, device: str) -> None:
    """Attack a sample of a submission again and compare verdicts, image by image."""
    from fairbench.commands.verify import verify as command  # noqa: PLC0415

    raise SystemExit(command(file, repetition, device=device))


@main.command()
@click.argument("runs", type=click.Path(exists=True, path_type=Path), nargs=-1, metavar="RUN|FILE.parquet...")
@options
def submit(runs: tuple[Path, ...], submitted: Submitted) -> None:
    """Bundle a row for a pull request, checked as its keeper will check it."""
    from fairbench.commands.submit import submit as command  # noqa: PLC0415

    raise SystemExit(command(runs, submitted))


@main.command()
@click.argument("bundle", type=FOLDER, metavar="BUNDLE")
@options
@_device
def review(bundle: Path, reviewing: Reviewing, device: str) -> None:
    """Check a bundle that somebody submitted, attack a sample of it again, and write the comment."""
    from fairbench.commands.review import review as command  # noqa: PLC0415

    raise SystemExit(command(bundle, reviewing, device=device))


@main.command()
@click.option("--results", type=RESULTS, default=Path("results"), show_default=True, help="Outcomes to show.")
@click.option("--site", type=FOLDER, default=Path("site"), show_default=True, help="Where the page is written.")
@click.option("--check", is_flag=True, help="Write nothing; fail if the page is not what the results imply.")
def report(results: Path, site: Path, *, check: bool) -> None:
    """Write the leaderboard, a page that works offline."""
    from fairbench.commands.report import report as command  # noqa: PLC0415

    raise SystemExit(command(results, site, check=check))


@main.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path), metavar="RUN|FILE.parquet")
@options
def push(run: Path, pushed: Pushed) -> None:
    """Put a checkpoint and its card onto the Hugging Face hub; shown first, done with --upload."""
    from fairbench.commands.push import push as command  # noqa: PLC0415

    raise SystemExit(command(run, pushed))


@main.command()
@click.argument("suite")
@click.option("--results", type=FOLDER, default=Path("results"), show_default=True, help="Outcomes of all boards.")
@click.option("--date", "day", default="", metavar="YYYY-MM-DD", help="Of the release; default: today.")
@click.option("--note", default="", metavar="TEXT", help="What it is about, in a sentence.")
def release(suite: str, results: Path, day: str, note: str) -> None:
    """Make the board of a suite, as it is, its next version, which never changes again."""
    from fairbench.commands.release import release as command  # noqa: PLC0415

    raise SystemExit(command(suite, results, day=day, note=note))


@main.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@options
def compare(first: str, second: str, named: NamedBoard) -> None:
    """Test two rows of a board, by label, on the same images."""
    from fairbench.commands.compare import compare as command  # noqa: PLC0415

    raise SystemExit(command(first, second, named))


@main.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "latex", "markdown", "bibtex"]),
    default="csv",
    show_default=True,
    help="csv has unrounded numbers and counts; latex needs booktabs.",
)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", help="Only the first N ranked rows; default: every row."
)
@options
def export(form: str, top: int | None, named: NamedBoard) -> None:
    """Print a board for a paper or a spreadsheet."""
    from fairbench.commands.export import export as command  # noqa: PLC0415

    raise SystemExit(command(named, form=form, top=top))


@main.command()
@click.option("--suite", default="digits", show_default=True, metavar="NAME|FILE", help="Protocol to describe.")
def protocol(suite: str) -> None:
    """Print a protocol in words, for the appendix of a paper."""
    from fairbench.commands.protocol import protocol as command  # noqa: PLC0415

    command(suite)


@main.command("list")
@click.argument("kind", type=click.Choice(["methods", "attacks", "suites", "datasets", "models", "zoo"]))
@_as_json
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
