"""Who acts while episodes of a gymnasium environment are collected."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from hplan.dataset import CollectionStopped, EpisodeStore
from tasks.gymnasium_envs.world import Fault, GymWorld, checked_action, faults_of
from tasks.seeds import LARGEST_SEED
from tasks.spaces import from_actions

RESET_SEEDS = "reset_seeds"  # in a store's metadata: E ints


class Policy(Protocol):
    """What a behaviour policy is: made for each episode by `Class(obs_space, action_space, seed)`.

    So it may keep what it likes from one step to the next.
    """

    def __call__(self, observation: Any) -> Any:
        """The next action, given the observation as the environment returned it."""


MakePolicy = Callable[[spaces.Space, spaces.Space, int], Policy]


@dataclass(frozen=True, kw_only=True)
class Persistence:
    """How random actions go on from one env step to the next.

    Attributes:
        hold: env steps that a numbered action is held on average, a geometric number.
        pull, noise: of Ornstein-Uhlenbeck noise, continuous actions' share of the way back to the
            middle of their bounds in an env step, and its standard deviation there; in units of
            half the width of the bounds.
    """

    hold: float = 4.0
    pull: float = 0.15
    noise: float = 0.35


class RandomWalk:
    """Random actions that persist: held for a while, or drifting where they are continuous.

    Source of the drift: Uhlenbeck & Ornstein 1930, as exploration Lillicrap et al. 2016.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete | spaces.Box,
        seed: int,
        persistence: Persistence | None = None,
    ) -> None:
        self.space = action_space
        self.random = np.random.default_rng(seed)
        self.persistence = persistence or Persistence()
        self.action = self._fresh()

    def __call__(self, observation: Any) -> np.ndarray | int:
        """The action held, or a new one; numbers of the space's own dtype."""
        settings = self.persistence
        if isinstance(self.space, spaces.Discrete):
            if self.random.random() < 1 / settings.hold:
                self.action = self._fresh()
            return int(self.space.start + self.action)
        noise = settings.noise * self.random.standard_normal(self.space.shape)
        self.action = np.clip((1 - settings.pull) * self.action + noise, -1.0, 1.0)
        low, high = self.space.low.astype(float), self.space.high.astype(float)
        scaled = low + (self.action + 1) / 2 * (high - low)
        return np.clip(scaled.astype(self.space.dtype), self.space.low, self.space.high)

    def _fresh(self) -> np.ndarray | int:
        """A number from 0, or (*shape) in [-1, 1]."""
        if isinstance(self.space, spaces.Discrete):
            return int(self.random.integers(self.space.n))
        return self.random.uniform(-1.0, 1.0, self.space.shape)


def behaviour() -> dict[str, Any]:
    """The default policy's name and parameters, for a dataset's metadata."""
    return {"policy": f"{RandomWalk.__module__}.{RandomWalk.__name__}", **asdict(Persistence())}


def episode_seeds(num_episodes: int, generator: np.random.Generator) -> np.ndarray:
    """(E, 2) int64 in [0, 2^31): what environment and policy of each episode begin with.

    They are the first that `wander` draws, so a dataset's own seed tells them again.
    """
    return generator.integers(LARGEST_SEED, size=(num_episodes, 2))


class _Kept:
    """Episodes as they come: each distinct observation once."""

    def __init__(self, world: GymWorld) -> None:
        self.spec = world.spec
        self.number: dict[bytes, int] = {}
        self.frames: list[np.ndarray] = []
        self.rows: list[list[int]] = []
        self.actions: list[np.ndarray] = []
        self.seeds: list[int] = []

    def add(self, seed: int, seen: list[np.ndarray], actions: np.ndarray) -> None:
        row = []
        for frame in seen:
            number = self.number.setdefault(frame.tobytes(), len(self.frames))
            if number == len(self.frames):
                self.frames.append(frame)
            row.append(number)
        self.rows.append(row)
        self.actions.append(actions)
        self.seeds.append(seed)

    def store(self) -> EpisodeStore | None:
        """None where there is no episode yet."""
        if not self.rows:
            return None
        lengths = np.array([len(actions) for actions in self.actions])
        frame_index = np.zeros((len(lengths), lengths.max() + 1), np.int32)
        shape = (len(lengths), lengths.max(), *self.spec.action_shape)
        actions = np.zeros(shape, self.spec.action_dtype)
        for episode, length in enumerate(lengths):
            frame_index[episode, : length + 1] = self.rows[episode]
            actions[episode, :length] = self.actions[episode]
        return EpisodeStore(
            frames=np.stack(self.frames),
            frame_index=frame_index,
            actions=actions,
            lengths=lengths,
            spec=self.spec,
            metadata={RESET_SEEDS: self.seeds},
        )


def wander(
    world: GymWorld,
    *,
    name: str,
    num_episodes: int,
    episode_length: int,
    generator: np.random.Generator,
    make_policy: MakePolicy,
) -> EpisodeStore:
    """Collect episodes in one real environment, each from a reset seed of its own.

    Args:
        name: the task's, for messages.
        num_episodes: E.
        episode_length: T, the most env steps of an episode; the environment may end it sooner.

    Raises:
        CollectionStopped: the environment or the policy failed; the episodes before are in it.
    """
    kept = _Kept(world)
    for episode, seeds in enumerate(episode_seeds(num_episodes, generator).tolist()):
        reset_seed, policy_seed = seeds
        seen: list[np.ndarray] = []
        taken: list[np.ndarray] = []
        try:
            _run(world, reset_seed, policy_seed, episode_length, make_policy, seen, taken)
        except Fault as fault:
            raise CollectionStopped(
                f"task '{name}': {fault} at env step {len(seen)} of episode {episode} of a chunk "
                f"(reset seed {reset_seed}); mend it.",
                kept.store(),
            ) from fault
        kept.add(reset_seed, seen, from_actions(world.env.action_space, np.stack(taken)))
    store = kept.store()
    assert store is not None, num_episodes
    return store


def _run(
    world: GymWorld,
    reset_seed: int,
    policy_seed: int,
    episode_length: int,
    make_policy: MakePolicy,
    seen: list[np.ndarray],
    taken: list[np.ndarray],
) -> None:
    """Run one episode, writing observations and the environment's actions down as it goes on."""
    space = world.env.action_space
    moment = world.reset(reset_seed)
    with faults_of("the policy"):
        policy = make_policy(world.env.observation_space, space, policy_seed)
    seen.append(moment.observation)
    while len(taken) < episode_length and not moment.is_last:
        with faults_of("the policy"):
            chosen = policy(moment.raw)
        action = checked_action(space, chosen)
        taken.append(action)
        moment = world.step(action)
        seen.append(moment.observation)
