"""What planners of other packages, where installed, and ours cost beyond their predictions.

All plan on one small model for one start: 10 rounds of 300 plans of 10 steps, 30 elites, judged by
the squared error of the last latent. Each is timed beside the bare forwards of its own batches.
"""

import contextlib
import importlib
import io
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from hplan.bench import predictor_inputs, timed_row
from hplan.energy import TargetEnergy
from hplan.level import Level
from hplan.level_config import PlannerConfig
from hplan.search import find_search
from hplan.search.problem import Problem

LATENT_DIM, ACTION_DIM, HIDDEN_DIM = 64, 4, 256
HORIZON, NUM_CANDIDATES, NUM_ELITES, NUM_ROUNDS = 10, 300, 30, 10
NUM_WARM_UPS = 3
INSTALL = "pip install -c constraints.txt -e '.[peers]' brings torch_world and pyjepa"

Run = Callable[[], object]
Rows = list[dict[str, str | float]]


@torch.no_grad()
def benchmark(*, report: Callable[[str], None], num_repeats: int = 20) -> Rows:
    """Times every planner whose package can be imported, on one thread.

    Args:
        report: told in one line which packages cannot be imported, and how to install them.
        num_repeats: of which the median counts.

    Returns:
        Rows as of `hplan.bench.recording_benchmark`, `peers/PACKAGE-PLANNER`; ours are
        `peers/hplan-...`.
    """
    level, num_threads = small_level(), torch.get_num_threads()
    z, goal = torch.randn(2, 1, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    rows: Rows = []
    missing: list[str] = []
    torch.set_num_threads(1)
    try:
        for package, planners in PACKAGES.items():
            try:
                importlib.import_module(package)
            except (ImportError, RuntimeError) as error:  # the latter: libraries that do not fit
                missing.append(f"{package} ({error})")
                continue
            for name, run in planners(level, z, goal).items():
                rows.append(_row(f"peers/{package}-{name}", level, run, num_repeats))
    finally:
        torch.set_num_threads(num_threads)
    if missing:
        report(f"peers not measured: {', '.join(missing)}; {INSTALL}")
    return rows


def _row(name: str, level: Level, run: Run, num_repeats: int) -> dict[str, str | float]:
    def quietly() -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # some tell of every plan
            run()

    batches = predictor_inputs(level, quietly)

    def forwards() -> None:
        for batch in batches:
            level.predictor(*batch)

    for _ in range(NUM_WARM_UPS):
        quietly()
        forwards()
    return timed_row(name, quietly, forwards, num_repeats)


class Residual(nn.Module):
    """z' = z + f(z, m), with f a bare MLP of two hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(LATENT_DIM + ACTION_DIM, HIDDEN_DIM),
            nn.SiLU(),
            nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.SiLU(),
            nn.Linear(HIDDEN_DIM, LATENT_DIM),
        )

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """The next latents (..., D) of latents (..., D) under actions (..., A)."""
        return z + self.mlp(torch.cat([z, action], dim=-1))


def small_level() -> Level:
    """A level of which only the predictor is real, with the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        predictor = Residual()
    return Level(
        encoder=nn.Identity(),
        action_encoder=nn.Identity(),
        action_prior=None,
        predictor=predictor,
        distance=nn.Identity(),
        inverse=None,
        ratio=1,
        stride=1,
        latent_dim=LATENT_DIM,
        action_dim=ACTION_DIM,
        num_actions=0,
        rollout_depth=1,
    )


class Costs(nn.Module):
    """The model as pyjepa and stable_worldmodel ask for it."""

    def __init__(self, level: Level) -> None:
        super().__init__()
        self.level = level

    def get_cost(self, info: dict[str, Tensor], actions: Tensor) -> Tensor:
        """(B, N) squared error after `actions` (B, N, H, A) from info["z"] to info["goal"]."""
        z = info["z"]
        for h in range(actions.shape[2]):
            z = self.level.predict(z, actions[:, :, h])
        return (z - info["goal"]).square().mean(-1)


class AnyMacroAction:
    """A support without bounds: what is searched is what the model is given."""

    action_dim = ACTION_DIM

    def project(self, x: Tensor) -> Tensor:
        return x

    def macro_action(self, z: Tensor, x: Tensor) -> Tensor:
        return x


def _of_hplan(level: Level, z: Tensor, goal: Tensor) -> dict[str, Run]:
    problem = Problem(
        model=level,
        z=z,
        energy=TargetEnergy(level=level, target=goal.unsqueeze(1), name="l2"),
        cost=0.0,
        arrival=-1.0,
        support=AnyMacroAction(),
        guard=None,
        deadline=None,
    )
    config = PlannerConfig(
        horizon=HORIZON,
        num_candidates=NUM_CANDIDATES,
        max_candidates=NUM_CANDIDATES,
        num_elites=NUM_ELITES,
        num_iterations=NUM_ROUNDS,
    )
    generator = torch.Generator().manual_seed(0)

    def run(name: str) -> object:
        return find_search(name)(problem, config=config, warm_start=None, generator=generator)

    return {name: partial(run, name) for name in ("cem", "icem", "mppi")}


def _of_torch_world(level: Level, z: Tensor, goal: Tensor) -> dict[str, Run]:
    from torch_world.models.base import WorldModel
    from torch_world.planning.cem import CEM

    class World(WorldModel):
        history = 1  # its default predicts the whole past again at every step

        def predict(self, z: Tensor, actions: Tensor) -> Tensor:
            return level.predict(z, actions)

    planner, world = CEM(HORIZON, ACTION_DIM, NUM_CANDIDATES, NUM_ELITES, NUM_ROUNDS), World()
    return {"cem": partial(planner, world, z.unsqueeze(1), goal)}


def _of_pyjepa(level: Level, z: Tensor, goal: Tensor) -> dict[str, Run]:
    from pyjepa.planning.cem import CEMConfig, CEMPlanner
    from pyjepa.planning.mppi import MPPIConfig, MPPIPlanner

    sizes = {
        "horizon": HORIZON,
        "num_samples": NUM_CANDIDATES,
        "num_elites": NUM_ELITES,
        "num_iters": NUM_ROUNDS,
        "action_dim": ACTION_DIM,
    }
    cem, mppi = CEMPlanner(CEMConfig(**sizes)), MPPIPlanner(MPPIConfig(**sizes))
    model, info = Costs(level), {"z": z, "goal": goal}
    return {"cem": partial(cem, model, info), "mppi": partial(mppi, model, info)}


def _of_stable_worldmodel(level: Level, z: Tensor, goal: Tensor) -> dict[str, Run]:
    from stable_worldmodel.policy import PlanConfig
    from stable_worldmodel.solver.cem import Box, CEMSolver
    from stable_worldmodel.solver.icem import ICEMSolver
    from stable_worldmodel.solver.mppi import MPPISolver

    runs: dict[str, Run] = {}
    for name, build in {"cem": CEMSolver, "icem": ICEMSolver, "mppi": MPPISolver}.items():
        solver = build(
            Costs(level), num_samples=NUM_CANDIDATES, n_steps=NUM_ROUNDS, topk=NUM_ELITES
        )
        solver.configure(
            action_space=Box(-3.0, 3.0, (1, ACTION_DIM)),
            n_envs=1,
            config=PlanConfig(horizon=HORIZON, receding_horizon=HORIZON),
        )
        runs[name] = partial(solver.solve, {"z": z, "goal": goal})
    return runs


PACKAGES: dict[str, Callable[[Level, Tensor, Tensor], dict[str, Run]]] = {
    "hplan": _of_hplan,
    "torch_world": _of_torch_world,
    "pyjepa": _of_pyjepa,
    "stable_worldmodel": _of_stable_worldmodel,
}
