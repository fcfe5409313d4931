"""A run's training: from where it goes on, what it draws from, who looks at it meanwhile."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hplan.checkpoint import load_checkpoint, restore
from hplan.collection import Source, clip_sources
from hplan.config import Config
from hplan.evaluation import check_methods
from hplan.level_config import level_configs
from hplan.regularisers import build_regulariser
from hplan.run_evaluation import training_probe
from hplan.shell import say
from hplan.trainer import fit, updates_done
from hplan.training import StackTraining

if TYPE_CHECKING:
    from hplan.dataset import EpisodeStore


def check_settings(config: Config) -> None:
    """Raises ValueError for settings that would be refused only after hours, or once data are made.

    Those are what the evaluation at the end is asked for, and the regularisers of the first update.
    """
    if config.evaluation.episodes_per_bin:
        check_methods(config.evaluation.methods, config)
    for level in level_configs(config.hierarchy):
        build_regulariser(level.loss.regulariser, level.loss.regulariser_options)


def train_run(
    config: Config,
    task: Any,
    source: Source,
    store: "EpisodeStore",
    module: StackTraining,
    run_dir: Path,
) -> None:
    """Trains what is left to train, from the run's last checkpoint.

    Args:
        source: of the episodes in `store`, for held-out ones.
    """
    training = config.training
    first = updates_done(run_dir)
    if first >= training.num_updates:
        say(f"train: all {first} updates are done already")
        restore(module.levels, load_checkpoint(run_dir), run_dir)
        return
    if first:
        say(f"train: goes on after update {first} of {training.num_updates}")
    sampler, validation = clip_sources(config, source, store)
    try:
        fit(
            module,
            config=config,
            spec=task.spec,
            sampler=sampler,
            validation=validation,
            run_dir=run_dir,
            first=first,
            probe=training_probe(config, task, module.levels, store.sample()),
        )
    except SystemExit as error:  # Lightning's answer to Ctrl-C outside of an update
        raise KeyboardInterrupt from error
