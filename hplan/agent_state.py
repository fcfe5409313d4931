"""What the agent holds between two env steps: the plans of all levels, and where it has been."""

from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor, nn

from hplan.corrections import Corrections
from hplan.goals import Goals
from hplan.level_config import EnergyName, LevelConfig
from hplan.search.problem import SearchResult


class Cause(IntEnum):
    """Why a plan was made."""

    NONE = 0
    START = 1
    DONE = 2
    CLOCK = 3
    SURPRISE = 4
    TARGET = 5  # its target changed
    INFEASIBLE = 6  # the level below cannot approach its subgoal


def _at(sequences: Tensor, step: Tensor) -> Tensor:
    """(B, ...) the entry at `step` (B,) of each of `sequences` (B, H, ...)."""
    return sequences[torch.arange(step.shape[0], device=step.device), step]


@dataclass(frozen=True, kw_only=True)
class LevelPlans:
    """The current plan of one level in each of B environments.

    Attributes:
        actions: (B, H, A) and latents: (B, H + 1, D), as in `SearchResult`.
        num_steps: (B,) steps of the level that the plan is for.
        position: (B,) the step being carried out, from 1; beyond `num_steps` the plan is done.
        age: (B,) env steps since it was made; waited: (B,) since its subgoal is the current one.
        for_goal: (B,) bool, its target is the goal itself.
        identity: (B,) number of the plan in its episode, from 1; 0 where there is none.
    """

    actions: Tensor
    latents: Tensor
    num_steps: Tensor
    position: Tensor
    age: Tensor
    waited: Tensor
    for_goal: Tensor
    identity: Tensor

    def depth(self, lead: int) -> Tensor:
        """(B,) the step of the plan at which its subgoal `lead` steps ahead is, or its last."""
        return torch.minimum(self.position - 1 + lead, self.num_steps)

    def subgoal(self, lead: int) -> Tensor:
        """(B, D) the latent `lead` steps ahead in the plan, or its last."""
        return _at(self.latents, self.depth(lead))

    def is_elsewhere(self, z: Tensor, depth: Tensor, limits: Tensor) -> Tensor:
        """(B,) bool: the latent `z` (B, D) is not the one predicted at step `depth` (B,).

        Args:
            limits: (H,) squared error allowed at each depth; the last holds beyond.
        """
        error = (_at(self.latents, depth) - z).square().mean(-1)
        allowed = limits[(depth - 1).clamp(0, len(limits) - 1)]
        return (error > allowed) & (self.identity > 0) & (depth > 0)

    @property
    def action(self) -> Tensor:
        """(B, A) of the step being carried out."""
        return _at(self.actions, (self.position - 1).clamp(max=self.actions.shape[1] - 1))

    @property
    def is_over(self) -> Tensor:
        """(B,) bool: there is no plan, or its last step is done."""
        return (self.position > self.num_steps) | (self.identity == 0)


@dataclass(frozen=True, kw_only=True)
class Places:
    """The last M places of one level that it is not to seek again, in each of B environments.

    Attributes:
        latents: (B, M, D), newest first; count: (B,) how many there ever were.
    """

    latents: Tensor
    count: Tensor

    def valid(self) -> Tensor:
        """(B, M) bool: which of them have been filled."""
        moments = torch.arange(self.latents.shape[1], device=self.latents.device)
        return moments < self.count.unsqueeze(1)

    def with_newest(self, rows: Tensor, z: Tensor) -> "Places":
        """With the latents `z` (R, D) in front, in the environments `rows` (R,)."""
        latents = self.latents.clone()
        latents[rows, 1:] = self.latents[rows, :-1]
        latents[rows, 0] = z
        return Places(latents=latents, count=self.count.index_add(0, rows, torch.ones_like(rows)))

    def visits(self, rows: Tensor, z: Tensor, radius: float) -> Tensor:
        """(R,) how many of the places of `rows` (R,) lie within `radius` of `z` (R, D)."""
        near = (self.latents[rows] - z.unsqueeze(1)).square().mean(-1) < radius
        return (near & self.valid()[rows]).sum(1)


@dataclass(frozen=True, kw_only=True)
class AgentState:
    """All that the agent remembers between two env steps, for B environments.

    Attributes:
        plans: of each level, bottom first.
        top: (B,) the level whose target is the goal itself.
        places: of each level, where it decided lately; above the bottom also its subgoals that the
            level below could not approach.
        num_plans: (B,) how many there were.
        last_latent: (B, D) bottom latents at the env step before.
        memory: (B, M) what the bottom encoder remembers of the episode, M = 0 where it has no
            memory; last_action: (B, A) the action since. Zeros where the episode begins.
        corrections: the transitions that surprised the agent.
        is_stuck: (B,) bool, it keeps coming back to one place, wider searches notwithstanding.
        refused: (B,) bool, the bottom has no plan that satisfies the guardrails; it does not act.
    """

    plans: list[LevelPlans]
    top: Tensor
    places: list[Places]
    num_plans: Tensor
    last_latent: Tensor
    memory: Tensor
    last_action: Tensor
    corrections: Corrections
    is_stuck: Tensor
    refused: Tensor


