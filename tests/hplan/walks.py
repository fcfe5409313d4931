"""Small stores of every kind of observation and action, each chunk another."""

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec

SPECS = {
    "grid": ObservationSpec(shape=(5, 7, 2), num_values=(11, 3), num_actions=3),
    "pixels": ObservationSpec(kind="pixels", shape=(5, 7, 3), num_actions=200),
    "vector": ObservationSpec(
        kind="vector", shape=(13,), action_low=(-1.0, 0.0), action_high=(1.0, 0.5)
    ),
}


def walks(kind: str = "grid", *, chunk: int = 0, num_episodes: int = 3, longest: int = 11):
    """Episodes of several lengths; of grids, some are the same in every chunk."""
    random, spec = np.random.default_rng(chunk), SPECS[kind]
    lengths = np.arange(num_episodes) % longest + 1
    lengths[-1] = longest
    index = np.zeros((num_episodes, longest + 1), np.int32)
    actions = np.zeros((num_episodes, longest, *spec.action_shape), spec.action_dtype)
    seen = np.arange(longest + 1) <= lengths[:, None]
    index[seen] = np.arange(seen.sum())
    actions[seen[:, 1:]] = spec.random_actions(random, int(lengths.sum()))
    if kind == "vector":
        frames = random.normal(size=(seen.sum(), *spec.shape))
    else:
        frames = random.integers(0, 3, size=(seen.sum(), *spec.shape))
        frames[: seen.sum() // 2] = 0
        frames[: seen.sum() // 2, 0, 0, 0] = np.arange(seen.sum() // 2) % 11
    return EpisodeStore(
        frames=frames.astype(spec.dtype),
        frame_index=index,
        actions=actions,
        lengths=lengths,
        spec=spec,
        metadata={"task": "walk", "layout_seed": 17},
    )


def same_episodes(first: EpisodeStore, second: EpisodeStore) -> bool:
    """Whether what was seen and done is the same, however it is numbered."""
    return (
        first.spec == second.spec
        and np.array_equal(first.lengths, second.lengths)
        and np.array_equal(first.actions, second.actions)
        and all(
            np.array_equal(first.observations(episode), second.observations(episode))
            for episode in range(first.num_episodes)
        )
    )
