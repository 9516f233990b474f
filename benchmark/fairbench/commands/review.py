"""`fairbench review`: what the keeper of a board runs on a bundle before adding it. Nothing in it is trusted."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from fairbench.atomic import atomic
from fairbench.commands.given_model import given_model
from fairbench.commands.options.reviewing import Reviewing
from fairbench.commands.options.weights import Weights
from fairbench.errors import INTERRUPTED, UserError
from fairbench.evaluation.circumstances import recorded_versions
from fairbench.execution.devices import devices
from fairbench.execution.freed_memory import keep_freed_memory
from fairbench.external.sample import Sample
from fairbench.external.specification import External
from fairbench.external.verification import judged_by, verify
from fairbench.machine import hardware
from fairbench.method import registry
from fairbench.models import model_names
from fairbench.outcomes.receipt import Receipt, outcomes_sha256, receipt_file, write_receipt
from fairbench.outcomes.store import Outcomes
from fairbench.protocol.attack_names import strongest
from fairbench.report.terminal.console import console
from fairbench.report.terminal.display import StageDisplay
from fairbench.submission import code, weights
from fairbench.submission.bundle import CODE, SubmittedRun, outcomes_file
from fairbench.submission.checking import Checked, Keeping, check
from fairbench.submission.drawing import counted_robust, draw
from fairbench.submission.movement import movement
from fairbench.submission.opening import Bundle, open_bundle
from fairbench.submission.review import Attacked, Review, comment
from fairbench.testing import check_method


def review(folder: Path, reviewing: Reviewing, *, device: str) -> int:
    """Check, attack a sample again, and say how the board would move. Returns the exit code: 0 only to accept."""
    keep_freed_memory()
    out = console(stderr=reviewing.comment is None)  # the comment alone goes to standard output
    where_to = devices(device)[0]
    # Drawn afresh: an author who knew the sample could be honest about that alone.
    drawn = secrets.randbelow(2**31) if reviewing.seed is None else reviewing.seed
    with StageDisplay(out) as display:
        reviewed = _Reviewed(reviewing, display, drawn=drawn, device=where_to)
        try:
            reviewed.look(folder)
        except UserError as error:
            reviewed.found.problems.append(str(error))
        except KeyboardInterrupt:
            out.print("Interrupted. Nothing is kept of a review; the same command begins again.")
            return INTERRUPTED
    made = reviewed.review()
    text = comment(made, tolerance=reviewing.tolerance)
    if reviewing.comment is None:
        console().print(text, markup=False, end="")
    else:
        with atomic(reviewing.comment) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for problem in dict.fromkeys(made.problems):
        out.print(f"Refused: {problem}", markup=False)
    accepted = made.accepted(tolerance=reviewing.tolerance)
    out.print("It can be accepted." if accepted else "It cannot be accepted.")
    if accepted and reviewing.record:
        for path in reviewed.record():
            out.print(f"Recorded in {path}.", markup=False)
    return 0 if accepted else 1


class _Reviewed:
    """A review in progress.

    Args:
        reviewing: what the keeper decided.
        display: told how far the attacks are.
        drawn: seed of the draw.
        device: where to attack.
    """

    def __init__(self, reviewing: Reviewing, display: StageDisplay, *, drawn: int, device: str) -> None:
        self._reviewing, self._display, self._drawn, self._device = reviewing, display, drawn, device
        self._folder = Path()
        self._bundle: Bundle | None = None
        self._attacked: list[Attacked] = []
        self._checks: list[tuple[str, str]] = []
        self.found = Checked()

    def look(self, folder: Path) -> None:
        """Everything, cheap and safe checks first; what speaks against the bundle is kept, and stops the rest.

        Raises:
            UserError: for what speaks against it as well.
        """
        reviewing, self._folder = self._reviewing, folder
        bundle = self._bundle = open_bundle(folder)
        keeping = Keeping(
            results=reviewing.results, data_dir=reviewing.data_dir, suite=reviewing.suite, dataset=reviewing.dataset
        )
        self.found = check(bundle, keeping, plugins=_plugins(bundle) if reviewing.run_code else None)
        if not self.found.problems and not reviewing.run_code:
            self.found.problems += _unrun_code(self.found)
        if not self.found.problems and reviewing.run_code:
            self._checks, failed = _checks(bundle, self.found)
            self.found.problems += failed
        if not self.found.problems:
            for run in bundle.submission.runs:
                self._attacked.append(self._attack(bundle, run))

    def review(self) -> Review:
        """What was found so far."""
        found = self.found
        return Review(
            submission=self._bundle.submission if self._bundle else None,
            problems=[problem.replace(f"{self._folder}/", "") for problem in found.problems],
            attacked=self._attacked,
            draw=self._drawn,
            checks=self._checks,
            moved=None if found.problems or not found.seeds else movement(found.others, found.seeds),
        )

    def record(self) -> Iterator[Path]:
        """Write the receipt of every seed beside its outcomes."""
        assert self._bundle is not None
        for run, one in zip(self._bundle.submission.runs, self._attacked, strict=True):
            outcomes = outcomes_file(self._bundle.folder, run)
            receipt = Receipt(
                outcomes=outcomes_sha256(outcomes),
                weights=run.weights,
                seed=self._drawn,
                attacked=list(one.verified.attacked),
                claimed=one.drawn.tolist(),
                disagreements=len(one.verified.disagreements),
                overstated=one.verified.overstated,
                versions=recorded_versions(),
                hardware=hardware(torch.device(self._device)),
                device=torch.device(self._device).type,
            )
            write_receipt(receipt_file(outcomes), receipt)
            yield receipt_file(outcomes)

    def _attack(self, bundle: Bundle, run: SubmittedRun) -> Attacked:
        """Attack a sample of one seed again."""
        outcomes, whole = self.found.outcomes[run.seed], self.found.images[run.seed]
        attack, classes = strongest(outcomes.provenance.tier), len(whole.class_names)
        sampled = draw(outcomes.rows, attack=attack, classes=classes, limit=self._reviewing.limit, seed=self._drawn)
        external = _model(bundle, run, outcomes, whole, data_dir=self._reviewing.data_dir)
        if said := weights.problem_of_model(external.model, outcomes.provenance):
            raise UserError(said)
        verified = verify(
            outcomes,
            external.model.to(self._device),
            whole.at(torch.from_numpy(sampled.positions)),
            batch_size=self._reviewing.batch_size,
            progress=lambda stage, done, total: self._display.advanced(f"seed {run.seed}: {stage}", done, total),
        )
        robust = counted_robust(outcomes.rows, attack)
        claimed = np.bincount(outcomes.rows["label"].to_numpy()[robust], minlength=classes).astype(np.int64)
        return Attacked(
            seed=run.seed, verified=verified, claimed=claimed, drawn=sampled.claimed, class_names=whole.class_names
        )


def _plugins(bundle: Bundle) -> list[Path]:
    """The file of the bundle's method, if it brings one; not what builds a network."""
    named = bundle.submission.code.file
    external = bundle.submission.label.startswith("external-")
    return [bundle.folder / CODE / named] if named and not external else []


