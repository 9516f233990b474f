"""Further attacks by name: built-in ones, those of files, their settings, and a sentence for whatever is wrong."""

from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.method import registry
from fairbench.method.attack_registry import names, origins, pinned, resolve

MINE = """
from dataclasses import dataclass
from fairbench import hyperparameter

def random_corners(model, images, labels, threat, noise):
    return images

@dataclass(frozen=True, kw_only=True)
class ManyCorners:
    tries: int = hyperparameter(10, "corners", at_least=1)

    def __call__(self, model, images, labels, threat, noise):
        return images

def helper(images, labels):
    return images

def _hidden(model, images, labels, threat, noise):
    return images
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_the_built_in_ones_are_registered_as_anybody_s() -> None:
    assert {"corruptions", "l1-apgd", "pgd-restarts", "targeted"} <= set(names())
    assert origins()["targeted"].startswith("fairbench ")
    found = resolve(["pgd-restarts:restarts=7,step=0.2", "targeted"])
    assert list(found) == ["pgd-restarts:restarts=7,step=0.2", "targeted"]
    attack = found["pgd-restarts:restarts=7,step=0.2"]
    assert (attack.restarts, attack.step) == (7, 0.2)  # type: ignore[attr-defined]


def test_a_file_s_attacks_bear_the_digest_of_their_code(plugin: Path) -> None:
    """So that another code is another evaluation; an attack without an underscore, called as attacks are."""
    (text,) = pinned(["random-corners"], plugins=[plugin])
    assert text.startswith("random-corners#")
    assert list(resolve([text], plugins=[plugin])) == [text]
    ((options, attack),) = resolve(["many-corners:tries=3"], plugins=[plugin]).items()
    assert options.startswith("many-corners:tries=3#")
    assert attack.tries == 3  # type: ignore[attr-defined]
    for name in ("helper", "hidden", "-hidden"):
        with pytest.raises(UserError, match=f"Unknown attack '{name}'"):
            resolve([name], plugins=[plugin])
    plugin.write_text(MINE + "# other", encoding="utf-8")
    with pytest.raises(UserError, match="is not the code that 'random-corners#"):
        resolve([text], plugins=[plugin])


def test_a_file_may_hold_attacks_alone_methods_alone_or_both(plugin: Path) -> None:
    assert registry.names(plugins=[plugin]) == registry.names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targetted", "Unknown attack 'targetted'. Did you mean 'targeted'?"),
        ("targeted:step", "The attack 'targeted:step' is not allowed; allowed: NAME, or NAME:OPTION=VALUE"),
        ("targeted:stepps=3", "Unknown option of the attack targeted 'stepps'. Did you mean 'steps'?"),
        ("targeted:steps=x", "steps='x' is not an integer"),
        ("targeted:steps=0", "steps=0 is not allowed; allowed: at least 1"),
        ("corruptions:kind=frost", "kind='frost' is not allowed"),
        ("random-corners:x=1", "The attack 'random-corners' has no options"),
    ],
)
def test_what_is_wrong_is_a_sentence(plugin: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve([text], plugins=[plugin])
    assert message in str(raised.value)


def test_one_name_has_one_attack(plugin: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(MINE, encoding="utf-8")
    with pytest.raises(UserError, match="Two attacks are named 'random-corners'"):
        resolve(["random-corners"], plugins=[plugin, other])
    assert resolve(["random-corners"], plugins=[plugin, plugin])
    other.write_text("def targeted(model, images, labels, threat, noise): return images", encoding="utf-8")
    with pytest.raises(UserError, match="Two attacks are named 'targeted'"):
        resolve(["targeted"], plugins=[other])


def test_a_broken_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name", encoding="utf-8")
    with pytest.raises(UserError, match=r"ModuleNotFoundError.*broken\.py, line 1"):
        resolve(["x"], plugins=[path])
