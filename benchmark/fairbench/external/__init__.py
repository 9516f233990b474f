"""Models that others trained: their files, their code and the RobustBench zoo.

`specification` is the way in; nothing is imported here, so that the command line can name it without torch.
"""
