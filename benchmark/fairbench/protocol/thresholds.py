"""From where on something counts: flags, audits, ranks. A change of one changes the protocol in words, too."""

NOTABLE_ZERO_GRADIENT_SHARE = 0.01
"""Confident images of a sound network reach zero in fp32 now and then; one in a hundred is no accident."""

NOTABLE_SQUARE_GAIN_PP = 0.2
"""The threshold of the reference."""

NOTABLE_PGD_AA_GAP_PP = 10.0
"""Gaps of 3 to 9 points are common in the literature."""

NOTABLE_BATCH_DISTANCE = 0.01
"""Of half of the images. Half precision rounds otherwise in batches of another size, by less than a hundredth."""

DOUBT = 0.05
"""A number of missed breaks is excluded if so many would have stayed hidden with at most this probability."""

REQUIRED_SEEDS = 3
"""Finished seeds of a ranked row."""

BOOTSTRAP_SEED = 0
"""Of the resamples behind all standings; a board is a pure function of its files."""
