"""What the machine at hand offers."""

import os
import platform
import shutil
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from hplan.shell import say

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "gymnasium",
    "minigrid",
    "minari",
    "networkx",
    "tensorboard",
    "jsonargparse",
    "safetensors",
)


def machine_report() -> dict[str, str]:
    """Facts by name, for a person to read."""
    report = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            report[package] = version(package)
        except PackageNotFoundError:
            report[package] = "missing; run make setup"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    report["cores"] = f"{cores}, of which torch uses {torch.get_num_threads()}"
    gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    report["gpu"] = ", ".join(gpus) or "none; the CPU is used"
    report["disk"] = f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here"
    return report


def show(report: dict[str, str]) -> None:
    """Prints facts by name, a line each."""
    for name, fact in report.items():
        say(f"{name:12} {fact}")


def check_tasks(names: Iterable[str], build: Callable[[str, int], Any]) -> None:
    """Says of each task whether it builds.

    Raises:
        ValueError: some do not.
    """
    failed = []
    for name in names:
        try:
            task = build(name, 0)
        except ValueError as error:
            failed.append(name)
            say(f"task {name}: {error}")
        else:
            say(f"task {name}: {task.spec.kind} {'x'.join(map(str, task.spec.shape))}")
    if failed:
        raise ValueError(f"these tasks do not build: {', '.join(failed)}; run make setup again")
