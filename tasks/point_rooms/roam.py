"""The behaviour policy of the reward-free data: errands with noise, and drifting about."""

from dataclasses import dataclass

import numpy as np

from tasks.point_rooms.paths import CellPaths, at_goal
from tasks.point_rooms.world import MAX_SPEED

_PROBABILITIES = ("errand_share", "rest_share", "slip_probability", "noise_persistence")


@dataclass(frozen=True, kw_only=True)
class Roamer:
    """How a point roams, in stretches: on an errand it heads for a place, else it drifts.

    Noise is an Ornstein-Uhlenbeck process in discrete time, one for each axis of each agent: what
    is left of it after a step is `noise_persistence`, and it has a given std in the long run.

    Attributes:
        errand_share: share of stretches that are errands, to a random place.
        mean_stretch: env steps, of their geometrically distributed lengths.
        rest_share: share of the errands that end in standing still until the stretch is over; the
            others lead on to the next place at once.
        noise_std: of what is added to the accelerations on an errand.
        drift_std: of the accelerations while drifting.
        noise_persistence: of both.
        slip_probability: chance of an acceleration drawn anew, evenly over all.
    """

    errand_share: float = 0.7
    mean_stretch: float = 40.0
    rest_share: float = 0.3
    noise_std: float = 0.5
    drift_std: float = 1.0
    noise_persistence: float = 0.9
    slip_probability: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            lowest, highest = (0.0, 1.0) if name in _PROBABILITIES else (0.0, np.inf)
            lowest = 1.0 if name == "mean_stretch" else lowest
            if not lowest <= value <= highest:
                allowed = f"{lowest:g} to {highest:g}"
                raise ValueError(f"roamer.{name} = {value}; allowed is {allowed}.")


def roam(
    paths: CellPaths,
    *,
    num_agents: int,
    num_steps: int,
    roamer: Roamer,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Let agents roam from random places and velocities.

    Args:
        num_agents: B.
        num_steps: T, env steps.

    Returns:
        (B, T + 1, 4) float64 states, index 0 the start, and (B, T, 2) float32 actions.
    """
    world, num_cells = paths.world, len(paths.world.cells)
    states = np.empty((num_steps + 1, num_agents, 4))
    actions = np.empty((num_steps, num_agents, 2), np.float32)

    def places() -> np.ndarray:
        return world.random_states(generator.integers(num_cells, size=num_agents), generator)

    def chance(probability: float) -> np.ndarray:
        return generator.random(num_agents) < probability

    states[0] = places()
    states[0, :, 2:] = generator.uniform(-MAX_SPEED, MAX_SPEED, size=(num_agents, 2))
    noise = generator.standard_normal((num_agents, 2))
    goals, on_errand, rests = places(), chance(roamer.errand_share), chance(roamer.rest_share)
    fresh = np.sqrt(1.0 - roamer.noise_persistence**2)
    for t in range(num_steps):
        arrived = on_errand & at_goal(states[t], goals)
        over = chance(1.0 / roamer.mean_stretch)
        renewed = over | (arrived & ~rests)
        goals = np.where(renewed[:, None], places(), goals)
        on_errand = np.where(over, chance(roamer.errand_share), on_errand)
        rests = np.where(renewed, chance(roamer.rest_share), rests)
        resting = arrived & ~renewed
        noise = roamer.noise_persistence * noise
        noise += fresh * generator.standard_normal((num_agents, 2))
        heading = paths.optimal_actions(states[t], goals) + roamer.noise_std * noise
        heading[resting] -= roamer.noise_std * noise[resting]
        chosen = np.where(on_errand[:, None], heading, roamer.drift_std * noise)
        slips = chance(roamer.slip_probability) & ~resting
        evenly = generator.uniform(-1.0, 1.0, size=(num_agents, 2))
        chosen = np.clip(np.where(slips[:, None], evenly, chosen), -1.0, 1.0)
        # Stored as float32, so the world is given just these.
        actions[t] = chosen
        states[t + 1] = world.step(states[t], actions[t].astype(np.float64))
    return np.ascontiguousarray(states.swapaxes(0, 1)), np.ascontiguousarray(actions.swapaxes(0, 1))
