"""From what the user named (a suite, methods, seeds, settings) to a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairbench import methods
from fairbench.data.digest import dataset_digest
from fairbench.data.sources import dataset_names
from fairbench.errors import UserError, unknown
from fairbench.hyperparameter import Parameter
from fairbench.method import Method
from fairbench.models import model_names
from fairbench.plan import make_plan
from fairbench.run import Run
from fairbench.suite import Suite
from fairbench.suite_file import load_suite


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was asked for.

    Attributes:
        suite: name or file.
        methods: registered names; empty for all.
        seeds: empty for the suite's.
        settings: `field=value` texts, for every named method.
        plugins: files whose methods must be known.
    """

    suite: str
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    settings: tuple[str, ...] = ()
    plugins: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and what could not be planned.

    Attributes:
        suite: the protocol.
        runs: prerequisites first.
        problems: one sentence per method that cannot be used.
    """

    suite: Suite
    runs: list[Run]
    problems: list[str]


def plan(selection: Selection) -> Planned:
    """Resolve a selection.

    Raises:
        UserError: for anything that does not exist or is not allowed. A broken method that nobody named is a problem of
            the plan, not an error.
    """
    suite = load_suite(selection.suite)
    known = methods.names(plugins=selection.plugins)
    _check_names(suite, known)

    def create(name: str, changes: Mapping[str, str | Parameter]) -> Method:
        return methods.create(name, {**suite.defaults_of(name), **changes}, plugins=selection.plugins)

    changes = _settings(selection.settings)
    if changes and not selection.methods:
        raise UserError(f"--set {selection.settings[0]} needs --method: say whose hyper-parameter it is.")
    chosen: list[tuple[str, Method]] = []
    problems: list[str] = []
    for name in dict.fromkeys(selection.methods) or known:
        try:
            chosen.append((name, create(name, changes)))
        except UserError as error:
            if selection.methods:
                raise
            problems.append(str(error))
    runs = make_plan(
        suite,
        chosen,
        seeds=tuple(dict.fromkeys(selection.seeds)) or suite.seeds,
        create=create,
        dataset_digest=dataset_digest(suite.dataset, folder=suite.folder),
    )
    return Planned(suite=suite, runs=runs, problems=problems)


def _check_names(suite: Suite, known: Sequence[str]) -> None:
    """Whatever a suite names must exist here."""
    for model in (suite.model, suite.teacher):
        if model not in model_names():
            raise unknown("model", model, model_names())
    if not suite.dataset.file and suite.dataset.name not in dataset_names():
        raise unknown(
            "dataset", suite.dataset.name, dataset_names(), advice="A dataset of your own is given as `file`."
        )
    for defaults in suite.methods:
        if defaults.method not in known:
            raise unknown(f"method with defaults in the suite {suite.name}", defaults.method, known)


def _settings(texts: Sequence[str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UserError(f"--set {text!r} is not understood; write --set FIELD=VALUE, for example --set beta=3.")
        if name.strip() in changes:
            raise UserError(f"--set gives {name.strip()!r} twice; a hyper-parameter has one value per command.")
        changes[name.strip()] = value.strip()
    return changes
