"""ResNets as repositories spell them: every weight finds its own, and nothing else."""

import re

import pytest
import torch

from fairbench.external.usual_spellings import usually_spelt
from fairbench.external.weight_names import matched
from fairbench.models.resnet import resnet18

with torch.device("meta"):
    OURS = resnet18(classes=10, channels=3, size=(32, 32)).state_dict()

Spelling = tuple[tuple[str, str], ...]

LAST = ["linear", "classifier", "head", "last_linear", "logits", "out", "classifier.0", "head.fc"]
SHORTCUTS = [
    ("shortcut.0", "shortcut.1"),
    ("skip.0", "skip.1"),
    ("identity_downsample.0", "identity_downsample.1"),
    ("downsample.conv", "downsample.bn"),
    ("shortcut.conv1", "shortcut.bn1"),
    ("conv_shortcut", "bn_shortcut"),
    ("convShortcut", "bnShortcut"),
    ("shortcut_conv", "shortcut_bn"),
]
OTHERS: list[Spelling] = [
    ((r"^", "module._orig_mod."), ("downsample", "shortcut"), (r"\.fc\.", ".linear.")),
    ((r"^(?!fc)", "backbone."), (r"^fc", "head.fc")),
    ((r"^(?!fc)", "encoder."),),
    ((r"^(?!fc)", "features."), (r"^fc", "classifier")),
    ((r"^conv1", "stem.0"), (r"^bn1", "stem.1")),
    ((r"^conv1", "conv"), (r"^bn1", "bn")),
    (("layer1", "layers.0"), ("layer2", "layers.1"), ("layer3", "layers.2"), ("layer4", "layers.3")),
    (("layer", "stages."),),
    (
        (r"^conv1", "conv1.0"),
        (r"^bn1", "conv1.1"),
        ("layer4", "conv5_x"),
        ("layer3", "conv4_x"),
        ("layer2", "conv3_x"),
        ("layer1", "conv2_x"),
        (r"\.conv1\.(?!\d)", ".residual_function.0."),
        (r"\.bn1", ".residual_function.1"),
        (r"\.conv2", ".residual_function.3"),
        (r"\.bn2", ".residual_function.4"),
        ("downsample", "shortcut"),
    ),
]


def spelt(name: str, spelling: Spelling) -> str:
    for pattern, other in spelling:
        name = re.sub(pattern, other, name)
    return name


@pytest.mark.parametrize(
    "spelling",
    [
        *(((r"^fc", last),) for last in LAST),
        *(((r"downsample\.0", conv), (r"downsample\.1", norm)) for conv, norm in SHORTCUTS),
        *OTHERS,
    ],
    ids=lambda spelling: spelling[-1][1] or spelling[0][1],
)
def test_every_weight_finds_its_own(spelling: Spelling) -> None:
    """Many of them have the same shape, so that it is the name which says what is what."""
    theirs = {name: spelt(name, spelling) for name in OURS}
    assert len(set(theirs.values())) == len(OURS)
    assert matched(OURS, {theirs[name]: value for name, value in OURS.items()}) == theirs


def test_names_that_would_become_one_stay_as_they_are() -> None:
    names = ["fc.weight", "linear.weight", "conv1.weight"]
    assert usually_spelt(names) == {name: name for name in names}


def test_another_network_is_not_made_to_fit() -> None:
    """A shortcut more, or the same weights in another place."""
    assert matched(OURS, OURS | {"layer1.0.shortcut.0.weight": torch.zeros(64, 64, 1, 1)}) is None
    moved = {name.replace("layer4.1", "layer4.2"): value for name, value in OURS.items()}
    assert matched(OURS, moved) is None
