"""The table of flags: what the evaluation noticed of every result, as figures and not only as sentences.

    headings = [heading for heading, _ in COLUMNS.values()]
    for result in row.finished:
        cells(result)          # as many as there are headings

Results are not trusted: a flag that holds something else than it should is left out, and stops no report.
"""

import math
from collections.abc import Callable
from typing import Any

from fairbench.boards.seed_result import SeedResult
from fairbench.report.phrases import NOTHING, percent


def cells(result: SeedResult) -> list[str]:
    """The flags of a run as text, one for every column; a dash for what was not looked at."""
    flags = result.provenance.flags
    return [show(flags[name]) if name in flags else NOTHING for name, (_, show) in COLUMNS.items()]


def _answer(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else NOTHING


def _real(value: Any) -> float:
    """NaN if it is no number, or none that a float can hold."""
    return float(value) if type(value) in (int, float) and abs(value) < 1e300 else math.nan


def _share(value: Any) -> str:
    return percent(_real(value))


def _points(value: Any) -> str:
    points = _real(value)
    return f"{points:.2f}" if math.isfinite(points) else NOTHING


def _number(value: Any) -> str:
    return f"{value:,}" if type(value) is int else NOTHING


def _listed(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else NOTHING


COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "randomised": ("Randomised", _answer),
    "batch_dependent": ("Depends on the batch", _answer),
    "probability_outputs": ("Returns probabilities", _answer),
    "grad_at_inference": ("Optimises at inference", _answer),
    "train_mode_modules": ("In train mode", _listed),
    "zero_gradient_share": ("Zero gradients, %", _share),
    "nonfinite": ("Non-finite images", _number),
    "square_gain_pp": ("Square gain, points", _points),
    "pgd_aa_gap_pp": ("PGD-20 − AutoAttack, points", _points),
    "order_violations": ("Classes out of order", _listed),
    "unverified_breaks": ("Unverified breaks", _number),
    "audit_breaks": ("Audit breaks", _number),
}
"""By flag: heading and how its value is shown."""
