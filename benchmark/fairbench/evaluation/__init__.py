"""From a trained network to verdicts: clean, PGD-20 and AutoAttack per test image, with flags."""
