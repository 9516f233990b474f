"""The file of `--executor-options`."""

from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.execution.cluster_options import ClusterOptions, read_cluster_options


def read(folder: Path, text: str) -> ClusterOptions:
    (folder / "cluster.toml").write_text(text)
    return read_cluster_options(folder / "cluster.toml")


def test_every_engine_has_a_table_and_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "") == ClusterOptions()
    found = read(tmp_path, '[slurm]\npartition = "gpu"\nsetup = ["module load cuda"]\n[ray]\ngpus = 0.5\n')
    assert (found.slurm.partition, found.slurm.setup, found.ray.gpus) == ("gpu", ("module load cuda",), 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[slurm]\npartion = 'gpu'", r"Unknown field 'slurm.partion'. Did you mean 'slurm.partition'"),
        ("[dask]", "Unknown field 'dask'"),
        ("[slurm]\nminutes = 0", r"slurm.minutes = 0 is not allowed; allowed: at least 1"),
        ("[slurm]\ngpus = 'two'", "slurm.gpus = 'two' is a string; it must be an integer"),
        ("[slurm]\nminutes = 2", "slurm.warning_seconds = 120 is not allowed; allowed: less than slurm.minutes"),
        ("[slurm", "is not a TOML file"),
    ],
)
def test_what_is_wrong_with_it_is_named(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words) as refused:
        read(tmp_path, text)
    assert str(tmp_path / "cluster.toml") in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read"):
        read_cluster_options(tmp_path / "absent.toml")
