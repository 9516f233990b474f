"""How ResNets for small images are usually spelt: one name for each layer, whoever wrote the network.

    usually_spelt(["module.layers.1.0.conv_shortcut.weight", ...])      # {"2.0.downsample.0.weight": ..., ...}

Repositories call the same layers `downsample.0`, `shortcut.0` or `convShortcut`, the last one `fc`, `linear` or
`classifier`, and the groups `layer1`, `layers.0` or `conv2_x`. The one spelling here is torchvision's, and for
pre-activation networks one of its own.
"""

import re
from collections.abc import Callable, Collection

_LAST = "fc|linear|classifier|head|logits|output|out|last_linear|linear1|final|final_fc"
_SKIP = "shortcut|downsample|skip|identity_downsample|downsample_layer"

_SPELLINGS: tuple[tuple[str, str], ...] = (
    (r"^(backbone|encoder|features|feature_extractor|body)\.(?=\w+\.)", ""),
    (rf"^({_LAST})(\.(fc|linear|0|1))?(?=\.(weight|bias)$)", "fc"),
    (r"^(conv1|stem|prep|conv_stem)\.(0|conv1?)(?=\.)", "conv1"),
    (r"^(conv1|stem|prep|conv_stem)\.(1|bn1?|norm)(?=\.)", "bn1"),
    (r"^conv(?=\.)", "conv1"),
    (r"^conv2_x\.", "layer1."),  # as the groups are called in the paper's table
    (r"^conv3_x\.", "layer2."),
    (r"^conv4_x\.", "layer3."),
    (r"^conv5_x\.", "layer4."),
    (r"\.residual_function\.0(?=\.)", ".conv1"),
    (r"\.residual_function\.1(?=\.)", ".bn1"),
    (r"\.residual_function\.3(?=\.)", ".conv2"),
    (r"\.residual_function\.4(?=\.)", ".bn2"),
    (r"\.residual_function\.6(?=\.)", ".conv3"),
    (r"\.residual_function\.7(?=\.)", ".bn3"),
    (rf"\.((conv_?({_SKIP}))|(({_SKIP})_conv)|(({_SKIP})\.conv1?))(?=\.)", ".downsample.0"),
    (rf"\.(((bn|norm)_?({_SKIP}))|(({_SKIP})_(bn|norm))|(({_SKIP})\.(bn1?|norm)))(?=\.)", ".downsample.1"),
    (rf"\.({_SKIP})(?=\.)", ".downsample"),
)


def usually_spelt(names: Collection[str]) -> dict[str, str]:
    """The usual names with the given ones; the given ones themselves if two would become one.

    Args:
        names: without the words of wrappers.
    """
    numbers = {int(found[1]) for name in names if (found := re.match(r"features\.(\d+)\.norm1\.", name))}
    if numbers:  # a pre-activation network of ours, which numbers all blocks: `features.5.norm1`
        widened = sum(f"features.{number}.shortcut.weight" in names for number in numbers)
        groups = widened + ("features.1.shortcut.weight" not in names)
        return _renamed(names, lambda name: _grouped(name, blocks=max(numbers), groups=groups))
    words = _renamed(names, _spelt)
    numbered = _renamed(words, _from_one(words))
    given = {new: words[old] for new, old in numbered.items()}
    if not any(re.match(r"(layer|block)1\.(layer\.)?0\.bn1\.", name) for name in given):
        return given
    return {new: given[old] for new, old in _renamed(given, _ungrouped).items()}


def _spelt(name: str) -> str:
    """One name, word by word."""
    name = re.sub(r"\.(conv|bn|norm)Shortcut(?=\.)", r".\1_shortcut", name)
    for pattern, spelling in _SPELLINGS:
        name = re.sub(pattern, spelling, name)
    return name


def _from_one(names: Collection[str]) -> Callable[[str], str]:
    """How to number the groups from 1, in one word: `layers.0.1` is `layer1.1`."""
    pattern = re.compile(r"^(?:layers?|stages?)[._]?(\d+)\.")
    first = min((int(found[1]) for name in names if (found := pattern.match(name))), default=1)
    return lambda name: pattern.sub(lambda found: f"layer{int(found[1]) - first + 1}.", name)


def _grouped(name: str, *, blocks: int, groups: int) -> str:
    """Ours, with blocks in groups."""
    head, _, rest = name.partition(".")
    if head != "features":
        return f"fc.{rest}" if head == "head" else name
    number, _, rest = rest.partition(".")
    if number == "0":
        return f"stem.{rest}"
    if int(number) > blocks:
        return f"last.{rest}"
    group, place = divmod(int(number) - 1, blocks // groups)
    return f"{group + 1}.{place}.{rest.replace('shortcut', 'downsample.0')}"


def _ungrouped(name: str) -> str:
    """Of PreActResNets, as `layer2.0.bn1`, and of Wide ResNets, as `block2.layer.0.bn1`, in our words."""
    if found := re.match(r"(?:layer|block)(\d+)\.(?:layer\.)?(\d+)\.(.*)", name):
        return f"{found[1]}.{found[2]}.{re.sub(r'^bn(?=[12])', 'norm', found[3])}"
    return re.sub(r"^conv1(?=\.)", "stem", re.sub(r"^bn1?(?=\.)", "last", name))


def _renamed(names: Collection[str], rename: Callable[[str], str]) -> dict[str, str]:
    new = {rename(name): name for name in names}
    return new if len(new) == len(names) else {name: name for name in names}
