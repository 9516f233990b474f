"""The protocol's dataclasses: what they refuse, and a key that content alone decides."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.protocol.dataset_source import Exclusion, PixelDigests
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.suite import Suite, protocol_description
from fairbench.protocol.suite_file import load_suite, suite_names
from fairbench.protocol.threat import Threat

Change = Callable[[Suite], Suite]
DIGITS = load_suite("digits")


def key(suite: Suite, *, digest: str = "") -> str:
    return content_key(protocol_description(suite, dataset_digest=digest))


def part(section: str, /, **changes: Any) -> Change:
    """A suite with fields of one of its parts changed."""
    return lambda suite: replace(suite, **{section: replace(getattr(suite, section), **changes)})


@pytest.mark.parametrize(
    "change",
    [
        lambda suite: replace(suite, name="mine"),
        lambda suite: replace(suite, title="Other words"),
        lambda suite: replace(suite, folder="somewhere/else"),
        lambda suite: replace(suite, seeds=(7, 3)),
    ],
    ids=["name", "title", "folder", "seeds"],
)
def test_what_does_not_decide_comparability_does_not_enter_the_key(change: Change) -> None:
    assert key(change(DIGITS)) == key(DIGITS)


def test_a_file_is_known_by_its_content_and_not_by_its_path_or_display_name() -> None:
    digest = "a" * 64
    one = part("dataset", name="flowers", file="data/flowers.npz")(DIGITS)
    other = part("dataset", name="Flowers, copied", file="elsewhere/f.npz")(DIGITS)
    assert key(one, digest=digest) == key(other, digest=digest)
    assert key(one, digest=digest) != key(one, digest="b" * 64)


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("dataset", {"name": "mnist"}),
    ("dataset", {"validation": 0.1}),
    ("dataset", {"image_size": 16}),
    ("dataset", {"train_images": 500}),
    ("dataset", {"exclude": Exclusion(why="Damaged.", train=(3, 1))}),
    ("dataset", {"exclude": Exclusion(why="Damaged.", test=(3, 1))}),
    ("dataset", {"pixels": PixelDigests(train="ab" * 32)}),
    ("dataset", {"pixels": PixelDigests(test="ab" * 32)}),
    ("threat", {"norm": "L2"}),
    ("threat", {"epsilon": 0.1500001}),
    ("threat", {"step": 0.03}),
    ("threat", {"steps": 7}),
    ("threat", {"attack_precision": "bf16"}),
    ("recipe", {"epochs": 41}),
    ("recipe", {"batch_size": 64}),
    ("recipe", {"learning_rate": 0.1}),
    ("recipe", {"momentum": 0.8}),
    ("recipe", {"weight_decay": 0.0}),
    ("recipe", {"schedule": "steps"}),
    ("recipe", {"drops": (0.5,)}),
    ("recipe", {"drop_factor": 0.2}),
    ("recipe", {"warmup": 0.4}),
    ("recipe", {"crop_padding": 2}),
    ("recipe", {"flip": True}),
    ("recipe", {"averaging": "ema"}),
    ("recipe", {"averaging_decay": 0.9}),
    ("recipe", {"averaging_start": 0.5}),
    ("recipe", {"precision": "bf16"}),
    ("evaluation", {"tier": "screen"}),
    ("evaluation", {"search": "bf16"}),
    ("evaluation", {"audit": 0.2}),
    ("evaluation", {"pgd_steps": 50}),
    ("evaluation", {"pgd_step": 0.01}),
    ("evaluation", {"seed": 1}),
    ("evaluation", {"batch_size": 100}),
    ("evaluation", {"engine": "reference"}),
    ("evaluation", {"curve": (0.05, 0.15)}),
    ("evaluation", {"attacks": ("targeted",)}),
    ("tuning", {"rates": (1.0, 2.0)}),
    ("tuning", {"fraction": 0.5}),
    ("tuning", {"seed": 7}),
]


def test_every_field_of_the_protocol_enters_the_key() -> None:
    """Each change gives a key of its own, and no field of the parts is left out of the table."""
    keys = [key(part(name, **changes)(DIGITS)) for name, changes in CHANGES]
    keys += [
        key(replace(DIGITS, model="resnet18")),
        key(replace(DIGITS, protocol="fairbench-9")),
        key(replace(DIGITS, tuning=None)),
        key(DIGITS),
    ]
    assert len(set(keys)) == len(keys)
    covered = {(name, field) for name, changes in CHANGES for field in changes}
    parts = ("dataset", "threat", "recipe", "evaluation", "tuning")
    fields = {(name, field) for name in parts for field in asdict(getattr(DIGITS, name))} - {("dataset", "file")}
    assert covered == fields


def test_why_images_are_left_out_and_in_which_order_enters_no_key() -> None:
    one = part("dataset", exclude=Exclusion(why="Damaged.", train=(3, 1), test=(7, 2)))(DIGITS)
    other = part("dataset", exclude=Exclusion(why="They are copies.", train=(1, 3), test=(2, 7)))(DIGITS)
    assert key(one) == key(other) != key(DIGITS)


KEYS_BEFORE_RESTRICTIONS = {
    "cifar10": "f978b26c34a8476d",
    "cifar10-fast": "08b3e537c1a8cc3f",
    "cifar10-wrn": "3735cf4b02e2b387",
    "cifar100": "16d6c19fecee516f",
    "digits": "97657b9babdfbd00",
    "imagenette": "7c9e07b694a00125",
    "mnist": "f1a4e6504ee7137e",
    "svhn": "4e79869bbfbda2a3",
}


@pytest.mark.parametrize("name", KEYS_BEFORE_RESTRICTIONS)
def test_a_suite_that_restricts_nothing_has_the_key_that_it_had_before_suites_could(name: str) -> None:
    """Under `fairbench-1`, which tuned nothing; a new version of the rules is a new key."""
    suite = replace(load_suite(name), protocol="fairbench-1", tuning=None)
    assert key(suite) == KEYS_BEFORE_RESTRICTIONS[name]


def test_the_shipped_suites_are_different_protocols() -> None:
    assert len({key(load_suite(name)) for name in suite_names()}) == len(suite_names()) == 10


def test_the_key_is_the_same_in_another_process() -> None:
    """Nothing of the interpreter's hash seed, memory or environment enters it."""
    code = (
        "from fairbench.identity import content_key; from fairbench.protocol.suite import protocol_description; "
        "from fairbench import load_suite; "
        "print(content_key(protocol_description(load_suite('digits'), dataset_digest='')))"
    )
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert run.stdout.strip() == key(DIGITS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(description=st.dictionaries(st.text(), VALUES, max_size=4), order=st.randoms(use_true_random=False))
def test_a_key_depends_on_content_and_not_on_order(description: dict[str, Any], order: Any) -> None:
    items = list(description.items())
    order.shuffle(items)
    found = content_key(dict(items))
    assert found == content_key(description) == content_key(json.loads(json.dumps(description)))
    assert len(found) == 16
    assert set(found) <= set("0123456789abcdef")
    assert found != content_key({**description, "one more": 1}) or "one more" in description


def test_a_key_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        content_key({"epsilon": float("nan")})


def test_a_suite_for_the_teacher_changes_the_model_alone() -> None:
    assert DIGITS.teaching() == replace(DIGITS, model=DIGITS.teacher)
    assert key(DIGITS.teaching()) != key(DIGITS)


def test_a_suite_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        DIGITS.threat.epsilon = 0.2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Threat(epsilon=0.0, step=0.1), "threat.epsilon = 0.0"),
        (lambda: Threat(epsilon=1.5, step=0.1), "threat.epsilon = 1.5"),
        (lambda: Threat(epsilon=float("nan"), step=0.1), "threat.epsilon = nan"),
        (lambda: Threat(epsilon=0.1, step=0.21), "threat.step = 0.21"),
        (lambda: Threat(epsilon=0.1, step=0.1, steps=0), "threat.steps = 0"),
        (lambda: Recipe(epochs=0), "recipe.epochs = 0"),
        (lambda: Recipe(epochs=1, drops=(0.9, 0.5)), "recipe.drops = [0.9, 0.5]"),
        (lambda: Recipe(epochs=1, learning_rate=float("inf")), "recipe.learning_rate = inf"),
        (lambda: Evaluation(pgd_step=0.1, audit=0.0), "evaluation.audit = 0.0"),
        (lambda: Evaluation(pgd_step=0.1, engine="reference", search="bf16"), "evaluation.search = 'bf16'"),
        (lambda: replace(DIGITS, seeds=()), "seeds = []"),
        (lambda: part("evaluation", pgd_step=0.5)(DIGITS), "evaluation.pgd_step = 0.5"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(build: Callable[[], object], field: str) -> None:
    with pytest.raises(UserError) as refused:
        build()
    assert str(refused.value).startswith(f"{field} is not allowed; allowed: ")


def test_an_l2_radius_may_exceed_one() -> None:
    assert Threat(norm="L2", epsilon=1.5, step=0.3).epsilon == 1.5
