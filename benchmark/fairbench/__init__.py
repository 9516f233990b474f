"""fairbench: the benchmark of class-wise robust fairness.

Importing the package is cheap: nothing here imports torch.
"""

from fairbench.errors import UserError as UserError
from fairbench.external.evaluate import evaluate as evaluate
from fairbench.hyperparameter import hyperparameter as hyperparameter
from fairbench.method import Batch as Batch
from fairbench.method import Card as Card
from fairbench.method import ClassStatistics as ClassStatistics
from fairbench.method import Method as Method
from fairbench.method import Prerequisite as Prerequisite
from fairbench.method import Setup as Setup
from fairbench.method import Validation as Validation
from fairbench.suite import Recipe as Recipe
from fairbench.suite import Suite as Suite
from fairbench.suite import Threat as Threat
from fairbench.suite_file import load_suite as load_suite

__version__ = "0.1.0"
