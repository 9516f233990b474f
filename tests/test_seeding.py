"""Seeds from names."""

import torch

from fairbench.seeding import derived_seed, generator


def test_seeds_are_pinned() -> None:
    """A change of the derivation changes every result: it would be a new protocol version."""
    assert derived_seed(0, "order") == 7587320288093301805


def test_names_do_not_run_together() -> None:
    assert derived_seed("ab", "c") != derived_seed("a", "bc")
    assert derived_seed(1, "noise") != derived_seed(0, "noise") != derived_seed(0, "order")


def test_generators_leave_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(0, "noise"))
    assert torch.equal(torch.get_rng_state(), before)
