"""What an epoch shows of hard images: the rank correlation against pandas, ties and gaps included."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairbench_methods.parts.hardness import rank_correlation

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=2, max_size=12)


@given(pairs)
def test_it_is_the_one_of_pandas(values: list[tuple[int, int]]) -> None:
    first, second = torch.tensor(values, dtype=torch.float64).T
    found = rank_correlation(first, second)
    if len(first.unique()) == 1 or len(second.unique()) == 1:
        assert found is None
    else:
        assert found is not None
        assert -1 <= found <= 1
        assert found == pytest.approx(pd.DataFrame(values).corr(method="spearman").iloc[0, 1])


def test_classes_without_images_are_left_out() -> None:
    first, second = torch.tensor([1.0, math.nan, 2.0, 3.0]), torch.tensor([9.0, 0.0, math.nan, 7.0])
    assert rank_correlation(first, second) == pytest.approx(-1)
    assert rank_correlation(first * math.nan, second) is None
