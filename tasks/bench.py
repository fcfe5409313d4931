"""How quick the simulator is, beside MiniGrid's own full-observation path in the same run."""

import time
from collections.abc import Callable

import gymnasium as gym
import numpy as np
from minigrid.wrappers import FullyObsWrapper

from tasks.collect import collect
from tasks.registry import build_task
from tasks.rooms import ROOMS_IDS
from tasks.simulator import NUM_ACTIONS
from tasks.task import Task
from tasks.trip.bench import batched_steps, minigrid_steps

_TASK = "rooms"


def benchmark(*, num_seconds: float = 1.0) -> list[dict[str, str | float]]:
    """Measure env steps per second on one core, observations included.

    `collect/rooms` makes a whole data set, in which every distinct observation is encoded once;
    `observe/rooms` steps 256 agents and encodes every observation of every step. The reference of
    both is MiniGrid's own environment in its FullyObsWrapper. `observe/trip` is the same there.

    Args:
        num_seconds: about how long each measurement lasts.

    Returns:
        Rows of name, value, unit, reference (same unit), ratio (value to reference).
    """
    task = build_task(_TASK, 0)
    reference = _best_rate(_minigrid_steps, num_seconds)
    rates = {
        f"collect/{_TASK}": _best_rate(lambda: _collect_steps(task), num_seconds),
        f"observe/{_TASK}": _best_rate(lambda: _observe_steps(task), num_seconds),
    }
    rows = [(name, rate, reference) for name, rate in rates.items()]
    of_trip = (_best_rate(run, num_seconds) for run in (batched_steps, minigrid_steps))
    return [
        {"name": name, "value": rate, "unit": "env steps/s", "reference": own, "ratio": rate / own}
        for name, rate, own in [*rows, ("observe/trip", *of_trip)]
    ]


def _best_rate(run: Callable[[], int], num_seconds: float) -> float:
    """Steps per second of the quickest run of those that fit in `num_seconds`."""
    run()
    rates, end = [], time.perf_counter() + num_seconds
    while not rates or time.perf_counter() < end:
        begin = time.perf_counter()
        num_steps = run()
        rates.append(num_steps / (time.perf_counter() - begin))
    return max(rates)


def _minigrid_steps() -> int:
    num_steps = 300
    env = FullyObsWrapper(gym.make(ROOMS_IDS[_TASK], max_steps=num_steps + 1))
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(NUM_ACTIONS, size=num_steps)
    for action in actions:
        env.step(action)
    env.close()
    return num_steps


def _collect_steps(task: Task) -> int:
    return collect(task, num_episodes=1000, episode_length=150, seed=0).num_steps


def _observe_steps(task: Task) -> int:
    num_agents, num_steps = 256, 50
    generator = np.random.default_rng(0)
    batch = task.batch(
        task.world.all_states[generator.integers(task.world.num_states, size=num_agents)]
    )
    for actions in generator.integers(NUM_ACTIONS, size=(num_steps, num_agents)):
        batch.step(actions)
        batch.observe()
    return num_agents * num_steps
