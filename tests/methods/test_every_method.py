"""What holds for every registered method, whoever wrote it."""

import ast
import math
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
from fixture_types import Call

LATE = 95
"""An epoch of 100 in which every method does what makes it different."""

FILES = Path(fairbench_methods.__file__).parent

each_method = pytest.mark.parametrize("name", registry.names())
each_attacking_method = pytest.mark.parametrize("name", [name for name in registry.names() if name != "standard"])


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@each_method
@pytest.mark.parametrize("epoch", [0, LATE])
def test_a_step_reaches_every_weight(name: str, epoch: int, *, prepare: Call, make_batch: Call, step: Call) -> None:
    """Whatever the losses of a method leave out, the network is trained as a whole."""
    method = prepare(registry.create(name, {}), epoch=epoch)
    before = snapshot(method.model)
    assert step(method, make_batch(16)) is not None
    for key, parameter in method.model.named_parameters():
        assert parameter.grad is not None
        assert not torch.equal(before[key], parameter)


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
def test_losses_are_fp32_in_half_precision(name: str, prepare: Call, make_batch: Call, step: Call) -> None:
    """Three digits are enough for logits, and too few for a sum of their logarithms."""
    loss = step(prepare(registry.create(name, {}), epoch=LATE), make_batch(16), bf16=True)
    assert loss.dtype == torch.float32


@each_attacking_method
def test_the_attack_s_noise_and_the_method_s_draws_are_two_streams(name: str, prepare: Call, make_batch: Call) -> None:
    """With the defaults, nothing but the start of an attack is drawn."""
    method, fresh = (prepare(registry.create(name, {}), epoch=LATE) for _ in range(2))
    method.loss(make_batch(16))
    assert not torch.equal(method.noise.get_state(), fresh.noise.get_state())
    assert torch.equal(method.setup.generator.get_state(), fresh.setup.generator.get_state())


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
def test_the_card_names_whom_its_bibtex_names(name: str) -> None:
    card = registry.card(name)
    assert 1991 <= card.year <= 2026
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
def test_averaging_is_the_suites_but_for_cfa_s(name: str, prepare: Call) -> None:
    """How often, from when on, and whether at all."""
    recipe = prepare(registry.create("pgd-at", {})).setup.recipe
    recipe = replace(recipe, averaging="ema", averaging_decay=0.9, averaging_start=0.5)
    asked = registry.create(name, {}).recipe(recipe)
    assert asked.averaging == "ema"
    if not name.startswith("cfa-"):
        assert (asked.averaging_decay, asked.averaging_start) == (0.9, 0.5)
