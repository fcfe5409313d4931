"""A run's folder: its name, its settings, and that only one process at a time trains in it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from hplan.arguments import Arguments
from hplan.command_line import (
    as_yaml,
    config_from_dict,
    from_yaml,
    missing_settings,
    read_config,
    settings_of,
)
from hplan.config import Config
from hplan.files import as_file_name, write_atomically

RUNS = Path("runs")
CONFIG_FILE = "config.yaml"

# What a run may be evaluated or continued with, without being another run.
EVALUATED_WITH = (
    "seed",
    "devices",
    "nodes",
    "accelerator",
    "data.folder",
    "task.name",
    "agent.",
    "evaluation.",
    "hierarchy.level.planner.",
    "hierarchy.overrides.planner.",
)
RESUMED_WITH = ("devices", "nodes", "accelerator", "data.folder", "evaluation.")


def run_folder(run: str | None, config: Config) -> Path:
    """The folder of `run`, a name in runs/ or a path; of None, the one named by the settings."""
    if run is None:
        run = f"{as_file_name(config.task.name)}-L{config.hierarchy.num_levels}-s{config.seed}"
    path = Path(run)
    return path if len(path.parts) > 1 or path.is_absolute() else RUNS / path


def refuse_existing(folder: Path) -> None:
    """Raises ValueError where the folder of a new run is taken."""
    if folder.exists():
        raise ValueError(
            f"run folder {folder} exists; RESUME=1 continues it, RUN=another-name starts a new one"
        )


def create_run(folder: Path, config: Config) -> None:
    """Makes the folder of a new run, with the settings that rerun it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        refuse_existing(folder)
    write_atomically(folder / CONFIG_FILE, as_yaml(config).encode())


def read_run(folder: Path) -> dict[str, Any]:
    """The settings a run was made with.

    Raises:
        ValueError: no such folder, or no run in it.
    """
    if not folder.is_dir():
        runs = sorted(path.parent.name for path in RUNS.glob(f"*/{CONFIG_FILE}"))
        raise ValueError(
            f"run folder {folder} is missing; runs here: {', '.join(runs) or 'none yet'}; give one "
            "as RUN=name, or train it first"
        )
    path = folder / CONFIG_FILE
    try:
        settings = from_yaml(path.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"{folder} is no run, it has no {CONFIG_FILE}; give another") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings; restore it, or train again")
    return settings


def check_same_run(folder: Path, held: Config, asked: Config, allowed: tuple[str, ...]) -> None:
    """Refuses settings that would make of a run another one.

    Args:
        held: what it was trained with.
        allowed: paths, or their beginnings, that may differ.

    Raises:
        ValueError: names the first setting that differs.
    """
    depth = held.hierarchy.num_levels
    if asked.hierarchy.num_levels != depth:
        raise ValueError(
            f"run {folder} holds {depth} levels, LEVELS={asked.hierarchy.num_levels} was "
            "asked for; train again or drop LEVELS."
        )
    before, after = settings_of(held), settings_of(asked)
    for path in before | after:
        if not path.startswith(allowed) and before.get(path) != after.get(path):
            raise ValueError(
                f"{path} = {after.get(path)} was asked for, run {folder} was trained with "
                f"{before.get(path)}; drop it, or train a run of another name (RUN=...)"
            )


def config_of_run(arguments: Arguments, allowed: tuple[str, ...]) -> tuple[Config, Path]:
    """A run's own settings with what was typed beside them, and its folder.

    Args:
        allowed: what may be another than the run was trained with, as in `check_same_run`.
    """
    if arguments.run is None:
        run_dir = run_folder(None, read_config(arguments))
    else:
        run_dir = run_folder(arguments.run, Config())
    saved = read_run(run_dir)
    held = config_from_dict(saved)
    if allowed == RESUMED_WITH:
        if missing := missing_settings(saved):
            raise ValueError(
                f"run {run_dir} was begun by an older hplan that had no {missing[0]}; train a run "
                "of another name (RUN=...)"
            )
    asked = read_config(arguments, base=asdict(held))
    check_same_run(run_dir, held, asked, allowed)
    return asked, run_dir


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in the folder meanwhile."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"run folder {folder} is in use by another process; wait or give another"
            ) from error
        yield


def is_main_process() -> bool:
    """Whether this process speaks and writes for all that train together.

    Lightning starts the others with these variables set; torch.distributed is not up yet then.
    """
    ranks = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
    return all(os.environ.get(name, "0") == "0" for name in ranks)
