"""From what the user named (a suite, methods, seeds, settings) to a plan."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairbench.commands.options.selection import Named, Selection
from fairbench.data.digest import dataset_digest
from fairbench.data.sources import dataset_names
from fairbench.errors import UserError, unknown
from fairbench.execution.plan import Planner
from fairbench.identity import content_key
from fairbench.method import registry
from fairbench.method.attack_registry import pinned
from fairbench.method.contract import Method
from fairbench.models import model_names
from fairbench.outcomes.tuned_rates import known_rates
from fairbench.protocol.factory import Factory, is_factory, located, parse_arguments, shown
from fairbench.protocol.run import Run
from fairbench.protocol.suite import Parameter, Suite
from fairbench.protocol.suite_file import load_suite


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Methods of a suite, before seeds.

    Attributes:
        suite: the protocol.
        methods: registered names and configured methods.
        planner: makes their runs.
        problems: one sentence per method that cannot be used.
    """

    suite: Suite
    methods: list[tuple[str, Method]]
    planner: Planner
    problems: list[str]


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
    """The runs of a selection.

    Raises:
        UserError: for anything that does not exist or is not allowed. A broken method that nobody named is a problem of
            the plan, not an error.
    """
    resolved = resolve(selection)
    asked = resolved.suite
    evaluation = replace(
        asked.evaluation,
        tier=selection.tier or asked.evaluation.tier,
        engine=selection.engine or asked.evaluation.engine,
        search=selection.search or asked.evaluation.search,
    )
    suite = replace(asked, evaluation=evaluation)
    seeds = tuple(dict.fromkeys(selection.seeds)) or suite.seeds
    if suite.tuning and suite.tuning.seed in seeds:
        raise UserError(f"--seed {suite.tuning.seed} is the tuning seed of {suite.name}; no run is ranked on it.")
    planner = replace(resolved.planner, suite=suite)
    return Planned(suite=suite, runs=planner.plan(resolved.methods, seeds=seeds), problems=resolved.problems)


def resolve(named: Named) -> Resolved:
    """What was named, as methods of a suite.

    Raises:
        UserError: as `plan`.
    """
    suite = _with_model(load_suite(named.suite), named)
    _check_names(suite)
    further = pinned(suite.evaluation.attacks, plugins=named.plugins)
    suite = replace(suite, evaluation=replace(suite.evaluation, attacks=further))
    if is_factory(suite.model) or is_factory(suite.teacher):
        from fairbench.external.network import with_sources  # noqa: PLC0415  imports torch

        suite = with_sources(suite)
    methods = registry.methods(plugins=named.plugins)
    known = methods.names()

    def create(name: str, changes: Mapping[str, str | Parameter]) -> Method:
        defaults = suite.defaults_of(name)
        if defaults:
            try:
                methods.create(name, defaults)
            except UserError as error:
                raise UserError(f"[methods.{name}] of the suite {suite.name}: {error}") from error
        return methods.create(name, {**defaults, **changes})

    changes = _settings(named.settings)
    if changes and not named.methods:
        raise UserError(f"--set {named.settings[0]} needs --method: say whose hyper-parameter it is.")
    digest = dataset_digest(suite.dataset, folder=suite.folder)
    planner = Planner(
        suite=suite,
        create=create,
        rates=known_rates(suite, named.tuned, dataset_digest=digest),
        dataset_digest=digest,
    )
    chosen: list[tuple[str, Method]] = []
    problems = [] if named.methods else _strangers(suite, known)
    for name in dict.fromkeys(named.methods) or known:
        try:
            method = create(name, changes)
            planner.run(name, method, seed=suite.seeds[0])  # so that what its hooks raise stops no other method
            chosen.append((name, method))
        except UserError as error:
            if named.methods:
                raise
            problems.append(str(error))
    return Resolved(suite=suite, methods=chosen, planner=planner, problems=problems)


def _with_model(suite: Suite, named: Named) -> Suite:
    """The suite with the network that was asked for: another protocol, which has another name."""
    arguments = parse_arguments(named.model_arguments, option="--model-argument")
    if not named.model and not arguments:
        return suite
    model = named.model or suite.model
    if is_factory(model) and named.model:
        model = located(model, folder=str(Path.cwd()))
    if not is_factory(model) and arguments:
        raise UserError(
            f"--model-argument {named.model_arguments[0]} is for the factory of a network of your own; {model!r} is an "
            "architecture of ours. Give a factory with --model file.py:factory."
        )
    kept = {} if named.model else dict(suite.model_factory.arguments)
    merged = tuple(sorted({**kept, **dict(arguments)}.items()))
    short = re.sub(r"[^a-z0-9_.-]+", "-", shown(model).rpartition(":")[2].lower()).strip("-.")
    suffix = f"-{content_key({'arguments': [list(pair) for pair in merged]})[:6]}" if merged else ""
    return replace(suite, name=f"{suite.name}-{short}{suffix}", model=model, model_factory=Factory(arguments=merged))


def _check_names(suite: Suite) -> None:
    """The models and the dataset of a suite must exist."""
    for model in (suite.model, suite.teacher):
        if model not in model_names() and not is_factory(model):
            advice = "A network of your own is given as file.py:factory or package.module:factory."
            raise unknown("model", model, model_names(), advice=advice)
    if not suite.dataset.file and suite.dataset.name not in dataset_names():
        raise unknown(
            "dataset", suite.dataset.name, dataset_names(), advice="A dataset of your own is given as `file`."
        )


def _strangers(suite: Suite, known: Sequence[str]) -> list[str]:
    """A sentence for every method that the suite has hyper-parameters for and that is not installed here."""
    advice = "If it is a plug-in, install it or give it with --plugin FILE."
    return [
        f"[methods.{name}] of the suite {suite.name}: {unknown('method', name, known, advice=advice)}"
        for name in (defaults.method for defaults in suite.methods)
        if name not in known
    ]


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
