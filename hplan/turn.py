"""One level's turn in a decision: its search, its guardrails, and what it reports upward.

Pure functions of the agent, its state and the scene; each returns the state with the new plans, and
the plans as events.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hplan.agent_state import AgentState, Cause, PlanEvent, Scene, adopted, with_places
from hplan.effort import scaled
from hplan.energy import Avoiding, Energy, TargetEnergy, step_cost
from hplan.guardrails import guard_at
from hplan.level import Level
from hplan.level_config import EnergyName
from hplan.planner import evaluation_flops, plan_level, shifted
from hplan.replanning import is_infeasible, same_place
from hplan.search.problem import SearchResult
from hplan.support import support_percentile

if TYPE_CHECKING:
    from hplan.agent import Agent

WIDENED = 4.0  # times the effort


def plan_for_subgoal(
    agent: "Agent",
    state: AgentState,
    k: int,
    rows: Tensor,
    causes: Tensor,
    scene: Scene,
    generator: torch.Generator,
) -> tuple[AgentState, list[PlanEvent]]:
    """Plans of level `k` for the subgoal of the level above, which hears if that is infeasible.

    Then the level above plans again, with that subgoal penalised, and so does level `k`: up to
    `feedback` times.

    Args:
        rows: (R,) environments; causes: (B,) of `Cause`, why they plan.
    """
    state, made = _planned(agent, state, k, rows, causes, scene, False, generator)
    events = list(made)
    for _ in range(agent.settings.feedback):
        plan, lead = state.plans[k + 1], agent.configs[k + 1].planner.lead
        given = (plan.depth(lead) - plan.position + 1) * agent.levels[k + 1].stride
        rows = _infeasible(agent, k, made, given) if made else rows[:0]
        if not len(rows):
            break
        state = with_places(state, k + 1, rows, plan.subgoal(lead)[rows])
        causes = torch.full_like(causes, Cause.INFEASIBLE)
        state, above = _replanned(agent, state, k + 1, rows, causes, scene, generator)
        causes = torch.full_like(causes, Cause.TARGET)
        state, own = _replanned(agent, state, k, rows, causes, scene, generator)
        events += above + own
        made = [event for event in own if (event.parent > 0).all()]  # those for a subgoal
    return state, events


def _replanned(
    agent: "Agent",
    state: AgentState,
    k: int,
    rows: Tensor,
    causes: Tensor,
    scene: Scene,
    generator: torch.Generator,
) -> tuple[AgentState, list[PlanEvent]]:
    """New plans of level `k`, for the goal where it heads for that, else for its subgoal."""
    events, heads_for_goal = [], state.top[rows] == k  # as it was: a turn may hand the goal down
    for for_goal in (True, False):
        chosen = rows[heads_for_goal == for_goal]
        if len(chosen):
            state, made = _planned(agent, state, k, chosen, causes, scene, for_goal, generator)
            events += made
    return state, events


def plan_for_goal(
    agent: "Agent",
    state: AgentState,
    k: int,
    rows: Tensor,
    causes: Tensor,
    scene: Scene,
    generator: torch.Generator,
) -> tuple[AgentState, list[PlanEvent]]:
    """Plans of level `k` for the goal itself; where it cannot approach it, the level above does.

    Arguments as in `plan_for_subgoal`.
    """
    state, events = _planned(agent, state, k, rows, causes, scene, True, generator)
    if not agent.settings.feedback or k + 1 == len(state.plans):
        return state, events
    rows = _infeasible(agent, k, events, torch.full((len(causes),), torch.inf, device=rows.device))
    if not len(rows):
        return state, events
    state = replace(state, top=state.top.index_fill(0, rows, k + 1))
    causes = torch.full_like(causes, Cause.INFEASIBLE)
    state, made = _planned(agent, state, k + 1, rows, causes, scene, True, generator)
    events += made
    rows = rows[state.top[rows] == k + 1]
    causes = torch.full_like(causes, Cause.TARGET)
    if len(rows):
        state, made = plan_for_subgoal(agent, state, k, rows, causes, scene, generator)
        events += made
    return state, events


def _infeasible(agent: "Agent", k: int, events: list[PlanEvent], given: Tensor) -> Tensor:
    """The environments in which level `k` cannot approach its target.

    Only plans that were adopted count: of searches that were widened the last alone, and none of
    those whose target is left to another level because no plan satisfies the guardrails.

    Args:
        events: its plans; given: (B,) env steps that the level above gave for it.
    """
    patience, level = agent.settings.patience, agent.levels[k]
    if "infeasible" not in agent.settings.early:
        return torch.empty(0, dtype=torch.long, device=given.device)
    found = []
    for event in events:
        given_up = is_infeasible(event, level, given[event.rows], patience)
        found.append(event.rows[given_up & (event.identity > 0)])
    return torch.cat(found)


def _planned(
    agent: "Agent",
    state: AgentState,
    k: int,
    rows: Tensor,
    causes: Tensor,
    scene: Scene,
    for_goal: bool,
    generator: torch.Generator,
) -> tuple[AgentState, list[PlanEvent]]:
    """New plans of level `k`, adopted where they satisfy the guardrails.

    The search is widened where the agent is at one place too often, and where no plan found
    satisfies the guardrails. Where none does even so, a level above the bottom leaves its target to
    the level below, and the bottom refuses to act.
    """
    circling = torch.zeros_like(rows, dtype=torch.bool)
    if k == 0 and agent.settings.stuck_after:
        radius = same_place(agent.levels[0])
        visits = state.places[0].visits(rows, scene.latents[0][rows], radius)
        circling = visits > agent.settings.stuck_after  # this one is remembered already
    todo = [(rows[~circling], False), (rows[circling], True)]
    events = []
    while todo:
        chosen, widened = todo.pop(0)
        if not len(chosen):
            continue
        event = searched(
            agent, state, k, chosen, causes[chosen], scene, for_goal, generator, widened=widened
        )
        safe = event.result.violation == 0
        if agent.guardrails and not widened:
            todo.append((chosen[~safe], True))
        event = replace(event, identity=event.identity * safe)
        state = adopted(state, event, for_goal)
        events.append(event)
    if k:
        state = with_places(state, k, rows, scene.latents[k][rows])
    if agent.guardrails:
        safe = torch.cat([event.rows[event.identity > 0] for event in events])
        left_out = torch.zeros_like(state.refused).index_fill(0, rows, True)
        left_out = left_out.index_fill(0, safe, False)
        if k:
            state = replace(state, top=torch.where(left_out, k - 1, state.top))
        else:
            # A safe plan of this very decision, made before feedback, is still there to act on.
            plan = state.plans[0]
            left_out &= (plan.age > 0) | (plan.identity == 0)
            state = replace(state, refused=state.refused | left_out)
    return state, events


def searched(
    agent: "Agent",
    state: AgentState,
    k: int,
    rows: Tensor,
    cause: Tensor,
    scene: Scene,
    for_goal: bool,
    generator: torch.Generator,
    *,
    widened: bool = False,
) -> PlanEvent:
    """What level `k` finds for the environments `rows`, for the goal or for the level above.

    Args:
        cause: (R,) of `Cause`.
    """
    name, level, plan = agent.energy_of(k, for_goal), agent.levels[k], state.plans[k]
    if for_goal:
        target_level, parent = agent.goal_level(k, scene.goals), torch.zeros_like(rows)
        aim: Energy = scene.goals.energy(agent.levels, target_level, name).of(rows)
        here = scene.latents[target_level][rows]
        target = scene.goals.of(rows).nearest(agent.levels, target_level, here, name)
    else:
        above, target_level = state.plans[k + 1], k + 1
        target = above.subgoal(agent.configs[k + 1].planner.lead)[rows]
        parent = above.identity[rows]
        here = scene.latents[target_level][rows]
        aim = TargetEnergy(level=agent.levels[k + 1], target=target.unsqueeze(1), name=name)
    config, is_warm = agent.configs[k], agent.settings.warm_start and not widened
    if widened:
        config = scaled(config, level.num_actions, WIDENED)
    passed = torch.maximum(plan.position - 1, plan.age // level.stride)[rows]
    result = plan_level(
        agent.levels,
        k,
        scene.latents[k][rows],
        aim,
        target_level=target_level,
        energy_name=name,
        config=config.planner,
        generator=generator,
        warm_start=shifted(plan.actions[rows], passed) if is_warm else None,
        avoiding=_avoiding(agent, state, k, rows, name),
        corrections=None if k else state.corrections.of(rows),
        guard=guard_at(agent.guardrails, k),
        deadline=_deadline(scene, k),
    )
    flops = evaluation_flops(agent.levels, k, target_level, name, config.planner)
    return PlanEvent(
        level=k,
        rows=rows,
        identity=state.num_plans[rows] + 1,
        parent=parent,
        cause=cause,
        target=target,
        target_level=target_level,
        energy_name=name,
        before=aim(here.unsqueeze(1)).squeeze(1),
        result=result,
        lead=config.planner.lead if k else 0,
        support=_farthest(level, result),
        flops=result.evaluations * flops,
    )


def _farthest(level: Level, result: SearchResult) -> Tensor:
    """(R,) the support percentile of the macro-action of each plan that is farthest from real."""
    percentiles = support_percentile(level, result.macro_actions)
    steps = torch.arange(percentiles.shape[1], device=percentiles.device)
    return (percentiles * (steps < result.num_steps.unsqueeze(1))).amax(1)


def _avoiding(
    agent: "Agent", state: AgentState, k: int, rows: Tensor, name: EnergyName
) -> Callable[..., Energy] | None:
    """Adds to an energy by `name` what it costs level `k` to end at places of late decisions."""
    if not agent.settings.memory:
        return None
    places, level = state.places[k], agent.levels[k]
    return partial(
        Avoiding,
        places=places.latents[rows],
        valid=places.valid()[rows],
        radius=same_place(level),
        penalty=agent.settings.avoid_penalty * step_cost(level, name),
    )


def _deadline(scene: Scene, k: int) -> float | None:
    """What is left of the decision's time is shared evenly by the levels yet to plan."""
    if scene.deadline is None:
        return None
    now = time.perf_counter()
    return now + max(0.0, scene.deadline - now) / (k + 1)
