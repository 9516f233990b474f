"""Evaluating a model that was not trained here: one call in Python, one file of outcomes, one row on the boards.

    from fairbench import class_accuracies, evaluate

    outcomes = evaluate(model, images, labels, epsilon=8 / 255)
    class_accuracies(outcomes.rows, 10, "autoattack").values        # robust accuracy of every class

The model is judged exactly as a run of ours is, by the same attacks with the same noise; what it was trained on, and
how, nobody can check here, so it stands beside a ranking and not in it. Importing this module imports nothing heavy.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairbench.errors import UserError, not_allowed
from fairbench.fields import plain_number
from fairbench.progress import Progress, silent
from fairbench.protocol.evaluation import Engine, Evaluation, Tier
from fairbench.protocol.threat import Norm, Precision, Threat
from fairbench.tracking.tracker import NOBODY, Tracker

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fairbench.attacks.further.contract import FurtherAttack
    from fairbench.outcomes.store import Outcomes


def evaluate(
    model: "nn.Module",
    images: "Tensor",
    labels: "Tensor",
    *,
    name: str = "model",
    class_names: Iterable[str] = (),
    norm: Norm = "Linf",
    epsilon: float = 8 / 255,
    tier: Tier = "full",
    engine: Engine = "fairbench",
    search: Precision = "fp32",
    batch_size: int = 500,
    curve: Sequence[float] = (),
    attacks: "Sequence[str] | Mapping[str, FurtherAttack]" = (),
    seed: int = 0,
    dataset: str = "",
    indices: "Tensor | None" = None,
    work_dir: str | os.PathLike[str] | None = None,
    results: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    tracker: Tracker = NOBODY,
) -> "Outcomes":
    """Judge every image clean, under PGD-20 and, as far as the tier goes, under AutoAttack.

    The model, its gradients and modes and the random state are left as they were.

    Args:
        model: images in [0, 1] to logits, on any device; normalisation is its own business.
        images: (n, channels, height, width), float32 in [0, 1] or uint8; they may stay on the CPU.
        labels: (n,) or (n, 1) of an integer type, from 0.
        name: of the row.
        class_names: by label; the labels themselves by default, as many as the model has logits.
        norm: of the ball.
        epsilon: its radius, in units of pixel values in [0, 1]; 0 leaves robust accuracy equal to clean accuracy.
        tier: `screen` is PGD-20, `full` AutoAttack standard; see `fairbench.protocol.evaluation.Evaluation`.
        engine: of AutoAttack.
        search: arithmetic of our engine's search; breaks are verified in fp32.
        batch_size: images attacked together; no verdict of our engine depends on it.
        curve: radii at which every class is judged as well, in any order; see `fairbench.outcomes.radii`.
        attacks: what is tried as well: names of `fairbench list attacks`, with settings as in `l1-apgd:radius=6`; or
            callables by name, see `fairbench.attacks.further.contract` (another callable needs another name).
        seed: of the training that made the model, if there are several; the attacks' noise is always the protocol's.
        dataset: a name of `fairbench list datasets` if the images are its test set (or part of it), so that the row
            finds its boards; these compare `class_names`, too.
        indices: positions in the test set, (n,) rising, if the images are a part of it.
        work_dir: partial verdicts are kept below it, and an interrupted call goes on; forgotten by default. They belong
            to the model's weights: use another folder for another `forward`.
        results: where the outcome file is written, and where outcomes of the same evaluation are found again; for
            another `forward` with the same weights, choose another name.
        progress: told the stage, images done, and their total.
        tracker: told what every attack leaves, by `on_attack`; see `fairbench.tracking`.

    Raises:
        UserError: for a model, images or settings that cannot be used.
    """
    epsilon = plain_number(epsilon)
    if not isinstance(epsilon, int | float) or isinstance(epsilon, bool):
        allowed = "a finite number in units of pixel values in [0, 1], such as 8 / 255"
        raise not_allowed(f"epsilon = {epsilon!r}", allowed)
    _check_several(curve, field="curve", example="curve=[2 / 255, 4 / 255]")
    _check_several(attacks, field="attacks", example='attacks=["targeted"]')
    _check_several(class_names, field="class_names", example='class_names=["cat", "dog"]')
    threat = Threat(norm=norm, epsilon=epsilon, step=epsilon / 4)
    evaluation = Evaluation(
        tier=tier,
        pgd_step=threat.step,
        engine=engine,
        search=search,
        batch_size=batch_size,
        curve=tuple(sorted(curve)),
        attacks=tuple(attacks),
    )

    from torch import inference_mode, nn  # noqa: PLC0415  importing fairbench must not

    from fairbench.external.given import given  # noqa: PLC0415
    from fairbench.external.outcomes import compute_outcomes, known_outcomes  # noqa: PLC0415
    from fairbench.external.run import ExternalRun  # noqa: PLC0415
    from fairbench.method.attack_registry import resolve  # noqa: PLC0415
    from fairbench.out_of_memory import is_out_of_memory  # noqa: PLC0415

    if not isinstance(model, nn.Module):
        kind, advice = f"of type {type(model).__name__}", ""
        if isinstance(model, type) and issubclass(model, nn.Module):
            kind, advice = f"that is a class, {model.__name__},", f" Build one: {model.__name__}()."
        elif callable(model):
            advice = " Call the function in the `forward` of a module of your own."
        raise UserError(f"A model {kind} is not allowed; allowed: a torch.nn.Module.{advice}")
    if any(weight.is_inference() for weight in (*model.parameters(), *model.buffers())):
        raise UserError(
            "The model's weights were made under torch.inference_mode(), so that nothing can be differentiated; build "
            "the model outside of it."
        )
    folder, work = (None if path is None else Path(path) for path in (results, work_dir))
    with inference_mode(mode=False):  # which a caller who only predicts may be in; attacks differentiate
        found = given(images, labels, model=model, class_names=class_names, dataset=dataset, indices=indices)
        run = ExternalRun(
            name=name,
            seed=seed,
            model=found.model,
            specification=f"{type(model).__module__}:{type(model).__qualname__}",
            remarks=found.remarks,
            sample=found.sample,
            threat=threat,
            evaluation=evaluation,
            further=dict(attacks) if isinstance(attacks, Mapping) else resolve(attacks),
        )
        known = None if folder is None else known_outcomes(run, folder)
        try:
            return known or compute_outcomes(run, results=folder, work_dir=work, progress=progress, tracker=tracker)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"{name} with {evaluation.batch_size} images at a time does not fit into the memory of {run.device}. "
                "Give a smaller batch_size."
            ) from error


def _check_several(given: object, *, field: str, example: str) -> None:
    """Refuse one value where several are wanted; a text would be read letter by letter."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise not_allowed(f"{field} = {given!r}", f"a list, as in {example}")
