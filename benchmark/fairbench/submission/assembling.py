"""Putting a bundle together from what lies on the submitter's disk.

    found = find_runs([Path("results/digits/smooth-at")], results=..., work_dir=..., checkpoints=())
    write_bundle(folder, found, submission_of, code)

A run is named by its outcome file, by the folder of its row, or by its work folder; its checkpoint is the file whose
SHA-256 the outcomes name, in the work folder or among those given.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairbench.atomic import atomic
from fairbench.errors import UserError
from fairbench.external.foreign_weights import read_weights
from fairbench.identity import file_sha256
from fairbench.models.checkpoint import save_weights
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import read_provenance
from fairbench.submission.bundle import CODE, Submission, SubmittedRun, outcomes_file, weights_file, write_submission


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRun:
    """One seed on this disk.

    Attributes:
        file: its outcomes.
        provenance: what they say of themselves.
        checkpoint: its weights; None for a model that brings them.
    """

    file: Path
    provenance: Provenance
    checkpoint: Path | None


def find_runs(given: Sequence[Path], *, results: Path, work_dir: Path, checkpoints: Sequence[Path]) -> list[FoundRun]:
    """The runs that the user names, each with its checkpoint, by seed.

    Args:
        given: outcome files, folders of rows, and work folders of runs.
        results: where the outcomes of a work folder lie.
        work_dir: where checkpoints lie.
        checkpoints: further files of weights.

    Raises:
        UserError: if something named is nothing of this, or a checkpoint is missing.
    """
    files = list(dict.fromkeys(file for path in given for file in _outcome_files(path, results)))
    hashes = {file_sha256(path): path for path in checkpoints}
    found = []
    for file in files:
        provenance = read_provenance(file)
        found.append(FoundRun(file=file, provenance=provenance, checkpoint=_checkpoint(provenance, hashes, work_dir)))
    rows = sorted({f"{run.provenance.suite}/{run.provenance.label}" for run in found})
    if len(rows) > 1:
        raise UserError(
            f"A submission is one row, and these are {len(rows)}: {', '.join(rows)}. Submit them one by one."
        )
    found.sort(key=lambda run: run.provenance.seed)
    seeds = [run.provenance.seed for run in found]
    if len(set(seeds)) < len(seeds):
        raise UserError(
            f"Several of the given files hold the same seed ({', '.join(map(str, seeds))}); give each once."
        )
    return found


def write_bundle(
    folder: Path, runs: Iterable[FoundRun], submission: Submission, code: Mapping[str, bytes], *, key: str
) -> Submission:
    """Write every file of a bundle.

    Args:
        folder: empty or missing.
        runs: of one row.
        submission: what it says of itself, with the digests of its runs still to come.
        code: files by their path below `code/`.
        key: entry of a foreign checkpoint that holds the weights; "" if only one does.

    Returns:
        The submission as it was written.

    Raises:
        UserError: if the folder cannot be written, or a checkpoint cannot be read.
    """
    written = []
    for run in runs:
        seed = run.provenance.seed
        bare = SubmittedRun(seed=seed, outcomes="0" * 64)
        target = outcomes_file(folder, bare)
        with atomic(target) as temporary:
            shutil.copyfile(run.file, temporary)
        stored = ""
        if run.checkpoint is not None:
            stored = _write_weights(weights_file(folder, bare), run, key=key)
        written.append(SubmittedRun(seed=seed, outcomes=file_sha256(target), weights=stored))
    for name, content in code.items():
        with atomic(folder / CODE / name) as temporary:
            temporary.write_bytes(content)
    complete = Submission(
        suite=submission.suite,
        label=submission.label,
        runs=tuple(written),
        code=submission.code,
        by=submission.by,
        link=submission.link,
        licence=submission.licence,
        mean=submission.mean,
        std=submission.std,
    )
    write_submission(folder, complete)
    return complete


def _write_weights(target: Path, run: FoundRun, *, key: str) -> str:
    """The checkpoint as safetensors: our own byte for byte, another one by its tensors. Returns the SHA-256."""
    assert run.checkpoint is not None
    if run.provenance.role == "external":
        weights = read_weights(run.checkpoint, key=key)
        save_weights(target, {name: tensor.clone() for name, tensor in weights.tensors.items()})
    else:
        with atomic(target) as temporary:
            shutil.copyfile(run.checkpoint, temporary)
    return file_sha256(target)


def _outcome_files(path: Path, results: Path) -> list[Path]:
    if path.suffix == ".parquet":
        return [path]
    if files := sorted(path.glob("seed*.parquet")):
        return files
    run = re.fullmatch(r"(seed\d+)-[0-9a-f]{8}", path.name)
    if run:
        file = results / path.parent.parent.name / path.parent.name / f"{run[1]}.parquet"
        if file.exists():
            return [file]
        raise UserError(f"{path} is the folder of a run whose outcomes are not in {results}; finish it with run-all.")
    raise UserError(
        f"{path} is no run: give outcome files, the folder of a row such as results/digits/trades, or work folders."
    )


def _checkpoint(provenance: Provenance, given: Mapping[str, Path], work_dir: Path) -> Path | None:
    """The file that the outcomes name by its SHA-256."""
    claimed = provenance.checkpoints.get("selected", "")
    if provenance.role == "external":
        model = str(provenance.description["external"]["model"])
        if not claimed or model.startswith("hf:"):  # it brings its weights, or says where they are for good
            return None
    if claimed in given:
        return given[claimed]
    runs = sorted(work_dir.glob(f"{provenance.suite}/{provenance.label}/seed{provenance.seed}-*/selected.safetensors"))
    for path in runs:
        if file_sha256(path) == claimed:
            return path
    where = f"neither in {work_dir} nor among the files given" if given else f"not in {work_dir}"
    raise UserError(
        f"The checkpoint of seed {provenance.seed}, with the SHA-256 {claimed[:16]}..., is {where}. Give it with "
        "--checkpoint FILE; outcomes without their weights cannot be checked by anybody."
    )
