"""The loop: look, plan where it is due, act.

A decision is due when the bottom level's plan is done or the world surprised it. Then, from the top
down, every level whose plan is done, too old, or made for another target plans again. Levels above
the lowest one that can head for the goal itself are skipped.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hplan.agent_state import (
    AgentState,
    Cause,
    LevelPlans,
    PlanEvent,
    Scene,
    adopted,
    is_remembered,
    no_plans,
    own_cause,
    remembering,
    taught,
    with_plan,
)
from hplan.config import EvaluationConfig, LevelConfig
from hplan.corrections import no_corrections
from hplan.energy import EnergyName, arrival_energy, energy_left, step_cost
from hplan.level import encode_stack
from hplan.planner import Avoidance, evaluation_flops, is_within_reach, plan_level, shifted

NUM_CORRECTIONS = 16


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A stack of levels, and how it plans. Its methods change nothing: state goes in and comes out.

    Attributes:
        levels, configs: the stack and its settings, bottom first.
        energy: of all levels.
        settings: escape and surprise.
        measured_at: level in whose space a single-level agent measures its energy (`upper_energy`).
    """

    levels: nn.ModuleList
    configs: list[LevelConfig]
    energy: EnergyName
    settings: EvaluationConfig
    measured_at: int = 0

    def start(self, batch_size: int) -> AgentState:
        """The state before the first env step of B episodes."""
        plans = [no_plans(level, config, batch_size) for level, config in self._stack()]
        device = plans[0].latents.device
        zeros = torch.zeros(batch_size, dtype=torch.long, device=device)
        width = plans[0].latents.shape[-1]
        return AgentState(
            plans=plans,
            top=zeros + len(plans) - 1,
            memory=torch.zeros(batch_size, max(1, self.settings.memory), width, device=device),
            num_remembered=zeros,
            num_plans=zeros,
            last_latent=plans[0].latents[:, 0],
            corrections=no_corrections(
                plans[0].latents[:, 0], plans[0].actions[:, 0], NUM_CORRECTIONS, self._radius()
            ),
        )

    def _stack(self) -> list[tuple[nn.Module, LevelConfig]]:
        depth = 1 if self.measured_at else len(self.levels)
        return list(zip(self.levels, self.configs, strict=True))[:depth]

    @torch.no_grad()
    def act(
        self,
        state: AgentState,
        obs: Tensor,
        goals: list[Tensor],
        alive: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, AgentState, list[PlanEvent]]:
        """One env step: the action (B,) to take at `obs`, the next state, and the plans made.

        Args:
            obs: (B, *obs_shape).
            goals: [(B, D_k)] latents of the goal observation at every level.
            alive: (B,) bool, the episodes still running; no plan is made for the others.
        """
        latents = encode_stack(self.levels, obs)
        bottom = state.plans[0]
        surprised = bottom.is_elsewhere(latents[0], self._radius())
        state = taught(state, (surprised & alive).nonzero().squeeze(1), latents[0])
        due = ((bottom.is_over | surprised) & alive).nonzero().squeeze(1)
        events: list[PlanEvent] = []
        if len(due):
            state, events = self._decide(state, due, surprised, latents, goals, generator)
        bottom = state.plans[0]
        plans = [replace(plan, age=plan.age + 1) for plan in state.plans]
        plans[0] = replace(plans[0], position=bottom.position + 1)
        return bottom.action.argmax(-1), replace(state, plans=plans, last_latent=latents[0]), events

    def _energy_of(self, k: int, for_goal: bool) -> EnergyName:
        """The energy that level `k` minimises, towards the goal or towards a subgoal."""
        if for_goal or self.energy == "l2":
            return self.energy
        return self.configs[k].planner.pursuit

    def _lead(self, k: int) -> int:
        """How many steps ahead in its plan the subgoal is that level `k` sets."""
        return 1 if self._energy_of(k - 1, False) == "l2" else self.configs[k].planner.lead

    def _is_late(self, plan: LevelPlans, k: int, due: Tensor) -> Tensor:
        """(R,) bool: the clock of level `k` asks for a new plan."""
        return plan.age[due] >= self.configs[k].planner.clock * self.levels[k].stride

    def _radius(self) -> float:
        """Mean squared difference beyond which two bottom latents are different places."""
        return self.settings.surprise * float(self.levels[0].move)

    def _decide(
        self,
        state: AgentState,
        due: Tensor,
        surprised: Tensor,
        latents: list[Tensor],
        goals: list[Tensor],
        generator: torch.Generator,
    ) -> tuple[AgentState, list[PlanEvent]]:
        """Plans for the environments `due` (R,), from the top level down."""
        state = remembering(state, due, latents[0])
        scene = Scene(
            latents=latents,
            goals=goals,
            places=state.memory[due],
            valid=is_remembered(state)[due],
            corrections=state.corrections.of(due),
            surprised=surprised[due],
        )
        choose_top = self._nearest_top if self.energy == "distance" else self._promising_top
        state, events, planned = choose_top(state, due, scene, generator)
        changed = planned
        for k in reversed(range(len(state.plans))):
            before = state.plans[k].position[due]
            state = with_plan(state, k, self._advance(state.plans[k], k, due, latents[k]))
            moved = state.plans[k].position[due] != before
            cause = self._cause(state, k, due, scene.surprised, changed)
            is_top = state.top[due] == k
            needed = (cause != Cause.NONE) & (state.top[due] >= k) & ~(is_top & planned)
            for for_goal in (True, False):
                chosen = needed & (is_top == for_goal)
                if chosen.any():
                    event = self._search(
                        state, k, due[chosen], cause[chosen], scene.of(chosen), for_goal, generator
                    )
                    state = adopted(state, event, for_goal)
                    events.append(event)
            changed = needed | moved | (is_top & planned)
        return state, events

    def _nearest_top(
        self, state: AgentState, due: Tensor, scene: Scene, generator: torch.Generator
    ) -> tuple[AgentState, list[PlanEvent], Tensor]:
        """The level that heads for the goal itself: from the top down, while it is within reach.

        A level is asked only if the one above finds the goal near, for a distance learned over
        small steps may be too small where it is large. Returns the state, and that nothing was
        planned.
        """
        top = torch.full_like(due, len(state.plans) - 1)
        for k in reversed(range(len(state.plans) - 1)):
            z, goal = scene.latents[k][due], scene.goals[k][due]
            near = is_within_reach(self.levels[k], z, goal, self.configs[k].planner)
            top = torch.where(near & (top == k + 1), k, top)
        state = replace(state, top=state.top.index_copy(0, due, top))
        return state, [], torch.zeros_like(due, dtype=torch.bool)

    def _promising_top(
        self, state: AgentState, due: Tensor, scene: Scene, generator: torch.Generator
    ) -> tuple[AgentState, list[PlanEvent], Tensor]:
        """The lowest level whose own search promises the goal takes it as its target.

        L2 says nothing about how far a goal is, so each level has to try. A plan that promised the
        goal is carried out until it is over or its time is up. Returns the state, the plans made,
        and for which environments (R,) they promise the goal.
        """
        events, planned = [], torch.zeros_like(due, dtype=torch.bool)
        top = torch.full_like(due, len(state.plans) - 1)
        open_ = torch.ones_like(planned)
        for k in range(len(state.plans) - 1):
            plan, level = state.plans[k], self.levels[k]
            late = self._is_late(plan, k, due)
            running = plan.for_goal[due] & ~plan.is_over[due] & ~late & (k > 0)
            tried = open_ & ~running & (plan.is_over[due] | late | (k == 0))
            top = torch.where(open_ & running, k, top)
            open_ = open_ & ~running
            if tried.any():
                cause = own_cause(plan, due, late, scene.surprised & (k == 0))[tried]
                event = self._search(state, k, due[tried], cause, scene.of(tried), True, generator)
                met = event.result.left <= arrival_energy(level, 0.0, self.energy)
                event = replace(event, identity=event.identity * met)
                state = adopted(state, event, True)
                events.append(event)
                won = tried.clone()
                won[tried] = met
                top, planned, open_ = torch.where(won, k, top), planned | won, open_ & ~won
        return replace(state, top=state.top.index_copy(0, due, top)), events, planned

    def _advance(self, plan: LevelPlans, k: int, due: Tensor, z: Tensor) -> LevelPlans:
        """Moves on past the subgoals of a plan that are reached (of all levels but the bottom)."""
        if k == 0:
            return plan
        config, level = self.configs[k].planner, self.levels[k]
        name = self._energy_of(k - 1, False)
        left = energy_left(level, z[due], plan.subgoal(self._lead(k))[due], name)
        limit = arrival_energy(level, config.tolerance, name)
        reached = (left <= limit) & ~plan.is_over[due]
        return replace(
            plan, position=plan.position.index_add(0, due, self._lead(k) * reached.long())
        )

    def _cause(
        self, state: AgentState, k: int, due: Tensor, surprised: Tensor, changed: Tensor
    ) -> Tensor:
        """(R,) of `Cause`: why level `k` should plan again, in the environments `due`.

        Args:
            surprised: (R,) bool.
            changed: (R,) bool, the level above has a new plan or moved on to its next subgoal.
        """
        plan = state.plans[k]
        is_top = state.top[due] == k
        late = self._is_late(plan, k, due)
        cause = own_cause(plan, due, late & (k > 0), surprised & (k == 0))
        cause[(changed & ~is_top) | (plan.for_goal[due] != is_top)] = Cause.TARGET
        cause[plan.identity[due] == 0] = Cause.START
        return cause

    def _avoidance(self, scene: Scene, name: EnergyName) -> Avoidance | None:
        """The places not to end at, for a search by the energy `name`, in its unit."""
        if not self.settings.memory:
            return None
        penalty = self.settings.avoid_penalty * step_cost(self.levels[0], name)
        return Avoidance(
            places=scene.places, valid=scene.valid, radius=self._radius(), penalty=penalty
        )

    def _search(
        self,
        state: AgentState,
        k: int,
        rows: Tensor,
        cause: Tensor,
        scene: Scene,
        for_goal: bool,
        generator: torch.Generator,
    ) -> PlanEvent:
        """A new plan of level `k` for the environments `rows`, for the goal or the level above."""
        if for_goal:
            target_level = max(k, self.measured_at)
            target, parent = scene.goals[target_level][rows], torch.zeros_like(rows)
        else:
            above = state.plans[k + 1]
            target = above.subgoal(self._lead(k + 1))[rows]
            target_level, parent = k + 1, above.identity[rows]
        name = self._energy_of(k, for_goal)
        plan = state.plans[k]
        passed = torch.maximum(plan.position - 1, plan.age // self.levels[k].stride)[rows]
        result = plan_level(
            self.levels,
            k,
            scene.latents[k][rows],
            target,
            target_level=target_level,
            energy_name=name,
            config=self.configs[k].planner,
            generator=generator,
            warm_start=shifted(plan.actions[rows], passed) if k else None,
            avoidance=None if k else self._avoidance(scene, name),
            corrections=None if k else scene.corrections,
        )
        start = scene.latents[target_level][rows]
        return PlanEvent(
            level=k,
            rows=rows,
            identity=state.num_plans[rows] + 1,
            parent=parent,
            cause=cause,
            target=target,
            target_level=target_level,
            energy_name=name,
            before=energy_left(self.levels[target_level], start, target, name),
            result=result,
            lead=self._lead(k) if k else 0,
            flops=result.evaluations * evaluation_flops(self.levels, k, target_level, name),
        )
