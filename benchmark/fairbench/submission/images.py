"""The images of a submission: the test set that it says it was evaluated on, all of it, with its labels.

whole = tested_images(outcomes, dataset="", data_dir=Path("data"))       # or a sentence
"""

from pathlib import Path
from typing import Any

import torch

from fairbench.data.digest import file_digest
from fairbench.data.sources import dataset_names
from fairbench.errors import UserError, unknown
from fairbench.external.sample import Sample, load_described
from fairbench.outcomes.store import Outcomes


def tested_images(outcomes: Outcomes, *, dataset: str, data_dir: Path) -> Sample:
    """The images that the outcomes name, with the labels that they ought to have.

    Args:
        outcomes: of a finished run.
        dataset: the `.npz` file, if the dataset is one; else "".
        data_dir: of downloads.

    Raises:
        UserError: if it cannot be had, is another one, or the outcomes leave images out, or label them otherwise.
    """
    found = outcomes.provenance
    identity: dict[str, Any] = found.description["protocol"]["dataset"]
    digest, name, size = str(identity.get("sha256", "")), str(identity.get("name", "")), identity.get("image_size", 0)
    if not isinstance(size, int) or not 0 <= size <= 4096:
        raise UserError(f"Seed {found.seed} resized its images to {size!r} pixels, which is no size.")
    if digest and not dataset:
        raise UserError(
            f"Seed {found.seed} was evaluated on a file with the SHA-256 {digest[:16]}...; give it with --dataset "
            "FILE.npz."
        )
    if digest and file_digest(Path(dataset)) != digest:
        raise UserError(
            f"--dataset {dataset} is not the file of seed {found.seed}, which has the SHA-256 {digest[:16]}...."
        )
    if not digest and name not in dataset_names():
        raise unknown("dataset", name, dataset_names())
    whole = load_described(identity, file=dataset if digest else "", data_dir=data_dir)
    if tuple(found.class_names) != whole.class_names:
        raise UserError(f"Seed {found.seed} calls the classes otherwise than its dataset does.")
    left_out = set(identity.get("exclude", {}).get("test", []))
    rows = outcomes.rows
    positions = [position for position in whole.indices.tolist() if position not in left_out]
    if rows["index"].tolist() != positions:
        raise UserError(
            f"Seed {found.seed} has verdicts on {len(rows):,} images; the test set has {len(positions):,}, and each "
            "of them counts."
        )
    tested = whole.numbered(torch.tensor(positions, dtype=torch.int64))
    if rows["label"].tolist() != tested.labels.tolist():
        raise UserError(f"Seed {found.seed} has other labels than its test set.")
    return tested
