"""`fairbench evaluate`: judge models that others trained, per class, under PGD-20 and AutoAttack."""

import math
from pathlib import Path
from traceback import extract_tb
from typing import Any

from rich.console import Console
from rich.markup import escape

from fairbench.commands.given_model import given_model
from fairbench.commands.options.asked import Asked
from fairbench.commands.options.folders import ModelFolders
from fairbench.errors import INTERRUPTED, UserError, first_line
from fairbench.execution.devices import devices
from fairbench.execution.freed_memory import keep_freed_memory
from fairbench.external.head_norm import NAME as HEAD_NORM
from fairbench.external.outcomes import compute_outcomes, known_outcomes
from fairbench.external.run import ExternalRun, check_name
from fairbench.external.sample import Sample, load_sample, usual_suite
from fairbench.external.submitted import Submitted
from fairbench.method.attack_registry import resolve
from fairbench.out_of_memory import is_out_of_memory
from fairbench.outcomes.object_storage import send
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.suite_file import parse_number
from fairbench.protocol.threat import Threat
from fairbench.report.phrases import listed, radius
from fairbench.report.terminal.class_table import class_table
from fairbench.report.terminal.console import console as make_console
from fairbench.report.terminal.display import StageDisplay
from fairbench.tracking.tracker import Subject
from fairbench.tracking.watching import check_trackers, watching

LINF_EPSILON = 8 / 255
"""Where no suite ships for a dataset."""

ZOO = "robustbench:"


def evaluate(asked: Asked, folders: ModelFolders, *, device: str) -> int:
    """Evaluate one model after the other. Returns the exit code: 0 only if every one of them has its outcomes."""
    keep_freed_memory()
    names = _names(asked)
    check_trackers(asked.trackers)
    threat, curve = _threat(asked)
    further: dict[str, Any] = dict(resolve(asked.further, plugins=asked.plugins))
    where_to = devices(device)[0]
    out = make_console()
    sample = load_sample(asked.dataset, data_dir=folders.data_dir, image_size=asked.image_size)
    if asked.limit is not None:
        sample = sample.part(asked.limit)
    if asked.adversarial is not None:
        submitted = _submitted(asked.adversarial, sample)
        further[submitted.text] = submitted
    evaluation = Evaluation(
        tier=asked.judged_tier,
        pgd_step=threat.step,
        batch_size=asked.batch_size,
        engine=asked.engine,
        search=asked.search,
        curve=curve,
        attacks=tuple(further),
    )
    out.print(
        f"{len(sample.images)} test images of {sample.name}, {threat.norm} within {threat.epsilon:.6g} = "
        f"{255 * threat.epsilon:.5g}/255, tier {evaluation.tier}.",
        markup=False,
    )
    if curve:
        out.print(f"Every class is judged within {listed(map(radius, curve))} as well.", markup=False)
    failed = []
    for given, name in zip(asked.models, names, strict=True):
        try:
            _one(
                given,
                sample,
                asked,
                folders,
                out,
                name=name,
                threat=threat,
                evaluation=evaluation,
                further=further,
                device=where_to,
            )
        except KeyboardInterrupt:
            out.print("Interrupted. Verdicts found so far are kept; the same command goes on from here.")
            return INTERRUPTED
        except Exception as error:  # the border to foreign code: a model may raise anything, and the others wait
            if is_out_of_memory(error):
                reason = (
                    f"{name} with {evaluation.batch_size} images at a time does not fit into the memory of {where_to}. "
                    "Give a smaller --batch-size; verdicts found so far are kept."
                )
            else:
                reason = str(error) if isinstance(error, UserError) else _blamed(error)
            if len(names) == 1:
                raise UserError(reason) from error
            failed.append(name)
            out.print(f"[red]{escape(name)}:[/red] {escape(reason)}")
    if failed:
        out.print(f"{len(failed)} of {len(names)} models have no outcomes: {', '.join(failed)}.", markup=False)
    return 1 if failed else 0


def _submitted(path: Path, sample: Sample) -> Submitted:
    """Candidates that somebody found for some of the images."""
    channels, height, width = sample.images.shape[1:]
    submitted = Submitted.read(path, shape=(channels, height, width))
    submitted.check_some(sample.indices, origin=path)
    return submitted


