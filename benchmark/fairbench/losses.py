"""The losses under the name that they had before: authors write `from fairbench import cross_entropy` now."""

from fairbench import cross_entropy, kl_divergence, margin

__all__ = ["cross_entropy", "kl_divergence", "margin"]
