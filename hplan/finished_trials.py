"""The methods that an evaluation is through with, kept in a folder until it is whole.

An evaluation that was stopped goes on after them. They count only where all that decides them is
the same, and every byte is as it was written; whatever else is in the folder counts as nothing.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import nn

from hplan.checkpoint import packed_weights
from hplan.files import write_atomically
from hplan.subgoal_tree import parse_tree, tree_json


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """What remains of a method that was run on the whole suite.

    Attributes:
        rows: of `hplan.results.summarise`.
        trees: name of the file -> subgoal tree.
        work: predictor evaluations per env step.
        summary: what to tell the user of it.
    """

    rows: list[dict[str, Any]]
    trees: dict[str, nx.DiGraph]
    work: float
    summary: str


@dataclass(frozen=True, kw_only=True)
class FinishedTrials:
    """Those of one evaluation.

    Attributes:
        folder: where they are kept, a file for each.
        key: of `evaluation_key`.
    """

    folder: Path
    key: str

    def taken_or_run(
        self, name: str, work: float, run: Callable[[], FinishedTrial]
    ) -> FinishedTrial:
        """The trial that was kept, its summary saying so; else what `run` gives, kept from now on.

        Args:
            name: tells the trials of an evaluation apart; part of a file's name.
            work: predictor evaluations per env step that it has to match.

        Raises:
            ValueError: the disk is full.
        """
        path = self.folder / f"{name}.json"
        key = f"{self.key} {name} {work!r}"
        kept = _read(path, key)
        if kept is not None:
            summary = f"{kept.summary}, taken from the evaluation that was stopped"
            return replace(kept, summary=summary)
        trial = run()
        _write(path, key, trial)
        return trial


def _read(path: Path, key: str) -> FinishedTrial | None:
    """The trial in a file; None where there is none, or one of another key, or altered."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != _digest(key, content):
        return None
    held = json.loads(content)
    trees = {name: parse_tree(tree) for name, tree in held["trees"].items()}
    return FinishedTrial(**{**held, "trees": trees})


def _write(path: Path, key: str, trial: FinishedTrial) -> None:
    trees = {name: json.loads(tree_json(tree)) for name, tree in trial.trees.items()}
    # Numbers come back to the bit, and NaN too, of which results files make null.
    content = json.dumps({**vars(trial), "trees": trees}).encode()
    write_atomically(path, _digest(key, content) + b"\n" + content)


def _digest(key: str, content: bytes) -> bytes:
    return _sha256(f"{key}\n".encode() + content).encode()


def evaluation_key(
    card: Mapping[str, Any],
    levels: nn.ModuleList,
    *,
    budgets: np.ndarray,
    bank: np.ndarray | None,
    keep_plans: int,
    update: int | None,
) -> str:
    """SHA-256 of all that decides what the methods of an evaluation measure and draw.

    Args:
        card: the protocol card, of settings without the list of methods: each may stand alone.
        budgets, bank, keep_plans, update: as in `hplan.evaluation`.
    """
    device = levels[0].move.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    shape = None if bank is None else (bank.shape, str(bank.dtype))
    facts = [card, keep_plans, update, str(device), gpu, shape, _modules_of_users()]
    parts = [
        json.dumps(facts, sort_keys=True, default=str).encode(),
        packed_weights(levels),
        budgets.tobytes(),
        b"" if bank is None else bank.tobytes(),
    ]
    return _sha256("".join(map(_sha256, parts)).encode())


def _modules_of_users() -> list[str]:
    """Hashes of the imported modules that are neither ours nor installed nor Python's own."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    files = {vars(module).get("__file__") for module in modules}
    python, project = Path(json.__file__).parents[1], Path(__file__).parents[1]
    ours = [project / name for name in ("hplan", "levels", "tasks")]  # the card has a hash of it
    others = tuple(f"{folder}/" for folder in [python, *ours])
    return sorted(
        _sha256(Path(file).read_bytes())
        for file in files
        if isinstance(file, str)
        and file.endswith(".py")
        and not file.startswith(others)
        and not {"site-packages", "dist-packages"} & set(file.split("/"))
        and Path(file).is_file()
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
