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
    choices = torch.eye(num_actions, dtype=problem.z.dtype, device=problem.z.device)

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        probabilities, best = belief
        share = torch.special.ndtr(noise(count, config.horizon)).unsqueeze(-1)  # even in 0 to 1
        below = probabilities.cumsum(-1)[..., :-1].unsqueeze(1)
        numbers = (share > below).sum(-1)
        numbers[:, 0] = probabilities.argmax(-1)
        numbers[:, 1] = best
        return choices[numbers].flatten(2)

    def learn(belief: Belief, trial: Trial) -> Belief:
        elites = trial.best(config.num_elites).unflatten(2, (config.horizon, num_actions))
        probabilities = elites.mean(1).clamp_(min=least_probability)
        return probabilities / probabilities.sum(-1, keepdim=True), elites[:, 0].argmax(-1)

    known = problem.z.new_full((problem.z.shape[0], config.horizon, num_actions), 1 / num_actions)
    if warm_start is not None:
        known = torch.where(warm_start.sum(-1, keepdim=True) > 0, 0.5 * (known + warm_start), known)
    return sampled(
        problem,
        Method(draw=draw, learn=learn),
        (known, known.argmax(-1)),
        config=config,
        support=OneHot(num_actions),
        generator=generator,
        is_warm=warm_start is not None,
    )
