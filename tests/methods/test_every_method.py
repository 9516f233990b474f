"""What holds for every registered method, whoever wrote it."""

import ast
import math
from collections.abc import Callable
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fairbench_methods
from fairbench.errors import UserError
from fairbench.method import registry
from fairbench.method.contract import Method
from fairbench.method.hyperparameter import allowed_by

Call = Callable[..., Any]
LATE = 95
"""An epoch of 100 in which every method does what makes it different."""

FILES = Path(fairbench_methods.__file__).parent

each_method = pytest.mark.parametrize("name", registry.names())
each_attacking_method = pytest.mark.parametrize("name", [name for name in registry.names() if name != "standard"])


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@each_method
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("epoch", [0, LATE])
def test_it_takes_finite_steps(
    name: str, classes: int, epoch: int, *, prepare: Call, make_batch: Call, step: Call
) -> None:
    """For any number of classes, also where most are absent from the batch."""
    method = prepare(registry.create(name, {}), classes=classes, epoch=epoch)
    before = snapshot(method.model)
    loss = step(method, make_batch(16, classes=classes))
    assert loss is not None
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    for parameter in method.model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.requires_grad
    assert any(not torch.equal(before[name], value) for name, value in method.model.state_dict().items())
    assert all(value.isfinite().all() for value in method.model.state_dict().values())


@each_method
@pytest.mark.parametrize("labels", [[3], [0] * 11 + [7], [5] * 6], ids=["one image", "unbalanced", "a single class"])
def test_odd_batches(name: str, labels: list[int], prepare: Call, make_batch: Call, step: Call) -> None:
    """The last batch of an epoch is small, and its classes are what they are."""
    method = prepare(registry.create(name, {}), epoch=LATE)
    loss = step(method, make_batch(len(labels), labels=labels))
    assert loss is None or loss.isfinite()
    assert all(value.isfinite().all() for value in method.model.state_dict().values())
    for values in method.end_epoch(LATE).values():
        assert all(torch.tensor(values).isfinite().reshape(-1))  # the history is stored as JSON without NaN


@each_method
def test_half_precision_forwards(name: str, prepare: Call, make_batch: Call, step: Call) -> None:
    """Inside autocast the loss is fp32, every weight gets a gradient, and the result is close to full precision.

    A measuring forward without gradient can leave weights in autocast's cache and so cut them off from the loss.
    """
    method, reference = (prepare(registry.create(name, {}), epoch=LATE) for _ in range(2))
    loss, expected = step(method, make_batch(16), bf16=True), step(reference, make_batch(16))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0.02)
    for half, full in zip(method.model.parameters(), reference.model.parameters(), strict=True):
        assert half.grad is not None
        assert half.grad.abs().sum() > 0.2 * full.grad.abs().sum()


@each_attacking_method
def test_batch_norm_sees_only_the_training_forwards(name: str, prepare: Call, make_batch: Call) -> None:
    """Attacks and measurements run in eval mode: the buffers count train-mode forwards and nothing else."""
    method = prepare(registry.create(name, {}), epoch=LATE)
    modes: list[bool] = []
    method.model.register_forward_hook(lambda net, _in, _out: modes.append(net.training))
    counter = method.model.features[1].num_batches_tracked
    before = int(counter)
    method.loss(make_batch(16))
    assert 1 <= sum(modes) <= 3
    assert int(counter) == before + sum(modes)
    assert all(module.training for module in method.model.modules())
    assert len(modes) > sum(modes)  # it did attack


@each_attacking_method
def test_only_its_own_generators_are_drawn_from(name: str, prepare: Call, make_batch: Call) -> None:
    """The attack's noise and the method's draws are separate streams; the global one is nobody's."""
    method = prepare(registry.create(name, {}), epoch=LATE)
    state = torch.get_rng_state()
    noise = method.noise.get_state()
    method.loss(make_batch(16))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(noise, method.noise.get_state())
    assert method.setup.noise is not method.setup.generator
    own = method.setup.generator.get_state()
    fresh = prepare(registry.create(name, {}), epoch=LATE)
    assert torch.equal(own, fresh.setup.generator.get_state())  # defaults decide everything without own draws


