"""What is tried beside PGD-20 and AutoAttack: attacks by name, ours and everybody's; see `contract`."""