def _blamed(error: Exception) -> str:
    """What foreign code raised, and where."""
    place = extract_tb(error.__traceback__)[-1]
    return f"Its code raised {type(error).__name__}: {first_line(error)} ({place.filename}, line {place.lineno})."


def _one(
    given: str,
    sample: Sample,
    asked: Asked,
    folders: ModelFolders,
    out: Console,
    *,
    name: str,
    threat: Threat,
    evaluation: Evaluation,
    further: dict[str, Any],
    device: str,
) -> None:
    """Evaluate, store and show one model; what is stored already is shown and not computed again."""
    external = given_model(given, asked.weights, sample=sample, norm=asked.norm, data_dir=folders.data_dir)
    run = ExternalRun(
        name=name,
        seed=asked.seed,
        model=external.model.to(device),
        specification=external.specification,
        code_sha256=external.code_sha256,
        file_sha256=external.file_sha256,
        remarks=external.remarks,
        transform=external.transform,
        sample=sample,
        threat=threat,
        evaluation=evaluation,
        further=dict(further),
    )
    path = run.result_file(folders.results)
    known = known_outcomes(run, folders.results)
    if known is not None:
        out.print(class_table(known))
        out.print(f"Nothing to do: {path} holds these outcomes.", markup=False)
        return
    for remark in external.remarks:  # before hours of work
        out.print(f"{name}: {remark}", markup=False)
    subject = Subject(
        suite=sample.name, label=run.label, seed=run.seed, key=run.key, folder=run.work_folder(folders.work_dir)
    )
    with watching(asked.trackers, subject) as tracker, StageDisplay(out) as display:
        outcomes = compute_outcomes(
            run, results=folders.results, work_dir=folders.work_dir, progress=display.advanced, tracker=tracker
        )
    out.print(class_table(outcomes))
    out.print(f"Wrote {path}; `fairbench report` shows it beside the boards it fits.", markup=False)
    for problem in send(folders.results):
        out.print(problem, markup=False)


def _names(asked: Asked) -> list[str]:
    """A name for every model."""
    weights = asked.weights
    if len(asked.models) > 1 and (asked.name or weights.checkpoint or weights.mean):
        raise UserError("--name, --checkpoint, --mean and --std are for a single --model; evaluate them one by one.")
    if len(set(asked.models)) < len(asked.models):
        raise UserError("The same --model is given twice.")
    strangers = [given for given in asked.models if not given.startswith(ZOO)]
    if strangers and not asked.name:
        raise UserError(f"--model {strangers[0]} needs --name, which names its row; models of the zoo bring theirs.")
    ending = f"-{HEAD_NORM}" if weights.transform else ""  # beside the same model as it is
    names = [asked.name or given.removeprefix(ZOO) + ending for given in asked.models]
    for name in names:
        check_name(name)
    return names


def _threat(asked: Asked) -> tuple[Threat, tuple[float, ...]]:
    """The threat, with the evaluating step of a quarter of its radius, and the radii of a curve if there are several.

    Of several radii the dataset's usual one is what the row stands on boards with; the largest if it is not among them.
    """
    suite = usual_suite(asked.dataset)
    usual = suite.threat.epsilon if suite else LINF_EPSILON
    given = [parse_number(text, field="epsilon") for text in asked.epsilons]
    if not given and asked.norm == "L2":
        raise UserError("--norm L2 needs --eps, such as --eps 0.5 or --eps 128/255.")
    for text, epsilon in zip(asked.epsilons, given, strict=True):
        if not 0 <= epsilon <= (1 if asked.norm == "Linf" else math.inf):
            raise UserError(
                f"--eps {text} is not allowed; allowed: 0 or more, for Linf at most 1, in units of pixel values in "
                "[0, 1]: 8 of 255 levels are --eps 8/255."
            )
    if len(given) > 1 and (0 in given or len(set(given)) < len(given)):
        raise UserError(
            f"--eps {' --eps '.join(asked.epsilons)} is not allowed; allowed for a curve: different radii above 0, "
            "to which clean accuracy is added."
        )
    epsilon = usual if not given or (len(given) > 1 and asked.norm == "Linf" and usual in given) else max(given)
    return Threat(norm=asked.norm, epsilon=epsilon, step=epsilon / 4), tuple(sorted(given)) if len(given) > 1 else ()
