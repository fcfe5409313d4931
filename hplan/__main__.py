"""The commands, and the only place that knows tasks, levels and hplan at once.

`python -m hplan <command> --help`. Imports that take seconds wait until a command needs them.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hplan.arguments import Arguments
from hplan.collection import collect_and_tell, dataset_folder, episodes, load_episodes
from hplan.command_line import read_config
from hplan.config import Config, task_options
from hplan.inspection import TREE, WATCH
from hplan.level_config import level_configs
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
from hplan.shell import Command, Stopped, announce_training, config_printed, run_command, say

if TYPE_CHECKING:
    from torch import nn

    from hplan.checkpoint import Checkpoint
    from hplan.dataset import EpisodeStore
    from hplan.training import StackTraining
    from tasks import Task


def collect(arguments: Arguments) -> None:
    """Collects the task's reward-free episodes into the data folder."""
    config = read_config(arguments)
    if config_printed(arguments, config):
        return
    from tasks.coverage import write_coverage
    from tasks.sources import data_source

    task = _task(config)
    source = data_source(task, config.data, seed=config.seed)
    collect_and_tell(config, task, source, write_coverage, again=True)


def train(arguments: Arguments) -> None:
    """Trains a stack of any depth, collecting data if it is missing, and evaluates it briefly."""
    resume = "resume" in arguments.switches
    if resume:
        config, run_dir = config_of_run(arguments, RESUMED_WITH)
    else:
        config = read_config(arguments)
        run_dir = run_folder(arguments.run, config)
    if config_printed(arguments, config):
        return
    announce_training(config, run_dir)
    if is_main_process() and not resume:
        refuse_existing(run_dir)
    # Processes that train together tell of parts without gradient, which we have on purpose.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from hplan.run_evaluation import evaluate_run
    from hplan.run_training import check_settings, train_run
    from hplan.suited import suited
    from hplan.task import with_goals
    from hplan.trainer import Interrupted
    from levels.build import build_levels
    from tasks.coverage import write_coverage
    from tasks.sources import data_source

    task = _task(config)
    config = suited(config, task.spec)
    source = data_source(task, config.data, seed=config.seed)
    build_levels(level_configs(config.hierarchy), task.spec)  # or a refusal, before data are made
    check_settings(config)
    store = load_episodes(collect_and_tell(config, task, source, write_coverage), task)
    task = with_goals(task, store)
    module = build_training(config, task, store)
    total = config.training.num_updates
    continues = f"`make train RESUME=1 RUN={run_dir}` continues it"
    if not is_main_process():
        train_run(config, task, source, store, module, run_dir)
        return
    if not resume:
        create_run(run_dir, config)
    try:
        with locked(run_dir):
            train_run(config, task, source, store, module, run_dir)
            if config.evaluation.episodes_per_bin:
                levels, bank = module.levels, store.sample()
                evaluate_run(config, task, levels, run_dir, bank, update=total, brief=True)
    except Interrupted as stop:
        raise Stopped(f"interrupted at update {stop.update} of {total}; {continues}") from stop
    except KeyboardInterrupt as stop:
        raise Stopped(f"interrupted; {continues} from its last checkpoint") from stop
    say(f"run: {run_dir} (config.yaml, checkpoints, tensorboard)")
    say(f"next: make eval RUN={run_dir}, make tensorboard")


def evaluate(arguments: Arguments) -> None:
    """Evaluates a run on the whole suite of its task."""
    config, run_dir = config_of_run(arguments, EVALUATED_WITH)
    if config_printed(arguments, config):
        return
    from hplan.run_evaluation import evaluate_run

    config, task, levels, checkpoint = _trained(config, run_dir)
    say(
        f"eval: task={config.task.name} levels={len(levels)} updates={checkpoint.update} "
        f"energy={config.evaluation.energy} run={run_dir}"
    )
    # What may stand for a subgoal in the trees is what the stack was trained on, if it is here.
    trained = checkpoint.config
    trained = replace(trained, data=replace(trained.data, folder=config.data.folder))
    folder = dataset_folder(trained)
    bank = load_episodes(folder, _task(trained)).sample() if folder.exists() else None
    evaluate_run(config, task, levels, run_dir, bank, update=checkpoint.update, brief=False)


def curve(arguments: Arguments) -> None:
    """Measures a run's success against work: plans with more and less effort, by each energy."""
    config, run_dir = config_of_run(arguments, EVALUATED_WITH)
    if config_printed(arguments, config):
        return
    from hplan.work_curve import curve_of_run, read_efforts

    own = arguments.own
    efforts = read_efforts(own.get("efforts"))
    beside = [run_folder(name, config) for name in own.get("beside", "").split(",") if name]
    config, task, levels, _ = _trained(config, run_dir)
    say(f"curve: task={config.task.name} levels={len(levels)} run={run_dir}")
    curve_of_run(config, task, levels, run_dir, efforts=efforts, beside=beside)


def _task(config: Config) -> "Task":
    """The task that the config names."""
    from tasks import build_task

    return build_task(config.task.name, config.task.layout_seed, **task_options(config.task))


