"""Published checkpoints on real images: our models and attacks reproduce what is known about them.

The images and two of the checkpoints lie in a shared folder beside the repository, where there is one.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pyautoattack
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fairbench import Threat
from fairbench.evaluation.screening import Screened, screen
from fairbench.models import build_model
from fairbench.protocol.evaluation import Evaluation

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder with real images")


@pytest.fixture(scope="module")
def cifar10() -> tuple[Tensor, Tensor]:
    """The first 1,000 CIFAR-10 test images that are stored without loss, uint8, with their labels."""
    meta = np.load(SHARED / "cifar10" / "meta.npz")
    sheet = np.asarray(Image.open(SHARED / "cifar10" / "test_00.webp").convert("RGB"))
    tiles = sheet.reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3).reshape(1000, 3, 32, 32)
    keep = np.flatnonzero(meta["test_lossless"][:1000])
    return torch.from_numpy(tiles[keep].copy()), torch.from_numpy(meta["test_labels"][keep].astype(np.int64))


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    """Architectures of the shared checkpoints."""
    specification = importlib.util.spec_from_file_location("shared_zoo", SHARED / "models" / "zoo.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _screened(model: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float) -> Screened:
    threat = Threat(epsilon=epsilon, step=epsilon / 4)
    return screen(model, images, labels, classes=10, threat=threat, evaluation=Evaluation(pgd_step=epsilon / 4))


@pytest.mark.parametrize(("epsilon", "robust"), [(2 / 255, 0.52), (8 / 255, 0.152)])
def test_pgd20_reproduces_a_published_cifar10_checkpoint(
    zoo: ModuleType, cifar10: tuple[Tensor, Tensor], epsilon: float, robust: float
) -> None:
    """65.6 % clean on the whole test set; PGD-20 leaves 52.0 % at 2/255 and 15.2 % at 8/255 of the first 1,000."""
    model = zoo.cifar_cnn_a()
    model.load_state_dict(torch.load(SHARED / "models" / "cifar_cnn_a_adv.pt", weights_only=True))
    images, labels = cifar10
    found = _screened(model, images, labels, epsilon=epsilon)
    assert float((found.clean == labels).float().mean()) == pytest.approx(0.656, abs=0.03)
    assert float((found.pgd20 == labels).float().mean()) == pytest.approx(robust, abs=0.01)


def test_a_published_mnist_checkpoint_is_robust_at_0_3(zoo: ModuleType) -> None:
    """TRADES' MNIST network: 99.48 % clean, and still far above 90 % under PGD-20 at 0.3."""
    model = zoo.trades_mnist()
    model.load_state_dict(torch.load(SHARED / "models" / "trades_mnist_smallcnn.pt", weights_only=True))
    found = np.load(SHARED / "mnist" / "mnist_test.npz")
    images = torch.from_numpy(found["images"][:300].reshape(-1, 1, 28, 28))
    labels = torch.from_numpy(found["labels"][:300].astype(np.int64))
    screened = _screened(model, images, labels, epsilon=0.3)
    assert float((screened.clean == labels).float().mean()) > 0.985
    assert 0.93 < float((screened.pgd20 == labels).float().mean()) < 0.99


def test_a_model_without_adversarial_training_has_no_robustness(cifar10: tuple[Tensor, Tensor]) -> None:
    """The example of pyautoattack fits our ResNet-18: about 94 % clean, and 0 % under PGD-20 at 8/255."""
    model = build_model("resnet18", classes=10, channels=3, size=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    weights = torch.load(
        Path(pyautoattack.__file__).parent / "examples" / "model_test.pt", map_location="cpu", weights_only=True
    )
    renamed = {
        "network." + key.replace("shortcut", "downsample").replace("linear", "fc"): v for key, v in weights.items()
    }
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert (set(missing), set(unexpected)) == ({"mean", "std"}, set())
    images, labels = cifar10
    model.eval()
    with torch.no_grad():
        clean = model(images[:200].float() / 255).argmax(dim=1)
    assert float((clean == labels[:200]).float().mean()) == pytest.approx(0.942, abs=0.03)
    found = _screened(model, images[:16], labels[:16], epsilon=8 / 255)
    assert not (found.pgd20 == labels[:16]).any()
