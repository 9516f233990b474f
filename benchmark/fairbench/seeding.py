"""Every random draw has a name. Seeds come from hashed names, never from the order of calls.

Adding a component therefore never changes another one's draws, and all methods of a suite see the same initial weights,
batches, augmentation and attack noise for a seed, which is what makes the identities between them hold bit for bit.
"""

import hashlib

import torch


def derived_seed(*names: str | int) -> int:
    """A 63-bit seed from a path of names, such as (seed, "augmentation")."""
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own on a device, seeded by a path of names."""
    return torch.Generator(device=device).manual_seed(derived_seed(*names))
