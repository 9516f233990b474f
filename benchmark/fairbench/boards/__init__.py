"""From outcomes to boards: rows that may be compared, in order, with what of that order is certain.

`reading` reads files, `ranking` is a pure function of what was read, `building` does both. Nothing here imports torch.
"""
