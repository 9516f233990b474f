"""Plans: keys, labels, prerequisites, and the state of every run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairbench import Method, Prerequisite, Suite, load_suite
from fairbench.execution import plan as plan_module
from fairbench.execution.plan import Planner, State, run_status
from fairbench.method import registry
from fairbench.method.asking import needed_by
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, no_rows, write_outcomes
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run
from fairbench.protocol.suite import MethodDefaults


def _plan(*names: str, suite: Suite | None = None, seeds: tuple[int, ...] = (0, 1)) -> list[Run]:
    chosen: list[tuple[str, Method]] = [(name, registry.create(name, {})) for name in names]
    suite = suite or load_suite("digits")
    return Planner(suite=suite, create=registry.create).plan(chosen, seeds=seeds)


def test_the_key_of_a_run_is_pinned() -> None:
    """Whatever changes this key orphans every stored result: it must be on purpose, with a new protocol version."""
    (run,) = _plan("pgd-at", seeds=(0,))
    assert run.description()["protocol"] == {
        "protocol": "fairbench-2",
        "dataset": {"name": "digits", "validation": 1 / 7, "image_size": 0, "sha256": ""},
        "model": "digits-cnn",
        "threat": {"norm": "Linf", "epsilon": 0.15, "step": 0.0375, "steps": 10, "attack_precision": "fp32"},
        "recipe": {
            "epochs": 40, "batch_size": 128, "learning_rate": 0.2, "momentum": 0.9, "weight_decay": 0.0005,
            "schedule": "one-cycle", "drops": (), "drop_factor": 0.1, "warmup": 0.3, "crop_padding": 1, "flip": False,
            "averaging": "none", "averaging_decay": 0.85, "averaging_start": 0.25, "precision": "fp32",
        },
        "evaluation": {
            "tier": "full", "pgd_steps": 20, "pgd_step": 0.0375, "seed": 0, "batch_size": 600, "engine": "fairbench",
            "search": "fp32", "audit": 0.1,
        },
        "tuning": {"rates": (1 / 3, 1.0, 3.0, 10.0, 30.0), "fraction": 1.0, "seed": 1000},
    }  # fmt: skip
    assert run.key == "ed206a4d47cabffc"


def test_prerequisites_come_first_and_once() -> None:
    """FRL's hot starts are the board's own TRADES runs; one teacher serves every student."""
    runs = _plan("frl", "absld", "trades")
    titles = [run.title for run in runs]
    assert len(set(titles)) == len(titles) == 7
    assert titles.count("teacher-trades, seed 0") == 1
    for run in runs:
        for _, needed in run.prerequisites:
            assert titles.index(needed.title) < titles.index(run.title)
    hot_starts = {run.seed: run.prerequisites[0][1] for run in runs if run.method == "frl"}
    assert {seed: (run.method, run.seed) for seed, run in hot_starts.items()} == {0: ("trades", 0), 1: ("trades", 1)}


def test_the_hooks_of_a_method_are_asked_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every run is what it would be if it were planned alone, with its hot start and its teacher."""
    asked: list[Method] = []

    def counted(method: Method) -> tuple[Prerequisite, ...]:
        asked.append(method)
        return needed_by(method)

    monkeypatch.setattr(plan_module, "needed_by", counted)
    suite = load_suite("digits")
    planner = Planner(suite=suite, create=registry.create)
    chosen = [(name, registry.create(name, {})) for name in ("frl", "absld", "faal")]
    runs = {(run.method, run.seed): run for run in planner.plan(chosen, seeds=(4, 5, 6))}
    once = len(asked)
    for name, method in chosen:
        for seed in (4, 5, 6):
            alone = planner.run(name, method, seed=seed)
            assert runs[name, seed] == alone
            assert runs[name, seed].key == alone.key
            assert runs[name, seed].description() == alone.description()
    assert len(asked) == 4 * once


