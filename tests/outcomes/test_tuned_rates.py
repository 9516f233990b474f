"""What tuning found: a file that says the same when it is read again, and is refused where it does not belong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairbench import Suite, UserError, load_suite
from fairbench.outcomes.tuned_rates import (
    TunedRates,
    checked_rates,
    known_rates,
    no_rates,
    rates_of,
    read_tuned_rates,
    write_tuned_rates,
)
from fairbench.protocol.suite_file import suite_names
from fairbench.protocol.tuning import Trial, TunedMethod

GOOD = Trial(rate=1.0, average=0.7, worst=0.4, epoch=39)
BETTER = Trial(rate=10.0, average=0.72, worst=0.58, epoch=38)
FAILED = Trial(rate=30.0, reason="the loss became nan (epoch 2)")


@pytest.fixture
def suite() -> Suite:
    return load_suite("digits")


@pytest.fixture
def found(suite: Suite) -> TunedRates:
    methods = {"absld": TunedMethod(trials=(GOOD, BETTER, FAILED)), "pgd-at": TunedMethod(trials=(GOOD,))}
    return replace(no_rates(suite, dataset_digest=""), methods=methods, versions={"torch": "2.14.1"})


def test_the_best_trial_has_the_largest_sum_of_average_and_worst() -> None:
    method = TunedMethod(trials=(GOOD, BETTER, FAILED))
    assert (method.best, method.rate) == (BETTER, 10.0)


def test_of_equal_trials_the_lower_rate_is_taken() -> None:
    assert TunedMethod(trials=(GOOD, replace(GOOD, rate=3.0))).rate == 1.0


def test_a_failed_trial_is_below_one_that_is_never_right() -> None:
    assert TunedMethod(trials=(FAILED, Trial(rate=1 / 3, epoch=0))).rate == 1 / 3


def test_where_every_trial_failed_the_rate_is_the_suites() -> None:
    assert TunedMethod(trials=(FAILED, replace(FAILED, rate=3.0))).rate == 1.0


def test_a_file_says_the_same_when_it_is_read_again(found: TunedRates, tmp_path: Path) -> None:
    write_tuned_rates(tmp_path / "digits.tuned.json", found)
    assert read_tuned_rates(tmp_path / "digits.tuned.json") == found


def test_a_file_holds_one_trial_a_line(found: TunedRates, tmp_path: Path) -> None:
    write_tuned_rates(tmp_path / "digits.tuned.json", found)
    lines = (tmp_path / "digits.tuned.json").read_text().splitlines()
    assert sum('"rate"' in line for line in lines) == 4
    assert max(map(len, lines)) < 250


def change(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(values)


def one_trial(**values: Any) -> Callable[[dict[str, Any]], None]:
    return change(methods={"absld": {"trials": [values]}})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change(schema=99), "schema 99"),
        (change(suite=3), "of a wrong type: suite"),
        (change(colour="red"), "does not allow or misses: colour"),
        (change(methods={"absld": {"trials": []}}), "wrong type: methods"),
        (one_trial(rate=0.0, epoch=1), "wrong type: methods"),
        (one_trial(rate=-1.0, epoch=1), "wrong type: methods"),
        (one_trial(rate=1.0, epoch=1, average=0.3, worst=0.4), "wrong type: methods"),
        (one_trial(rate=1.0), "wrong type: methods"),
        (one_trial(epoch=1), "wrong type: methods"),
        (one_trial(rate=1.0, epoch=1, colour="red"), "wrong type: methods"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(
    found: TunedRates, tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = tmp_path / "digits.tuned.json"
    write_tuned_rates(path, found)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_tuned_rates(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read_tuned_rates(tmp_path / "nowhere.json")


def test_rates_of_another_suite_are_refused(found: TunedRates, suite: Suite) -> None:
    with pytest.raises(UserError, match="suite mnist, and this is suite digits"):
        checked_rates(replace(found, suite="mnist"), suite, dataset_digest="", origin="mine.json")


def test_rates_of_another_protocol_are_refused(found: TunedRates, suite: Suite) -> None:
    with pytest.raises(UserError, match="protocol fairbench-1, and this is protocol fairbench-2"):
        checked_rates(replace(found, protocol="fairbench-1"), suite, dataset_digest="", origin="mine.json")


@pytest.mark.parametrize(
    "changed",
    [
        lambda suite: replace(suite, recipe=replace(suite.recipe, epochs=7)),
        lambda suite: replace(suite, threat=replace(suite.threat, epsilon=0.1)),
        lambda suite: replace(suite, model="cifar-cnn"),
        lambda suite: replace(suite, teacher="cifar-cnn"),
        lambda suite: replace(suite, tuning=replace(suite.tuning, seed=77)),
        lambda suite: replace(suite, tuning=replace(suite.tuning, rates=(1.0, 2.0))),
        lambda suite: replace(suite, tuning=replace(suite.tuning, fraction=0.5)),
    ],
)
def test_rates_from_before_a_change_of_the_suite_are_refused(
    found: TunedRates, suite: Suite, changed: Callable[[Suite], Suite]
) -> None:
    with pytest.raises(UserError, match="before the suite digits changed"):
        checked_rates(found, changed(suite), dataset_digest="", origin="mine.json")


def test_a_change_that_no_trial_depends_on_keeps_them(found: TunedRates, suite: Suite) -> None:
    evaluation = replace(suite.evaluation, tier="screen", search="bf16")
    other = replace(suite, seeds=(5, 6), title="another", evaluation=evaluation)
    assert checked_rates(found, other, dataset_digest="", origin="mine.json") is found


def test_rows_of_a_users_file_come_before_those_of_the_suite(suite: Suite, tmp_path: Path) -> None:
    mine = TunedMethod(trials=(replace(GOOD, rate=3.0),))
    path = tmp_path / "mine.json"
    write_tuned_rates(path, replace(no_rates(suite, dataset_digest=""), methods={"trades": mine, "my-method": mine}))
    known = known_rates(suite, path, dataset_digest="")
    assert known is not None
    assert known.methods["trades"] == known.methods["my-method"] == mine


def test_a_suite_that_is_not_to_be_tuned_takes_no_file(suite: Suite, tmp_path: Path) -> None:
    untuned = replace(suite, tuning=None)
    assert known_rates(untuned, dataset_digest="") is None
    with pytest.raises(UserError, match=r"no table \[tuning\]"):
        known_rates(untuned, tmp_path / "mine.json", dataset_digest="")


@pytest.mark.parametrize("name", suite_names())
def test_shipped_rates_fit_their_suite(name: str) -> None:
    """Whoever changes a suite tunes it again, or removes its rates."""
    suite = load_suite(name)
    own = rates_of(suite)
    if own is not None:
        assert checked_rates(own, suite, dataset_digest="", origin=name) is own
        assert suite.tuning is not None
        assert {len(method.trials) for method in own.methods.values()} == {len(suite.tuning.rates) + 1}
