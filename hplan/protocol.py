"""The protocol card of an evaluation: what has to be the same for two results to be compared."""

import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hplan.config import Config
from hplan.task import Task


def step_budgets(config: Config, suite: Any) -> np.ndarray:
    """(E,) env steps allowed in each episode: the suite's own, or the same for all of a bin."""
    settings = config.evaluation
    if suite.budgets is not None:
        return suite.budgets
    highest = np.array([high for _, _, high in suite.bins])
    budgets = (settings.budget_factor * highest[suite.bin_index]).astype(int)
    return budgets + settings.budget_extra


def protocol_card(config: Config, task: Task, suite: Any, budgets: np.ndarray) -> dict[str, Any]:
    """What has to be the same for two results to be compared."""
    plain = asdict(config)
    return {
        "suite": suite.name,
        "bins": [list(bin_) for bin_ in suite.bins],
        "pairs_sha256": suite.sha256,
        "suite_seed": config.evaluation.suite_seed,
        "optimal_steps": getattr(task, "reference", "exact"),
        "step_budgets": sorted({int(budget) for budget in budgets}),
        "success_rule": f"{task.success_rule} at any env step within the budget, and nothing "
        "unsafe happened before",
        "seed": config.seed,
        "config_sha256": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(),
        "code_sha256": code_hash(),
        "torch": torch.__version__,
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def code_hash() -> str:
    """SHA-256 of the sources of the three packages, by path and content."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for package in ("hplan", "levels", "tasks"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
