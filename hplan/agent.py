"""The loop: look, plan where it is due, act.

A decision is due when the bottom level's plan is done or the world surprised it. Then, from the top
down, every level plans again that has a cause to (`hplan.replanning`). A subgoal that the level
below cannot approach goes back up: the level above plans again with that place penalised. Levels
above the lowest one that can head for the goal itself are skipped.
"""

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from hplan.agent_state import (
    AgentState,
    Cause,
    Places,
    PlanEvent,
    Scene,
    adopted,
    no_plans,
    taught,
    with_places,
    with_plan,
)
from hplan.config import AgentConfig
from hplan.corrections import CorrectedLevel, no_corrections
from hplan.energy import arrival_energy
from hplan.goals import Goals
from hplan.guardrails import Guardrail, guard_at
from hplan.level import look
from hplan.level_config import EnergyName, LevelConfig
from hplan.replanning import (
    advanced,
    cause_of,
    has_missed,
    is_late,
    own_cause,
    same_place,
    surprise_limits,
)
from hplan.turn import plan_for_goal, plan_for_subgoal, searched

NUM_CORRECTIONS = 16  # or as many as places are remembered, if that is more


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A stack of levels, and how it plans. Its methods change nothing: state goes in and comes out.

    Attributes:
        levels, configs: the stack and its settings, bottom first.
        energy: of all levels.
        settings: when it replans early, and what it remembers.
        guardrails: what its plans must keep clear of.
        measured_at: level in whose space a single-level agent measures its energy (`upper_energy`).
    """

    levels: nn.ModuleList
    configs: list[LevelConfig]
    energy: EnergyName
    settings: AgentConfig
    guardrails: list[Guardrail] = field(default_factory=list)
    measured_at: int = 0

    def start(self, batch_size: int) -> AgentState:
        """The state before the first env step of B episodes."""
        plans = [no_plans(level, config, batch_size) for level, config in self._stack()]
        zeros = torch.zeros(batch_size, dtype=torch.long, device=plans[0].latents.device)
        memory = max(1, self.settings.memory)
        places = [
            Places(latents=plan.latents[:, :1].repeat(1, memory, 1), count=zeros) for plan in plans
        ]
        return AgentState(
            plans=plans,
            top=zeros + len(plans) - 1,
            places=places,
            num_plans=zeros,
            last_latent=plans[0].latents[:, 0],
            memory=plans[0].latents.new_zeros(batch_size, self.levels[0].memory_dim),
            last_action=plans[0].actions[:, 0],
            corrections=no_corrections(
                plans[0].latents[:, 0],
                plans[0].actions[:, 0],
                max(NUM_CORRECTIONS, memory),
                radius=same_place(self.levels[0]),
                confirmed=self.settings.confirmed,
            ),
            is_stuck=zeros.bool(),
            refused=zeros.bool(),
        )

    def _stack(self) -> list[tuple[nn.Module, LevelConfig]]:
        depth = 1 if self.measured_at else len(self.levels)
        return list(zip(self.levels, self.configs, strict=True))[:depth]

    @torch.no_grad()
    def act(
        self,
        state: AgentState,
        obs: Tensor,
        goals: Goals,
        alive: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, AgentState, list[PlanEvent]]:
        """One env step: the action (B, ...) to take at `obs`, the next state, and the plans made.

        Args:
            obs: (B, *obs_shape).
            alive: (B,) bool, the episodes still running; no plan is made for the others. Where the
                next state has `refused`, the action is not to be taken.
        """
        began = time.perf_counter()
        latents, memory = look(self.levels, obs, state.memory, state.last_action)
        bottom, level = state.plans[0], self.levels[0]
        limits = surprise_limits(level, self.configs[0].planner)
        surprised = bottom.is_elsewhere(latents[0], bottom.depth(0), limits)
        state = taught(state, (surprised & alive).nonzero().squeeze(1), latents[0])
        surprised &= "surprise" in self.settings.early
        surprised |= self._unsafe_ahead(state, latents[0])
        due = bottom.is_over | is_late(bottom, level, self.configs[0].planner) | surprised
        due = (due & alive & ~state.refused).nonzero().squeeze(1)
        events: list[PlanEvent] = []
        if len(due):
            budget = self.settings.budget_ms / 1000 * len(due)
            scene = Scene(
                latents=latents,
                goals=goals,
                due=due,
                surprised=surprised,
                deadline=began + budget if budget else None,
            )
            state, events = self._decide(state, scene, generator)
        bottom = state.plans[0]
        plans = [replace(p, age=p.age + 1, waited=p.waited + 1) for p in state.plans]
        plans[0] = replace(plans[0], position=bottom.position + 1)
        action = level.to_env(bottom.action)
        state = replace(state, plans=plans, last_latent=latents[0])
        if level.memory_dim:
            state = replace(state, memory=memory, last_action=level.action_encoder(action))
        return action, state, events

    def _unsafe_ahead(self, state: AgentState, z: Tensor) -> Tensor:
        """(B,) bool: from what is really seen, the next step of the plan violates a guardrail.

        A plan was judged by predictions of predictions; the step that is taken now is looked at
        once more, from `z` (B, D), as the searches predict it.
        """
        guard = guard_at(self.guardrails, 0)
        if guard is None:
            return torch.zeros_like(state.refused)
        known = CorrectedLevel(self.levels[0], state.corrections)
        after = known.predict(z.unsqueeze(1), state.plans[0].action.unsqueeze(1))
        return (guard(after).squeeze(1) > 0) & ~state.plans[0].is_over

    @property
    def rows_per_step(self) -> int:
        """Predictor rows of the bottom level for each env step, whether a plan is made or not."""
        return int(guard_at(self.guardrails, 0) is not None)

    def energy_of(self, k: int, for_goal: bool) -> EnergyName:
        """The energy that level `k` minimises, towards the goal or towards a subgoal."""
        if for_goal or self.energy != "distance":
            return self.energy
        return self.configs[k].planner.pursuit

    def goal_level(self, k: int, goals: Goals) -> int:
        """The level in whose latent level `k` measures how far it is from the goal itself.

        Latents compared, and a user's energy of level `k`, are the level's own.
        """
        is_own = self.energy != "distance" or goals.has_potential[k]
        if self.measured_at or is_own or self.configs[k].planner.goal_latent == "own":
            return max(k, self.measured_at)
        return min(k + 1, len(self.levels) - 1)

    def _decide(
        self, state: AgentState, scene: Scene, generator: torch.Generator
    ) -> tuple[AgentState, list[PlanEvent]]:
        """Plans for the environments that are due (R,), from the top level down."""
        due = scene.due
        state = self._looked_around(state, due, scene.latents[0][due])
        choose_top = self._nearest_top if self.energy == "distance" else self._promising_top
        state, events, planned = choose_top(state, scene, generator)
        changed = planned
        for k in reversed(range(len(state.plans))):
            plan, level, config = state.plans[k], self.levels[k], self.configs[k].planner
            moved, surprised = torch.zeros_like(planned), scene.surprised[due]
            if k:
                lead, z, name = config.lead, scene.latents[k], self.energy_of(k - 1, False)
                before = plan.position[due]
                if "reached" in self.settings.early:
                    plan = advanced(plan, level, config, name, lead=lead, due=due, z=z)
                state, moved = with_plan(state, k, plan), plan.position[due] != before
                surprised = has_missed(plan, level, config, lead=lead, due=due, z=z)
                surprised &= "surprise" in self.settings.early
            late = is_late(plan, level, config)[due]
            cause = cause_of(state, k, due, late, surprised, changed)
            is_top = state.top[due] == k
            needed = (cause != Cause.NONE) & (state.top[due] >= k) & ~(is_top & planned)
            causes = cause.new_zeros(len(state.top)).index_copy(0, due, cause)
            for for_goal in (True, False):
                chosen = needed & (is_top == for_goal)
                if chosen.any():
                    turn = plan_for_goal if for_goal else plan_for_subgoal
                    state, made = turn(self, state, k, due[chosen], causes, scene, generator)
                    events += made
            changed = needed | moved | (is_top & planned)
        return state, events

    def _looked_around(self, state: AgentState, due: Tensor, z: Tensor) -> AgentState:
        """`state` with the places `z` (R, D) remembered, and whether it is stuck at one."""
        visits = state.places[0].visits(due, z, same_place(self.levels[0]))
        patience = self.settings.stuck_after
        stuck = (visits >= 2 * patience) & (patience > 0)
        state = replace(state, is_stuck=state.is_stuck.index_copy(0, due, stuck))
        return with_places(state, 0, due, z)

    def _nearest_top(
        self, state: AgentState, scene: Scene, generator: torch.Generator
    ) -> tuple[AgentState, list[PlanEvent], Tensor]:
        """The level that heads for the goal itself: from the top down, while it is within reach.

        A level is asked only if the one above finds the goal near, for a distance learned over
        small steps may be too small where it is large. Returns the state, and that nothing was
        planned.
        """
        due = scene.due
        top = torch.full_like(due, len(state.plans) - 1)
        for k in reversed(range(len(state.plans) - 1)):
            energy = scene.goals.energy(self.levels, k, "distance").of(due)
            steps = energy(scene.latents[k][due].unsqueeze(1)).squeeze(1)
            near = steps <= self.configs[k].planner.reach * self.levels[k].stride
            top = torch.where(near & (top == k + 1), k, top)
        state = replace(state, top=state.top.index_copy(0, due, top))
        return state, [], torch.zeros_like(due, dtype=torch.bool)

    def _promising_top(
        self, state: AgentState, scene: Scene, generator: torch.Generator
    ) -> tuple[AgentState, list[PlanEvent], Tensor]:
        """The lowest level whose own search promises the goal takes it as its target.

        Latents compared say nothing about how far a goal is, so each level has to try. A plan that
        promised the goal is carried out until it is over or its time is up. Returns the state, the
        plans made, and for which environments (R,) they promise the goal.
        """
        due, events = scene.due, []
        planned = torch.zeros_like(due, dtype=torch.bool)
        top = torch.full_like(due, len(state.plans) - 1)
        open_ = torch.ones_like(planned)
        for k in range(len(state.plans) - 1):
            plan, level = state.plans[k], self.levels[k]
            late = is_late(plan, level, self.configs[k].planner)[due]
            running = plan.for_goal[due] & ~plan.is_over[due] & ~late & (k > 0)
            tried = open_ & ~running & (plan.is_over[due] | late | (k == 0))
            top = torch.where(open_ & running, k, top)
            open_ = open_ & ~running
            if tried.any():
                surprised = scene.surprised[due] & (k == 0)
                cause = own_cause(plan, due, late, surprised)[tried]
                event = searched(self, state, k, due[tried], cause, scene, True, generator)
                met = event.result.left <= arrival_energy(level, 0.0, self.energy)
                met &= event.result.violation == 0
                event = replace(event, identity=event.identity * met)
                state = adopted(state, event, True)
                events.append(event)
                won = tried.clone()
                won[tried] = met
                top, planned, open_ = torch.where(won, k, top), planned | won, open_ & ~won
        return replace(state, top=state.top.index_copy(0, due, top)), events, planned