def test_nobody_can_change_a_run_by_its_description() -> None:
    run = _plan("trades", seeds=(0, 1))[0]
    key, description = run.key, run.description()
    protocol = description["protocol"]
    assert isinstance(protocol, dict)
    protocol["threat"]["epsilon"] = 1.0
    assert run.description() != description
    assert replace(run, rate=run.rate).key == key


def test_a_teacher_of_the_same_architecture_is_a_run_of_the_board() -> None:
    suite = load_suite("digits")
    runs = _plan("absld", "trades", suite=replace(suite, teacher=suite.model), seeds=(0,))
    assert [run.title for run in runs] == ["trades, seed 0", "absld, seed 0"]


def test_the_label_names_changed_parameters_only() -> None:
    suite = load_suite("digits")

    def label(changes: dict[str, str]) -> str:
        chosen = [("trades", registry.create("trades", changes))]
        return Planner(suite=suite, create=registry.create).plan(chosen, seeds=(0,))[0].label

    assert label({}) == label({"beta": "6"}) == "trades"
    assert label({"beta": "3"}) == label({"beta": "3.0"}) != label({"beta": "4"})
    assert label({"beta": "3"}).startswith("trades-")


def test_the_label_compares_with_the_defaults_of_the_suite() -> None:
    """Where a suite sets beta to 3, 3 is nothing special and 6 is; the key knows the value in either case."""
    suite = load_suite("digits")
    three = replace(suite, methods=(MethodDefaults(method="trades", parameters=(("beta", 3.0),)),))

    def run(suite: Suite, beta: float) -> Run:
        chosen: list[tuple[str, Method]] = [("trades", registry.create("trades", {"beta": beta}))]
        return Planner(suite=suite, create=registry.create).plan(chosen, seeds=(0,))[0]

    assert run(three, 3).label == run(suite, 6).label == "trades"
    assert run(three, 6).changed == (("beta", 6.0),)
    assert run(three, 6).key == run(suite, 6).key != run(three, 3).key == run(suite, 3).key


def test_keys_tell_everything_apart_that_matters() -> None:
    suite = load_suite("digits")
    other = replace(suite, recipe=replace(suite.recipe, epochs=41))
    keys = {run.key for run in [*_plan("pgd-at", "trades"), *_plan("pgd-at", suite=other)]}
    assert len(keys) == 6
    elsewhere = replace(suite, name="copy", title="another title", folder="elsewhere", seeds=(5, 6))
    assert {run.key for run in _plan("pgd-at", suite=elsewhere)} < keys


def _store(run: Run, results: Path, *, key: str = "", status: str = "failed") -> None:
    provenance = Provenance(
        status=status,  # type: ignore[arg-type]
        reason="the loss became nan",
        key=key or run.key,
        description=json.loads(json.dumps(run.description())),
        suite=run.suite.name,
        method=run.method,
        label=run.label,
        seed=run.seed,
        class_names=["0", "1"],
    )
    write_outcomes(run.result_file(results), Outcomes(rows=no_rows(), provenance=provenance))


@pytest.fixture
def look(tmp_path: Path) -> Callable[[Run], tuple[State, str]]:
    def at(run: Run) -> tuple[State, str]:
        found = run_status(run, results=tmp_path / "results", work_dir=tmp_path / "runs")
        return found.state, found.reason

    return at


def test_states(tmp_path: Path, look: Callable[[Run], tuple[State, str]]) -> None:
    """Every state that a folder can show, and its reason."""
    run = _plan("pgd-at", seeds=(0,))[0]
    assert look(run) == (State.NOT_RUN, "")
    folder = run.work_folder(tmp_path / "runs")
    folder.mkdir(parents=True)
    assert look(run) == (State.NOT_RUN, "")
    (folder / "state.pt").touch()
    assert look(run) == (State.INTERRUPTED, "")
    with WorkFolder(folder).lock():
        assert look(run) == (State.RUNNING, "")
    (folder / "failure.json").write_text('{"reason": "out of memory"}')
    assert look(run) == (State.FAILED, "out of memory")
    _store(run, tmp_path / "results")
    assert look(run) == (State.FAILED, "the loss became nan")
    run.result_file(tmp_path / "results").write_bytes(b"PAR1 and then nothing")
    state, reason = look(run)
    assert state is State.UNREADABLE
    assert "not a readable parquet file" in reason


