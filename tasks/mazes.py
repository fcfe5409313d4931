"""Other people's MuJoCo mazes as tasks: gymnasium-robotics' PointMaze and OGBench's locomazes.

They need the extra `mazes`. Each is registered here as `hplan/<Maze>-v0`, cut down to what a task
needs: the observation alone, without the maze's own goal; no end of an episode at that goal; and
resets that their seed decides. Goals come from the data, as for any `gym:` task.

An observation of a maze begins with x, y of its agent.
"""

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

EXTRA = "mazes"
# gymnasium-robotics counts 0.45 of a maze's cell as success, OGBench 1 of 4 (ants 0.5 of 4).
POINT_MAZE_RADIUS, OGBENCH_RADIUS, OGBENCH_ANT_RADIUS = 0.45, 1.0, 0.5
_POINT_MAZES = {f"pointmaze-{size.lower()}": size for size in ("UMaze", "Medium", "Large")}
_OGBENCH = {
    f"ogbench-{kind}-{size}": f"{kind}-{size}-v0"
    for kind in ("pointmaze", "antmaze")
    for size in ("medium", "large", "giant")
}
MAZES = (*_POINT_MAZES, *_OGBENCH)


class ObservationAlone(gym.ObservationWrapper):
    """Of a Dict of observation and goals, the observation."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = env.observation_space["observation"]

    def observation(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """(D,) of the env's Dict."""
        return observation["observation"]


class SeededByReset(gym.Wrapper):
    """Resets that draw from numpy's global stream, and from the action space's, decided by seed.

    The global stream is put back afterwards.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As the env's own."""
        if seed is None:
            return self.env.reset(options=options)
        before = np.random.get_state()
        np.random.seed(seed % 2**32)
        self.env.unwrapped.action_space.seed(seed % 2**32)
        try:
            return self.env.reset(seed=seed, options=options)
        finally:
            np.random.set_state(before)


def point_maze(size: str, **options: Any) -> gym.Env:
    """The environment of gymnasium-robotics' PointMaze of a size, "UMaze" to "Large"."""
    import gymnasium_robotics

    gym.register_envs(gymnasium_robotics)
    env = gym.make(
        f"PointMaze_{size}-v3", continuing_task=True, reset_target=False,
        max_episode_steps=-1, disable_env_checker=True, **options,
    )  # fmt: skip
    return ObservationAlone(env)


def ogbench_maze(env_id: str, **options: Any) -> gym.Env:
    """The environment of OGBench that is called so; nothing is downloaded."""
    import ogbench  # noqa: F401  (registers its environments)

    env = gym.make(
        env_id, terminate_at_goal=False, max_episode_steps=-1, disable_env_checker=True, **options
    )
    return SeededByReset(env)


def _id_of(name: str) -> str:
    return f"hplan/{name.title().replace('-', '')}-v0"


for _name in MAZES:
    if _id_of(_name) not in gym.registry:
        gym.register(
            id=_id_of(_name),
            entry_point=f"tasks.mazes:{'point_maze' if _name in _POINT_MAZES else 'ogbench_maze'}",
            kwargs={"size": _POINT_MAZES[_name]} if _name in _POINT_MAZES
            else {"env_id": _OGBENCH[_name]},
        )  # fmt: skip


def _at_place(observation: np.ndarray, goal: np.ndarray, radius: float) -> bool:
    return bool(np.hypot(*(observation[:2] - goal[:2])) <= radius)


def at_point_maze_goal(observation: np.ndarray, goal: np.ndarray, info: dict[str, Any]) -> bool:
    """Whether the place is the goal's, as gymnasium-robotics counts it."""
    return _at_place(observation, goal, POINT_MAZE_RADIUS)


def at_ogbench_goal(observation: np.ndarray, goal: np.ndarray, info: dict[str, Any]) -> bool:
    """Whether the place is the goal's, as OGBench counts it for points."""
    return _at_place(observation, goal, OGBENCH_RADIUS)


def at_ogbench_ant_goal(observation: np.ndarray, goal: np.ndarray, info: dict[str, Any]) -> bool:
    """Whether the place is the goal's, as OGBench counts it for ants."""
    return _at_place(observation, goal, OGBENCH_ANT_RADIUS)


def maze_task(layout_seed: int, *, name: str, goal_offset: int = 100) -> Any:
    """The task of one of `MAZES`.

    Args:
        goal_offset: env steps; goals are observations of the data up to so far from a start.

    Raises:
        ValueError: an unknown maze, or the extra is not installed.
    """
    from tasks.gymnasium_envs.task import make_gym_task

    if name not in MAZES:
        raise ValueError(f"maze '{name}' is unknown; known are {', '.join(MAZES)}.")
    package = "gymnasium_robotics" if name in _POINT_MAZES else "ogbench"
    try:
        __import__(package)
    except ImportError as error:
        raise ValueError(
            f"task.name = {name} needs the package {package} ({' '.join(str(error).split())}); "
            f"install the extra: pip install -e '.[{EXTRA}]'."
        ) from error
    rule = at_point_maze_goal if name in _POINT_MAZES else at_ogbench_goal
    rule = at_ogbench_ant_goal if "antmaze" in name else rule
    task = make_gym_task(
        f"gym:tasks.mazes:{_id_of(name)}",
        layout_seed,
        success=f"{__name__}.{rule.__name__}",
        goal_offset=goal_offset,
    )
    return replace(task, name=name)
