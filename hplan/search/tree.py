"""Exact search over all short sequences of discrete actions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.branching import branched
from hplan.search.problem import Problem, SearchResult


def tree(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
) -> SearchResult:
    """The best of all sequences of up to `config.horizon` actions.

    Needs A + A^2 + ... + A^H predictor rows instead of the H * A^H of predicting each sequence.
    `warm_start` and `generator` are of no use to an exact search.

    Source: breadth-first search with uniform step costs (Russell and Norvig, "Artificial
    Intelligence: A Modern Approach", 4th edition, section 3.4); with `config.converged` above 0 it
    ends early by the lower bound of branch and bound, and stays exact.
    """
    return branched(problem, config, width=None)