def _trained(config: Config, run_dir: Path) -> "tuple[Config, Task, nn.ModuleList, Checkpoint]":
    """A run's config, task and stack, and its last checkpoint, which must read what is seen now."""
    from hplan.accelerator import accelerator
    from hplan.checkpoint import load_checkpoint, restore
    from hplan.suited import suited
    from hplan.task import NeedsEpisodes
    from levels.build import build_levels
    from tasks.sources import data_source

    checkpoint, task = load_checkpoint(run_dir), _task(config)
    if task.spec != checkpoint.spec:
        raise ValueError(
            f"run {run_dir} reads {checkpoint.spec}, task.name = {config.task.name} now has "
            f"{task.spec}; train again"
        )
    if isinstance(task, NeedsEpisodes):
        data = replace(config, seed=checkpoint.config.seed)
        store = episodes(data, task, data_source(task, data.data, seed=data.seed))
        task = task.with_episodes(store)
    config = suited(config, task.spec)
    levels = build_levels(level_configs(config.hierarchy), checkpoint.spec)
    restore(levels, checkpoint, run_dir)
    levels.to(accelerator(config))
    if config.agent.compile:
        from hplan.compiled import compiled

        levels = compiled(levels)
    return config, task, levels, checkpoint


def bench(arguments: Arguments) -> None:
    """Measures speeds: prints a table and writes runs/bench.json."""
    config = read_config(arguments)
    if config_printed(arguments, config):
        return
    from hplan.bench import recording_benchmark, write_report
    from hplan.peers_bench import benchmark as peers_benchmark
    from hplan.search_bench import benchmark as search_benchmark
    from hplan.subgoals_plugin.bench import benchmark as tree_benchmark
    from tasks.bench import benchmark as task_benchmark

    config, task, levels = _fresh(config)
    rows = [
        *task_benchmark(),
        *search_benchmark(levels, level_configs(config.hierarchy)),
        *peers_benchmark(report=say),
        *recording_benchmark(levels, config, task),
        *tree_benchmark(),
    ]
    write_report(rows, RUNS / "bench.json")
    say(f"wrote {RUNS / 'bench.json'}")


def _fresh(config: Config) -> "tuple[Config, Task, nn.ModuleList]":
    """A config that suits its task, the task, and a stack for it with untrained weights."""
    from hplan.suited import suited
    from levels.build import build_levels

    task = _task(config)
    config = suited(config, task.spec)
    return config, task, build_levels(level_configs(config.hierarchy), task.spec).eval()


def profile(arguments: Arguments) -> None:
    """Tells where the time of planning goes: of the run given by --run, or of a fresh stack."""
    if arguments.run is None:
        config, run_dir = read_config(arguments), None
    else:
        config, run_dir = config_of_run(arguments, EVALUATED_WITH)
    if config_printed(arguments, config):
        return
    from hplan.profile_search import profile_planning, show

    if run_dir is None:
        config, task, levels = _fresh(config)
    else:
        config, task, levels, _ = _trained(config, run_dir)
    show(profile_planning(levels.eval(), config, task, fresh=run_dir is None))


def play(arguments: Arguments) -> None:
    """Lets you play a task from the keyboard."""
    config = read_config(arguments)
    if config_printed(arguments, config):
        return
    from hplan.collection import with_goals_at_hand
    from tasks.play import play as play_task

    task = with_goals_at_hand(config, _task(config))
    play_task(task, seed=config.seed, render=arguments.own.get("render", "text"))


def doctor(arguments: Arguments) -> None:
    """Tells what this machine has, and whether the tasks build."""
    from hplan.doctor import check_tasks, machine_report, show
    from tasks import TASKS, build_task

    show(machine_report())
    check_tasks(TASKS, build_task)


COMMANDS = {
    "collect": Command(run=collect),
    "train": Command(run=train),
    "eval": Command(run=evaluate, again="goes on after the methods that are finished"),
    "curve": Command(
        run=curve,
        own={"efforts": "factors, comma between", "beside": "runs to draw too, comma between"},
    ),
    "watch": WATCH,
    "tree": TREE,
    "bench": Command(run=bench),
    "play": Command(run=play, own={"render": "text (in the terminal) or human (a window)"}),
    "profile": Command(run=profile),
    "doctor": Command(run=doctor),
}


def build_training(config: Config, task: "Task", store: "EpisodeStore") -> "StackTraining":
    """A fresh stack and its losses; refuses data too short for its depth."""
    import torch
    from pytorch_lightning import seed_everything

    from hplan.data import check_clips
    from hplan.diagnostics import known_pairs
    from hplan.training import StackTraining
    from levels.build import build_levels

    configs = level_configs(config.hierarchy)
    check_clips(store, configs, config.training.clip_length)
    seed_everything(config.seed, verbose=False)
    levels = build_levels(configs, task.spec, sample_obs=torch.from_numpy(store.sample()))
    pairs = known_pairs(task, config.training.validation_pairs, seed=config.seed)
    return StackTraining(levels, config, pairs)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns 0, or 2 for what the user can mend, or 130 after Ctrl-C."""
    if argv is None:
        # Modules of a user's own lie where they are, which an installed command does not search.
        sys.path.append(os.getcwd())
    return run_command(sys.argv[1:] if argv is None else argv, COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
