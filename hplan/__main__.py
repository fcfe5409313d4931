"""The commands, and the only place that knows tasks, levels and hplan at once.

`python -m hplan <command> --help`. Imports that take seconds wait until a command needs them.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hplan.collection import clip_sources, dataset_folder, episodes
from hplan.command_line import Arguments, as_yaml, read_config
from hplan.config import Config, level_configs, strides
from hplan.files import write_atomically
from hplan.run import (
    EVALUATED_WITH,
    RESUMED_WITH,
    RUNS,
    config_of_run,
    create_run,
    is_main_process,
    locked,
    refuse_existing,
    run_folder,
)
from hplan.shell import Stopped, run_command, say

if TYPE_CHECKING:
    from torch import nn

    from hplan.dataset import EpisodeStore
    from hplan.training import StackTraining
    from tasks import Task


BRIEF_SUITE = 1_000_000  # added to the suite's seed
TABLE_WIDTH = 130  # columns, where there is no terminal to ask
SAMPLE_FRAMES = 4096  # at most so many, for the encoder to see what varies


def collect(arguments: Arguments) -> None:
    """Collects the task's reward-free episodes into the data folder."""
    config = read_config(arguments)
    if _config_printed(arguments, config):
        return
    from tasks import build_task

    task = build_task(config.task.name, config.task.layout_seed)
    folder = dataset_folder(config)
    already = folder.exists()
    store = episodes(config, task)
    say(
        f"collect: {'found' if already else 'wrote'} {folder}: {store.num_episodes} episodes, "
        f"{store.num_steps} env steps, {len(store.frames)} distinct observations, "
        f"{store.nbytes / 2**20:.0f} MiB in memory"
    )


def train(arguments: Arguments) -> None:
    """Trains a stack of any depth, collecting data if it is missing, and evaluates it briefly."""
    resume = "resume" in arguments.switches
    if resume:
        config, run_dir = config_of_run(arguments, RESUMED_WITH)
    else:
        config = read_config(arguments)
        run_dir = run_folder(arguments.run, config)
    if _config_printed(arguments, config):
        return
    steps = "/".join(map(str, strides(level_configs(config.hierarchy))))
    say(
        f"train: task={config.task.name} levels={config.hierarchy.num_levels} strides={steps} "
        f"seed={config.seed} run={run_dir}"
    )
    if is_main_process() and not resume:
        refuse_existing(run_dir)
    # Processes that train together tell of parts without gradient, which we have on purpose.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from hplan.trainer import Interrupted
    from tasks import build_task

    task = build_task(config.task.name, config.task.layout_seed)
    store = episodes(config, task)
    module = build_training(config, task, store)
    continues = f"`make train RESUME=1 RUN={run_dir}` continues it"
    if not is_main_process():
        _fit(config, task, store, module, run_dir)
        return
    if not resume:
        create_run(run_dir, config)
    try:
        with locked(run_dir):
            _fit(config, task, store, module, run_dir)
            if config.evaluation.episodes_per_bin:
                _evaluate(config, task, module.levels, run_dir, brief=True)
    except Interrupted as stop:
        total = config.training.num_updates
        raise Stopped(f"interrupted at update {stop.update} of {total}; {continues}") from stop
    except KeyboardInterrupt as stop:
        raise Stopped(f"interrupted; {continues} from its last checkpoint") from stop
    say(f"run: {run_dir} (config.yaml, checkpoints, tensorboard)")
    say(f"next: make eval RUN={run_dir}, make tensorboard")


def evaluate(arguments: Arguments) -> None:
    """Evaluates a run on the whole suite of its task."""
    config, run_dir = config_of_run(arguments, EVALUATED_WITH)
    if _config_printed(arguments, config):
        return
    from hplan.checkpoint import load_checkpoint, restore
    from levels.build import build_levels
    from tasks import build_task

    checkpoint = load_checkpoint(run_dir)
    task = build_task(config.task.name, config.task.layout_seed)
    if task.spec != checkpoint.spec:
        raise ValueError(
            f"run {run_dir} reads {checkpoint.spec}, task.name = {config.task.name} now has "
            f"{task.spec}; train again"
        )
    levels = build_levels(level_configs(config.hierarchy), checkpoint.spec)
    restore(levels, checkpoint, run_dir)
    say(
        f"eval: task={config.task.name} levels={len(levels)} updates={checkpoint.update} "
        f"energy={config.evaluation.energy} run={run_dir}"
    )
    _evaluate(config, task, levels, run_dir, brief=False)


def bench(arguments: Arguments) -> None:
    """Measures speeds: prints a table and writes runs/bench.json."""
    config = read_config(arguments)
    if _config_printed(arguments, config):
        return
    from rich.console import Console
    from rich.table import Table

    from hplan.bench import benchmark as search_benchmark
    from levels.build import build_levels
    from tasks import build_task
    from tasks.bench import benchmark as task_benchmark

    configs = level_configs(config.hierarchy)
    spec = build_task(config.task.name, config.task.layout_seed).spec
    rows = [*task_benchmark(), *search_benchmark(build_levels(configs, spec).eval(), configs)]
    table = Table("name", "value", "unit", "reference", "ratio")
    for row in rows:
        numbers = [f"{row[key]:,.4g}" for key in ("value", "reference", "ratio")]
        table.add_row(row["name"], numbers[0], row["unit"], numbers[1], numbers[2])
    Console().print(table)
    RUNS.mkdir(exist_ok=True)
    write_atomically(RUNS / "bench.json", (json.dumps(rows, indent=2) + "\n").encode())
    say(f"wrote {RUNS / 'bench.json'}")


