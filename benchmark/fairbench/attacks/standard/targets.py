"""Several targets of an image attacked at once, with the result of one target after the other.

A row of such an attack is a pair of an image and the rank of a target. It leaves when it, or a lower rank of its image,
breaks the image; lower ranks go on, so that the point found is the one which target after target would have given.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from fairbench.attacks.standard.found import Found


def target_by_target(attack: Callable[[Tensor, range], Found], images: Tensor, *, targets: int, rows: int = 0) -> Found:
    """Attack with all targets, the likeliest first.

    Most images that break do so at their first target. It comes alone, so that they cost nothing for the others.

    Args:
        attack: from the numbers of some images, and the ranks they are aimed at together, to what is found of them.
        images: (n, channels, height, width).
        targets: how many ranks there are.
        rows: ranks are joined as long as the images left fill no more rows than this. It changes the speed (a few
            images do not fill a processor), not what is found.
    """
    found, broken = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    rank = 0
    while rank < targets and len(left := (~broken).nonzero().flatten()) > 0:
        joined = 1 if rank == 0 else max(1, rows // len(left))
        ranks = range(rank, min(rank + joined, targets))
        one = attack(left, ranks)
        found[left], broken[left] = one.images, one.broken
        rank = ranks.stop
    return Found(images=found, broken=broken)


class Pairs:
    """Rows of an attack, image by rank: ranks one after the other, each with all images.

    Args:
        images: clean, (n, channels, height, width).
        ranks: how many.

    Attributes:
        image: of a row, (rows,), as a number below n.
    """

    def __init__(self, images: Tensor, *, ranks: int) -> None:
        numbers = torch.arange(len(images), device=images.device)
        self.image = numbers.repeat(ranks)
        self._rank = torch.arange(ranks, device=images.device).repeat_interleave(len(images))
        self._ranks = ranks
        self._found = images.clone()
        self._lowest = torch.full_like(numbers, ranks)  # that broke the image

    def broken(self, rows: Tensor, points: Tensor) -> Tensor:
        """Note that some rows (bool) break their image; which rows go on, as numbers.

        Args:
            rows: (rows,) bool.
            points: of all rows, (rows, channels, height, width).
        """
        self._lowest.scatter_reduce_(0, self.image[rows], self._rank[rows], "amin")
        best = rows & (self._rank == self._lowest[self.image])
        self._found[self.image[best]] = points[best]
        stay = (self._rank < self._lowest[self.image]).nonzero().flatten()
        self.image, self._rank = self.image[stay], self._rank[stay]
        return stay

    @property
    def found(self) -> Found:
        """For each image the point of the first rank that broke it."""
        return Found(images=self._found, broken=self._lowest < self._ranks)
