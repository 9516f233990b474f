"""A suite that leaves test images out, from the file to the outcomes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fairbench.outcomes.store import read_outcomes, result_files

Command = Callable[..., "subprocess.CompletedProcess[str]"]
LEFT_OUT = (0, 7, 530)
ARGUMENTS = ("--method", "pgd-at", "--seed", "0", "--jobs", "1")


def restricted(text: str, exclude: str) -> str:
    return text.replace("\n[threat]", f"\n[dataset.exclude]\n{exclude}\n\n[threat]")


def test_outcomes_keep_the_positions_of_the_published_test_set(
    fairbench: Command, short_file: Path, tmp_path: Path
) -> None:
    """So an image has the noise, the row and the verdict that it has where nothing is left out."""
    exclude = f'why = "They are hard to read."\ntest = {list(LEFT_OUT)}'
    (tmp_path / "fewer.toml").write_text(restricted(short_file.read_text(), exclude))
    for suite in ("short.toml", "fewer.toml"):
        done = fairbench("run-all", "--suite", suite, *ARGUMENTS)
        assert done.returncode == 0, done.stdout + done.stderr
    fewer, whole = (read_outcomes(path) for path in result_files(tmp_path / "results"))
    expected = whole.rows[~whole.rows["index"].isin(LEFT_OUT)].reset_index(drop=True)
    pd.testing.assert_frame_equal(fewer.rows, expected)
    assert fewer.provenance.description["protocol"]["dataset"]["exclude"] == {"train": [], "test": list(LEFT_OUT)}
    told = fairbench("protocol", "--suite", "fewer.toml").stdout
    assert "the test images 0, 7 and 530, counted from 0: They are hard to read." in told


def test_a_position_out_of_range_is_one_message_before_anything_is_trained(
    fairbench: Command, short_file: Path
) -> None:
    short_file.write_text(restricted(short_file.read_text(), 'why = "Damaged."\ntrain = [99999]'))
    refused = fairbench("run-all", "--suite", "short.toml", *ARGUMENTS)
    assert refused.returncode != 0
    assert "dataset.exclude.train has 99999, but digits has" in " ".join((refused.stdout + refused.stderr).split())
    status = fairbench("status", "--suite", "short.toml", "--method", "pgd-at", "--seed", "0", "--json")
    assert {run["state"] for run in json.loads(status.stdout)["runs"]} == {"not run yet"}
