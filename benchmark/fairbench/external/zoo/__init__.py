"""Models of the RobustBench zoo, by name: CIFAR-10 and CIFAR-100, under L-inf and L2.

    model, remarks = zoo_model(
        "Wong2020Fast", dataset="cifar10", norm="Linf", checkpoint=None, key="", folder=Path("models")
    )

RobustBench is asked for architectures and addresses only. Its loader compares no checksum, and a page with an error
message that the server sent instead of weights stays in place for good; so files are fetched, pinned and read here, and
nothing that a file contains is run.
"""

from fairbench.external.zoo.models import BOARDS as BOARDS
from fairbench.external.zoo.models import zoo_model as zoo_model
from fairbench.external.zoo.models import zoo_names as zoo_names
