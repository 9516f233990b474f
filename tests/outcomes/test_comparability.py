"""Which runs may stand on one board: tiers never mix, and models trained elsewhere stand beside equal judgement."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench import load_suite
from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.comparability import asked_tier, conditions, judged_protocol
from fairbench.outcomes.metrics import worst
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import read_outcomes
from fairbench.protocol.suite import protocol_description
from fixture_types import WriteRun

FAST = {"tier": "fast"}
BROKEN = "2 of 30 audited images were broken by FAB or Square"
AUDIT = Audit(survivors=(5, 4, 3), audited=(1, 1, 1), breaks=0).plain()
PROMOTED = {"evaluation": FAST, "tier": "full", "promotion": BROKEN, "audit": {**AUDIT, "breaks": 2}}


def by_tier(results: Path) -> dict[str, Board]:
    boards = build_boards(results)
    assert not boards.problems
    tiers = [board.tier for board in boards.boards]
    assert len(set(tiers)) == len(tiers)
    return {board.tier: board for board in boards.boards}


def write_row(write_run: WriteRun, label: str, **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, **values)


@pytest.mark.parametrize("orders", [("full", "fast", "screen"), ("screen", "full", "fast")])
def test_tiers_never_mix(results: Path, write_run: WriteRun, orders: tuple[str, ...]) -> None:
    for tier in orders:
        write_row(
            write_run, f"in-{tier}", evaluation={"tier": tier}, autoattack=None if tier == "screen" else (5, 4, 3)
        )
    boards = build_boards(results).boards
    assert [board.tier for board in boards] == ["full", "fast", "screen"], "the highest tier comes first"
    for board in boards:
        assert [row.label for row in board.ranked] == [f"in-{board.tier}"]
        assert {result.tier for row in board.rows for result in row.results} == {board.tier}


def test_a_promoted_seed_stands_with_full_runs_of_its_row(results: Path, write_run: WriteRun) -> None:
    """Seed 1 was promoted by a fast sweep, seeds 0 and 2 were asked for in full: the same verdicts, one row."""
    for seed in (0, 2):
        write_run(seed=seed)
    write_run(seed=1, **PROMOTED)
    (row,) = by_tier(results)["full"].ranked
    assert [result.provenance.seed for result in row.results] == [0, 1, 2]
    assert not row.audits, "nothing is left open where all attacks ran"


def test_a_promoted_seed_takes_its_row_out_of_the_fast_board(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "sound", evaluation=FAST)
    for seed in (0, 2, 3):
        write_run("doubtful", seed=seed, evaluation=FAST)
    write_run("doubtful", seed=1, **PROMOTED)
    boards = by_tier(results)
    assert [row.label for row in boards["fast"].ranked] == ["sound"]
    (row,) = boards["fast"].unranked
    assert [result.provenance.seed for result in row.results] == [0, 2, 3], (
        "without the promoted one three seeds are a selection"
    )
    assert row.reason == f"seed 1 was promoted to full: {BROKEN}; run the others with --tier full"
    (lacking,) = boards["full"].unranked
    assert (lacking.label, lacking.reason) == ("doubtful", "1 of the 3 seeds that a rank needs")


def test_a_method_that_was_promoted_in_every_seed_is_not_missing(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "sound", evaluation=FAST)
    write_row(write_run, "masked", **PROMOTED)
    fast, full = sorted(build_boards(results, expected=["sound", "masked"]).boards, key=lambda board: board.tier)
    assert (fast.promoted, fast.missing) == (("masked",), ())
    assert (full.promoted, full.missing) == ((), ("sound",))
    assert [row.label for row in full.ranked] == ["masked"]


def test_promotion_of_other_parameters_is_none_of_a_row(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run(seed=seed, evaluation=FAST, parameters={"beta": 6.0})
    write_run(seed=3, parameters={"beta": 1.0}, **PROMOTED)
    (row,) = by_tier(results)["fast"].ranked
    assert row.results[0].provenance.description["parameters"] == {"beta": 6.0}


def test_a_failed_run_stands_where_its_protocol_wanted_it(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "sound", evaluation=FAST)
    write_run("fragile", evaluation=FAST, status="failed", reason="collapse", failed_epoch=1)
    assert [row.label for row in by_tier(results)["fast"].unranked] == ["fragile"]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ({}, {"batch_size": 7}, True),
        ({}, {"audit": 0.5}, True),
        ({}, {"search": "bf16"}, False),
        ({}, {"engine": "reference"}, False),
        ({}, {"seed": 1}, False),
        ({}, {"pgd_steps": 40}, False),
        ({"engine": "reference"}, {"engine": "reference", "batch_size": 7}, False),
        (FAST, {**FAST, "audit": 0.5}, False),
        (FAST, {**FAST, "batch_size": 7}, True),
        ({"tier": "screen"}, {"tier": "screen", "engine": "reference", "batch_size": 7}, True),
    ],
)
def test_only_what_changes_verdicts_separates(
    results: Path, write_run: WriteRun, first: dict[str, Any], second: dict[str, Any], together: bool
) -> None:
    judged = None if first.get("tier") == "screen" else (5, 4, 3)
    write_run("a", evaluation=first, autoattack=judged)
    write_run("b", evaluation=second, autoattack=judged)
    write_run("external-guest", role="external", evaluation=second, autoattack=judged)
    boards = build_boards(results).boards
    assert len(boards) == (1 if together else 2)
    for board in boards:
        beside = "b" in {row.label for row in board.unranked}
        assert bool(board.external) == beside


def test_a_tier_that_the_verdicts_contradict_is_refused(results: Path, write_run: WriteRun) -> None:
    write_run("screened", autoattack=None, evaluation={"tier": "full"})
    write_run("judged", evaluation={"tier": "screen"})
    write_run("silent", tier="")
    write_run("lower", tier="fast")
    boards = build_boards(results)
    assert not boards.boards
    assert [problem.message.partition(", which")[0] for problem in boards.problems] == [
        "digits/judged/seed0.parquet says that it reached tier 'screen'",
        "digits/lower/seed0.parquet says that it reached tier 'fast'",
        "digits/screened/seed0.parquet says that it reached tier 'full'",
        "digits/silent/seed0.parquet says that it reached tier ''",
    ]


@pytest.mark.parametrize(
    "audit",
    [
        {},
        {**AUDIT, "survivors": [5, 4]},
        {**AUDIT, "survivors": "543"},
        {**AUDIT, "audited": [1, 1, -1]},
        {**AUDIT, "audited": [1, 1, 1.0]},
        {**AUDIT, "audited": [1, 1, 4]},
        {**AUDIT, "breaks": True},
        {**AUDIT, "breaks": 1},
    ],
)
def test_a_fast_run_without_a_sound_audit_is_refused(
    results: Path, write_run: WriteRun, audit: dict[str, object]
) -> None:
    write_run(evaluation=FAST, audit=audit)
    (problem,) = build_boards(results).problems
    assert "audit" in problem.message
    assert problem.message.startswith("digits/trades/seed0.parquet ")


def test_bounds_are_computed_and_not_believed(results: Path, write_run: WriteRun) -> None:
    write_run(evaluation=FAST, audit={**AUDIT, "missed_at_most": [0, 0, 0], "missed_at_most_in_all": 0})
    (row,) = by_tier(results)["fast"].unranked
    (audit,) = row.audits.values()
    assert audit.missed_at_most == (4, 3, 2)


def test_a_teacher_stands_in_its_tier_too(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "student", evaluation=FAST)
    write_run("teacher-trades", role="teacher", evaluation=FAST)
    assert [row.label for row in by_tier(results)["fast"].teachers] == ["teacher-trades"]
    write_row(write_run, "student")
    boards = by_tier(results)
    assert not boards["full"].teachers
    assert [row.label for row in boards["fast"].teachers] == ["teacher-trades"]


# Models that were trained elsewhere.


def test_an_external_model_stands_beside_every_board_that_judges_alike(results: Path, write_run: WriteRun) -> None:
    """Two suites train differently and are judged alike; a third has another threat."""
    write_row(write_run, "trades")
    write_row(write_run, "trades", suite="digits-long")
    write_row(write_run, "trades", suite="digits-small", epsilon=0.1)
    write_run("external-zoo", role="external", autoattack=(9, 9, 8), clean=(9, 9, 8), pgd20=(9, 9, 8))
    boards = build_boards(results, expected=["trades"]).boards
    found = {board.suite: [row.label for row in board.external] for board in boards}
    assert found == {"digits": ["external-zoo"], "digits-long": ["external-zoo"], "digits-small": []}
    for board in boards:
        assert [row.label for row in board.ranked] == ["trades"], "it competes with nobody, however good"
        assert (board.unranked, board.missing) == ((), ())


def test_the_validation_split_is_none_of_an_external_models_business(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "trades")
    path = write_run("external-zoo", role="external")
    description = read_outcomes(path).provenance.description
    description["protocol"]["dataset"] = {"name": "digits", "sha256": ""}
    description["protocol"]["threat"] = {"norm": "Linf", "epsilon": 0.15}
    write_run("external-zoo", role="external", description=description)
    (board,) = build_boards(results).boards
    assert [row.label for row in board.external] == ["external-zoo"]


def test_external_rows_are_sorted_as_ranked_ones(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "trades")
    write_run("external-a", role="external", autoattack=(5, 4, 2))
    write_run("external-b", role="external", autoattack=(5, 5, 2))
    write_run("external-c", role="external", autoattack=(3, 3, 3))
    (board,) = build_boards(results).boards
    assert [row.label for row in board.external] == ["external-c", "external-b", "external-a"]


def test_seeds_of_one_name_are_one_row(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("external-zoo", seed=seed, role="external", autoattack=(5, 4, seed))
    (board,) = build_boards(results).boards
    (row,) = board.external
    assert row.summary("autoattack", worst).values == (0.0, 0.1, 0.2)
    assert (row.reason, str(row.cost)) == ("", "nan"), "nobody counted what it cost"


def test_external_models_that_fit_no_board_have_their_own(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "trades")
    write_run("external-zoo", role="external", epsilon=0.1)
    write_run("external-twin", role="external", epsilon=0.1)
    methods, own = build_boards(results, expected=["absld"]).boards
    assert not methods.external
    assert [row.label for row in own.external] == ["external-twin", "external-zoo"]
    assert (own.suite, own.ranked, own.unranked, own.missing, own.trains) == ("digits", (), (), (), False)
    assert own.protocol["threat"] == {"norm": "Linf", "epsilon": 0.1}


def test_tiers_do_not_mix_among_external_models_either(results: Path, write_run: WriteRun) -> None:
    write_run("external-a", role="external", evaluation=FAST)
    write_run("external-b", role="external")
    boards = build_boards(results).boards
    assert [(board.tier, [row.label for row in board.external]) for board in boards] == [
        ("full", ["external-b"]),
        ("fast", ["external-a"]),
    ]


def test_a_subset_is_another_set_of_images(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "trades")
    small = {"counts": (5, 5, 5), "clean": (5, 5, 4), "pgd20": (4, 4, 4), "autoattack": (3, 3, 3)}
    write_run("external-some", role="external", **small)
    write_run("external-all", role="external")
    methods, own = build_boards(results).boards
    assert [row.label for row in methods.external] == ["external-all"]
    assert [row.label for row in own.external] == ["external-some"]
    assert own.counts == (5, 5, 5)


def test_an_external_model_of_tier_fast_stands_on_the_fast_board(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "trades", evaluation=FAST)
    write_row(write_run, "trades-full")
    write_run("external-fast", role="external", evaluation=FAST)
    write_run("external-promoted", role="external", **PROMOTED)
    boards = by_tier(results)
    assert [row.label for row in boards["fast"].external] == ["external-fast"]
    assert [row.label for row in boards["full"].external] == ["external-promoted"]
    assert (boards["fast"].ranked[0].reason, boards["fast"].promoted) == ("", ())


PROTOCOL = protocol_description(load_suite("digits"), dataset_digest="")
EXTERNAL = {"name": "zoo", "model": "robustbench:X"}


@pytest.mark.parametrize(
    "description",
    [
        {"protocol": PROTOCOL},
        {"protocol": PROTOCOL, "external": "zoo"},
        {"protocol": PROTOCOL, "external": {"name": "zoo"}},
        {"protocol": PROTOCOL, "external": {**EXTERNAL, "name": ""}},
        {"protocol": PROTOCOL, "external": {**EXTERNAL, "model": 3}},
        {"protocol": {**PROTOCOL, "dataset": {}}, "external": EXTERNAL},
        {"protocol": {**PROTOCOL, "threat": {"norm": "L7", "epsilon": 0.1}}, "external": EXTERNAL},
        {"protocol": {**PROTOCOL, "threat": {"norm": "Linf", "epsilon": "wide"}}, "external": EXTERNAL},
        {"protocol": {**PROTOCOL, "evaluation": {"tier": "full"}}, "external": EXTERNAL},
        {"protocol": {**PROTOCOL, "evaluation": {"tier": "<b>", "pgd_step": 0.1}}, "external": EXTERNAL},
        {"protocol": {k: v for k, v in PROTOCOL.items() if k != "protocol"}, "external": EXTERNAL},
    ],
)
def test_an_external_model_without_full_conditions_is_refused(
    results: Path, write_run: WriteRun, description: dict[str, object]
) -> None:
    write_run("external-zoo", role="external", description=description)
    boards = build_boards(results)
    assert not boards.boards
    assert "does not say in full under which protocol" in boards.problems[0].message


def test_an_external_model_cannot_have_failed_in_training(results: Path, write_run: WriteRun) -> None:
    write_run("external-zoo", role="external", status="failed", reason="NaN", failed_epoch=0)
    assert "its model was not trained here" in build_boards(results).problems[0].message


@given(st.sampled_from(["screen", "fast", "full"]), st.sampled_from(["fast", "full"]), st.integers(1, 9))
def test_equal_protocols_mean_equal_conditions(asked: str, reached: str, batch_size: int) -> None:
    """Who may be ranked together may be stood beside by the same strangers, and a run in its own tier is unchanged."""
    evaluation = {**PROTOCOL["evaluation"], "tier": asked, "batch_size": batch_size}  # type: ignore[dict-item]
    description = {"protocol": {**PROTOCOL, "evaluation": evaluation}, "parameters": {}}
    common: dict[str, Any] = {"status": "done", "key": "k", "suite": "s", "method": "m", "label": "m", "seed": 0}
    run = Provenance(**common, description=description, class_names=[], tier=reached)  # type: ignore[arg-type]
    usual = Provenance(
        **common,
        description={"protocol": PROTOCOL, "parameters": {}},
        class_names=[],
        tier=reached,  # type: ignore[arg-type]
    )
    assert asked_tier(run) == asked
    assert judged_protocol(run) == judged_protocol(run, tier=reached) == judged_protocol(usual)
    assert conditions(run) == conditions(usual)
