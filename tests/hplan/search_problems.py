"""Problems for searches that can be solved by hand or by brute force."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hplan.energy import TargetEnergy
from hplan.level import Level
from hplan.level_config import PlannerConfig
from hplan.search import DISCRETE_SEARCHES, SEARCHES
from hplan.search.problem import Problem, SearchResult
from tests.hplan.line_world import Position, line_level, line_stack, noise

H, STRIDE, BOUND, ARRIVAL = 5, 3, 2.5, 0.1
NUM_ACTIONS, WIDTH = 3, 7  # of the bent world
CONFIG = PlannerConfig(
    horizon=H, num_candidates=127, max_candidates=127, num_elites=13, num_iterations=5
)
FEW_RESTARTS = replace(CONFIG, num_candidates=31, max_candidates=31, num_iterations=29)
ADAPTIVE = replace(CONFIG, max_candidates=401, converged=0.1)


class Bent(nn.Module):
    """A random network: the order of the actions matters, so no two plans are alike."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH + NUM_ACTIONS, WIDTH, generator=noise(seed)))

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        return z + torch.tanh(torch.cat([z, action], dim=-1) @ self.weight)


@dataclass(frozen=True)
class Bounded:
    """Macro-actions are `mean + std * x` for x within a bound."""

    mean: float = 0.0
    std: float = 1.0
    action_dim: int = 1

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(-BOUND, BOUND)

    def macro_action(self, z: Tensor, x: Tensor) -> Tensor:
        return self.mean + self.std * x


@dataclass(frozen=True)
class Band:
    """A guard: how deep a latent is in the forbidden band of half-width `half` about `middle`."""

    middle: float
    half: float

    def __call__(self, z: Tensor) -> Tensor:
        return (self.half - (z[..., 0] - self.middle).abs()).clamp(min=0.0)

    def of(self, rows: Tensor) -> "Band":
        return self


@dataclass(frozen=True)
class Windy:
    """A line world in which each start has its own wind (B, 1, 1), added at every step."""

    wind: Tensor
    num_actions: int = 0

    def predict(self, z: Tensor, action: Tensor) -> Tensor:
        move = action[..., 2:] - action[..., :1] if self.num_actions else action
        return z + move + self.wind

    def of(self, rows: Tensor) -> "Windy":
        return replace(self, wind=self.wind[rows])


def bent_level(seed: int = 0) -> Level:
    return line_level(
        encoder=Position(), predictor=Bent(seed), latent_dim=WIDTH, num_actions=NUM_ACTIONS
    )


def problem_on(level: Level, z: Tensor, goal: Tensor, **settings) -> Problem:
    """From `z` (B, D) to `goal` (B, D); a step costs what it takes in env steps."""
    known = {
        "model": level,
        "z": z,
        "energy": TargetEnergy(level=level, target=goal.unsqueeze(1), name="distance"),
        "cost": float(level.stride),
        "arrival": ARRIVAL * level.stride,
        "support": None if level.num_actions else Bounded(),
        "guard": None,
        "deadline": None,
    }
    return Problem(**(known | settings))


def line_problem(name: str, *goals: float, **settings) -> Problem:
    """From 0 to each of `goals` on the level that the search `name` is for."""
    level, goal = line_stack(STRIDE)[name not in DISCRETE_SEARCHES], torch.tensor(goals)
    return problem_on(level, torch.zeros(len(goals), 1), goal.unsqueeze(1), **settings)


def found(
    name: str,
    problem: Problem,
    *,
    config: PlannerConfig | None = None,
    warm_start: Tensor | None = None,
    seed: int = 0,
    **options: float,
) -> SearchResult:
    """What a search finds, with enough effort to find it if none is given."""
    default = FEW_RESTARTS if name == "gradient" else CONFIG
    return SEARCHES[name](
        problem,
        config=config or default,
        warm_start=warm_start,
        generator=noise(seed),
        **options,
    )


@contextmanager
def predicted(level: Level) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Latents and actions that the predictor of `level` is given, call by call."""
    calls: list[tuple[Tensor, Tensor]] = []
    handle = level.predictor.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    try:
        yield calls
    finally:
        handle.remove()


def rows_of(calls: list[tuple[Tensor, Tensor]]) -> int:
    """How many rows these are in all."""
    return sum(z.shape[:-1].numel() for z, _ in calls)


def assert_same(result: SearchResult, other: SearchResult) -> None:
    for name, value in vars(result).items():
        assert torch.equal(value, vars(other)[name]), name
