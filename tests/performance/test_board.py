"""A large board from disk to page: 60 methods, 5 seeds, 10,000 test images, in a process of its own.

    pytest -m performance -s tests/performance/test_board.py

Prints seconds and peak memory of `fairbench report`: reading and checking 300 files, 2,000 resamples for every key, all
pairs, and the pages.
"""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairbench.outcomes.store import Outcomes, read_outcomes, write_outcomes
from fixture_types import WriteRun

pytestmark = pytest.mark.performance

METHODS, SEEDS, CLASSES, IMAGES, EPOCHS = 60, 5, 10, 10_000, 110
SECONDS, BYTES = 60, 2 << 30


def verdicts(generator: np.random.Generator, robustness: np.ndarray) -> pd.DataFrame:
    """Images that every method finds about equally hard, with some luck; errors go to any other class."""
    labels = np.repeat(np.arange(CLASSES), IMAGES // CLASSES)
    difficulty = np.random.default_rng(0).random(IMAGES)
    hardness = np.clip(difficulty + 0.1 * generator.standard_normal(IMAGES), 0, 1)

    def predictions(accuracy: np.ndarray) -> np.ndarray:
        wrong = (labels + generator.integers(1, CLASSES, IMAGES)) % CLASSES
        return np.where(hardness < accuracy[labels], labels, wrong).astype(np.int16)

    clean, pgd20, autoattack = (predictions(np.clip(robustness + gain, 0, 1)) for gain in (0.35, 0.05, 0))
    broken_by = np.where(autoattack == labels, "", np.where(clean == labels, "apgd-t", "clean"))
    return pd.DataFrame(
        {
            "index": np.arange(IMAGES, dtype=np.int32),
            "label": labels.astype(np.int16),
            "clean": clean,
            "pgd20": pgd20,
            "pgd20_any": pgd20 == labels,
            "pgd20_survived": generator.integers(0, 21, IMAGES).astype(np.int16),
            "autoattack": autoattack,
            "broken_by": broken_by,
            "last_clean": clean,
            "last_pgd20": pgd20,
        }
    )


def test_sixty_methods(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    accuracies = {"validation_clean": [0.8] * CLASSES, "validation_robust": [0.5] * CLASSES}
    history = [
        {"epoch": epoch, "learning_rate": 0.1, "loss": 1.0, "method": {}, **accuracies} for epoch in range(EPOCHS)
    ]
    for method in range(METHODS):
        label = "pgd-at" if method == 0 else f"method-{method}"
        profile = np.linspace(0.25, 0.65, CLASSES) + 0.03 * generator.standard_normal(CLASSES)
        for seed in range(SEEDS):
            path = write_run(label, seed=seed, class_names=list("0123456789"), history=history, selected_epoch=99)
            provenance = replace(read_outcomes(path).provenance, class_names=[f"class {k}" for k in range(CLASSES)])
            robustness = profile + 0.01 * generator.standard_normal(CLASSES)
            write_outcomes(path, Outcomes(rows=verdicts(generator, robustness), provenance=provenance))
    command = [sys.executable, "-c", "from fairbench.cli import main; main()", "report"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--results", str(results), "--site", str(tmp_path / "site")],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    size = sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    print(f"\n{METHODS} methods x {SEEDS} seeds x {IMAGES:,} images: {seconds:.1f} s, {peak / 2**20:.0f} MiB,", end=" ")
    print(f"site of {size / 1e6:.1f} MB")
    assert done.returncode == 0, done.stdout + done.stderr
    assert seconds < SECONDS
    assert peak < BYTES