@each_method
def test_the_batch_is_not_written_to(name: str, prepare: Call, make_batch: Call) -> None:
    batch = make_batch(16)
    images, labels = batch.images.clone(), batch.labels.clone()
    prepare(registry.create(name, {}), epoch=LATE).loss(batch)
    assert torch.equal(batch.images, images)
    assert torch.equal(batch.labels, labels)


@each_method
def test_prerequisites_are_left_alone(name: str, prepare: Call, make_batch: Call, step: Call) -> None:
    method = prepare(registry.create(name, {}), epoch=LATE)
    before = {role: snapshot(net) for role, net in method.setup.prerequisites.items()}
    step(method, make_batch(16))
    for role, net in method.setup.prerequisites.items():
        assert not net.training
        assert all(torch.equal(before[role][key], value) for key, value in net.state_dict().items())
        assert all(p.grad is None and not p.requires_grad for p in net.parameters())


@each_method
def test_it_resumes_where_it_was(name: str, prepare: Call, make_batch: Call, step: Call) -> None:
    """State, weights and generators carried over give the same next loss, bit for bit."""
    method = prepare(registry.create(name, {}), epoch=LATE)
    for seed in range(3):
        step(method, make_batch(16, seed=seed))
    method.end_epoch(LATE)
    # Moved, because after so few steps some states still are what they were at the start.
    state = {key: value + 0.1 * value.is_floating_point() for key, value in method.state_dict().items()}
    method.load_state_dict({key: value.clone() for key, value in state.items()})

    resumed = prepare(registry.create(name, {}), epoch=LATE)
    assert not any(torch.equal(value, state[key]) for key, value in resumed.state_dict().items())
    resumed.model.load_state_dict(method.model.state_dict())
    resumed.load_state_dict(state)
    resumed.setup.noise.set_state(method.noise.get_state())
    resumed.setup.generator.set_state(method.setup.generator.get_state())
    assert resumed.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in resumed.state_dict().items())
    batch = make_batch(16, seed=9)
    assert torch.equal(step(method, batch), step(resumed, batch))


@each_method
def test_training_is_reproducible(name: str, prepare: Call, same_training: Call) -> None:
    assert same_training(*(prepare(registry.create(name, {}), epoch=LATE) for _ in range(2)))


@each_method
def test_every_hyper_parameter_is_documented(name: str) -> None:
    """They are options on the command line and a table on the method's page."""
    method = registry.create(name, {})
    for field in (f for f in fields(method) if f.init):
        assert len(field.metadata["description"]) > 10, field.name
        if isinstance(field.default, str):
            assert field.default in allowed_by(field).choices
    assert type(method).__doc__


@each_method
def test_every_choice_trains(name: str, prepare: Call, make_batch: Call, step: Call) -> None:
    """Also the options that the defaults never reach."""
    cls = registry.load(name)
    for field in (f for f in fields(cls) if f.init):
        values: list[Any] = list(allowed_by(field).choices)
        if isinstance(field.default, bool):
            values = [not field.default]
        for value in values:
            method = prepare(cls(**{field.name: value}), epoch=LATE)
            loss = step(method, make_batch(16))
            assert loss is not None, (field.name, value)
            assert loss.isfinite(), (field.name, value)


@each_method
def test_no_number_may_be_infinite_by_accident(name: str) -> None:
    """It would be NaN in the first loss; GAIRAT's shift is the one that means something."""
    cls = registry.load(name)
    for field in (f for f in fields(cls) if f.init and isinstance(f.default, float)):
        assert allowed_by(field).at_least is not None, field.name
        if (name, field.name) == ("gairat", "shift"):
            continue
        assert allowed_by(field).at_most is not None, field.name
        for value in (math.inf, -math.inf, math.nan):
            with pytest.raises(UserError, match=f"{field.name}={value}"):
                cls(**{field.name: value})


WRONG_ELSEWHERE = {("fairat", name) for name in ("copies", "strength_by_hardness", "attack_start")}
"""Not idle but out of place: an image has one place, other views have no strength, TRADES' start is Gaussian anyway."""


def another_value(field: Field[Any]) -> Any:
    """One that is allowed and is not the default."""
    default, allowed = field.default, allowed_by(field)
    if isinstance(default, bool):
        return not default
    if allowed.choices:
        return next(choice for choice in allowed.choices if choice != default)
    bound: Any = allowed.at_most if allowed.at_most not in (None, default) else allowed.at_least
    return type(default)((default + bound) / 2) if isinstance(default, float) else bound


