"""Controllers that move by a rate per epoch depend on the number of epochs; this says how a rate follows it."""

SCALINGS = ("none", "length")
"""`none` keeps the published rate; `length` gives a shorter training proportionally larger moves."""


def scaled_rate(rate: float, *, scaling: str, reference_epochs: int, epochs: int) -> float:
    """An additive rate per epoch, for a training of another length than the authors'.

    Args:
        rate: as published.
        scaling: one of `SCALINGS`.
        reference_epochs: E_ref, the authors' number of epochs.
        epochs: E, ours; the factor E_ref / E is kept within 1/4 and 4.
    """
    assert scaling in SCALINGS
    return rate if scaling == "none" else rate * min(max(reference_epochs / epochs, 0.25), 4.0)


def scaled_decay(decay: float, *, scaling: str, reference_epochs: int, epochs: int) -> float:
    """The decay per epoch of a moving average, so that it forgets as much over the same share of the training.

    Args:
        decay: d as published, in [0, 1).
        scaling: one of `SCALINGS`.
        reference_epochs: E_ref, the authors' number of epochs.
        epochs: E, ours; the result is d^(E_ref / E).
    """
    assert scaling in SCALINGS
    return decay if scaling == "none" else float(decay ** (reference_epochs / epochs))
