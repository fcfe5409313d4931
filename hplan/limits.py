"""What values settings may have beyond their types, and which do not go together."""

import math
from dataclasses import fields
from operator import attrgetter

from hplan.config import Config
from hplan.level_config import LevelConfig, level_configs, strides

LEAST = {
    "seed": 0,
    "devices": 1,
    "nodes": 1,
    "data.num_episodes": 1,
    "data.episode_length": 1,
    "training.num_updates": 1,
    "training.distance_updates": 0,
    "training.batch_size": 1,
    "training.clip_length": 1,
    "training.warmup_updates": 0,
    "training.num_goals": 1,
    "training.validate_every": 1,
    "training.validation_pairs": 2,
    "training.collapse_std": 0,
    "task.layout_seed": 0,
    "evaluation.episodes_per_bin": 0,
    "evaluation.brief_episodes_per_bin": 1,
    "evaluation.during_training": 0,
    "evaluation.suite_seed": 0,
    "evaluation.num_trees": 0,
    "evaluation.budget_factor": 1,
    "evaluation.budget_extra": 0,
    "agent.memory": 0,
    "agent.avoid_penalty": 0,
    "agent.feedback": 0,
    "agent.patience": 0,
    "agent.stuck_after": 0,
    "agent.confirmed": 1,
    "agent.budget_ms": 0,
}
FINITE = ("agent.effort", "evaluation.budget_factor")
ABOVE_ZERO = (
    "training.learning_rate",
    "training.clip_norm",
    "training.target_rate",
    "agent.effort",
)
LEVEL_LEAST = {
    "model.ratio": 1,
    "model.latent_dim": 1,
    "model.action_dim": 1,
    "model.hidden_dim": 1,
    "model.num_hidden": 0,
    "loss.rollout_depth": 1,
    "loss.num_starts": 1,
    "loss.distance_starts": 1,
    "loss.distance_backup": 1,
    "loss.distance_own_goals": 1,
    "planner.horizon": 1,
    "planner.num_candidates": 2,
    "planner.num_elites": 2,  # one has no spread
    "planner.num_iterations": 1,
    "planner.converged": 0,
    "planner.action_cost": 0,
    "planner.surprise": 0,
    "planner.clock": 1,
    "planner.lead": 1,
    "planner.reach": 0,
    "planner.tolerance": 0,
    "loss.free_nats": 0,
    "loss.walk_steps": 1,
    "loss.walk_std": 0,
    **{f"loss.{f.name}": 0 for f in fields(LevelConfig().loss) if f.name.endswith("_weight")},
}
BETWEEN_ZERO_AND_ONE = ("loss.distance_discount", "loss.distance_expectile")
DISCRETE_SEARCHES = ("tree", "beam", "categorical_cem")
CONTINUOUS_SEARCHES = ("cem", "icem", "mppi", "predictive_sampling", "gradient")
EARLY = ("surprise", "infeasible", "reached")
ACCELERATORS = ("auto", "cpu", "gpu")


def check_config(config: Config) -> None:
    """Refuses what no run can be made of.

    Raises:
        ValueError: names the setting, its value, what is allowed.
    """
    for path, least in LEAST.items():
        value = attrgetter(path)(config)
        if not value >= least:
            raise ValueError(f"{path} = {value}; allowed is {least} or more")
    for path in ABOVE_ZERO:
        value = attrgetter(path)(config)
        if not value > 0:
            raise ValueError(f"{path} = {value}; allowed is a number above 0")
    for path in FINITE:
        value = attrgetter(path)(config)
        if not math.isfinite(value):
            raise ValueError(f"{path} = {value}; allowed is a finite number")
    if config.accelerator not in ACCELERATORS:
        raise ValueError(
            f"accelerator = {config.accelerator!r}; allowed is one of {', '.join(ACCELERATORS)}"
        )
    memory, stuck_after = config.agent.memory, config.agent.stuck_after
    if 0 < memory < 2 * stuck_after:
        raise ValueError(
            f"agent.stuck_after = {stuck_after}; allowed is at most half of agent.memory = "
            f"{memory}, the decisions among which places are counted"
        )
    for name in config.agent.early:
        if name not in EARLY:
            raise ValueError(f"agent.early has {name!r}; allowed are {', '.join(EARLY)}")
    if config.training.distance_updates >= config.training.num_updates:
        raise ValueError(
            f"training.distance_updates = {config.training.distance_updates}; allowed is less than "
            f"training.num_updates = {config.training.num_updates}, of which they are the last"
        )
    processes = config.devices * config.nodes
    if config.training.batch_size % processes:
        raise ValueError(
            f"training.batch_size = {config.training.batch_size} clips cannot be shared evenly by "
            f"{processes} devices; give a multiple of {processes}"
        )
    levels = level_configs(config.hierarchy)
    for k, level in enumerate(levels):
        _check_level(level, k)


