"""`fairbench submit`: a row as a bundle for a pull request, checked as its keeper will check it. Uses no network."""

import shutil
import tempfile
from pathlib import Path

from fairbench.atomic import atomic, check_writable
from fairbench.commands.options.submitted import Submitted
from fairbench.errors import UserError
from fairbench.external.normalisation import Normalisation
from fairbench.external.sample import Sample
from fairbench.external.specification import load_external
from fairbench.foreign_code import ForeignFile
from fairbench.outcomes.provenance import Provenance
from fairbench.report.terminal.console import console
from fairbench.submission import code, weights
from fairbench.submission.assembling import FoundRun, find_runs, write_bundle
from fairbench.submission.bundle import CODE, Submission, SubmittedCode, SubmittedRun
from fairbench.submission.checking import Checked, Keeping, check
from fairbench.submission.movement import movement
from fairbench.submission.opening import open_bundle
from fairbench.submission.request import request_text


def submit(given: tuple[Path, ...], submitted: Submitted) -> int:
    """Write the bundle and the text of the request. Returns the exit code: 0 only if nothing is missing."""
    out = console()
    if not given:
        raise UserError(
            "Say which runs: outcome files, the folder of a row such as results/digits/trades, or work folders."
        )
    runs = find_runs(given, results=submitted.results, work_dir=submitted.work_dir, checkpoints=submitted.checkpoints)
    first = runs[0].provenance
    files, whose = _code(first, submitted)
    asked = Submission(
        suite=first.suite,
        label=first.label,
        runs=tuple(SubmittedRun(seed=run.provenance.seed, outcomes="0" * 64) for run in runs),
        code=whose,
        **_signed(first, submitted),
        mean=submitted.mean,
        std=submitted.std,
    )
    target = submitted.to / asked.suite / asked.label
    if target.exists():
        raise UserError(f"{target} exists; remove it, or choose another folder with --to.")
    check_writable(target.parent)
    for stray in target.parent.glob(f".{asked.label}.*.bundle"):
        shutil.rmtree(stray)  # of a command that was killed; nobody writes one row twice at once
    with tempfile.TemporaryDirectory(prefix=f".{asked.label}.", suffix=".bundle", dir=target.parent) as fresh:
        folder = Path(fresh, asked.label)
        complete = write_bundle(folder, runs, asked, files, key=submitted.key)
        found = check(open_bundle(folder), _keeping(submitted), plugins=_plugins(first, folder, whose))
        if not found.problems and first.role == "external":
            found.problems += _problems_of_models(runs, folder, complete, found, submitted)
        for note in found.notes:
            out.print(f"Note: {note}", markup=False)
        for problem in dict.fromkeys(found.problems):
            out.print(f"Missing: {problem}", markup=False)
        if found.problems:
            out.print("Nothing was written: a keeper would refuse this.")
            return 1
        folder.rename(target)
    text = submitted.to / f"{asked.suite}-{asked.label}.md"
    with atomic(text) as temporary:
        temporary.write_text(request_text(complete, first, movement(found.others, found.seeds)), encoding="utf-8")
    megabytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
    out.print(
        f"Wrote {target} ({megabytes:.1f} MB): it is complete, and passes every check that attacks nothing.",
        markup=False,
    )
    out.print(
        f"Add it to the board's repository as results/{asked.suite}/{asked.label}, and open a pull request.",
        markup=False,
    )
    out.print(f"{text} is its text, with the board before and after.", markup=False)
    return 0


def _keeping(submitted: Submitted) -> Keeping:
    return Keeping(
        results=submitted.results,
        data_dir=submitted.data_dir,
        suite=submitted.suite,
        dataset=submitted.dataset,
        offline=True,
    )


def _signed(found: Provenance, submitted: Submitted) -> dict[str, str]:
    """Who submits under which licence; a card answers for the code of its author, and for nobody's weights but theirs.

    Raises:
        UserError: if nobody says it.
    """
    card = found.card if found.role != "external" and code.needs_code(found) else {}
    said = {
        "by": submitted.by or str(card.get("authors", "")),
        "link": submitted.link or str(card.get("link", "")),
        "licence": submitted.licence or str(card.get("code_licence", "")),
    }
    if missing := [f"--{name}" for name, value in said.items() if not value.strip()]:
        raise UserError(
            f"A submission says who brings it, where more can be read, and its licence; give {', '.join(missing)}."
        )
    return said


def _code(found: Provenance, submitted: Submitted) -> tuple[dict[str, bytes], SubmittedCode]:
    """Files that made the row, by their path in the bundle, and what the bundle says of them."""
    if not code.needs_code(found):
        return {}, SubmittedCode()
    if found.role == "external":
        given = submitted.model or str(found.description["external"]["model"])
        path = Path(given.rpartition(":")[0])
        if not path.is_file():
            raise UserError(
                f"The network is built by {path}, which is not here; give its place with --model PATH:factory."
            )
        file = ForeignFile.read(path.absolute(), called="the model")
        with file.passing_module() as module:
            load = getattr(module, given.rpartition(":")[2], None)
            if callable(load):
                load()  # it may import what lies beside it
            return _bundled(file, file.siblings(module))
    if "package" in found.code:
        return {}, SubmittedCode(package=found.code["package"], version=found.code.get("version", ""))
    if submitted.plugin is None:
        named = found.code.get("file", "a plug-in")
        raise UserError(f"{found.method} was trained from {named}; give that file with --plugin FILE.")
    file = ForeignFile.read(submitted.plugin.absolute(), called="the plug-in")
    return _bundled(file, file.siblings(file.module()))


def _bundled(file: ForeignFile, siblings: "dict[str, Path | None]") -> tuple[dict[str, bytes], SubmittedCode]:
    files = {file.path.name: file.source}
    for path in filter(None, siblings.values()):
        files[path.relative_to(file.path.parent).as_posix()] = path.read_bytes()
    return files, SubmittedCode(file=file.path.name)


def _plugins(found: Provenance, folder: Path, whose: SubmittedCode) -> list[Path]:
    """The bundled file of the method: the submitter's own code, which may run on their own machine."""
    return [folder / CODE / whose.file] if whose.file and found.role != "external" else []


def _problems_of_models(
    runs: list[FoundRun], folder: Path, submission: Submission, found: Checked, submitted: Submitted
) -> list[str]:
    """Whether every bundled checkpoint makes the very model that was judged."""
    sentences = []
    for run, stored in zip(runs, submission.runs, strict=True):
        sample: Sample | None = found.images.get(stored.seed)
        given = submitted.model or str(run.provenance.description["external"]["model"])
        if sample is None or given.startswith(("robustbench:", "hf:")):
            continue
        model = load_external(
            given,
            checkpoint=folder / "weights" / f"seed{stored.seed}.safetensors" if stored.weights else None,
            normalisation=Normalisation.parse(submission.mean, submission.std) if submission.mean else None,
            dataset=sample.name,
            classes=len(sample.class_names),
            channels=sample.images.shape[1],
            size=(sample.images.shape[2], sample.images.shape[3]),
            norm=run.provenance.description["protocol"]["threat"]["norm"],
            folder=submitted.data_dir,
        ).model
        if said := weights.problem_of_model(model, run.provenance):
            sentences.append(f"{said} If it was evaluated with --mean and --std, give them here, too.")
    return sentences
