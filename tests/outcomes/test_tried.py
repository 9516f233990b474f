"""What else was tried, from the columns of a file: by hand, and refused where it contradicts itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairbench.errors import UserError
from fairbench.outcomes.store import Outcomes, read_outcomes, write_outcomes
from fairbench.outcomes.tried import counted, hardest_accuracies, made_into, tried_accuracies
from fixture_types import WriteRun

# Six images of three classes, of which the last is misclassified without an attack.
LABELS, CLEAN, AUTO = [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 0], [0, 1, 1, 0, 2, 0]
TARGETED, REACHED = [2, 1, 1, 1, 2, 0], [[1, 2], [1], [], [], [], []]
SPARSE = [1, 1, 0, 0, 0, 0]


@pytest.fixture
def outcomes(write_run: WriteRun) -> Callable[..., Outcomes]:
    """Two further attacks, of which one has a ball of its own."""

    def make(**changes: Any) -> Outcomes:
        found = read_outcomes(write_run(counts=(2, 2, 2), clean=(2, 2, 1), pgd20=(2, 2, 1), autoattack=(1, 1, 1)))
        rows = found.rows.assign(label=LABELS, clean=CLEAN, autoattack=AUTO, pgd20=AUTO, last_clean=CLEAN)
        rows = rows.astype(dict.fromkeys(["label", "clean", "autoattack", "pgd20", "last_clean"], np.int16))
        columns = {"tried:targeted": TARGETED, "tried:l1": SPARSE} | changes.pop("columns", {})
        for name, values in columns.items():
            rows[name] = np.array(values, dtype=np.int16)
        for name, lists in {"targeted": changes.pop("reached", REACHED), "l1": [[]] * 6}.items():
            rows[f"reached:{name}"] = pd.Series([np.array(one, dtype=np.int16) for one in lists])
        protocol = found.provenance.description["protocol"]
        protocol["evaluation"] = {**protocol["evaluation"], "attacks": ["targeted", "l1"]}
        tried: dict[str, dict[str, Any]] = {"targeted": {"forwards": 7}, "l1": {"norm": "L1", "radius": 2.0}}
        return Outcomes(rows=rows, provenance=replace(found.provenance, tried=tried, **changes))

    return make


def test_by_hand(outcomes: Callable[..., Outcomes], tmp_path: Path) -> None:
    """What targeted broke counts with AutoAttack, what was found in another ball does not."""
    path = tmp_path / "seed0.parquet"
    write_outcomes(path, outcomes())
    found = read_outcomes(path)
    assert counted(found.provenance) == ("targeted",)
    accuracies = {text: one.correct.tolist() for text, one in tried_accuracies(found).items()}
    assert accuracies == {"targeted": [0, 2, 1], "l1": [0, 0, 0]}
    assert hardest_accuracies(found, "autoattack").correct.tolist() == [0, 1, 1]
    assert made_into(found, "targeted").tolist() == [[2, 2, 1], [0, 2, 0], [0, 0, 1]]


def test_what_a_smaller_radius_broke_counts_too(outcomes: Callable[..., Outcomes]) -> None:
    """The larger ball contains the point; radii beyond the threat do not count."""
    found = outcomes()
    evaluation = found.provenance.description["protocol"]["evaluation"]
    found.rows["curve"] = np.array([2, 2, 0, 2, 1, 0], dtype=np.int16)
    for curve, correct in (((0.1, 0.3), [0, 0, 1]), ((0.3, 0.4), [0, 1, 1])):
        evaluation["curve"] = list(curve)  # the threat is 0.15
        assert hardest_accuracies(found, "autoattack").correct.tolist() == correct


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"tried:fast": [0] * 6}}, "a column 'tried:fast' must be there where the protocol has that"),
        ({"columns": {"tried:targeted": [5] * 6}}, "must hold classes from 0 to 2"),
        ({"reached": [[0], [1], [], [], [], []]}, "never its own among those"),
        ({"reached": [[7], [1], [], [], [], []]}, "must hold classes from 0 to 2"),
        ({"tried": {}}, "what is known of 'l1' must be there"),
    ],
)
def test_contradictions_are_refused(
    outcomes: Callable[..., Outcomes], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    made = outcomes(**{name: value for name, value in changes.items() if name != "tried"})
    if "tried" in changes:
        made = replace(made, provenance=replace(made.provenance, tried=changes["tried"]))
    with pytest.raises(UserError, match=message):
        write_outcomes(tmp_path / "seed0.parquet", made)


def test_without_further_attacks_a_file_is_what_it_was(write_run: WriteRun) -> None:
    """Not one byte of its metadata speaks of them."""
    path = write_run()
    assert b'"tried"' not in path.read_bytes()
    found = read_outcomes(path)
    assert tried_accuracies(found) == {}
    assert hardest_accuracies(found, "autoattack").correct.tolist() == [5, 4, 3]