def _unrun_code(found: Checked) -> list[str]:
    """What stands in the way if code would have to run, and nobody said that it may."""
    if not any(_runs_code(outcomes) for outcomes in found.outcomes.values()):
        return []
    sentence = (
        "It brings code, which was not run: review it with --run-code, in a container without secrets, without network "
        "and without anything that it could change."
    )
    return [sentence]


def _runs_code(outcomes: Outcomes) -> bool:
    """Whether checking a run takes code of its author: of its method, or of its network."""
    return code.needs_code(outcomes.provenance) or _is_foreign(_named_model(outcomes))


def _is_foreign(model: str) -> bool:
    return model not in model_names() and not model.startswith(("robustbench:", "hf:"))


def _named_model(outcomes: Outcomes) -> str:
    description = outcomes.provenance.description
    return str(description.get("external", description["protocol"])["model"])


def _checks(bundle: Bundle, found: Checked) -> tuple[list[tuple[str, str]], list[str]]:
    """The conformance checks of the method, and a sentence for each that fails. Runs the submission's code."""
    provenance = found.seeds[0].provenance
    if provenance.role == "external" or not code.needs_code(provenance):
        return [], []
    shown, failed = [], []
    for one in check_method(registry.load(provenance.method, plugins=_plugins(bundle))):
        shown.append((one.check.name, one.outcome.value))
        if not one.good:
            failed.append(f"The method does not pass the check {one.check.name!r}: {one.reason}")
    return shown, failed


def _model(bundle: Bundle, run: SubmittedRun, outcomes: Outcomes, whole: Sample, *, data_dir: Path) -> External:
    """The submission's model with its weights; who called has seen to it that its code may run if it needs any."""
    given, submission = _named_model(outcomes), bundle.submission
    if _is_foreign(given) and submission.code.file:
        given = f"{bundle.folder / CODE / submission.code.file}:{given.rpartition(':')[2]}"
    threat, _ = judged_by(outcomes)
    stored = Weights(checkpoint=bundle.weights(run), key="", mean=submission.mean, std=submission.std)
    return given_model(given, stored, sample=whole, norm=threat.norm, data_dir=data_dir)