@dataclass(frozen=True, kw_only=True)
class PlanEvent:
    """Plans of one level made at one env step, for R of the environments.

    Attributes:
        level: which level.
        rows: (R,) environments.
        identity, parent: (R,) numbers of the plan and of the one above in whose service it is; 0 is
            the goal.
        cause: (R,) of `Cause`.
        target: (R, D) latents to reach, in the space of level `target_level`.
        energy_name: by which it is sought.
        before: (R,) energy at the start.
        result: what the search found.
        lead: steps of the level to the first subgoal that it sets; 0 at the bottom: it sets none.
        support: (R,) where its macro-action farthest from the data's lies among the data's own
            distances to each other, as a percentile; NaN where that was never measured.
        flops: (R,) spent on each.
    """

    level: int
    rows: Tensor
    identity: Tensor
    parent: Tensor
    cause: Tensor
    target: Tensor
    target_level: int
    energy_name: EnergyName
    before: Tensor
    result: SearchResult
    lead: int
    support: Tensor
    flops: Tensor

    @property
    def subgoals(self) -> Tensor | None:
        """(R, D) the first subgoal that each sets, in the level's own space; None at the bottom."""
        if not self.lead:
            return None
        return _at(self.result.latents, self.result.num_steps.clamp(max=self.lead))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a decision looks at, in B environments.

    Attributes:
        latents: [(B, D_k)] of the observation at every level.
        goals: what is to be reached.
        due: (R,) the environments that decide.
        surprised: (B,) bool, which of them the world has surprised, or shown that the next step of
            their plan violates a guardrail.
        deadline: of `time.perf_counter`, or None.
    """

    latents: list[Tensor]
    goals: Goals
    due: Tensor
    surprised: Tensor
    deadline: float | None


def adopted(state: AgentState, event: PlanEvent, for_goal: bool) -> AgentState:
    """`state` with the plans of an event that have an identity."""
    kept = event.identity > 0
    rows, identity, result = event.rows[kept], event.identity[kept], event.result
    plan = state.plans[event.level]
    horizon = plan.actions.shape[1]  # a widened search may have looked farther
    plan = LevelPlans(
        actions=plan.actions.index_copy(0, rows, result.actions[kept, :horizon]),
        latents=plan.latents.index_copy(0, rows, result.latents[kept, : horizon + 1]),
        num_steps=plan.num_steps.index_copy(0, rows, result.num_steps[kept].clamp(max=horizon)),
        position=plan.position.index_fill(0, rows, 1),
        age=plan.age.index_fill(0, rows, 0),
        waited=plan.waited.index_fill(0, rows, 0),
        for_goal=plan.for_goal.index_fill(0, rows, for_goal),
        identity=plan.identity.index_copy(0, rows, identity),
    )
    state = with_plan(state, event.level, plan)
    return replace(state, num_plans=state.num_plans.index_copy(0, rows, identity))


def no_plans(level: nn.Module, config: LevelConfig, batch_size: int) -> LevelPlans:
    """The plans of a level before it has made any."""
    horizon, device = config.planner.horizon, level.move.device
    zeros = torch.zeros(batch_size, dtype=torch.long, device=device)
    return LevelPlans(
        actions=torch.zeros(batch_size, horizon, level.action_dim, device=device),
        latents=torch.zeros(batch_size, horizon + 1, level.latent_dim, device=device),
        num_steps=zeros,
        position=zeros + 1,
        age=zeros,
        waited=zeros,
        for_goal=zeros.bool(),
        identity=zeros,
    )


def with_plan(state: AgentState, k: int, plan: LevelPlans) -> AgentState:
    """`state` with another plan at level `k`."""
    return replace(state, plans=[*state.plans[:k], plan, *state.plans[k + 1 :]])


def with_places(state: AgentState, k: int, rows: Tensor, z: Tensor) -> AgentState:
    """`state` with the latents `z` (R, D) among the places of level `k` in `rows` (R,)."""
    places = state.places[k].with_newest(rows, z)
    return replace(state, places=[*state.places[:k], places, *state.places[k + 1 :]])


def taught(state: AgentState, rows: Tensor, z: Tensor) -> AgentState:
    """`state` with what the steps to `z` (B, D) taught: they surprised the environments `rows`."""
    bottom = state.plans[0]
    last = (bottom.position - 2).clamp(0, bottom.actions.shape[1] - 1)
    taken = _at(bottom.actions, last)
    known = state.corrections
    if known.confirmed > 1:
        others = torch.ones_like(last, dtype=torch.bool).index_fill(0, rows, False)
        known = known.tried_again(others, state.last_latent, taken, z)
    if len(rows):
        known = known.with_surprise(rows, state.last_latent, taken, z)
    return replace(state, corrections=known)
