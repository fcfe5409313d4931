"""What a stack makes of gymnasium's spaces: of observations a grid, an image or a vector.

| observation space | becomes |
|---|---|
| Box of bytes 0 to 255 or floats 0 to 1, sides of 32 or more, up to 16 channels | pixels |
| Box of integers, MultiDiscrete, MultiBinary; 2 or 3 axes, at most 256 values each | grid |
| any other Box or MultiBinary | vector, up to 4096 numbers |
| Discrete, other MultiDiscrete | vector, one-hot |
| Dict with "observation", "achieved_goal" and "desired_goal" (gymnasium-robotics) | the first |
| Dict with "image" and "mission" (MiniGrid) | its image; a grid has MiniGrid's vocabularies |
| other Dict, Tuple | its only image or grid alone; without one, all its vectors, end to end |

An image may have its channels first; they are moved last. Actions are Discrete, or Box with finite
bounds, which becomes one vector.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from hplan.dataset import ObservationSpec
from tasks.readings import OutOfSpace, check, check_shape, reading_of

__all__ = [
    "OutOfSpace",
    "are_alike",
    "from_actions",
    "left_out",
    "spec_of",
    "to_action",
    "to_observation",
    "to_observations",
]

MOST_ACTIONS = 2**15


def spec_of(observation_space: spaces.Space, action_space: spaces.Space) -> ObservationSpec:
    """What a stack needs to know of an environment with these spaces.

    Raises:
        ValueError: a space that cannot be taken.
    """
    reading = reading_of(observation_space)
    seen = {"kind": reading.kind, "shape": reading.shape, "num_values": reading.num_values}
    if isinstance(action_space, spaces.Discrete) and action_space.n <= MOST_ACTIONS:
        return ObservationSpec(**seen, num_actions=int(action_space.n))
    if isinstance(action_space, spaces.Box) and action_space.dtype.kind in "fiu":
        low, high = (np.float64(b).reshape(-1) for b in (action_space.low, action_space.high))
        if np.isfinite([low, high]).all() and (low < high).all() and low.size:
            return ObservationSpec(
                **seen, action_low=tuple(low.tolist()), action_high=tuple(high.tolist())
            )
    raise ValueError(
        f"actions {action_space} cannot be taken; allowed are Discrete, and Box with finite bounds "
        "low < high; wrap the environment in a gymnasium.ActionWrapper that has such actions."
    )


def left_out(space: spaces.Space) -> str:
    """One line on what is read of the observations and what is not; empty where all is read."""
    reading = reading_of(space)
    if not reading.ignored:
        return ""
    shape = "x".join(map(str, reading.shape))
    keys = f"key{'s' * (len(reading.parts) > 1)} {', '.join(reading.parts)}"
    return (
        f"observations: {reading.kind} {shape} from {keys}; ignored: {', '.join(reading.ignored)}"
    )


def are_alike(
    ours: tuple[spaces.Space, spaces.Space], theirs: tuple[spaces.Space, spaces.Space]
) -> bool:
    """Whether observations and actions of two environments mean the same.

    The spaces must agree in kind, bounds, first and number of values; their dtypes may differ. Of
    a Dict or Tuple only the parts count that are read.
    """
    seen, others = (reading_of(observed).parts for observed, _ in (ours, theirs))
    return (
        list(seen) == list(others)
        and all(_is_alike(part, others[key]) for key, part in seen.items())
        and _is_alike(ours[1], theirs[1])
    )


def _is_alike(a: spaces.Space, b: spaces.Space) -> bool:
    match a, b:
        case spaces.Box(), spaces.Box():
            with np.errstate(over="ignore"):  # float64 bounds of what may be float32 elsewhere
                bounds = [np.float32([space.low, space.high]) for space in (a, b)]
            return np.array_equal(*bounds)
        case spaces.Discrete(), spaces.Discrete():
            return (a.n, a.start) == (b.n, b.start)
        case spaces.MultiDiscrete(), spaces.MultiDiscrete():
            return np.array_equal(a.nvec, b.nvec) and np.array_equal(a.start, b.start)
        case spaces.MultiBinary(), spaces.MultiBinary():
            return a.shape == b.shape
    return False


def to_observation(space: spaces.Space, value: Any) -> np.ndarray:
    """One observation of the space as (*spec.shape) of spec.dtype.

    Raises:
        OutOfSpace: it is not of the space, or holds a number that is not finite.
    """
    return to_observations(space, _stacked_once(space, value))[0]


def to_observations(space: spaces.Space, values: Any) -> np.ndarray:
    """N observations, stacked array by array as Minari does it, as (N, *spec.shape)."""
    return reading_of(space).read(values)


def to_action(space: spaces.Space, action: np.ndarray) -> np.ndarray | np.generic:
    """An action of a stack, (*spec.action_shape), as the environment takes it."""
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(int(action) + int(space.start))
    given = np.asarray(action, np.float64).reshape(space.shape)
    if space.dtype.kind != "f":
        given = np.rint(given)
    # Bounds that float32 cannot hold exactly would be overstepped by a hair.
    return np.clip(given, space.low, space.high).astype(space.dtype)


def from_actions(space: spaces.Space, actions: Any) -> np.ndarray:
    """N actions of the environment as a stack has them, (N, *spec.action_shape).

    Raises:
        OutOfSpace: one is outside the space.
    """
    given = np.asarray(actions)
    check_shape(space, given)
    if isinstance(space, spaces.Discrete):
        number = given.astype(np.int64) - int(space.start)
        check(space, given, (number >= 0) & (number < space.n) & (number + space.start == given))
        return number.astype(np.int8 if space.n <= 128 else np.int16)
    low, high = np.float32(space.low), np.float32(space.high)
    slack = 1e-5 * (high - low)
    check(space, given, (given >= low - slack) & (given <= high + slack))
    return np.clip(given, low, high).astype(np.float32).reshape(len(given), -1)


def _stacked_once(space: spaces.Space, value: Any) -> Any:
    """One value of the space as a stack of one."""
    if isinstance(space, spaces.Dict):
        return {key: _stacked_once(part, value[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_stacked_once(*pair) for pair in zip(space.spaces, value, strict=True))
    return np.asarray(value)[None]
