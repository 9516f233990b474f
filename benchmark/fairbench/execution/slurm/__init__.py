"""Runs as jobs of Slurm: arrays through submitit, watched by `squeue`, and adopted by the next `run-all`."""
