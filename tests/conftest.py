"""Synthetic outcomes with known counts, written as real parquet files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import settings

from fairbench import load_suite
from fairbench.method.contract import Card
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.receipt import Receipt, outcomes_sha256, receipt_file, write_receipt
from fairbench.outcomes.store import NOT_RUN, Outcomes, no_rows, read_provenance, write_outcomes
from fairbench.protocol.suite import protocol_description
from fixture_types import WriteRun

settings.register_profile("shared machine", deadline=None)  # a busy core is no failure
settings.load_profile("shared machine")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """As workers compute: rounding depends on the number of threads, and tensors this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder for outcome files."""
    return tmp_path / "results"


@pytest.fixture
def write_run(results: Path) -> WriteRun:
    """Writes one outcome file below `results`; a class is described by how many of its images survive."""

    def write(
        label: str = "trades",
        *,
        seed: int = 0,
        counts: Sequence[int] = (10, 10, 10),
        clean: Sequence[int] = (9, 9, 8),
        pgd20: Sequence[int] = (6, 5, 4),
        autoattack: Sequence[int] | None = (5, 4, 3),
        epsilon: float = 0.15,
        parameters: Mapping[str, object] | None = None,
        evaluation: Mapping[str, Any] | None = None,
        folder: str = "",
        file: str = "",
        **provenance: Any,
    ) -> Path:
        suite = load_suite("digits")
        suite = replace(suite, threat=replace(suite.threat, epsilon=epsilon))
        asked = {"tier": "full" if autoattack else "screen", **(evaluation or {})}
        suite = replace(suite, evaluation=replace(suite.evaluation, **asked))
        if provenance.get("role") == "teacher":
            suite = suite.teaching()
        method = provenance.setdefault("method", label)
        description: dict[str, Any] = {
            "protocol": protocol_description(suite, dataset_digest=""),
            "method": method,
            "parameters": dict(parameters or {}),
            "seed": seed,
            "prerequisites": {},
        }
        if provenance.get("role") == "external":
            for trained in ("model", "recipe"):
                del description["protocol"][trained]
            external = {"name": label.removeprefix("external-"), "model": "robustbench:Carmon2019Unlabeled"}
            description = {"protocol": description["protocol"], "external": external, "seed": seed}
        card = Card(
            title=label.upper(),
            authors="A. Author",
            venue="ICML",
            year=2019,
            link="https://x.org",
            bibtex="@a",
            code_licence="none",
        )
        values: dict[str, Any] = {
            "status": "done",
            "key": "0123456789abcdef",
            "description": description,
            "suite": "digits",
            "suite_title": suite.title,
            "class_names": [str(k) for k in range(len(counts))],
            "card": {} if "external" in description else asdict(card),
            "cost": 1.0,
            "tier": "" if provenance.get("status") == "failed" else asked["tier"],
        } | provenance
        if values["tier"] == "fast":
            values.setdefault("audit", audit_of(autoattack or ()).plain())
        found = Provenance(label=label, seed=seed, **values)
        rows = no_rows() if found.status == "failed" else verdicts(counts, clean, pgd20, autoattack)
        path = results / (folder or found.suite) / label / (file or f"seed{seed}.parquet")
        write_outcomes(path, Outcomes(rows=rows, provenance=found))
        return path

    return write


@pytest.fixture
def write_receipt_of() -> Callable[..., Path]:
    """Writes the receipt of an outcome file: of two images of every class, all confirmed, unless told otherwise."""

    def write(outcomes: Path, **changes: Any) -> Path:
        classes = len(read_provenance(outcomes).class_names)
        values: dict[str, Any] = {
            "outcomes": outcomes_sha256(outcomes),
            "weights": "f00d" * 16,
            "seed": 7,
            "attacked": [2] * classes,
            "disagreements": 0,
            "overstated": 0,
            "versions": {"fairbench": "0.1.0", "torch": "2.15.0"},
            "hardware": "A fast machine",
            "device": "cpu",
        }
        write_receipt(receipt_file(outcomes), Receipt(**values | changes))
        return receipt_file(outcomes)

    return write


def audit_of(survivors: Sequence[int], *, breaks: int = 0) -> Audit:
    """A tenth of the survivors of every class, rounded up."""
    audited = tuple(-(-count // 10) for count in survivors)
    return Audit(survivors=tuple(survivors), audited=audited, breaks=breaks)


def verdicts(
    counts: Sequence[int], clean: Sequence[int], pgd20: Sequence[int], autoattack: Sequence[int] | None
) -> pd.DataFrame:
    """Rows in which exactly that many images of every class are classified correctly."""
    labels = np.repeat(np.arange(len(counts)), counts)
    position = np.concatenate([np.arange(count) for count in counts])
    wrong = (labels + 1) % len(counts)

    def predictions(correct: Sequence[int]) -> Any:
        return np.where(position < np.asarray(correct)[labels], labels, wrong)

    robust = predictions(pgd20)
    judged = np.full(len(labels), NOT_RUN) if autoattack is None else predictions(autoattack)
    broken = np.where(judged == labels, "", np.where(predictions(clean) == labels, "apgd-ce", "clean"))
    return pd.DataFrame(
        {
            "index": np.arange(len(labels), dtype=np.int32),
            "label": labels.astype(np.int16),
            "clean": predictions(clean).astype(np.int16),
            "pgd20": robust.astype(np.int16),
            "pgd20_any": robust == labels,
            "pgd20_survived": np.where(robust == labels, 20, 3).astype(np.int16),
            "autoattack": judged.astype(np.int16),
            "broken_by": broken if autoattack is not None else "",
            "last_clean": predictions(clean).astype(np.int16),
            "last_pgd20": robust.astype(np.int16),
        }
    )
