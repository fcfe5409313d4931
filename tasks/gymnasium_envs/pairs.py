"""Start-goal pairs of a gymnasium environment: reset seeds, and goals that the data has shown."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.names import find_class
from tasks.gymnasium_envs.behaviour import RESET_SEEDS, episode_seeds
from tasks.seeds import LARGEST_SEED, Stream, stream_generator
from tasks.suite import Bins

logger = logging.getLogger(__name__)

NUM_SEEDS = 2**64  # Minari draws seeds of 64 bits; those from 2^63 on are negative as int64

GOAL = "task.goal"
_MOST_ROUNDS = 30
_TRIED_SEEDS = 4
ChooseGoal = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def bins_of(goal: str, goal_offset: int) -> Bins:
    """The nearer and the farther half of the offsets; one bin with a function `goal`."""
    if goal or goal_offset == 1:
        return (("goal", 1, goal_offset),)
    half = goal_offset // 2
    return (("near", 1, half), ("far", half, goal_offset))


def told_seeds(store: EpisodeStore, task: str, episodes_per_chunk: int) -> np.ndarray | None:
    """(E,) int64, modulo 2^64, the reset seeds that a dataset tells of; None if it tells none.

    A dataset of others may list them; of one that `tasks.collect` made they follow from its seed.

    Args:
        task: name of the task that they are wanted for.
        episodes_per_chunk: that the task draws from one stream.
    """
    listed, seed = store.metadata.get(RESET_SEEDS), store.metadata.get("seed")
    if listed is not None:
        known = None not in listed and len(listed) == store.num_episodes
        return np.array(listed, dtype=np.uint64).astype(np.int64) if known else None
    if store.metadata.get("task") != task or not isinstance(seed, int):
        return None
    drawn = [
        episode_seeds(
            min(episodes_per_chunk, store.num_episodes - begin),
            stream_generator(Stream.DATA, seed, begin // episodes_per_chunk),
        )[:, 0]
        for begin in range(0, store.num_episodes, episodes_per_chunk)
    ]
    return np.concatenate(drawn)


def confirmed_seeds(
    starts: np.ndarray | None,
    store: EpisodeStore,
    task: str,
    first_seen: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray | None:
    """`starts` (E,), if a few that are tried give the first observations of their episodes.

    Args:
        first_seen: of starts (P,), the observations (P, *spec.shape) right after the reset.
    """
    if starts is None:
        return None
    tried = np.linspace(0, len(starts) - 1, min(_TRIED_SEEDS, len(starts))).astype(int)
    first = np.stack([store.observations(int(episode))[0] for episode in tried])
    if np.allclose(first_seen(starts[tried]), first, rtol=1e-4, atol=1e-5):
        return starts
    logger.warning(
        "task '%s': the reset seeds of the data do not give its first observations here; starts "
        "are drawn anew",
        task,
    )
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSource:
    """Draws pairs, none of which is a success from the start.

    Attributes:
        task: its name, for messages.
        episodes: the data.
        reset_seeds: (E,) int64 with which its episodes began; None where they are not known.
        goal, goal_offset: as in `tasks.gymnasium_envs.task.GymTask`.
        is_reached: of starts (P,) and goals (P, *spec.shape), whether they are a success already.
    """

    task: str
    episodes: EpisodeStore
    reset_seeds: np.ndarray | None
    goal: str
    goal_offset: int
    is_reached: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def draw(
        self, lowest: int, highest: int, num_pairs: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw (P,) int64 starts, (P, *spec.shape) goals, (P,) int64 offsets.

        A goal lies `lowest` to `highest` env steps after its episode's start. The pair starts
        where that episode did, if its reset seed is known, else with a fresh seed. A function
        `goal` may look at the whole episode, and then all starts are fresh.

        Raises:
            ValueError: the function `goal` fails, or nearly all goals are reached at the start.
        """
        found: list[tuple[np.ndarray, ...]] = []
        missing = num_pairs
        for _ in range(_MOST_ROUNDS):
            proposed = self._propose(lowest, highest, missing, generator)
            is_due = ~self.is_reached(proposed[0], proposed[1])
            found.append(tuple(part[is_due] for part in proposed))
            missing -= int(is_due.sum())
            if not missing:
                starts, goals, offsets = (np.concatenate(p) for p in zip(*found, strict=True))
                return starts, goals, offsets
        raise ValueError(
            f"task '{self.task}': of goals {lowest} to {highest} env steps away nearly every one "
            "counts as reached at the start; raise task.goal_offset, or give task.goal, "
            "task.success or a smaller task.tolerance."
        )

    def _propose(
        self, lowest: int, highest: int, num_pairs: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `draw`, of pairs that may be a success from the start."""
        store, seeds = self.episodes, None if self.goal else self.reset_seeds
        usable = np.flatnonzero(store.lengths >= (1 if self.goal else lowest))
        rows = generator.choice(usable, num_pairs)
        fresh = generator.integers(LARGEST_SEED, size=num_pairs)
        starts = fresh if seeds is None else seeds[rows]
        if self.goal:
            choose = find_class(self.goal, {}, GOAL)
            goals = [self._chosen(choose, store.observations(int(row)), generator) for row in rows]
            return starts, np.stack(goals), np.full(num_pairs, self.goal_offset)
        offsets = generator.integers(lowest, np.minimum(highest, store.lengths[rows]) + 1)
        return starts, store.frames[store.frame_index[rows, offsets]], offsets

    def _chosen(
        self, choose: ChooseGoal, observations: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        spec: ObservationSpec = self.episodes.spec
        try:
            goal = np.asarray(choose(observations, generator)).astype(spec.dtype)
        except Exception as error:
            raise ValueError(
                f"{GOAL} = {self.goal} raised {type(error).__name__}: {error}; mend it."
            ) from error
        if goal.shape != spec.shape or not np.isfinite(goal).all():
            raise ValueError(
                f"{GOAL} = {self.goal} returned {goal.shape} numbers, {goal.reshape(-1)[:8]}; it "
                f"must return one observation of {spec.shape} finite numbers."
            )
        return goal
