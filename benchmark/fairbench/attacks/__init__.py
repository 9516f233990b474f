"""Attacks. Images are in [0, 1]; epsilon is in the same unit; 8/255 is written `8 / 255`."""

from fairbench.attacks.ball import Ball as Ball
from fairbench.attacks.frozen import frozen as frozen
from fairbench.attacks.measuring import measured_logits as measured_logits
from fairbench.attacks.pgd import Attacked as Attacked
from fairbench.attacks.pgd import pgd as pgd
