"""Any registered gymnasium environment as a task: goals from the data, starts from reset seeds."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.names import find_class
from tasks.gymnasium_envs.batch import GymBatch
from tasks.gymnasium_envs.behaviour import MakePolicy, RandomWalk, behaviour, wander
from tasks.gymnasium_envs.pairs import GOAL, PairSource, bins_of, confirmed_seeds, told_seeds
from tasks.gymnasium_envs.pictures import grid_picture, image_picture, vector_picture
from tasks.gymnasium_envs.success import NEAR, Rule, build_rule, flag_in, kind_of_rule, phrase
from tasks.gymnasium_envs.world import PREFIX, Fault, GymWorld
from tasks.readings import is_goal_conditioned
from tasks.seeds import Stream, stream_generator
from tasks.suite import Bins, Suite, check_episodes_per_bin

GOAL_OFFSET = 20
TOLERANCE = 0.1
CHUNK_BYTES = 2**26  # of observations in memory at once, about
_USUAL_LENGTH = 200  # env steps, by which the size of a chunk is reckoned
_MOST_EPISODES_PER_CHUNK = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class GymTask:
    """An environment of anybody's to reach goals in; states are `Moment`s (`world.py`).

    It knows no shortest paths. A suite needs data, which `with_episodes` gives.

    Attributes:
        name: "gym:" and the id.
        env_id: as gymnasium takes it, with a module before it if need be.
        layout_seed: 0: what a reset seed fixes is the environment's affair.
        spec: what observations and actions look like.
        observation_space, action_space: gymnasium's, from which `spec` follows.
        goal: path of `goal(observations (T + 1, *spec.shape), random) -> (*spec.shape)`, given an
            episode of the data; empty takes an observation up to `goal_offset` env steps after
            the episode's start.
        goal_offset: env steps; with a function `goal`, in how many it should be reached.
        success: "flag", "tolerance", or path of `success(observation, goal, info) -> bool`.
        flag: name in `info` of the environment's own opinion on success; None if it has shown none.
        tolerance: in standard deviations of the data, of images as a share of the mean difference
            of its observations; None where observations must equal the goal.
        episodes: the data; None until there is any.
    """

    name: str
    env_id: str
    layout_seed: int
    spec: ObservationSpec
    observation_space: spaces.Space
    action_space: spaces.Space
    goal: str
    goal_offset: int
    success: str
    flag: str | None
    tolerance: float | None
    episodes: EpisodeStore | None = None
    optimal_is_exact: ClassVar[bool] = False

    @property
    def success_rule(self) -> str:
        """When a goal counts as reached, in words."""
        pixels = self.spec.kind == "pixels"
        return phrase(self.success, self.flag, self.tolerance, pixels=pixels)

    @property
    def reference(self) -> str:
        """What the suite's `optimal_steps` are, in words."""
        if self.goal:
            return "no optimum: task.goal_offset"
        if self.reset_seeds is None:
            return "no optimum: the goal was seen so many env steps after another start"
        return "upper bound: the goal was seen so many env steps after this start"

    @property
    def behaviour(self) -> dict[str, Any]:
        """The default behaviour policy's name and parameters."""
        return behaviour()

    @property
    def episodes_per_chunk(self) -> int:
        """So many that a chunk's observations take some 64 MiB at most."""
        num_bytes = int(np.prod(self.spec.shape)) * np.dtype(self.spec.dtype).itemsize
        fitting = CHUNK_BYTES // (num_bytes * _USUAL_LENGTH)
        return max(1, min(_MOST_EPISODES_PER_CHUNK, fitting))

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: MakePolicy | str | None = None,
    ) -> EpisodeStore:
        """Collect reward-free episodes in the real environment, at most so many env steps each.

        Args:
            policy: class, or its path `module.Class`, made for each episode from
                (observation_space, action_space, seed), and then called with each observation as
                the environment returned it; None is a random walk.

        Raises:
            CollectionStopped: the environment or the policy failed.
        """
        if isinstance(policy, str):
            policy = find_class(policy, {"random": RandomWalk}, "data.policy")
        world = GymWorld(self.env_id, time_limit=True)
        try:
            return wander(
                world,
                name=self.name,
                num_episodes=num_episodes,
                episode_length=episode_length,
                generator=generator,
                make_policy=policy or RandomWalk,
            )
        finally:
            world.env.close()

    def with_episodes(self, store: EpisodeStore) -> "GymTask":
        """The same task, its goals taken from these episodes.

        Raises:
            ValueError: the episodes are not of this environment, or all shorter than the offset.
        """
        if store.spec != self.spec:
            raise ValueError(
                f"task '{self.name}' has {self.spec}, the data has {store.spec}; give the data of "
                "this environment, or the id that the data was collected in."
            )
        longest = int(store.lengths.max())
        if not self.goal and longest < self.goal_offset:
            raise ValueError(
                f"task.goal_offset = {self.goal_offset}; the longest episode of the data has "
                f"{longest} env steps; lower it, or collect longer episodes."
            )
        return replace(self, episodes=store)

    @cached_property
    def reset_seeds(self) -> np.ndarray | None:
        """(E,) int64, with which the data's episodes began; None if they do not begin so here."""
        if self.episodes is None:
            return None
        told = told_seeds(self.episodes, self.name, self.episodes_per_chunk)
        return confirmed_seeds(told, self.episodes, self.name, lambda s: self.batch(s).observe())

    @property
    def bins(self) -> Bins:
        """Of the offsets that goals are drawn at; one bin with a function `goal`."""
        return bins_of(self.goal, self.goal_offset)

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw start-goal pairs, none of which is a success from the start.

        Starts are reset seeds, (E,) int64: those of the goals' own episodes, where they are known
        and `goal` is no function of the user's. Goals are observations (E, *spec.shape).
        """
        check_episodes_per_bin(episodes_per_bin)
        source = PairSource(
            task=self.name,
            episodes=self._data,
            reset_seeds=self.reset_seeds,
            goal=self.goal,
            goal_offset=self.goal_offset,
            is_reached=lambda starts, goals: self.is_success(self.batch(starts).states, goals),
        )
        drawn = []
        for index, (_, low, high) in enumerate(self.bins):
            generator = stream_generator(Stream.SUITE, seed, index)
            lowest = low if index == 0 else low + 1
            drawn.append(source.draw(lowest, high, episodes_per_bin, generator))
        starts, goals, offsets = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return Suite(
            name=self.name,
            bins=self.bins,
            starts=starts,
            goals=goals,
            optimal_steps=offsets,
            bin_index=np.repeat(np.arange(len(self.bins)), episodes_per_bin),
        )

    def batch(self, starts: np.ndarray) -> GymBatch:
        """Make B environments, reset with the seeds `starts`, (B,) or (B, 1) int64."""
        return GymBatch(self.name, self.env_id, starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Observations (B, *spec.shape) of states, or of goals, which are observations already."""
        if states.dtype == object:
            return np.stack([moment.observation for moment in states])
        return np.asarray(states, dtype=self.spec.dtype)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: whether `success_rule` holds for states (B,) and goals (B, *spec.shape)."""
        pairs = zip(states, goals, strict=True)
        return np.array([self._rule(moment, goal) for moment, goal in pairs], dtype=bool)

    @cached_property
    def _rule(self) -> Rule:
        episodes = self._data if self.success == NEAR else None
        return build_rule(self.success, self.flag, self.tolerance, episodes)

    @property
    def _data(self) -> EpisodeStore:
        if self.episodes is None:
            raise ValueError(
                f"task '{self.name}' takes its goals from data; collect it first, "
                f"`make collect TASK={self.name}`, or give DATA=<Minari dataset>."
            )
        return self.episodes

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        if self.spec.kind == "pixels":
            return image_picture(obs)
        if self.spec.kind == "grid":
            return grid_picture(obs, self.spec.num_values)
        return vector_picture(obs, *self._scale)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each number of a vector; 0 and 1 before there is data."""
        if self.episodes is None:
            return np.zeros(self.spec.shape), np.ones(self.spec.shape)
        seen = self.episodes.sample()
        return seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-6)


