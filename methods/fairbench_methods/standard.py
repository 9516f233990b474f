"""Standard training: what a network is worth that nobody has attacked."""

from dataclasses import dataclass

from torch import Tensor

from fairbench import Batch, Card, Method, cross_entropy


@dataclass(kw_only=True)
class Standard(Method):
    """Minimise the mean cross-entropy on clean images.

    Vapnik, NeurIPS 1991 (https://proceedings.neurips.cc/paper/1991/hash/ff4d5fbbafdf976cfdc032e3bde78de5-Abstract.html),
    the principle of empirical risk minimisation:

        min 1/N sum_i CE(z(x_i), y_i)

    It is the floor of every board: what a network can do on clean images, and next to nothing under attack.
    """

    card = Card(
        title="Standard training",
        idea="Minimises the mean cross-entropy on clean images and never sees an attack. It is the floor of every "
        "board: high clean accuracy, and next to no robustness.",
        authors="Vladimir Vapnik",
        venue="NeurIPS",
        year=1991,
        link="https://proceedings.neurips.cc/paper/1991/hash/ff4d5fbbafdf976cfdc032e3bde78de5-Abstract.html",
        bibtex="""@inproceedings{vapnik1991principles,
  title = {Principles of Risk Minimization for Learning Theory},
  author = {Vapnik, Vladimir},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {4},
  pages = {831--838},
  publisher = {Morgan Kaufmann},
  year = {1991}
}""",
        code_licence="none",
        family="baseline",
        notes="No attack in training. Like every method it is selected by robust accuracy, and as it has next to none, "
        "that can be an early epoch. The conference was in 1991, its proceedings are dated 1992.",
    )

    def loss(self, batch: Batch) -> Tensor:
        """Mean CE(z(x), y)."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()
