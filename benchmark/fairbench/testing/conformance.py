"""The checks, by name and with advice, and what runs them."""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from fairbench.errors import TrainingFailedError, UserError, first_line, unknown
from fairbench.method import registry
from fairbench.method.asking import constructed
from fairbench.method.contract import Method
from fairbench.testing import answering, counting, description, schooling, stepping, untouched
from fairbench.testing.check import Check, Checked, CheckFailedError, Outcome
from fairbench.testing.trial import Trial

CHECKS = (
    Check(
        name="documented",
        run=description.fields_are_documented,
        advice="Write a docstring that says what the method minimises and where it is published; the page shows its "
        "first paragraph, or the card's `idea`. Give every field as hyperparameter(default, description): they are the "
        "options on the command line, and on the page.",
    ),
    Check(
        name="card",
        run=description.card_is_complete,
        advice="Complete `card`: the board cites the method by it. An unpublished method names its authors, "
        'venue="preprint" and a page of its own.',
    ),
    Check(
        name="recipe",
        run=description.recipe_is_the_suites,
        advice="Return `dataclasses.replace(recipe, ...)` with what is the method's own: length, learning rate and its "
        "schedule, averaging. The rest is the suite's, for every method alike; whoever wants another writes a suite.",
    ),
    Check(
        name="prerequisites",
        run=description.prerequisites_can_be_planned,
        advice="Name registered methods in `prerequisites`, as `fairbench list methods` does, with hyper-parameters "
        "that they have. A method may start from another configuration of itself, if that one starts from none.",
    ),
    Check(
        name="answers",
        run=answering.hooks_answer_what_the_trainer_reads,
        advice="`refuses` returns a sentence or an empty one, `admits` True or False, `end_epoch` numbers by name, "
        "`state_dict` tensors by name. A hook that returns nothing at all has mostly lost its `return`.",
    ),
    Check(
        name="finite",
        run=stepping.losses_and_gradients_are_finite,
        advice="Return a mean over images as a scalar, or None where there is nothing to learn. Use log_softmax, clamp "
        "before log, sqrt and division, and mind the last batch of an epoch, which may hold a single image.",
    ),
    Check(
        name="class-counts",
        run=stepping.any_number_of_classes_works,
        advice="Use `self.classes` instead of a number, and fairbench.ClassMeans for values per class: a "
        "class may be absent from a batch, or from a whole epoch.",
    ),
    Check(
        name="every-choice",
        run=stepping.every_choice_takes_finite_steps,
        advice="A user can choose every value among the `choices` of a hyper-parameter, and both of a bool: train with "
        "each of them, or offer it no longer. Where one acts only beside another, say so by `only_with`.",
    ),
    Check(
        name="any-network",
        run=answering.any_network_is_trained_or_refused,
        advice="A suite may name any network. Use `self.model(images)` and no part of it, or say in `refuses` what the "
        "method needs, with fairbench.batch_norms, drop_outs and linear_head: it is then told before anything is "
        "trained.",
    ),
    Check(
        name="half-precision",
        run=stepping.half_precision_is_close,
        advice="A suite may train in bf16, where networks return bf16 logits of three digits: compute the loss from "
        "`logits.float()`, as the losses of fairbench.losses do, take no difference of large or nearly equal numbers, "
        "and cast no weights by hand.",
    ),
    Check(
        name="networks-untouched",
        run=untouched.networks_are_left_alone,
        advice="Attack with fairbench.pgd and measure inside `with fairbench.frozen(net)`: both use "
        "eval mode and put everything back. By hand, use torch.autograd.grad instead of backward, and model.eval(). "
        "If attacking in train mode is the method's idea, declare it in `expected_failures`.",
    ),
    Check(
        name="inputs-untouched",
        run=untouched.inputs_are_left_alone,
        advice="Operations that end in `_`, `out=` and assignments to a slice write into the tensor itself: give the "
        "result a name of its own, or clone what you are given before you write.",
    ),
    Check(
        name="own-generators",
        run=untouched.only_its_own_generators_are_drawn_from,
        advice="Pass `generator=self.setup.generator` (attacks: `self.noise`) to every draw of torch; both are saved "
        "with a run, and restored. Seed nothing, and draw neither from `random` nor from numpy.",
    ),
    Check(
        name="inside-threat",
        run=stepping.training_points_stay_inside_the_threat,
        advice="Take epsilon and step from `self.threat`, keep pixels in [0, 1] (the model normalises by itself), and "
        "use fairbench.pgd, which projects. If larger radii are the method's idea, declare "
        "`largest_radius`; if points elsewhere are (mixed images), declare it in `expected_failures`.",
    ),
    Check(
        name="cost-counted",
        run=counting.its_cost_is_counted,
        advice="Call `self.model(images)` and the networks of `self.setup.prerequisites` as a whole: passes through "
        "their parts, or through copies of them, cannot be counted, and the board would show too low a cost.",
    ),
    Check(
        name="learns-digits",
        run=schooling.it_learns_the_digits,
        advice="Look at the sign and the scale of the loss (it is a mean over images, of order 1) and at its labels, "
        "and train longer by `fairbench run-all --suite digits` to see the curve.",
    ),
    Check(
        name="deterministic",
        run=schooling.it_is_deterministic,
        advice="Draw from `self.setup.generator` (and attacks from `self.noise`), never from `random`, numpy, the "
        "clock or a generator of your own.",
    ),
    Check(
        name="resumes",
        run=schooling.it_resumes_bit_for_bit,
        advice="Whatever one epoch leaves for the next belongs into `state_dict` and is taken up by `load_state_dict`; "
        "allocate it in `start`, in its final shape.",
    ),
    Check(
        name="never-sees-test-data",
        run=schooling.it_never_sees_test_data,
        advice="Use the batches that `loss` is given, and for steering the validation split (`validation`, "
        "`begin_epoch`). A method loads no dataset and reaches for nothing that it was not given.",
    ),
)
"""Every check, cheap ones first."""


