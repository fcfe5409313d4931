"""What the agent holds between two env steps: the plans of all levels, and where it has been."""

from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor, nn

from hplan.config import LevelConfig
from hplan.corrections import Corrections
from hplan.energy import EnergyName
from hplan.search.result import SearchResult


class Cause(IntEnum):
    """Why a plan was made."""

    NONE = 0
    START = 1
    DONE = 2
    CLOCK = 3
    SURPRISE = 4
    TARGET = 5  # its target changed


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
        age: (B,) env steps since it was made.
        for_goal: (B,) bool, its target is the goal itself.
        identity: (B,) number of the plan in its episode, from 1; 0 where there is none.
    """

    actions: Tensor
    latents: Tensor
    num_steps: Tensor
    position: Tensor
    age: Tensor
    for_goal: Tensor
    identity: Tensor

    def subgoal(self, lead: int) -> Tensor:
        """(B, D) the latent `lead` steps ahead in the plan, or its last."""
        return _at(self.latents, torch.minimum(self.position - 1 + lead, self.num_steps))

    def is_elsewhere(self, z: Tensor, radius: float) -> Tensor:
        """(B,) bool: the latent `z` (B, D) is not the one that the running plan predicted."""
        done = torch.minimum(self.position - 1, self.num_steps)
        error = (_at(self.latents, done) - z).square().mean(-1)
        return (error > radius) & (self.identity > 0)

    @property
    def action(self) -> Tensor:
        """(B, A) of the step being carried out."""
        return _at(self.actions, (self.position - 1).clamp(max=self.actions.shape[1] - 1))

    @property
    def is_over(self) -> Tensor:
        """(B,) bool: there is no plan, or its last step is done."""
        return (self.position > self.num_steps) | (self.identity == 0)


@dataclass(frozen=True, kw_only=True)
class AgentState:
    """All that the agent remembers between two env steps, for B environments.

    Attributes:
        plans: of each level, bottom first.
        top: (B,) the level whose target is the goal itself.
        memory: (B, M, D) bottom latents of the last decisions, newest first.
        num_remembered, num_plans: (B,) how many there were.
        last_latent: (B, D) bottom latents at the env step before.
        corrections: the transitions that surprised the agent.
    """

    plans: list[LevelPlans]
    top: Tensor
    memory: Tensor
    num_remembered: Tensor
    num_plans: Tensor
    last_latent: Tensor
    corrections: Corrections


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
        flops: spent on each.
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
    flops: int

    @property
    def subgoals(self) -> Tensor | None:
        """(R, D) the first subgoal that each sets, in the level's own space; None at the bottom."""
        if not self.lead:
            return None
        return _at(self.result.latents, self.result.num_steps.clamp(max=self.lead))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a decision looks at.

    Attributes:
        latents, goals: [(B, D_k)] of the observation and of the goal, at every level.
        places: (R, M, D) where the R environments that decide decided lately, valid: (R, M) bool.
        corrections: theirs.
        surprised: (R,) bool, which of these the world has surprised.
    """

    latents: list[Tensor]
    goals: list[Tensor]
    places: Tensor
    valid: Tensor
    corrections: Corrections
    surprised: Tensor

    def of(self, chosen: Tensor) -> "Scene":
        """The scene for those of the deciding environments that `chosen` (R,) bool names."""
        return replace(
            self,
            places=self.places[chosen],
            valid=self.valid[chosen],
            corrections=self.corrections.of(chosen),
            surprised=self.surprised[chosen],
        )


def adopted(state: AgentState, event: PlanEvent, for_goal: bool) -> AgentState:
    """`state` with the plans of an event that have an identity."""
    kept = event.identity > 0
    rows, identity, result = event.rows[kept], event.identity[kept], event.result
    plan = state.plans[event.level]
    plan = LevelPlans(
        actions=plan.actions.index_copy(0, rows, result.actions[kept]),
        latents=plan.latents.index_copy(0, rows, result.latents[kept]),
        num_steps=plan.num_steps.index_copy(0, rows, result.num_steps[kept]),
        position=plan.position.index_fill(0, rows, 1),
        age=plan.age.index_fill(0, rows, 0),
        for_goal=plan.for_goal.index_fill(0, rows, for_goal),
        identity=plan.identity.index_copy(0, rows, identity),
    )
    state = with_plan(state, event.level, plan)
    return replace(state, num_plans=state.num_plans.index_copy(0, rows, identity))


def own_cause(plan: LevelPlans, due: Tensor, late: Tensor, surprised: Tensor) -> Tensor:
    """(R,) of `Cause`: why a level should plan again where it is `due`, whatever its target.

    Args:
        due: (R,) environments; late, surprised: (R,) bool, of these.
    """
    cause = torch.zeros_like(due)
    cause[late] = Cause.CLOCK
    cause[plan.is_over[due]] = Cause.DONE
    cause[surprised] = Cause.SURPRISE  # also where its last step led elsewhere
    cause[plan.identity[due] == 0] = Cause.START
    return cause


def no_plans(level: nn.Module, config: LevelConfig, batch_size: int) -> LevelPlans:
    """The plans of a level before it has made any."""
    horizon, device = config.planner.horizon, level.move.device
    width = level.action_prior.action_dim if level.action_prior is not None else level.num_actions
    zeros = torch.zeros(batch_size, dtype=torch.long, device=device)
    return LevelPlans(
        actions=torch.zeros(batch_size, horizon, width, device=device),
        latents=torch.zeros(batch_size, horizon + 1, level.latent_dim, device=device),
        num_steps=zeros,
        position=zeros + 1,
        age=zeros,
        for_goal=zeros.bool(),
        identity=zeros,
    )


def with_plan(state: AgentState, k: int, plan: LevelPlans) -> AgentState:
    """`state` with another plan at level `k`."""
    return replace(state, plans=[*state.plans[:k], plan, *state.plans[k + 1 :]])


def remembering(state: AgentState, due: Tensor, z: Tensor) -> AgentState:
    """`state` with the places `z` (B, D) of the environments `due` in front of the memory."""
    memory = state.memory.clone()
    memory[due, 1:] = state.memory[due, :-1]
    memory[due, 0] = z[due]
    return replace(
        state, memory=memory, num_remembered=state.num_remembered.index_add(0, due, due * 0 + 1)
    )


def taught(state: AgentState, rows: Tensor, z: Tensor) -> AgentState:
    """`state` with the transitions to `z` (B, D) that surprised the environments `rows`."""
    if not len(rows):
        return state
    bottom = state.plans[0]
    last = (bottom.position - 2).clamp(0, bottom.actions.shape[1] - 1)
    taken = _at(bottom.actions, last)
    known = state.corrections.with_surprise(rows, state.last_latent, taken, z)
    return replace(state, corrections=known)


def is_remembered(state: AgentState) -> Tensor:
    """(B, M) bool: which places of the memory have been filled."""
    moments = torch.arange(state.memory.shape[1], device=state.memory.device)
    return moments < state.num_remembered.unsqueeze(1)