def make_gym_task(
    name: str,
    layout_seed: int,
    *,
    goal: str = "",
    success: str = "",
    goal_offset: int = GOAL_OFFSET,
    tolerance: float = TOLERANCE,
) -> GymTask:
    """The task of a registered gymnasium id, which is tried for one env step.

    Args:
        name: "gym:" and the id, with the module that registers it and a colon before if need be.
        layout_seed, goal, success, goal_offset, tolerance: as in the config's `task`.

    Raises:
        ValueError: no such id, a missing package, spaces that cannot be taken, an environment that
            fails, or a setting that does not hold here.
    """
    env_id = name.removeprefix(PREFIX)
    if layout_seed:
        raise ValueError(
            f"task.layout_seed = {layout_seed}; '{name}' takes none, every reset has a seed of its "
            "own; leave it 0."
        )
    if goal_offset < 1 or not tolerance >= 0:
        raise ValueError(
            f"task.goal_offset = {goal_offset}, task.tolerance = {tolerance}; allowed are 1 env "
            "step or more, and 0 or more."
        )
    if goal:
        find_class(goal, {}, GOAL)
    world = GymWorld(env_id, time_limit=True)
    flag = _tried(name, world)
    observed = world.env.observation_space
    numbers = world.spec.kind != "grid" and not isinstance(
        observed, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    )
    world.env.close()
    return GymTask(
        name=name,
        env_id=env_id,
        layout_seed=layout_seed,
        spec=world.spec,
        observation_space=observed,
        action_space=world.env.action_space,
        goal=goal,
        goal_offset=goal_offset,
        # A flag would judge the environment's own goal, which the agent is never shown.
        success=kind_of_rule(success or (NEAR if is_goal_conditioned(observed) else ""), flag),
        flag=flag,
        tolerance=tolerance if numbers else None,
    )


def _tried(name: str, world: GymWorld) -> str | None:
    """Reset and step once; the name of the environment's own flag of success."""
    try:
        moment = world.reset(0)
        act = RandomWalk(world.env.observation_space, world.env.action_space, 0)
        return flag_in(moment.info) or flag_in(world.step(act(moment.raw)).info)
    except Fault as fault:
        raise ValueError(f"task '{name}': {fault}, at once; mend the environment.") from fault