def test_another_protocol_is_named_field_by_field(tmp_path: Path, look: Callable[[Run], tuple[State, str]]) -> None:
    """A changed suite of the same name does not overwrite what the old one computed."""
    run = _plan("pgd-at", seeds=(0,))[0]
    _store(run, tmp_path / "results")
    longer = replace(run.suite, recipe=replace(run.suite.recipe, epochs=41))
    state, reason = look(_plan("pgd-at", suite=longer, seeds=(0,))[0])
    assert state is State.OTHER_PROTOCOL
    assert "protocol.recipe.epochs: 40 there, 41 here" in reason
    assert "--rerun always" in reason


def test_runs_that_are_only_judged_otherwise_share_their_training(tmp_path: Path) -> None:
    suite = load_suite("digits")
    (usual,) = _plan("frl", seeds=(0,))[-1:]
    judged_otherwise: list[dict[str, Any]] = [
        {"tier": "fast"},
        {"engine": "reference"},
        {"search": "bf16"},
        {"audit": 0.5},
    ]
    for changes in judged_otherwise:
        other = replace(suite, evaluation=replace(suite.evaluation, **changes))
        run = _plan("frl", suite=other, seeds=(0,))[-1]
        assert run.key != usual.key
        assert run.work_folder(tmp_path) == usual.work_folder(tmp_path)
    longer = replace(suite, recipe=replace(suite.recipe, epochs=41))
    selecting = replace(suite, evaluation=replace(suite.evaluation, seed=1))
    for other in (longer, selecting):
        assert _plan("frl", suite=other, seeds=(0,))[-1].work_folder(tmp_path) != usual.work_folder(tmp_path)


def test_a_higher_tier_replaces_a_lower_one_and_never_the_reverse(
    tmp_path: Path, look: Callable[[Run], tuple[State, str]]
) -> None:
    suite = load_suite("digits")
    fast = replace(suite, evaluation=replace(suite.evaluation, tier="fast"))
    screen = replace(suite, evaluation=replace(suite.evaluation, tier="screen"))
    (run,) = _plan("pgd-at", suite=fast, seeds=(0,))
    _store(run, tmp_path / "results")
    assert look(_plan("pgd-at", seeds=(0,))[0]) == (State.LOWER_TIER, "evaluated in tier fast so far")
    state, reason = look(_plan("pgd-at", suite=screen, seeds=(0,))[0])
    assert state is State.OTHER_PROTOCOL
    assert "holds these outcomes in tier fast, which goes further than screen. Ask for --tier fast" in reason
    longer = replace(suite, recipe=replace(suite.recipe, epochs=41))
    assert look(_plan("pgd-at", suite=longer, seeds=(0,))[0])[0] is State.OTHER_PROTOCOL


def test_a_curve_is_added_to_outcomes_without_one(tmp_path: Path, look: Callable[[Run], tuple[State, str]]) -> None:
    """Nothing is trained for it, and who asks for fewer radii has them."""
    suite = load_suite("digits")
    curved, longer = (
        replace(suite, evaluation=replace(suite.evaluation, curve=radii)) for radii in ((0.1,), (0.1, 0.3))
    )
    (plain,), (run,), (more,) = (_plan("pgd-at", suite=each, seeds=(0,)) for each in (suite, curved, longer))
    assert plain.work_folder(tmp_path) == run.work_folder(tmp_path)
    _store(plain, tmp_path / "results")
    assert look(run) == (State.LOWER_TIER, "evaluated without some radii or further attacks so far")
    _store(more, tmp_path / "results")
    assert look(more)[0] is look(run)[0] is look(plain)[0] is State.FAILED  # as stored