def check_horizons(config: Config) -> None:
    """Refuses plans longer than the episodes that they are learnt from; who collects makes none.

    Raises:
        ValueError: names the level, its horizon, what is allowed.
    """
    levels = level_configs(config.hierarchy)
    for k, (level, stride) in enumerate(zip(levels, strides(levels), strict=True)):
        longest = config.data.episode_length // stride
        if level.planner.horizon > max(1, longest):
            raise ValueError(
                f"planner.horizon = {level.planner.horizon} of level {k}, whose step is {stride} "
                f"env steps; allowed is at most {longest}, for the episodes are "
                f"{config.data.episode_length} env steps long; collect longer episodes "
                "(data.episode_length), or lower it"
            )


def _check_level(level: LevelConfig, k: int) -> None:
    where = f"level {k} (hierarchy.level, or hierarchy.overrides)"
    for path, least in LEVEL_LEAST.items():
        value = attrgetter(path)(level)
        if not value >= least:
            raise ValueError(f"{path} = {value} of {where}; allowed is {least} or more")
    for path in BETWEEN_ZERO_AND_ONE:
        value = attrgetter(path)(level)
        if not 0 < value < 1:
            raise ValueError(f"{path} = {value} of {where}; allowed is between 0 and 1")
    if level.loss.regulariser == "coding_rate" and not level.loss.smoothness_weight:
        raise ValueError(
            f"loss.smoothness_weight = 0 of {where}, whose loss.regulariser is coding_rate; "
            "allowed there is a number above 0, for nothing else bounds the volume of its latents"
        )
    if level.planner.num_elites > level.planner.num_candidates:
        raise ValueError(
            f"planner.num_elites = {level.planner.num_elites} of {where}; allowed is at most "
            f"planner.num_candidates = {level.planner.num_candidates}"
        )
    if level.planner.max_candidates < level.planner.num_candidates:
        raise ValueError(
            f"planner.max_candidates = {level.planner.max_candidates} of {where}; allowed is at "
            f"least planner.num_candidates = {level.planner.num_candidates}"
        )
    if k == 0 and level.model.ratio != 1:
        raise ValueError(
            f"model.ratio = {level.model.ratio} of {where}; allowed at the bottom is 1, for its "
            "step is one env step"
        )
    if k and level.planner.search in DISCRETE_SEARCHES:
        raise ValueError(
            f"planner.search = {level.planner.search!r} of {where}; allowed there: "
            f"{', '.join(CONTINUOUS_SEARCHES)}, auto, or module.function of your own"
        )
    if level.planner.search == "auto":
        if level.planner.search_options:
            raise ValueError(
                f"planner.search_options = {level.planner.search_options} of {where}, whose "
                "planner.search is auto; name the search that is to take them"
            )
        return
    is_own = level.planner.search not in DISCRETE_SEARCHES + CONTINUOUS_SEARCHES
    if is_own or level.planner.search_options or level.planner.support_options:
        _check_options(level, where)


def _check_options(level: LevelConfig, where: str) -> None:
    """A search of one's own, and options, are checked by what takes them, which needs torch."""
    from hplan.search import check_options
    from hplan.support import check_support_options

    try:
        check_options(level.planner.search, level.planner.search_options)
        check_support_options(level.planner)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
