"""Whatever can be checked of a bundle without attacking anything; the same for who submits and who keeps a board.

    checked = check(open_bundle(folder), Keeping(results=Path("results"), data_dir=Path("data")))
    checked.problems                    # sentences; none if only the verdicts themselves are left to check

Nothing in the bundle runs, unless `plugins` names code of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairbench.boards.reading import read_results
from fairbench.boards.seed_result import SeedResult
from fairbench.data.digest import dataset_digest
from fairbench.data.sources import dataset_names, is_here
from fairbench.errors import UserError
from fairbench.evaluation.circumstances import recorded_versions
from fairbench.external.sample import Sample
from fairbench.outcomes.store import Outcomes
from fairbench.protocol.dataset_source import DatasetSource
from fairbench.protocol.suite import Suite
from fairbench.protocol.suite_file import load_suite, suite_names
from fairbench.submission import code, record, replanning, row, weights
from fairbench.submission.images import tested_images
from fairbench.submission.opening import Bundle


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """What the board's side knows.

    Attributes:
        results: outcomes that are on the board already.
        data_dir: of downloads.
        suite: file of the suite, if it does not ship; "" for the one that the submission names.
        dataset: the `.npz` file, if the dataset is one; else "".
        offline: whether images that are not here stay unchecked, with a note, instead of being downloaded.
    """

    results: Path
    data_dir: Path
    suite: str = ""
    dataset: str = ""
    offline: bool = False


@dataclass(kw_only=True)
class Checked:
    """What was found.

    Attributes:
        outcomes: by seed, as far as they could be read.
        seeds: what they say; as far as they agree with themselves.
        others: results of the board.
        images: by seed, the test set with its own labels; missing where it could not be had.
        problems: what speaks against the submission, a sentence each.
        notes: what could not be checked.
    """

    outcomes: dict[int, Outcomes] = field(default_factory=dict)
    seeds: list[SeedResult] = field(default_factory=list)
    others: tuple[SeedResult, ...] = ()
    images: dict[int, Sample] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(bundle: Bundle, keeping: Keeping, *, plugins: Sequence[Path] | None = None) -> Checked:
    """Check a bundle whose files are in their places.

    Args:
        bundle: as it was opened.
        keeping: what it is checked against.
        plugins: files of the bundle's own code that may be run, none for a package; None runs no code of a stranger.
    """
    found = Checked()
    _read(found, bundle)
    try:
        suite = _suite(found.outcomes, keeping)
        digest = "" if suite is None else _digest(suite, keeping)
    except UserError as error:
        found.problems.append(str(error))
        return found
    sound = _sound(found, suite, dataset_digest=digest)
    found.seeds, sentences = row.seed_results(bundle.submission, sound)
    found.problems += sentences
    found.others = tuple(read_results(keeping.results).results)
    if found.seeds and len(found.seeds) == len(bundle.submission.runs):
        found.problems += row.problems(bundle.submission, found.seeds, found.others)
    _check_files(found, bundle, sound)
    for outcomes in sound.values():
        _check_images(found, outcomes, keeping)
        method = outcomes.provenance.method
        if suite is not None and (code.is_ours(method) or plugins is not None):
            said = replanning.problem(outcomes.provenance, suite, dataset_digest=digest, plugins=plugins or ())
            found.problems += [said] if said else []
    return found


def _read(found: Checked, bundle: Bundle) -> None:
    for run in bundle.submission.runs:
        try:
            outcomes = bundle.outcomes(run)
        except UserError as error:
            found.problems.append(str(error))
            continue
        if outcomes.provenance.seed == run.seed:
            found.outcomes[run.seed] = outcomes
        else:
            found.problems.append(f"seed{run.seed}.parquet holds the seed {outcomes.provenance.seed}.")


def _sound(found: Checked, suite: Suite | None, *, dataset_digest: str) -> dict[int, Outcomes]:
    """The seeds against which nothing speaks that they say of themselves."""
    engine = recorded_versions()["engine"]
    sound: dict[int, Outcomes] = {}
    for seed, outcomes in found.outcomes.items():
        sentences = record.problems(outcomes, suite, dataset_digest=dataset_digest, engine=engine)
        found.problems += sentences
        if not sentences:
            sound[seed] = outcomes
    return sound


def _check_files(found: Checked, bundle: Bundle, sound: Mapping[int, Outcomes]) -> None:
    """Code and weights, against what the runs say."""
    files = bundle.code()
    for run in bundle.submission.runs:
        if run.seed not in sound:
            continue
        provenance = sound[run.seed].provenance
        try:
            said = [
                code.problem(files, bundle.submission.code, provenance),
                weights.problem(bundle.weights(run), provenance),
            ]
        except UserError as error:
            said = [str(error)]
        found.problems += [sentence for sentence in said if sentence]


def _suite(outcomes: dict[int, Outcomes], keeping: Keeping) -> Suite | None:
    """The suite as it is today; None if every model was trained elsewhere, or nothing could be read.

    Raises:
        UserError: if it is not here.
    """
    named = {one.provenance.suite for one in outcomes.values() if one.provenance.role != "external"}
    if not named:
        return None
    if keeping.suite:
        return load_suite(keeping.suite)
    name = min(named)
    if name not in suite_names():
        raise UserError(f"The suite {name!r} does not ship; give its file with --suite FILE.toml.")
    return load_suite(name)


def _digest(suite: Suite, keeping: Keeping) -> str:
    """Of the suite's own dataset file, where it has one."""
    if suite.dataset.file and keeping.dataset:
        return dataset_digest(DatasetSource(name=suite.dataset.name, file=keeping.dataset), folder="")
    return dataset_digest(suite.dataset, folder=suite.folder)


def _check_images(found: Checked, outcomes: Outcomes, keeping: Keeping) -> None:
    identity = outcomes.provenance.description["protocol"]["dataset"]
    name = str(identity.get("name", ""))
    here = name not in dataset_names() or is_here(DatasetSource(name=name), folder="", data_dir=keeping.data_dir)
    if keeping.offline and not identity.get("sha256") and not here:
        note = f"The images of {name} are not in {keeping.data_dir}, so that labels could not be compared."
        found.notes += [note] if note not in found.notes else []
        return
    try:
        found.images[outcomes.provenance.seed] = tested_images(
            outcomes, dataset=keeping.dataset, data_dir=keeping.data_dir
        )
    except UserError as error:
        found.problems.append(str(error))