def check_method(cls: type[Method], *, plugins: Sequence[Path] = ()) -> Iterator[Checked]:
    """Run every check, one after the other.

    Args:
        cls: the method, with its default hyper-parameters.
        plugins: files in which methods that it builds on are looked for as well.

    Raises:
        UserError: if it cannot be constructed, or `expected_failures` names no check or gives no reason.
    """
    constructed(cls, {})
    trial, expected = Trial(cls, plugins=plugins), _expected_failures(cls)
    first: dict[str, str] = {}  # names by what they said, without the full stop: later ones may add where it was
    for check in CHECKS:
        checked = _checked(check, trial, expected.get(check.name))
        if checked.outcome is Outcome.FAILED:
            same_as = next((name for said, name in first.items() if checked.reason.startswith(said)), "")
            checked = replace(checked, same_as=same_as)
            first.setdefault(checked.reason.removesuffix("."), check.name)
        yield checked


def method_checks(method: str | type[Method], *, plugins: Sequence[Path] = ()) -> list[Any]:
    """The checks of a method as parameters of a test, one item each; the test calls what it is given.

    Args:
        method: a class, or a registered name.
        plugins: files in which the name is looked for as well.
    """
    import pytest  # noqa: PLC0415  only tests need it

    @cache
    def trial() -> Trial:
        cls = registry.load(method, plugins=plugins) if isinstance(method, str) else method
        return Trial(cls, plugins=plugins)

    label = method if isinstance(method, str) else method.__name__
    return [pytest.param(partial(_assert, check, trial), id=f"{label}-{check.name}") for check in CHECKS]


def _assert(check: Check, trial: Callable[[], Trial]) -> None:
    import pytest  # noqa: PLC0415  as above

    checked = _checked(check, trial(), _expected_failures(trial().cls).get(check.name))
    if checked.outcome is Outcome.EXPECTED_FAILURE:
        pytest.xfail(checked.reason)
    if not checked.good:
        pytest.fail(f"{checked.outcome.value}: {checked.reason}\n{check.advice}", pytrace=False)


def _checked(check: Check, trial: Trial, expected: str | None) -> Checked:
    try:
        with _one_thread():
            check.run(trial)
    except (CheckFailedError, TrainingFailedError) as error:
        reason = _noted(error, str(error))
    except Exception as error:  # noqa: BLE001  the border to foreign code: its author shall see whatever it raises
        reason = _noted(error, _located(error, trial.cls))
    else:
        if expected is None:
            return Checked(check=check, outcome=Outcome.PASSED)
        problem = f"`expected_failures` says that it fails ({expected}). Remove that entry."
        return Checked(check=check, outcome=Outcome.UNEXPECTEDLY_PASSED, reason=problem)
    if expected is not None:
        return Checked(check=check, outcome=Outcome.EXPECTED_FAILURE, reason=expected)
    return Checked(check=check, outcome=Outcome.FAILED, reason=reason)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As runs compute: sums depend on the number of threads, and so small networks gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _expected_failures(cls: type[Method]) -> Mapping[str, str]:
    names = [check.name for check in CHECKS]
    for name, reason in cls.expected_failures.items():
        if name not in names:
            raise unknown(f"check in `expected_failures` of {cls.__name__}", name, names)
        if not isinstance(reason, str) or not reason.strip():
            raise UserError(f"`expected_failures` of {cls.__name__} gives no reason for {name!r}; the board shows it.")
    return cls.expected_failures


def _noted(error: Exception, sentence: str) -> str:
    return ", ".join([sentence.removesuffix("."), *getattr(error, "__notes__", ())]) + "."


def _located(error: Exception, cls: type[Method]) -> str:
    """The error, and the line of the method's file in which it arose, where there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = next((frame for frame in reversed(frames) if frame.filename == inspect.getfile(cls)), None)
    if isinstance(error, UserError) and own is None:
        return str(error)  # what a hook answered; it says which
    frame = own or frames[-1]
    said = (
        str(error).removesuffix(".") if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
    )
    return f"{said} ({Path(frame.filename).name}, line {frame.lineno})"