def doctor(arguments: Arguments) -> None:
    """Tells what this machine has, and whether the tasks build."""
    from hplan.doctor import machine_report
    from tasks import TASKS, build_task

    for name, fact in machine_report().items():
        say(f"{name:12} {fact}")
    failed = []
    for name in TASKS:
        try:
            task = build_task(name, 0)
        except ValueError as error:
            failed.append(name)
            say(f"task {name}: {error}")
        else:
            say(f"task {name}: {'x'.join(map(str, task.spec.shape[:2]))} cells")
    if failed:
        raise ValueError(f"these tasks do not build: {', '.join(failed)}; run make setup again")


COMMANDS: dict[str, Callable[[Arguments], None]] = {
    "collect": collect,
    "train": train,
    "eval": evaluate,
    "bench": bench,
    "doctor": doctor,
}


def build_training(config: Config, task: "Task", store: "EpisodeStore") -> "StackTraining":
    """A fresh stack and its losses; refuses data too short for its depth."""
    import torch
    from pytorch_lightning import seed_everything

    from hplan.data import check_clips
    from hplan.diagnostics import ValidationPairs
    from hplan.training import StackTraining
    from levels.build import build_levels

    configs = level_configs(config.hierarchy)
    check_clips(store, configs, config.training.clip_length)
    seed_everything(config.seed, verbose=False)
    sample = store.frames[:: 1 + len(store.frames) // SAMPLE_FRAMES]
    levels = build_levels(configs, task.spec, sample_obs=torch.from_numpy(sample))
    pairs = task.validation_pairs(config.training.validation_pairs, seed=config.seed)
    known = ValidationPairs(
        starts=torch.from_numpy(task.observe(pairs.starts)),
        goals=torch.from_numpy(task.observe(pairs.goals)),
        steps=torch.from_numpy(pairs.optimal_steps),
    )
    return StackTraining(levels, config, known)


def _fit(
    config: Config, task: "Task", store: "EpisodeStore", module: "StackTraining", run_dir: Path
) -> None:
    """Trains what is left to train, from the run's last checkpoint."""
    from hplan.checkpoint import load_checkpoint, restore
    from hplan.trainer import fit, updates_done

    training = config.training
    first = updates_done(run_dir)
    if first >= training.num_updates:
        say(f"train: all {first} updates are done already")
        restore(module.levels, load_checkpoint(run_dir), run_dir)
        return
    if first:
        say(f"train: goes on after update {first} of {training.num_updates}")
    sampler, validation = clip_sources(config, task, store)
    try:
        fit(
            module,
            config=config,
            spec=task.spec,
            sampler=sampler,
            validation=validation,
            run_dir=run_dir,
            first=first,
        )
    except SystemExit as error:  # Lightning's answer to Ctrl-C outside of an update
        raise KeyboardInterrupt from error


def _evaluate(
    config: Config, task: "Task", levels: "nn.ModuleList", run_dir: Path, *, brief: bool
) -> None:
    """Runs the methods on the suite, prints the table, and writes results beside the run.

    `brief` is the short form that ends `train`: fewer episodes, and the methods that decide.
    """
    from rich.console import Console
    from torch.utils.tensorboard import SummaryWriter

    from hplan.evaluation import BRIEF_METHODS, evaluate
    from hplan.results import results_table

    settings = config.evaluation
    episodes_per_bin = settings.brief_episodes_per_bin if brief else settings.episodes_per_bin
    # Pairs of its own for the short form: who tunes by it does not tune on the suite.
    seed = settings.suite_seed + (BRIEF_SUITE if brief else 0)
    suite = task.suite(episodes_per_bin=episodes_per_bin, seed=seed)
    name = (
        task.name.replace("/", "-")
        + ("-l2" if settings.energy == "l2" else "")
        + ("-brief" if brief else "")
    )
    folder = run_dir / "eval" / name
    rows = evaluate(
        levels.eval(),
        config,
        task,
        suite,
        folder,
        methods=[m for m in settings.methods if not brief or m in BRIEF_METHODS],
        keep_plans=settings.num_trees,
        report=say,
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    console.print(results_table(rows))
    with SummaryWriter(str(run_dir / "tensorboard" / f"eval-{name}")) as writer:
        for row in rows:
            method = f"{row['method']}-{row['energy']}"
            writer.add_scalar(f"plan/success_rate/{row['bin']}/{method}", row["success_rate"])
    say(f"results: {folder / 'results.json'}")


def _config_printed(arguments: Arguments, config: Config) -> bool:
    if "print_config" not in arguments.switches:
        return False
    print(as_yaml(config), end="")
    return True


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns 0, or 2 for what the user can mend, or 130 after Ctrl-C."""
    return run_command(sys.argv[1:] if argv is None else argv, COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
