"""Which runs a board needs, in which order, and in which state each of them is.

Prerequisites are runs like any other: planned before what needs them, once for all who share them. Planning reads
metadata only, so it takes no time and changes nothing; results that exist are the cache, whoever computed them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from fairbench.errors import UserError
from fairbench.execution.progress_file import read_progress
from fairbench.identity import content_key
from fairbench.method.asking import needed_by, recipe_of
from fairbench.method.contract import Method
from fairbench.outcomes.comparability import asked_tier, contained
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import read_provenance
from fairbench.outcomes.tuned_rates import TunedRates
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run
from fairbench.protocol.suite import Parameter, Suite

Create = Callable[[str, Mapping[str, Parameter]], Method]
"""(registered name, changed hyper-parameters) -> a method, as it is in the suite apart from these."""


DEEPEST = 8
"""How many runs may build on one another; a teacher's hot start is the third."""


class State(Enum):
    """Where a run stands; the value is what people read."""

    DONE = "done"
    FAILED = "failed"
    NOT_RUN = "not run yet"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    QUEUED = "queued"  # asked for by `status` alone; whoever plans sees what is on disk
    UNREADABLE = "unreadable"
    OTHER_PROTOCOL = "other protocol"
    LOWER_TIER = "lower tier"


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The state of one run.

    Attributes:
        run: which.
        state: where it stands.
        reason: a sentence where the state needs one.
        work_dir: below which it is computed, or would be.
    """

    run: Run
    state: State
    reason: str = ""
    work_dir: Path

    @property
    def trained(self) -> bool:
        """Whether its checkpoints exist here now, which is what dependants need."""
        return WorkFolder.of(self.run, self.work_dir).is_trained

    def plain(self) -> dict[str, str | int]:
        """For machines."""
        run = self.run
        return {
            "label": run.label,
            "seed": run.seed,
            "key": run.key,
            "state": self.state.value,
            "reason": self.reason,
        }


@dataclass(kw_only=True)
class Planner:
    """Makes the runs of a suite.

    Attributes:
        suite: the protocol.
        create: makes methods.
        rates: what tuning found; None if every row is to be trained at the suite's learning rate.
        dataset_digest: of the suite's `.npz` file, or "".
    """

    suite: Suite
    create: Create
    rates: TunedRates | None = None
    dataset_digest: str = ""

    def run(
        self,
        name: str,
        method: Method,
        *,
        seed: int,
        teacher: bool = False,
        rate: float | None = None,
        builders: tuple[str, ...] = (),
    ) -> Run:
        """A run with all that it builds on.

        Args:
            name: registered name.
            method: configured.
            seed: of the training; a teacher has the suite's first one.
            teacher: whether it is trained on the network of the suite's teacher.
            rate: times the suite's learning rate; the tuned one by default, which is 1 where there is none.
            builders: names of what builds on it, the first one first.

        Raises:
            UserError: if a hook of the method raises, or what it builds on does not exist or builds on itself.
        """
        suite, needed, builders = self.suite, [], (*builders, name)
        if len(builders) > DEEPEST:
            raise UserError(f"{name} builds on itself: its `prerequisites` lead from {' to '.join(builders[:4])} ...")
        for need in needed_by(method):
            taught = teacher or need.role == "teacher"
            made = self.create(need.method, dict(need.parameters))
            first = suite.seeds[0] if need.role == "teacher" else seed
            run = self.run(need.method, made, seed=first, teacher=taught, builders=builders)
            needed.append((need.role, run))
        on_teacher = teacher and suite.has_a_teacher_of_its_own
        run = Run(
            suite=suite.teaching() if on_teacher else suite,
            method=name,
            parameters=tuple(sorted(method.parameters().items())),
            changed=_changed_parameters(method, type(method).configured(suite.defaults_of(name))),
            recipe=recipe_of(method, suite.recipe),
            seed=seed,
            role="teacher" if on_teacher else "method",
            prerequisites=tuple(needed),
            dataset_digest=self.dataset_digest,
        )
        tuned = self.rates.methods.get(run.label) if self.rates else None
        if rate is None:
            rate = tuned.rate if tuned else 1.0
        faster = replace(suite.recipe, learning_rate=rate * suite.recipe.learning_rate)
        return replace(run, rate=rate, recipe=recipe_of(method, faster), trials=tuned.trials if tuned else ())

    def plan(self, methods: Iterable[tuple[str, Method]], *, seeds: Sequence[int]) -> list[Run]:
        """Runs of every method and seed, each once: one seed after the other, prerequisites before what needs them.

        Args:
            methods: registered names and configured methods.
            seeds: of the trainings.
        """
        planned: dict[str, Run] = {}

        def add(run: Run) -> None:
            for _, prerequisite in run.prerequisites:
                add(prerequisite)
            planned.setdefault(run.key, run)

        asked = [self.run(name, method, seed=seed) for name, method in methods for seed in seeds[:1]]
        for seed in seeds:  # so that there is a whole board early
            runs = [run.with_seed(seed) for run in asked]  # the hooks of a method know no seed
            for run in runs:  # teachers and hot starts first: others wait for them
                for _, prerequisite in run.prerequisites:
                    add(prerequisite)
            for run in runs:
                add(run)
        return list(planned.values())


def _changed_parameters(method: Method, usual: Method) -> tuple[tuple[str, Parameter], ...]:
    """The hyper-parameters in which a method differs from another configuration of it, sorted by name."""
    defaults = usual.parameters()
    return tuple(sorted((name, v) for name, v in method.parameters().items() if v != defaults[name]))


def run_status(  # noqa: PLR0911  one state after the other
    run: Run, *, results: Path, work_dir: Path
) -> RunStatus:
    """The state of a run, from what is on disk."""
    known = RunStatus(run=run, state=State.NOT_RUN, work_dir=work_dir)
    path = run.result_file(results)
    if path.exists():
        try:
            provenance = read_provenance(path)
        except UserError as error:
            return replace(known, state=State.UNREADABLE, reason=str(error))
        if provenance.key == run.key and _has_key(provenance.description, run.key):
            return _computed(known, provenance)
        found, wanted = provenance.description, run.description()
        if provenance.key != run.key and contained(found, wanted):
            return replace(known, state=State.LOWER_TIER, reason=_so_far(provenance, run))
        if contained(wanted, found) and asked_tier(provenance) != run.suite.evaluation.tier:
            return replace(known, state=State.OTHER_PROTOCOL, reason=_further(path, provenance, run))
        if provenance.key != run.key and not contained(wanted, found):
            return replace(known, state=State.OTHER_PROTOCOL, reason=_other_protocol(path, provenance, run))
        return _computed(known, provenance)
    folder = WorkFolder.of(run, work_dir)
    if folder.is_locked:
        reported = read_progress(folder.progress)
        return replace(known, state=State.RUNNING, reason=reported.sentence() if reported else "")
    if (failure := folder.failure) is not None:
        return replace(known, state=State.FAILED, reason=failure)
    return replace(known, state=State.INTERRUPTED if folder.is_begun else State.NOT_RUN)


def _has_key(description: Mapping[str, object], key: str) -> bool:
    """Whether a description is the one that a key is the hash of; a stranger's may be none that can be hashed."""
    try:
        return content_key(description) == key
    except (TypeError, ValueError):
        return False


