"""Many tests at once: p-values that may be compared with alpha as if each were the only one.

Holm's step-down method (Scandinavian Journal of Statistics 1979) bounds the probability of any false finding, whatever
the tests have in common, and never finds less than Bonferroni.
"""

import numpy as np

from fairbench.outcomes.metrics import Vector


def holm(p_values: Vector) -> Vector:
    """Adjusted p-values, (tests,), in the order given."""
    order = np.argsort(p_values, kind="stable")
    remaining = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(remaining * p_values[order]))
    return adjusted


def holm_pairs(p_values: Vector) -> Vector:
    """Adjusted p-values of all pairs, (methods, methods), symmetric like its argument; 1 on the diagonal."""
    upper = np.triu_indices(len(p_values), k=1)
    adjusted = np.ones_like(p_values)
    adjusted[upper] = holm(p_values[upper])
    return np.minimum(adjusted, adjusted.T)
