"""CFA: the classes that withstand little are attacked less, and only epochs that are fair enough are averaged."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fairbench import (
    Batch,
    Card,
    ClassMeans,
    Method,
    Recipe,
    Setup,
    Validation,
    begins_at,
    cross_entropy,
    hyperparameter,
    pgd,
)
from fairbench_methods.parts.fawa import (
    AVERAGING,
    AVERAGING_START,
    DECAY,
    GATE,
    RATE_SCALING,
    Gate,
    fawa_recipe,
)
from fairbench_methods.parts.trades_halves import boundary_attack, trades_losses
from fairbench_methods.parts.train_mode_attack import refuses_train_mode

CARD = Card(
    title="CFA (AT)",
    idea="Calibrates PGD-AT class by class: the training radius of a class follows the robust accuracy that it had in "
    "the epoch before, so that weak classes are attacked more gently. Weights are averaged only over epochs whose "
    "worst class is good enough on validation data.",
    authors="Zeming Wei, Yifei Wang, Yiwen Guo, Yisen Wang",
    venue="CVPR",
    year=2023,
    link="https://arxiv.org/abs/2303.14460",
    bibtex="""@inproceedings{wei2023cfa,
  title = {{CFA}: Class-wise Calibrated Fair Adversarial Training},
  author = {Wei, Zeming and Wang, Yifei and Guo, Yiwen and Wang, Yisen},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2023}
}""",
    code_licence="none",
    notes="Weights are averaged, so compare it with averaged baselines. The gate of 0.20 is meant for CIFAR-10; where "
    "no epoch passes it, the weights themselves are evaluated.",
)

LAMBDA1 = "lambda_1, factor of the radius at t_c = 0 (paper: 0.5 on AT, 0.3 on TRADES; code: 0.5)"
ALIKE = "share of the training that treats all classes alike; at least one epoch (code: 0.05; paper: 0.005)"


@dataclass(kw_only=True)
class CFAAT(Method):
    """PGD-AT with class-wise calibrated margins (CCM) and fairness-aware weight averaging (FAWA).

    Wei et al., CVPR 2023, equation 6 (https://arxiv.org/abs/2303.14460). With t_c the robust training accuracy of class
    c in the previous epoch,

        eps_c = (lambda1 + t_c) eps,    loss = mean CE(z(x'), y),    |x' - x| <= eps_y

    The uniform start fills the class's ball, step and number of steps stay. At first, for `calibration_frac` of the
    training, it is PGD-AT. The paper starts with the second epoch, its code with the eleventh of 200.

    Departures from the released code: t_c is a class mean (the code divides by N / C), the attack runs in eval mode (an
    option), there is no additional clean forward in train mode, and before the gate opens the model stands for its
    average (the code's average is then a random network).
    """

    card = CARD
    validation = "batches"
    largest_radius = 1.5  # lambda1 + 1

    calibration: str = hyperparameter(
        "ccm", "calibrated margins (CCM), or none, which is PGD-AT with FAWA", choices=("ccm", "none")
    )
    lambda1: float = hyperparameter(0.5, LAMBDA1, at_least=0, at_most=2, only_with=("calibration", "ccm"))
    calibration_frac: float = hyperparameter(0.05, ALIKE, at_least=0, at_most=1, only_with=("calibration", "ccm"))
    averaging: str = AVERAGING
    gate: float = GATE
    decay: float = DECAY
    averaging_start: float = AVERAGING_START
    rate_scaling: str = RATE_SCALING
    attack_bn: str = hyperparameter(
        "eval", "mode of batch norm during the attack: eval (ours) or train (code)", choices=("eval", "train")
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """The suite's recipe, averaged."""
        if self.averaging == "suite":
            return recipe
        return fawa_recipe(recipe, start=self.averaging_start, decay=self.decay, rate_scaling=self.rate_scaling)

    def refuses(self, network: nn.Module) -> str:
        """A network that makes no difference between the modes of the attack, where one was chosen."""
        return refuses_train_mode(network, self.attack_bn)

    def start(self) -> None:
        """PGD-AT until an epoch has been measured."""
        self.classwise = ClassCalibration(self.setup, calibration_frac=self.calibration_frac)
        self._gate = Gate(self.gate, setup=self.setup)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Note whether classes differ yet."""
        del validation
        self.classwise.begin_epoch(epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy on images attacked within the radius of their class."""
        attacked = pgd(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            radius=self.radii()[batch.labels],
            train_mode=self.attack_bn == "train",
        )
        logits = self.model(attacked.images)
        self.classwise.add(batch.labels, logits)
        return cross_entropy(logits, batch.labels).mean()

    def radii(self) -> Tensor:
        """eps_c, (classes,) float64, in the unit of the threat's radius."""
        return self.threat.epsilon * self.classwise.factors(self.lambda1, active=self.calibration == "ccm")

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Radii of the epoch, t_c measured in it, and what the gate saw."""
        del epoch
        radii = self.radii()
        self.classwise.end_epoch()
        return {
            "radius": radii.tolist(),
            "robust_training_accuracy": self.classwise.accuracy.tolist(),
            **self._gate.end_epoch(),
        }

    def admits(self, validation: Validation) -> bool:
        """FAWA's gate; the suite's average has none."""
        return self.averaging == "suite" or self._gate.admits(validation)

    def state_dict(self) -> dict[str, Tensor]:
        """t_c, (classes,)."""
        return {"accuracy": self.classwise.accuracy}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up t_c."""
        self.classwise.accuracy.copy_(state["accuracy"])


@dataclass(kw_only=True)
class CFATRADES(Method):
    """TRADES with calibrated margins (CCM), calibrated regularisation (CCR) and fairness-aware weight averaging (FAWA).

    Wei et al., CVPR 2023, equations 6 to 8 (https://arxiv.org/abs/2303.14460). With t_c the robust training accuracy of
    class c in the previous epoch,

        eps_c = (lambda1 + t_c) eps,    beta_c = (lambda2 + t_c) beta
        loss = mean [ CE(z(x), y) + beta_y KL(p(x) || p(x')) ] / (1 + beta_y),    |x' - x| <= eps_y

    At first, for `calibration_frac` of the training, eps_c = eps and beta_c = beta: TRADES, divided by 1 + beta as in
    the released code, which our TRADES is not. The paper starts with the second epoch, its code with the eleventh of
    200. The paper's Algorithm 1 prints eps where equation 7 has beta.

    Departures from the released code: t_c is a class mean (the code divides by N / C), there is no additional clean
    forward, and before the gate opens the model stands for its average (the code's average is then a random network).
    """

    card = replace(
        CARD,
        title="CFA (TRADES)",
        idea="Calibrates TRADES class by class: the training radius and the weight of the divergence follow the "
        "robust accuracy that a class had in the epoch before, so that weak classes are pressed more gently. Weights "
        "are averaged only over epochs whose worst class is good enough on validation data.",
    )
    validation = "batches"
    largest_radius = 1.3  # lambda1 + 1

    calibration: str = hyperparameter(
        "both",
        "calibrated margins (CCM), calibrated regularisation (CCR), both, or none, which is TRADES with FAWA",
        choices=("both", "ccm", "ccr", "none"),
    )
    beta: float = hyperparameter(6.0, "beta, weight of the divergence (paper: 6)", at_least=0, at_most=100)
    lambda1: float = hyperparameter(0.3, LAMBDA1, at_least=0, at_most=2, only_with=("calibration", "both", "ccm"))
    lambda2: float = hyperparameter(
        0.5,
        "lambda_2, factor of beta at t_c = 0 (paper and code: 0.5)",
        at_least=0,
        at_most=2,
        only_with=("calibration", "both", "ccr"),
    )
    rescale: bool = hyperparameter(False, "multiply the loss by 1 + beta, which is the scale of our TRADES (ours)")
    calibration_frac: float = hyperparameter(
        0.05, ALIKE, at_least=0, at_most=1, only_with=("calibration", "both", "ccm", "ccr")
    )
    averaging: str = AVERAGING
    gate: float = GATE
    decay: float = DECAY
    averaging_start: float = AVERAGING_START
    rate_scaling: str = RATE_SCALING

    def recipe(self, recipe: Recipe) -> Recipe:
        """The suite's recipe, averaged."""
        if self.averaging == "suite":
            return recipe
        return fawa_recipe(recipe, start=self.averaging_start, decay=self.decay, rate_scaling=self.rate_scaling)

    def start(self) -> None:
        """TRADES until an epoch has been measured."""
        self.classwise = ClassCalibration(self.setup, calibration_frac=self.calibration_frac)
        self._gate = Gate(self.gate, setup=self.setup)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Note whether classes differ yet."""
        del validation
        self.classwise.begin_epoch(epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Mean of TRADES' loss with the radius and the beta of every image's class."""
        attacked = boundary_attack(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            radius=self.radii()[batch.labels],
        )
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        self.classwise.add(batch.labels, adversarial)
        beta = self.betas()[batch.labels].float()
        losses = trades_losses(clean, adversarial, batch.labels, beta=beta)
        scale = 1 + self.beta if self.rescale else 1.0
        return (scale / (1 + beta) * losses).mean()

    def radii(self) -> Tensor:
        """eps_c, (classes,) float64, in the unit of the threat's radius."""
        active = self.calibration in ("both", "ccm")
        return self.threat.epsilon * self.classwise.factors(self.lambda1, active=active)

    def betas(self) -> Tensor:
        """beta_c, (classes,) float64."""
        active = self.calibration in ("both", "ccr")
        return self.beta * self.classwise.factors(self.lambda2, active=active)

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Radii and betas of the epoch, t_c measured in it, and what the gate saw."""
        del epoch
        radii, betas = self.radii(), self.betas()
        self.classwise.end_epoch()
        return {
            "radius": radii.tolist(),
            "beta": betas.tolist(),
            "robust_training_accuracy": self.classwise.accuracy.tolist(),
            **self._gate.end_epoch(),
        }

    def admits(self, validation: Validation) -> bool:
        """FAWA's gate; the suite's average has none."""
        return self.averaging == "suite" or self._gate.admits(validation)

    def state_dict(self) -> dict[str, Tensor]:
        """t_c, (classes,)."""
        return {"accuracy": self.classwise.accuracy}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up t_c."""
        self.classwise.accuracy.copy_(state["accuracy"])


class ClassCalibration:
    """t_c, what share of every class the network withstood while it was trained on it, one epoch ago.

    The predictions are those of the training forward on attacked images: augmented, in train mode, with weights that
    move meanwhile. That costs nothing, but it grows with robust overfitting, and so do the radii late in a long
    training. The released code divides by N / C, here it is the class's own count. It starts at 0, and a class without
    images in an epoch keeps what it had.

    Attributes:
        accuracy: t_c, (classes,) float64.

    Args:
        setup: the method's.
        calibration_frac: share of the training that treats all classes alike; at least the first epoch, which nothing
            was measured before, and never all of several.
    """

    def __init__(self, setup: Setup, *, calibration_frac: float) -> None:
        self.accuracy = torch.zeros(setup.classes, dtype=torch.float64, device=setup.device)
        self._correct = ClassMeans(setup.classes, device=setup.device)
        self._first_epoch = max(1, begins_at(calibration_frac, setup.recipe.epochs))
        self._calibrated = False

    def begin_epoch(self, epoch: int) -> None:
        """Note whether classes differ yet."""
        self._calibrated = epoch >= self._first_epoch

    def add(self, labels: Tensor, logits: Tensor) -> None:
        """Count the predictions, (batch, classes), on attacked training images; they matter from the next epoch on."""
        self._correct.add(labels, (logits.argmax(dim=1) == labels).double())

    def end_epoch(self) -> None:
        """Let what was counted become t_c."""
        measured = self._correct.mean()
        self.accuracy = torch.where(measured.isnan(), self.accuracy, measured)
        self._correct.reset()

    def factors(self, offset: float, *, active: bool) -> Tensor:
        """The lambda given plus t_c, (classes,) float64; 1 while classes are alike, or if not active."""
        return self.accuracy + offset if active and self._calibrated else torch.ones_like(self.accuracy)
