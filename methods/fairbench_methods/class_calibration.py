"""The memory of CFA: what share of each class the network withstood while it was trained on it, one epoch ago.

Wei et al., CVPR 2023, equations 6 and 7, scale the radius and TRADES' beta of class c by lambda + t_c. The predictions
are those of the training forward on attacked images: augmented, in train mode, with weights that move meanwhile. That
costs nothing, but it grows with robust overfitting, and so do the radii late in a long training.
"""

import torch
from torch import Tensor

from fairbench import ClassMeans, Setup, begins_at


class ClassCalibration:
    """t_c, the robust training accuracy of every class in the previous epoch.

    The released code divides by N / C, here it is the class's own count. It starts at 0, and a class without images in
    an epoch keeps what it had.

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
