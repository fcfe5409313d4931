"""Where a task's data come from, as the settings say."""

from typing import Any

from hplan.collection import Source
from hplan.config import DataConfig
from tasks.collect import Collection


def data_source(task: Any, data: DataConfig, *, seed: int) -> Source:
    """The episodes of the task's own policy or another one, or a Minari dataset.

    Raises:
        ValueError: both a dataset and a policy.
    """
    if data.minari and data.policy:
        raise ValueError(
            f"data.minari = {data.minari!r} is a dataset that is there, data.policy = "
            f"{data.policy!r} collects one; give one of them."
        )
    if data.minari:
        from tasks.minari_source import MinariSource

        return MinariSource(dataset_id=data.minari, task_name=task.name, task_spec=task.spec)
    return Collection(
        task=task,
        num_episodes=data.num_episodes,
        episode_length=data.episode_length,
        seed=seed,
        policy=data.policy or None,
    )
