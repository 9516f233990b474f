"""Hyper-parameters: types, bounds, and values that would change nothing but the run's key."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.errors import UserError
from fairbench.method.contract import Batch, Method
from fairbench.method.hyperparameter import hyperparameter


@dataclass(kw_only=True)
class Example(Method):
    """One field of every kind."""

    base: str = hyperparameter("pgd-at", "loss to train with", choices=("pgd-at", "trades", "mart"))
    beta: float = hyperparameter(6.0, "weight of the divergence", at_least=0, only_with=("base", "trades", "mart"))
    share: float = hyperparameter(0.5, "share of the images", at_least=0, at_most=1)
    shift: float = hyperparameter(-1.0, "may be infinite upwards", at_least=-10, infinite=True)
    copies: int = hyperparameter(1, "copies of an image", at_least=1, at_most=10, only_with=("append", True))
    append: bool = hyperparameter(False, "whether copies are added")

    def loss(self, batch: Batch) -> None:
        """Nothing to learn."""
        del batch


class TestSingleFields:
    def test_text_and_values_give_the_same_method(self) -> None:
        """As an option, in a suite file and in Python."""
        text = {"base": "trades", "beta": "3", "share": "1", "shift": "inf", "copies": "2", "append": "True"}
        method = Example(base="trades", beta=3, share=1, shift=math.inf, copies=2, append=True)
        assert Example.configured(text).parameters() == method.parameters()
        assert type(method.beta) is float

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"base": "awp"}, "base='awp' is not allowed; allowed: pgd-at, trades, mart"),
            ({"share": 1.5}, "share=1.5 is not allowed; allowed: at most 1"),
            ({"share": -0.1}, "share=-0.1 is not allowed; allowed: at least 0"),
            ({"share": "x"}, "share='x' is not a number"),
            ({"share": math.nan}, "share=nan is not a number"),
            ({"share": True}, "share=True must be float, like its default 0.5"),
            ({"copies": "2.5"}, "copies='2.5' is not an integer"),
            ({"copies": 2.0}, "copies=2.0 must be int"),
            ({"append": "yes"}, "append='yes' is not allowed; allowed: true, false"),
            ({"append": 1}, "append=1 must be bool"),
            ({"shares": 1}, "Did you mean 'share'"),
        ],
        ids=str,
    )
    def test_what_is_not_allowed(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError) as caught:
            Example.configured(changes)
        assert message in str(caught.value)

    @pytest.mark.parametrize("value", [math.inf, "inf", "1e999"])
    def test_infinity_is_refused(self, value: float | str) -> None:
        """It is at least 0, and would be NaN in the first loss."""
        with pytest.raises(UserError, match="beta=inf is not allowed; allowed: finite numbers"):
            Example.configured({"base": "trades", "beta": value})

    def test_infinity_within_the_bounds_may_mean_something(self) -> None:
        assert Example(shift=math.inf).shift == math.inf
        with pytest.raises(UserError, match="shift=-inf is not allowed; allowed: at least -10"):
            Example(shift=-math.inf)
        with pytest.raises(UserError, match="not a number"):
            Example(shift=math.nan)


class TestEffects:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"beta": 3.0},
                "beta=3.0 has no effect with base='pgd-at'; set base to 'trades' or 'mart', or beta to 6.0",
            ),
            ({"copies": "2"}, "copies=2 has no effect with append=False; set append to True, or copies to 1"),
        ],
    )
    def test_a_change_without_effect_is_refused(self, changes: dict[str, Any], message: str) -> None:
        """Two keys for one training would be two rows of the board."""
        with pytest.raises(UserError) as caught:
            Example.configured(changes)
        assert message in str(caught.value)

    @given(st.sampled_from(["pgd-at", "trades", "mart"]), st.floats(0, 10))
    def test_it_is_allowed_where_it_has_one_or_is_the_default(self, base: str, beta: float) -> None:
        if base != "pgd-at" or beta == 6.0:
            assert Example(base=base, beta=beta).beta == beta
        else:
            with pytest.raises(UserError, match="no effect"):
                Example(base=base, beta=beta)

    def test_another_spelling_of_the_default_is_the_default(self) -> None:
        assert Example.configured({"beta": "6"}).parameters() == Example().parameters()

    def test_single_fields_are_checked_first(self) -> None:
        """A value that is never allowed is not said to lack an effect."""
        with pytest.raises(UserError, match="copies=99 is not allowed"):
            Example(copies=99)
