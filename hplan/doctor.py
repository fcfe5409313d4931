"""What the machine at hand offers."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

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
