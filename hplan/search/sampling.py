"""The loop of all searches that draw many plans, score them, and draw the next near the best.

A method is how it draws and how it learns: two functions, and what it has learned, a tuple of
tensors whose first dimension is the starts (`Belief`). All else is here: the rounds, and when a
start is done. Every round tries the best plan so far again, so that the best of the last round is
the best of all; beside a small network each tensor operation counts, and this way none is spent on
comparing rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.execution import lean
from hplan.search.problem import Problem, SearchResult, concatenated, repeat_after
from hplan.search.trial import Trial, tried
from hplan.support import Support

Belief = tuple[Tensor, ...]
Noise = Callable[[int, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Method:
    """What makes one sampling search differ from another.

    Attributes:
        draw: (belief, N, noise) -> (B, N, H * A) plans, of which the first is believed the best;
            `noise(N, P)` gives independent normal numbers (B, N, P), which it may overwrite.
        learn: (belief, trial) -> the next belief.
        decay: by which the number of candidates is divided after each round.
        differentiates: `learn` takes the gradient of the scores with respect to `x`.
    """

    draw: Callable[[Belief, int, Noise], Tensor]
    learn: Callable[[Belief, Trial], Belief]
    decay: float = 1.0
    differentiates: bool = False


class OneHot:
    """The support of discrete actions: what is searched is what the model is given."""

    def __init__(self, num_actions: int) -> None:
        self.action_dim = num_actions

    def project(self, x: Tensor) -> Tensor:
        return x

    def macro_action(self, z: Tensor, x: Tensor) -> Tensor:
        return x


def support_of(problem: Problem) -> Support:
    """The support of a search over continuous actions; ValueError where they are numbered."""
    if problem.support is None:
        raise ValueError(
            "this planner.search needs continuous actions, as levels above the bottom have"
        )
    return problem.support


def first_mean(
    problem: Problem, config: PlannerConfig, warm_start: Float[Tensor, "B H A"] | None
) -> Float[Tensor, "B P"]:
    """(B, H * A): the warm start, or zeros."""
    if warm_start is not None:
        return warm_start.flatten(1)
    return problem.z.new_zeros(len(problem.z), config.horizon * support_of(problem).action_dim)


def drawn_around(
    mean: Float[Tensor, "B P"],
    std: Float[Tensor, "B P"],
    kept: Float[Tensor, "B M P"] | None,
    count: int,
    noise: Noise,
) -> Float[Tensor, "B N P"]:
    """Plans (B, N, P): `mean` (B, P), those `kept` (B, M, P), and others around it with `std`."""
    x = noise(count, mean.shape[1])
    torch.addcmul(mean.unsqueeze(1), std.unsqueeze(1), x, out=x)
    x.select(1, 0).copy_(mean)
    if kept is not None:
        x.narrow(1, 1, kept.shape[1]).copy_(kept)
    return x


def sampled_around_a_mean(
    problem: Problem,
    method: Method,
    *,
    config: PlannerConfig,
    std: float,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
) -> SearchResult:
    """`sampled` for a method that believes in a mean, a std, and plans to try again.

    Args:
        std: of the first round.
    """
    mean = first_mean(problem, config, warm_start)
    return sampled(
        problem,
        method,
        (mean, torch.full_like(mean, std), mean.unsqueeze(1)),
        config=config,
        support=support_of(problem),
        generator=generator,
        is_warm=warm_start is not None,
    )


def sampled(
    problem: Problem,
    method: Method,
    belief: Belief,
    *,
    config: PlannerConfig,
    support: Support,
    generator: torch.Generator,
    is_warm: bool,
) -> SearchResult:
    """Draws, scores and learns for up to `config.num_iterations` rounds.

    The noise of a round is drawn for all B starts as one block, whichever are still searching.
    With `config.converged` above 0 a start is done when a round improves its score by less; a warm
    start's own score is what the first round has to improve on. A start whose plans all violate
    the guard is never done early.

    Args:
        belief: before the first round.
        is_warm: candidate 0 of the first round is a plan worth comparing with.
    """
    run = torch.no_grad()(_searched) if method.differentiates else lean(_searched)
    return run(problem, method, belief, config, support, generator, is_warm)


def _searched(
    problem: Problem,
    method: Method,
    belief: Belief,
    config: PlannerConfig,
    support: Support,
    generator: torch.Generator,
    is_warm: bool,
) -> SearchResult:
    rows, counts = torch.arange(len(problem.z), device=problem.z.device), _counts(config, method)
    batch_size, finished, order, before, num_rows = len(rows), [], [], None, 0
    may_stop = config.converged > 0 or problem.deadline is not None
    for number, count in enumerate(counts):
        last = number + 1 == len(counts)
        x = method.draw(belief, count, _noise_for(rows, batch_size, generator, problem.z))
        x = support.project(x.view(len(rows), -1, config.horizon, support.action_dim))
        graded = method.differentiates and not last
        kept = last or may_stop
        trial = tried(problem, config, support, x, number=number, kept=kept, graded=graded)
        num_rows += x.shape[1] * config.horizon
        if last or problem.is_late:
            break
        done = None
        if config.converged > 0:
            done = _is_done(problem, config, trial, before, is_warm)
            before = trial.elite_scores[:, 0]
            if done.all():
                break
        belief = method.learn(belief, trial)
        if done is not None and done.any():
            ended, going = done.nonzero().squeeze(1), (~done).nonzero().squeeze(1)
            finished.append(_result(problem, trial, ended, support, num_rows))
            order.append(rows[ended])
            rows, problem, before = rows[going], problem.of(going), before[going]
            belief = tuple(value[going] for value in belief)
        trial = x = None  # so that the next round finds their memory free, and in the cache
    everyone = torch.arange(len(rows), device=rows.device)
    finished.append(_result(problem, trial, everyone, support, num_rows))
    if len(finished) == 1:
        return finished[0]
    return concatenated(finished).of(torch.cat([*order, rows]).argsort())


def _is_done(
    problem: Problem, config: PlannerConfig, trial: Trial, before: Tensor | None, is_warm: bool
) -> Bool[Tensor, " B"]:
    """Whether the best plan is as expected, or the round improved the score `before` too little."""
    score = trial.elite_scores[:, 0]
    done = problem.is_expected(score + trial.spent, config)
    if before is None and is_warm:
        before = trial.scores[:, 0]
    if before is not None:
        done = done | (before - score < config.converged * problem.cost)
    return done if problem.guard is None else done & (trial.violation_of_best() == 0)


def _counts(config: PlannerConfig, method: Method) -> list[int]:
    """How many plans each round tries: twice as many each time, or fewer as `method` says."""
    counts = []
    for number in range(config.num_iterations):
        count = min(config.num_candidates * 2**number, config.max_candidates)
        counts.append(max(min(count, 2 * config.num_elites), int(count / method.decay**number)))
    return counts


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _noise_for(rows: Tensor, batch_size: int, generator: torch.Generator, like: Tensor) -> Noise:
    """Normal numbers for those of the starts that `rows` names, out of a block for all."""

    def noise(count: int, size: int) -> Tensor:
        block = _noise((batch_size, count, size), generator).to(like)
        return block if len(rows) == batch_size else block[rows]

    return noise


def _result(
    problem: Problem, trial: Trial, rows: Tensor, support: Support, num_rows: int
) -> SearchResult:
    """The best plans of a round for the starts `rows` (R,), found with so many rows for each."""
    top, horizon = trial.elites[rows, 0], trial.x.shape[2]
    path = [latent[rows, top] for latent in trial.latents]
    latents, actions = torch.stack([problem.z[rows], *path], dim=1), trial.x[rows, top].detach()
    macro_actions = support.macro_action(latents[:, :-1], actions)
    num_steps = torch.full_like(rows, horizon)
    if trial.ends is not None:
        num_steps = trial.ends[rows, top] + 1
        latents = repeat_after(latents, num_steps)
    return SearchResult(
        actions=actions,
        macro_actions=macro_actions,
        latents=latents,
        num_steps=num_steps,
        score=trial.elite_scores[rows, 0] + trial.spent,
        left=trial.at_end(trial.left)[rows],
        violation=trial.violation_of_best()[rows],
        evaluations=torch.full_like(rows, num_rows),
    )
