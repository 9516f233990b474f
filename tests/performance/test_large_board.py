"""Five boards of 1,000 runs each, from plan to pages: 200 methods, 5 seeds, 10,000 test images, 110 epochs.

    pytest -m performance -s tests/performance/test_large_board.py

Prints seconds, those of the processor and peak memory, every command in a process of its own: the plan of 5,000 runs,
the `status` of them all, the `report` of one suite and of all five, and the page of a suite once more although nothing
changed. Most methods are of a plug-in. Writing the files takes minutes, and half a gigabyte while the check lasts.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import plan
from fairbench.identity import content_key
from fairbench.method import registry
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, write_outcomes
from fairbench.protocol.run import Run

pytestmark = pytest.mark.performance

SUITES = ("one", "two", "three", "four", "five")
METHODS, SEEDS, CLASSES, IMAGES, EPOCHS = 200, 5, 10, 10_000, 110

PLUGIN = """
from dataclasses import dataclass

from fairbench import Card, Method, hyperparameter


def loss(self, batch):
    return self.model(batch.images).mean()


for number in range({count}):
    name = f"Variant{{number:03d}}"
    card = Card(
        title=name, authors="A. Author", venue="preprint", year=2026, link="https://example.org",
        bibtex="@misc{{" + name + ", title = {{" + name + "}}}}", code_licence="MIT", idea="One of many. " * 10,
    )
    fields = {{"__module__": __name__, "__annotations__": {{"beta": float}}, "card": card, "loss": loss}}
    fields["beta"] = hyperparameter(float(number), "weight of the second term", at_least=0)
    globals()[name] = dataclass(kw_only=True)(type(name, (Method,), fields))
"""

MEASURED = """
import json, re, sys, time
from pathlib import Path
from fairbench.commands.options.folders import RunFolders
from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import plan

folder, suites = Path(sys.argv[1]), sys.argv[2].split(",")
results, site = folder / sys.argv[3], folder / "site"
asked = [
    Selection(suite=str(folder / f"{suite}.toml"), plugins=(folder / "variants.py",), seeds=(0, 1, 2, 3, 4))
    for suite in suites
]
HEATED
began, processor = time.perf_counter(), time.process_time()
CODE
seconds, processor = time.perf_counter() - began, time.process_time() - processor
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # of this program alone
sys.stderr.write(json.dumps({"seconds": seconds, "processor": processor, "MiB": peak}))
"""

LOADED = "plan(asked[0])  # loads torch and the plug-in"
PLAN = "plan(Selection(suite=asked[0].suite, seeds=tuple(range(193))))"  # of the 26 methods that ship
STATUS = """
from fairbench.commands.status import status
for selection in asked:
    status(selection, RunFolders(results=results, work_dir=folder / "runs"), as_json=False)
