"""When a level plans again: its plan is done, late, surprised, or its subgoal cannot be approached.

Functions of what the agent holds and sees, and of nothing else; `hplan.agent` acts on them.
"""

from dataclasses import replace

import torch
from torch import Tensor

from hplan.agent_state import AgentState, Cause, LevelPlans, PlanEvent
from hplan.energy import arrival_energy, energy_left
from hplan.level import Level
from hplan.level_config import EnergyName, PlannerConfig

SAME_PLACE = 0.25  # squared moves of one step of the level


def same_place(level: Level) -> float:
    """Mean squared difference up to which two latents of `level` are one place."""
    return SAME_PLACE * float(level.move)


def surprise_limits(level: Level, config: PlannerConfig) -> Tensor:
    """(H,) squared error at which a prediction of `level` has failed, by depth."""
    return config.surprise * level.rollout_error


def is_late(plan: LevelPlans, level: Level, config: PlannerConfig) -> Tensor:
    """(B,) bool: the clock of `level` asks for a new plan."""
    return plan.age >= config.clock * level.stride


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


def cause_of(
    state: AgentState, k: int, due: Tensor, late: Tensor, surprised: Tensor, changed: Tensor
) -> Tensor:
    """(R,) of `Cause`: why level `k` should plan again, in the environments `due`.

    Args:
        late, surprised: (R,) bool.
        changed: (R,) bool, the level above has a new plan or moved on to its next subgoal.
    """
    plan, is_top = state.plans[k], state.top[due] == k
    cause = own_cause(plan, due, late, surprised)
    cause[(changed & ~is_top) | (plan.for_goal[due] != is_top)] = Cause.TARGET
    cause[plan.identity[due] == 0] = Cause.START
    return cause


def advanced(
    plan: LevelPlans,
    level: Level,
    config: PlannerConfig,
    name: EnergyName,
    *,
    lead: int,
    due: Tensor,
    z: Tensor,
) -> LevelPlans:
    """`plan` moved on past the subgoals that are reached, in the environments `due` (R,).

    A subgoal is reached when it is as near as the energy `name` calls arrived, or as near as the
    level's predictions of that depth are to what comes true.

    Args:
        z: (B, D) latents of the observation.
    """
    depth = plan.depth(lead)
    left = energy_left(level, z[due], plan.subgoal(lead)[due], name)
    arrived = left <= arrival_energy(level, config.tolerance, name)
    arrived |= ~plan.is_elsewhere(z, depth, level.rollout_error)[due]
    reached = arrived & ~plan.is_over[due]
    return replace(
        plan,
        position=plan.position.index_add(0, due, lead * reached.long()),
        waited=plan.waited.index_copy(0, due, plan.waited[due] * ~reached),
    )


def has_missed(
    plan: LevelPlans, level: Level, config: PlannerConfig, *, lead: int, due: Tensor, z: Tensor
) -> Tensor:
    """(R,) bool: the time for the current subgoal is up, and the agent is elsewhere: a surprise."""
    depth = plan.depth(lead)
    given = (depth - plan.position + 1) * level.stride
    elsewhere = plan.is_elsewhere(z, depth, surprise_limits(level, config))
    return ((plan.waited >= given) & elsewhere & ~plan.is_over)[due]


def is_infeasible(event: PlanEvent, level: Level, given: Tensor, patience: float) -> Tensor:
    """(R,) bool: the plans of `level` in an event cannot bring the energy of their subgoal down.

    With distances: the subgoal is farther than `patience` times what the level above gave for it,
    or the plan's gain is less than its length over `patience`. Energies that compare latents have
    no unit of time: there a plan without any gain will not do.

    Args:
        given: (R,) env steps in which the level above expects to be there.
    """
    if not patience:
        return torch.zeros_like(event.rows, dtype=torch.bool)
    gain = event.before - event.result.left
    if event.energy_name != "distance":
        return gain <= 0
    length = event.result.num_steps * level.stride
    # What remains is less than a plan's length where it promises to arrive.
    slow = (gain < length / patience) & (event.result.left > length)
    return slow | (event.before > patience * given)
