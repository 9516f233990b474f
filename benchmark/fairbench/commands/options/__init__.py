"""What can be said on the command line: one frozen dataclass for each group of options, which the commands are given.

The groups are read for `--help` already, so that nothing heavy is imported here.
"""