"""
REPORT = """
from fairbench.commands.report import report
report(results, site, check=False)
"""
PAGE = """
from fairbench.commands.live_page import LivePage
page = LivePage(results, site)
page.written()
"""


def verdicts(generator: np.random.Generator, robustness: np.ndarray) -> pd.DataFrame:
    """Images that every method finds about equally hard, with some luck; errors go to any other class."""
    labels = np.repeat(np.arange(CLASSES, dtype=np.int16), IMAGES // CLASSES)
    difficulty = np.random.default_rng(0).random(IMAGES)
    hardness = np.clip(difficulty + 0.1 * generator.standard_normal(IMAGES), 0, 1)

    def predictions(accuracy: np.ndarray) -> np.ndarray:
        wrong = (labels + generator.integers(1, CLASSES, IMAGES, dtype=np.int16)) % CLASSES
        return np.where(hardness < accuracy[labels], labels, wrong)

    clean, pgd20, autoattack = (predictions(np.clip(robustness + gain, 0, 1)) for gain in (0.35, 0.05, 0))
    broken_by = np.where(autoattack == labels, "", np.where(clean == labels, "apgd-t", "clean"))
    return pd.DataFrame(
        {
            "index": np.arange(IMAGES, dtype=np.int32),
            "label": labels,
            "clean": clean,
            "pgd20": pgd20,
            "pgd20_any": pgd20 == labels,
            "pgd20_survived": generator.integers(0, 21, IMAGES).astype(np.int16),
            "autoattack": autoattack,
            "broken_by": broken_by.astype(object),
            "last_clean": clean,
            "last_pgd20": pgd20,
        }
    )


def outcomes(run: Run, generator: np.random.Generator, card: dict[str, object]) -> Outcomes:
    """As a training and an evaluation leave them."""
    profile = np.linspace(0.25, 0.65, CLASSES) + 0.03 * np.random.default_rng(
        int(content_key({"label": run.label}), 16)
    ).random(CLASSES)
    validated = generator.integers(60, 240, (EPOCHS, 2, CLASSES)) / 300
    history = [
        {
            "epoch": epoch,
            "learning_rate": 0.1,
            "loss": float(generator.random()),
            "method": {},
            "validation_clean": clean.tolist(),
            "validation_robust": robust.tolist(),
        }
        for epoch, (clean, robust) in enumerate(validated)
    ]
    provenance = Provenance(
        status="done",
        key=run.key,
        description=json.loads(json.dumps(run.description())),
        suite=run.suite.name,
        suite_title=run.suite.title,
        method=run.method,
        label=run.label,
        role=run.role,
        card=card,
        seed=run.seed,
        class_names=[f"class {k}" for k in range(CLASSES)],
        train_counts=[4700] * CLASSES,
        selected_epoch=99,
        history=history,
        tier="full",
        passes={"model": {"forwards": 1e6, "input_backwards": 1e6, "weight_backwards": 1e5, "relative_cost": 1.0}},
        cost=1.0 + float(generator.random()),
        seconds={"training": 1e4, "pgd20": 60.0, "autoattack": 2e3},
        checkpoints={"selected": "0" * 64, "last": "1" * 64},
        versions={"fairbench": "0.1.0", "python": "3.12.0", "torch": "2.9.0"},
        hardware="A fast machine",
        device="cuda",
    )
    robustness = profile + 0.01 * generator.standard_normal(CLASSES)
    return Outcomes(rows=verdicts(generator, robustness), provenance=provenance)


def write_everything(folder: Path) -> int:
    """Suites, a plug-in and all outcomes below a folder; how many there are."""
    recipe = (resources.files("fairbench.protocol") / "suites" / "cifar10.toml").read_text(encoding="utf-8")
    plugin = folder / "variants.py"
    plugin.write_text(PLUGIN.format(count=METHODS - len(registry.names())), encoding="utf-8")
    cards = {name: asdict(registry.card(name, plugins=[plugin])) for name in registry.names(plugins=[plugin])}
    generator, written = np.random.default_rng(1), 0
    for suite in SUITES:
        file = folder / f"{suite}.toml"
        file.write_text(recipe, encoding="utf-8")
        asked = Selection(suite=str(file), plugins=(plugin,), seeds=tuple(range(SEEDS)))
        for run in plan(asked).runs:
            write_outcomes(run.result_file(folder / "results"), outcomes(run, generator, cards[run.method]))
            written += 1
    (folder / "alone").mkdir()
    (folder / "alone" / SUITES[0]).symlink_to(folder / "results" / SUITES[0])
    return written


def measured(
    folder: Path, code: str, *, heated: str = "", suites: str = ",".join(SUITES), results: str = "results"
) -> str:
    """Seconds and peak memory of a piece of code in a process of its own, as a line."""
    text = MEASURED.replace("HEATED", heated).replace("CODE", code)
    done = subprocess.run(
        [sys.executable, "-c", text, str(folder), suites, results], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stderr.splitlines()[-1])
    return f"{found['seconds']:6.1f} s, {found['processor']:6.1f} s of the processor, {found['MiB']:6.0f} MiB"


def test_five_thousand_runs(tmp_path: Path) -> None:
    written = write_everything(tmp_path)
    print(f"\n{written:,} runs, {METHODS} methods in each of {len(SUITES)} suites")
    everything = {
        "plan of 5,000 runs": measured(tmp_path, PLAN, heated=LOADED),
        "status of all": measured(tmp_path, STATUS, heated=LOADED),
        "report of one suite": measured(tmp_path, REPORT, results="alone"),
        "its page once more": measured(tmp_path, "page.written()", heated=PAGE, results="alone"),
        "report of all": measured(tmp_path, REPORT),
    }
    for what, line in everything.items():
        print(f"{what:30}{line}")
    site = tmp_path / "site"
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    largest = max((site / "suites").iterdir(), key=lambda path: path.stat().st_size).stat().st_size
    first = (site / "index.html").stat().st_size
    print(f"a site of {size / 1e6:.0f} MB: index.html {first / 1e3:.0f} kB, a page of a suite {largest / 1e6:.1f} MB")
    assert written >= len(SUITES) * METHODS * SEEDS
    assert len(list((site / "suites").iterdir())) == len(SUITES)
    shutil.rmtree(tmp_path / "results")
