"""A world that can be solved by hand: the latent is the position, and an action is added to it.

A level's latent is the position in units of its stride, so that a macro-action of 1 is as far as
the agent can come in one step of that level; the distance, in env steps, is exact at every level.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hplan.agent import Agent
from hplan.agent_state import PlanEvent
from hplan.config import AgentConfig
from hplan.dataset import ObservationSpec
from hplan.goals import Goals
from hplan.level import Level
from hplan.level_config import HierarchyConfig, LevelConfig, level_configs
from hplan.task import Task

MOVES = ((-1.0,), (0.0,), (1.0,))
BACK, STAY, AHEAD = range(3)
NO_ESCAPE = AgentConfig(memory=0, feedback=0)
Hurdle = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Step(nn.Module):
    """z' = z + a, with the moves (A, D) of the actions as weights."""

    def __init__(self, moves: Tensor) -> None:
        super().__init__()
        self.move = nn.Linear(*moves.shape, bias=False)
        self.move.weight = nn.Parameter(moves.T.clone())

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        return z + self.move(action)


class Position(nn.Module):
    """The position (B, D) that an observation (B, D, 1, 1) shows."""

    def forward(self, obs: Tensor) -> Tensor:
        return obs.flatten(1).float()


class Gap(nn.Module):
    """|z - goal|, a step of the level being one unit long."""

    def __init__(self) -> None:
        super().__init__()
        self.here = nn.Identity()

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        return (z - goal).abs().sum(-1)


class Prior(nn.Module):
    """The same mean and std of the macro-action everywhere."""

    def __init__(self, action_dim: int, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.action_dim, self.mean, self.std = action_dim, mean, std

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        shape = (*z.shape[:-1], self.action_dim)
        return torch.full(shape, self.mean), torch.full(shape, self.std)


class OneHot(nn.Identity):
    """Actions that are one-hot already."""

    def to_env(self, action: Tensor) -> Tensor:
        return action.argmax(-1)


def line_level(
    *,
    encoder: nn.Module,
    predictor: nn.Module,
    latent_dim: int,
    prior: Prior | None = None,
    distance: nn.Module | None = None,
    ratio: int = 1,
    stride: int = 1,
    num_actions: int = 0,
) -> Level:
    level = Level(
        encoder=encoder,
        action_encoder=OneHot(),
        action_prior=prior,
        predictor=predictor,
        distance=distance or Gap(),
        inverse=None,
        ratio=ratio,
        stride=stride,
        latent_dim=latent_dim,
        action_dim=num_actions or (prior.action_dim if prior else 0),
        num_actions=num_actions,
        rollout_depth=1,
    )
    return level.requires_grad_(False)


def line_stack(*ratios: int, moves: tuple[tuple[float, ...], ...] = MOVES) -> nn.ModuleList:
    """A bottom level, and one above for each of `ratios`."""
    table = torch.tensor(moves)
    width = table.shape[1]
    levels = [
        line_level(
            encoder=Position(), predictor=Step(table), latent_dim=width, num_actions=len(table)
        )
    ]
    stride = 1
    for ratio in ratios:
        stride *= ratio
        encoder = nn.Linear(width, width, bias=False)
        encoder.weight = nn.Parameter(torch.eye(width) / ratio)
        levels.append(
            line_level(
                encoder=encoder,
                predictor=Step(torch.eye(width)),
                latent_dim=width,
                prior=Prior(width),
                ratio=ratio,
                stride=stride,
            )
        )
    for level in levels:
        level.move.fill_(1 / width)  # a step changes one dimension by one
        level.rollout_error.fill_(0.1 / width)
    return nn.ModuleList(levels)


def line_configs(num_levels: int, **planner: list) -> list[LevelConfig]:
    """Tree at the bottom, CEM above; `planner` gives settings level by level, bottom first."""
    settings = {
        "search": ["tree", "cem"],
        "horizon": [3, 4],
        "clock": [100, 1],
        "reach": [4.0],
        "tolerance": [0.5],
    }
    overrides = {f"planner.{name}": values for name, values in (settings | planner).items()}
    return level_configs(HierarchyConfig(num_levels=num_levels, overrides=overrides))


class LineWorlds:
    """B agents on integer positions (B, D)."""

    def __init__(self, starts: np.ndarray, moves: np.ndarray, hurdle: Hurdle | None) -> None:
        self.states, self._moves, self._hurdle = np.array(starts, dtype=float), moves, hurdle
        self.steps_taken = 0

    def observe(self) -> np.ndarray:
        return self.states[..., None, None].astype(np.float32)

    def step(self, actions: np.ndarray) -> None:
        after = self.states + self._moves[actions]
        self.states = after if self._hurdle is None else self._hurdle(self.states, after)
        self.steps_taken += 1


@dataclass(frozen=True, kw_only=True)
class LineTask:
    """Reach a position; `hurdle(before, after)` says where steps lead that the model knows not."""

    name: str = "line"
    moves: tuple[tuple[float, ...], ...] = MOVES
    hurdle: Hurdle | None = None
    success_rule: ClassVar[str] = "the agent is at the goal"

    @property
    def spec(self) -> ObservationSpec:
        width = len(self.moves[0])
        return ObservationSpec(shape=(width, 1, 1), num_values=(100,), num_actions=len(self.moves))

    def batch(self, starts: np.ndarray) -> LineWorlds:
        return LineWorlds(starts, np.array(self.moves), self.hurdle)

    def observe(self, states: np.ndarray) -> np.ndarray:
        return np.asarray(states, dtype=np.float32)[..., None, None]

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        return (np.asarray(states) == np.asarray(goals)).all(axis=1)

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        return np.where((np.asarray(goals) > np.asarray(states))[:, 0], AHEAD, BACK)


def positions(*values: float) -> np.ndarray:
    """States (B, 1) on a line."""
    return np.array(values, dtype=float)[:, None]


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What happened in `num_steps` env steps of B episodes that nothing ends.

    Attributes:
        actions: (T, B); states: (T + 1, B, D).
        events: plans made at each env step.
        tops: (T, B) the level that headed for the goal; stuck: (T, B) bool, as the agent says.
    """

    actions: np.ndarray
    states: np.ndarray
    events: list[list[PlanEvent]]
    tops: np.ndarray
    stuck: np.ndarray


def walk(
    agent: Agent,
    task: Task,
    starts: np.ndarray,
    goals: np.ndarray,
    num_steps: int,
    *,
    seed: int = 0,
    alive: tuple[bool, ...] | None = None,
) -> Walk:
    """Lets an agent act, and keeps all that it did."""
    worlds, generator = task.batch(starts), noise(seed)
    state = agent.start(len(starts))
    sought = Goals.observed(agent.levels, torch.from_numpy(task.observe(goals)))
    running = torch.tensor(alive or (True,) * len(starts))
    actions, states, events, tops, stuck = [], [np.array(worlds.states)], [], [], []
    for _ in range(num_steps):
        obs = torch.from_numpy(worlds.observe())
        chosen, state, made = agent.act(state, obs, sought, running, generator)
        worlds.step(chosen.numpy())
        actions.append(chosen.numpy())
        states.append(np.array(worlds.states))
        events.append(made)
        tops.append(state.top.numpy())
        stuck.append(state.is_stuck.numpy())
    return Walk(
        actions=np.stack(actions),
        states=np.stack(states),
        events=events,
        tops=np.stack(tops),
        stuck=np.stack(stuck),
    )
