"""The key of a run once more, from the method itself: planned here, under the suite as it is, with what the file says.

    problem(outcomes.provenance, suite, dataset_digest="")     # "" if the key is the same

A stored description can be edited together with its key. What is planned from the method's own class cannot: defaults,
prerequisites and their learning rates, and the name of the row follow from the code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fairbench.errors import UserError
from fairbench.execution.plan import Planner
from fairbench.fields import build
from fairbench.method import registry
from fairbench.method.contract import Method
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.tuned_rates import known_rates
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.suite import Parameter, Suite
from fairbench.protocol.tuning import Trial, TunedMethod


def problem(found: Provenance, suite: Suite, *, dataset_digest: str, plugins: Sequence[Path] = ()) -> str:
    """What differs between a run and what would be planned of it; "" if nothing does. Loads the method.

    Args:
        found: of a run whose description is complete.
        suite: of its board, as it is today.
        dataset_digest: of the suite's `.npz` file, or "".
        plugins: files whose methods must be known.
    """
    who = f"Seed {found.seed}"
    description = found.description
    if not plugins and (said := _problem_of_package(found)):
        return f"{who} {said}"

    def create(name: str, changes: Mapping[str, str | Parameter]) -> Method:
        return registry.create(name, {**suite.defaults_of(name), **changes}, plugins=plugins)

    try:
        evaluation = build(Evaluation, description["protocol"]["evaluation"], prefix="evaluation.")
        judged = replace(suite, evaluation=evaluation)
        trials = tuple(build(Trial, trial, prefix="trial.") for trial in found.tuning)
        planner = Planner(
            suite=judged,
            create=create,
            rates=known_rates(judged, dataset_digest=dataset_digest),
            dataset_digest=dataset_digest,
        )
        method = create(found.method, description["parameters"])
        run = planner.run(found.method, method, seed=found.seed, rate=description["rate"])
    except UserError as error:
        return f"{who} cannot be planned again: {error}"
    run = replace(run, trials=trials)
    usual = TunedMethod(trials=trials).rate if trials else 1.0
    if description["rate"] != usual:
        rate = description["rate"]
        return f"{who} was trained at {rate!r} times the suite's learning rate; its trials picked {usual!r}."
    if run.key != found.key:
        wanted = run.description()
        names = sorted(name for name in wanted if _plain(wanted[name]) != _plain(description.get(name)))
        return f"{who} is not what {found.method} makes in {suite.name}; differing: {', '.join(names)}."
    if run.label != found.label:
        return f"{who} belongs to the row {run.label!r}, not {found.label!r}."
    return ""


def _problem_of_package(found: Provenance) -> str:
    """Whether the package that trained it is installed here, in that version; "" if so, or if it was no package."""
    package, version = found.code.get("package", ""), found.code.get("version", "")
    if not package:
        return ""
    wanted = f"was trained by {found.method!r} of {package} {version}"
    if found.method not in registry.names():
        return f"{wanted}, which is not installed here; install it where strangers' code may run, and try again."
    here = registry.code(found.method)
    if (here["package"], here.get("version", "")) != (package, version):
        return f"{wanted}; here it is of {here['package']} {here.get('version', '')}. Install the other, and try again."
    return ""


def _plain(value: object) -> object:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
