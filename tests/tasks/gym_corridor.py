"""A corridor of ten cells as a registered gymnasium environment, shown and walked in many ways.

`tests.tasks.gym_corridor:CorridorBox-v0` and so on: what is shown (Box, Wide, Discrete,
MultiDiscrete, Dict, Image), and which are walked by a force instead of by two numbered actions
(Force).
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LENGTH = 10
PATH = "tests.tasks.gym_corridor"
FAILING_STARTS = (5, 6)  # of those that fail, so that some episodes are whole
WRONG: dict[str, dict[str, Any]] = {  # what a step must not tell
    "NoReward": {"reward": None},
    "NanReward": {"reward": np.nan},
    "Rewards": {"reward": np.array([0.0, 1.0])},
    "Ends": {"terminated": np.array([True, False])},
    "NoInfo": {"info": None},
}


def _box(cell: float) -> np.ndarray:
    return np.array([cell / LENGTH, 1 - cell / LENGTH, 0.5], dtype=np.float32)


def _image(cell: float) -> np.ndarray:
    image = np.zeros((32, 40, 3), dtype=np.uint8)
    image[:, 4 * int(cell) : 4 * int(cell) + 4] = (200, 100, 50)
    return image


def _two_digits(cell: float) -> np.ndarray:
    return np.array([int(cell) % 2, int(cell) // 2])


def _wide(cell: float) -> np.ndarray:
    return np.full(300, cell / LENGTH, np.float32)


_GOALS = ("observation", "achieved_goal", "desired_goal")
_UNIT = spaces.Box(0.0, 1.0, (3,), np.float32)
SHOWN: dict[str, tuple[spaces.Space, Any]] = {
    "Box": (_UNIT, _box),
    "Wide": (spaces.Box(0.0, 1.0, (300,), np.float32), _wide),
    "Discrete": (spaces.Discrete(LENGTH, start=3), lambda cell: int(cell) + 3),
    "MultiDiscrete": (spaces.MultiDiscrete([2, 5]), _two_digits),
    "Dict": (
        spaces.Dict({"place": _UNIT, "digits": spaces.MultiDiscrete([2, 5])}),
        lambda cell: {"place": _box(cell), "digits": _two_digits(cell)},
    ),
    "Goals": (
        spaces.Dict(dict.fromkeys(_GOALS, _UNIT)),
        lambda cell: dict.fromkeys(_GOALS, _box(cell)),
    ),
    "Image": (spaces.Box(0, 255, (32, 40, 3), np.uint8), _image),
    "Text": (spaces.Text(5), str),
}


class Corridor(gym.Env):
    """Starts in cells 3 to 6; ends at the right end.

    Args:
        shown: a key of `SHOWN`.
        force: an action is a step in [-2, 2] instead of a number, 1 left or 2 right.
        fails: "raises" at env step 7, or at env step 5 "nan" or what `WRONG` tells, where it
            started in `FAILING_STARTS`.
        flagged: `info` tells whether the right end is reached; "there" is told only there.
    """

    def __init__(
        self, shown: str, *, force: bool = False, fails: str = "", flagged: bool | str = False
    ) -> None:
        self.observation_space, self.shown = SHOWN[shown]
        low, high = np.float32([-2.0]), np.float32([2.0])
        self.action_space = spaces.Box(low, high) if force else spaces.Discrete(2, start=1)
        self.fails, self.flagged = fails, flagged

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.cell = self.start = int(self.np_random.integers(3, 7))
        self.num_steps = 0
        return self.shown(self.cell), self._info()

    def step(self, action):
        assert self.action_space.contains(action), action
        move = float(action[0]) if self.force else 2 * int(action) - 3
        self.cell = float(np.clip(self.cell + move, 0, LENGTH - 1))
        self.num_steps += 1
        failing = self.fails if self.start in FAILING_STARTS else ""
        if failing == "raises" and self.num_steps == 7:
            raise RuntimeError("the floor\ngave way")
        seen = self.shown(self.cell)
        if failing == "nan" and self.num_steps == 5:
            seen[1] = np.nan
        told = {"reward": -1.0, "terminated": self.cell == LENGTH - 1, "info": self._info()}
        if failing in WRONG and self.num_steps == 5:
            told |= WRONG[failing]
        return seen, told["reward"], told["terminated"], False, told["info"]

    @property
    def force(self) -> bool:
        return isinstance(self.action_space, spaces.Box)

    def _info(self) -> dict[str, Any]:
        is_there = self.cell == LENGTH - 1
        tells = is_there if self.flagged == "there" else self.flagged
        return {"is_success": is_there} if tells else {}


def _register(name: str, **kwargs: Any) -> None:
    gym.register(f"Corridor{name}-v0", Corridor, kwargs=kwargs, max_episode_steps=30)


for _shown in SHOWN:
    _register(_shown, shown=_shown)
    _register(f"{_shown}Force", shown=_shown, force=True)
_register("Raises", shown="Box", fails="raises")
_register("Nan", shown="Box", fails="nan")
for _wrong in WRONG:
    _register(_wrong, shown="Box", fails=_wrong)
_register("Flagged", shown="Box", flagged=True)
_register("FlaggedThere", shown="Box", flagged="there")
_register("GoalsFlagged", shown="Goals", flagged=True)


class Right:
    """A policy that walks right, whatever it sees."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, seed: int):
        self.calls, self.seed, self.space = 0, seed, observation_space

    def __call__(self, observation: Any) -> Any:
        assert self.space.contains(observation)
        self.calls += 1
        return 2


class Left(Right):
    """A policy that walks left."""

    def __call__(self, observation: Any) -> int:
        return 1


class Outside(Right):
    """A policy whose third action is none of the environment's."""

    value: Any = 3

    def __call__(self, observation: Any) -> Any:
        self.calls += 1
        return self.value if self.calls == 3 else 2


class Broken(Right):
    """A policy that cannot do its third step."""

    def __call__(self, observation: Any) -> int:
        self.calls += 1
        return 2 if self.calls < 3 else 1 // 0


def last(observations: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A goal: what was seen last."""
    return observations[-1]


def wrong_shape(observations: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """No goal."""
    return observations[-1][:1]


def at_the_end(observation: np.ndarray, goal: np.ndarray, info: dict[str, Any]) -> bool:
    """Success: the right end, which the environment ends the episode at."""
    return info.get("terminated", False)


def never_seen(observation: np.ndarray, goal: np.ndarray, info: dict[str, Any]) -> bool:
    """No rule: it asks for what the environment does not tell."""
    return info["arrived"]
