"""fairbench: the benchmark of class-wise robust fairness.

Whatever the author of a method or the owner of a model needs is imported from here, and from nowhere deeper:

    from fairbench import Batch, Card, Method, cross_entropy, hyperparameter, pgd
    from fairbench import evaluate, load_results

Importing the package is cheap: what needs torch or pandas is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairbench.errors import UserError as UserError
from fairbench.external.evaluate import evaluate as evaluate
from fairbench.method.contract import Batch as Batch
from fairbench.method.contract import Card as Card
from fairbench.method.contract import ClassStatistics as ClassStatistics
from fairbench.method.contract import Method as Method
from fairbench.method.contract import Prerequisite as Prerequisite
from fairbench.method.contract import Setup as Setup
from fairbench.method.contract import Validation as Validation
from fairbench.method.hyperparameter import hyperparameter as hyperparameter
from fairbench.method.schedule import acts_from as acts_from
from fairbench.method.schedule import begins_at as begins_at
from fairbench.method.schedule import drops_from as drops_from
from fairbench.protocol.recipe import Recipe as Recipe
from fairbench.protocol.suite import Suite as Suite
from fairbench.protocol.suite_file import load_suite as load_suite
from fairbench.protocol.threat import Threat as Threat

if TYPE_CHECKING:
    from fairbench.attacks.ball import Ball as Ball
    from fairbench.attacks.frozen import frozen as frozen
    from fairbench.attacks.measuring import measured_logits as measured_logits
    from fairbench.attacks.pgd import Attacked as Attacked
    from fairbench.attacks.pgd import pgd as pgd
    from fairbench.boards.loading import load_results as load_results
    from fairbench.method import losses as losses
    from fairbench.method.class_means import ClassMeans as ClassMeans
    from fairbench.method.losses import cross_entropy as cross_entropy
    from fairbench.method.losses import kl_divergence as kl_divergence
    from fairbench.method.losses import margin as margin
    from fairbench.models.traits import batch_norms as batch_norms
    from fairbench.models.traits import drop_outs as drop_outs
    from fairbench.models.traits import linear_head as linear_head
    from fairbench.outcomes.metrics import class_accuracies as class_accuracies
    from fairbench.outcomes.store import read_outcomes as read_outcomes

__version__ = "0.1.0"

_ON_DEMAND = {
    "Attacked": "fairbench.attacks.pgd",
    "Ball": "fairbench.attacks.ball",
    "ClassMeans": "fairbench.method.class_means",
    "batch_norms": "fairbench.models.traits",
    "class_accuracies": "fairbench.outcomes.metrics",
    "cross_entropy": "fairbench.method.losses",
    "drop_outs": "fairbench.models.traits",
    "frozen": "fairbench.attacks.frozen",
    "kl_divergence": "fairbench.method.losses",
    "linear_head": "fairbench.models.traits",
    "load_results": "fairbench.boards.loading",
    "margin": "fairbench.method.losses",
    "measured_logits": "fairbench.attacks.measuring",
    "pgd": "fairbench.attacks.pgd",
    "read_outcomes": "fairbench.outcomes.store",
}
"""Where names lie whose modules import torch or pandas."""


def __getattr__(name: str) -> Any:
    """A name that is loaded when it is first asked for."""
    if name == "losses":
        return import_module("fairbench.method.losses")
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND, "losses"})