def _computed(known: RunStatus, found: Provenance) -> RunStatus:
    """The state of a run whose outcomes are what was asked for."""
    if found.status == "failed":
        return replace(known, state=State.FAILED, reason=found.reason)
    return replace(known, state=State.DONE)


def _so_far(found: Provenance, run: Run) -> str:
    tier = asked_tier(found)
    if tier != run.suite.evaluation.tier:
        return f"evaluated in tier {tier} so far"
    return "evaluated without some radii or further attacks so far"


def _further(path: Path, found: Provenance, run: Run) -> str:
    tier = asked_tier(found)
    return (
        f"{path} holds these outcomes in tier {tier}, which goes further than {run.suite.evaluation.tier}. Ask for "
        f"--tier {tier}, or choose another --results folder."
    )


def _other_protocol(path: Path, found: Provenance, run: Run) -> str:
    differing = sorted(_differences(found.description, run.description()))
    shown = ", ".join(differing[:4]) or "its key"
    return (
        f"{path} was made under another protocol ({shown}). Rename the suite or choose another --results folder, "
        "or replace it with --rerun always."
    )


def _differences(found: object, wanted: object, prefix: str = "") -> Iterable[str]:
    """Dotted names at which two descriptions differ, with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in {**found, **wanted}:
            yield from _differences(found.get(name), wanted.get(name), f"{prefix}.{name}" if prefix else name)
    elif (list(found) if isinstance(found, tuple) else found) != (
        list(wanted) if isinstance(wanted, tuple) else wanted
    ):
        yield f"{prefix}: {found} there, {wanted} here"
