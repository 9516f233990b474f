"""A row that somebody else brings to a board: its bundle, what is checked of it, and how the board moves.

What a submitter checks and what a keeper checks is the same code; the keeper trusts nothing that it reads.
"""
