"""Cross-entropy search over sequences of discrete actions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.problem import Problem, SearchResult
from hplan.search.sampling import Belief, Method, Noise, OneHot, sampled
from hplan.search.trial import Trial


def categorical_cem(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
    least_probability: float = 0.02,
) -> SearchResult:
    """Cross-entropy method over discrete actions, a categorical at each step.

    A warm start holds one-hot actions, or zeros where it knows none.

    Source: Rubinstein (1999, see `cem`), section 3; probabilities are kept off zero, and the first
    candidate takes the likeliest action at each step.
    """
    num_actions = problem.model.num_actions
    if not num_actions:
        raise ValueError("planner.search = 'categorical_cem' needs discrete actions")
    shape = (config.horizon, num_actions)

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        probabilities, best = belief
        share = torch.special.ndtr(noise(count, config.horizon)).unsqueeze(3)  # even in 0 to 1
        ends = probabilities.cumsum(2)
        begins = ends - probabilities
        ends.select(2, -1).fill_(torch.inf)  # the sum may be just below one
        chosen = (share >= begins.unsqueeze(1)).logical_and_(share < ends.unsqueeze(1))
        x = chosen.to(probabilities).flatten(2)
        likeliest = probabilities.argmax(2, keepdim=True)
        x.select(1, 0).view(-1, *shape).zero_().scatter_(2, likeliest, 1.0)
        x.select(1, 1).copy_(best)
        return x

    def learn(belief: Belief, trial: Trial) -> Belief:
        elites = trial.best(config.num_elites)
        probabilities = elites.mean(1).view(-1, *shape).clamp_(min=least_probability)
        return probabilities / probabilities.sum(2, keepdim=True), elites.select(1, 0)

    known = problem.z.new_full((len(problem.z), *shape), 1 / num_actions)
    if warm_start is not None:
        known = torch.where(warm_start.sum(-1, keepdim=True) > 0, 0.5 * (known + warm_start), known)
    likeliest = torch.zeros_like(known).scatter_(2, known.argmax(2, keepdim=True), 1.0)
    return sampled(
        problem,
        Method(draw=draw, learn=learn),
        (known, likeliest.flatten(1)),
        config=config,
        support=OneHot(num_actions),
        generator=generator,
        is_warm=warm_start is not None,
    )