def without_effect() -> list[tuple[str, str, str, Any]]:
    """(method, hyper-parameter, the other one, its value) of what is refused."""
    found = []
    for name in registry.names():
        known = {field.name: field for field in fields(registry.load(name)) if field.init}
        for field in (f for f in known.values() if f.metadata["only_with"]):
            other, *effective = field.metadata["only_with"]
            values = allowed_by(known[other]).choices or (another_value(known[other]), known[other].default)
            assert set(effective) < set(values), (name, field.name)
            if (name, field.name) not in WRONG_ELSEWHERE:
                found += [(name, field.name, other, value) for value in values if value not in effective]
    return found


@pytest.mark.parametrize(("name", "option", "other", "value"), without_effect())
def test_what_is_refused_has_no_effect(
    name: str, option: str, other: str, value: Any, *, prepare: Call, same_training: Call
) -> None:
    """Past the check, the changed value trains the same, bit for bit."""
    cls = registry.load(name)
    changed = another_value(cls.__dataclass_fields__[option])
    with pytest.raises(UserError, match=f"{option}={changed!r} has no effect with {other}={value!r}"):
        cls(**{option: changed, other: value})
    twins = [cls(**{other: value}) for _ in range(2)]
    setattr(twins[1], option, changed)
    for epoch in (0, LATE):
        pair = [prepare(twin, epoch=epoch) for twin in twins]
        assert pair[0].setup.recipe == pair[1].setup.recipe
        assert same_training(*pair)


@each_method
def test_the_card_is_complete(name: str) -> None:
    card = registry.card(name)
    assert card.title
    assert card.venue
    assert 1991 <= card.year <= 2026
    assert card.link.startswith("https://")
    assert card.bibtex.startswith("@")
    assert card.bibtex.count("{") == card.bibtex.count("}")
    assert all(f"{key} = " in card.bibtex for key in ("title", "author", "year"))
    assert str(card.year) in card.bibtex
    for author in card.authors.split(", "):
        assert author.split()[-1] in card.bibtex, author
    assert card.family in ("baseline", "fairness", "distillation")


@each_method
def test_methods_do_not_subclass_one_another(name: str) -> None:
    """Shared parts are functions, so that a file shows a whole method."""
    assert registry.load(name).__bases__ == (Method,)


@each_method
def test_a_hyper_parameter_that_variants_share_has_one_name(name: str) -> None:
    """A field that is said once and taken up under two names would lose the first of them."""
    assert all(key == field.name for key, field in registry.load(name).__dataclass_fields__.items())


@pytest.mark.parametrize("path", sorted(FILES.rglob("*.py")), ids=lambda path: str(path.relative_to(FILES)))
def test_what_a_file_imports(path: Path) -> None:
    """The API from `fairbench` alone, shared code from `parts`; no method knows another, and no part a method."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.split(".")[0].startswith("fairbench"):
                assert name == "fairbench" or name.startswith("fairbench_methods.parts."), name


def test_the_listing_reads_as_the_list_of_methods() -> None:
    """Every file but the package's own holds a registered one."""
    modules = {registry.load(name).__module__ for name in registry.names()}
    assert {f"fairbench_methods.{path.stem}" for path in FILES.glob("*.py")} - {"fairbench_methods.__init__"} == modules


@each_method
def test_the_recipe_hook_keeps_what_it_does_not_own(name: str, prepare: Call) -> None:
    """Precision, batch size and augmentation are the suite's, for every method alike; averaging, but for CFA's."""
    recipe = prepare(registry.create("pgd-at", {})).setup.recipe
    recipe = replace(recipe, averaging="ema", averaging_decay=0.9, precision="bf16", batch_size=64, flip=False)
    asked = registry.create(name, {}).recipe(recipe)
    own = ["epochs", "learning_rate", "schedule", "drops", "drop_factor"]
    if name.startswith("cfa-"):
        own += ["averaging_decay", "averaging_start"]
    assert replace(asked, **{key: getattr(recipe, key) for key in own}) == recipe
    assert asked.epochs >= 1
