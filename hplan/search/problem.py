"""What a search is asked, what it answers, and how plans are scored.

A search is a function `(problem, *, config, warm_start, generator, **options) -> SearchResult`:

* `config`: the level's `PlannerConfig`; `options`: its `search_options`;
* `warm_start`: (B, H, A) a plan in the form of `SearchResult.actions`, or None;
* `generator`: all its noise.

The score of a plan that ends after h steps is `cost * h` plus the energy there (or the mean along
the path, `config.judged`), plus what its macro-actions cost, plus `FORBIDDEN` times how much the
latents up to there violate the guard. A plan may end where its energy is at most `arrival` and
nothing was violated; one that does not arrive goes on to its horizon: an energy that falls too
slowly along the way would else make standing still look best.
"""

import time
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hplan.energy import Energy
from hplan.level import Model
from hplan.level_config import PlannerConfig
from hplan.support import Support

FORBIDDEN = 1e5


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What to search for, for B starts.

    Attributes:
        model: what is rolled out.
        z: (B, D) where from.
        energy: of latents (B, N, D), as (B, N).
        cost: of one step, in the energy's unit.
        arrival: the energy up to which a plan may end before its horizon; below 0 none may.
        support: turns what is searched into macro-actions; None where actions are discrete.
        guard: how much latents (B, N, D) violate what is forbidden, (B, N); 0 is not at all. None
            where nothing is.
        deadline: of `time.perf_counter`, after which no further round is begun; None is never.
        expected: (B,) the score that the energy at the start lets one expect, where it counts
            steps; None where it is of another kind.
    """

    model: Model
    z: Float[Tensor, "B D"]
    energy: Energy
    cost: float
    arrival: float
    support: Support | None
    guard: Energy | None
    deadline: float | None
    expected: Float[Tensor, " B"] | None = None

    def of(self, rows: Tensor) -> "Problem":
        """The problem for those of the starts that `rows` names, indices or bool."""
        return replace(
            self,
            model=self.model.of(rows),
            z=self.z[rows],
            energy=self.energy.of(rows),
            guard=None if self.guard is None else self.guard.of(rows),
            expected=None if self.expected is None else self.expected[rows],
        )

    def is_expected(self, score: Float[Tensor, " B"], config: PlannerConfig) -> Bool[Tensor, " B"]:
        """Whether a plan is as good as was to be expected: to look on would be to hope for more."""
        if self.expected is None:
            return torch.zeros_like(score, dtype=torch.bool)
        return score <= self.expected + config.converged * self.cost

    @property
    def is_late(self) -> bool:
        """Whether no further round may be begun."""
        return self.deadline is not None and time.perf_counter() > self.deadline


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The best plan found for each of B starts.

    Attributes:
        actions: (B, H, A) the plan, in the form in which it can be a warm start.
        macro_actions: (B, H, A) what the model was given; the same at the bottom.
        latents: (B, H + 1, D) predicted; index 0 is the start. Beyond `num_steps` they repeat.
        num_steps: (B,) steps of the level after which the plan is done, 1 to H.
        score: (B,) as above.
        left: (B,) energy at the end.
        violation: (B,) of the guard, summed over the steps; above 0 the plan must not be executed.
        evaluations: (B,) predictor rows.
    """

    actions: Float[Tensor, "B H A"]
    macro_actions: Float[Tensor, "B H A"]
    latents: Float[Tensor, "B H+1 D"]
    num_steps: Int[Tensor, " B"]
    score: Float[Tensor, " B"]
    left: Float[Tensor, " B"]
    violation: Float[Tensor, " B"]
    evaluations: Int[Tensor, " B"]

    def of(self, rows: Tensor) -> "SearchResult":
        """The plans for those of the starts that `rows` names, indices or bool."""
        return SearchResult(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def concatenated(results: list[SearchResult]) -> SearchResult:
    """One result of several searches, for the starts of all of them."""
    if len(results) == 1:
        return results[0]
    names = [field.name for field in fields(SearchResult)]
    return SearchResult(
        **{name: torch.cat([getattr(result, name) for result in results]) for name in names}
    )


def bettered(best: SearchResult, found: SearchResult, rows: Int[Tensor, " R"]) -> SearchResult:
    """`best` with those of the plans `found` for the starts `rows` that score lower, work added."""
    wins = found.score < best.score[rows]
    won = rows[wins]
    tensors = {}
    for name, value in vars(found).items():
        tensors[name] = vars(best)[name].index_copy(0, won, value[wins])
    tensors["evaluations"] = best.evaluations.index_add(0, rows, found.evaluations)
    return SearchResult(**tensors)


def repeat_after(latents: Float[Tensor, "B L D"], num_steps: Int[Tensor, " B"]) -> Tensor:
    """`latents` (B, H + 1, D) with those after `num_steps` (B,) replaced by the one there."""
    steps = torch.arange(latents.shape[1], device=latents.device)
    kept = torch.minimum(steps, num_steps.unsqueeze(1))
    return latents.gather(1, kept.unsqueeze(-1).expand_as(latents))


def needs_every_step(problem: Problem, config: PlannerConfig) -> bool:
    """Whether a plan's score depends on the energy at any step but its last."""
    return problem.arrival >= 0 or config.judged == "path"


def plan_scores(
    judged: Tensor,
    *,
    spent: Tensor | float | None,
    violated: Tensor | None,
    effort: Tensor | None = None,
) -> Tensor:
    """Scores of ending at some step of plans, in any shape; what is None is left out.

    Args:
        judged: energy there, or its mean up to there.
        spent: `problem.cost` times the steps taken; violated: the guard's, summed up to there.
        effort: what the macro-actions up to there cost.
    """
    scores = judged if spent is None else judged + spent
    if violated is not None:
        scores = scores + FORBIDDEN * violated
    return scores if effort is None else scores + effort


def is_barred(problem: Problem, left: Tensor, violated: Tensor | None) -> Bool[Tensor, "..."]:
    """Where a plan may not end before its horizon, by the energy there and the violation so far."""
    barred = left > problem.arrival
    return barred if violated is None else barred | (violated > 0)
