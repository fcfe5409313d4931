"""Success against work: the same stack planning with a fraction or a multiple of its effort."""

import math
from dataclasses import replace

from hplan.level_config import LevelConfig


def scaled(config: LevelConfig, num_actions: int, effort: float) -> LevelConfig:
    """A level's settings with `effort` times the work of its search.

    A sampling search and a beam take as many times the candidates; a tree over `num_actions`
    discrete actions takes the horizon that comes nearest to as many times the leaves.
    """
    planner = config.planner
    candidates = max(2, round(planner.num_candidates * effort))
    planner = replace(
        planner,
        num_candidates=candidates,
        max_candidates=max(2, round(planner.max_candidates * effort)),
        num_elites=min(planner.num_elites, candidates),
    )
    if planner.search == "tree":
        deeper = round(math.log(effort) / math.log(max(2, num_actions)))
        planner = replace(planner, horizon=max(1, planner.horizon + deeper))
    return replace(config, planner=planner)
