"""Types of the fixtures that more than one test file asks for; the only module that tests import from one another."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import torch
from click.testing import Result

from fairbench.external.run import ExternalRun
from fairbench.outcomes.metrics import ClassAccuracies
from fairbench.protocol.run import Run
from fairbench.statistics import Verdicts
from fairbench.training.loop import Trained

Call = Callable[..., Any]
Cli = Callable[..., Result]
Command = Callable[..., CompletedProcess[str]]
Count = Callable[..., ClassAccuracies]
Generators = Callable[[int], torch.Generator]
MakeRun = Callable[..., ExternalRun]
PlanOne = Callable[..., Run]
Simulate = Callable[..., Verdicts]
Start = Callable[..., Popen[str]]
Train = Callable[..., Trained]
WriteRun = Callable[..., Path]
WriteReceipt = Callable[..., Path]
