"""Where a task's data come from, as the settings say."""

from typing import Any

from tasks.collect import Collection


def data_source(
    task: Any, *, minari: str, policy: str, num_episodes: int, episode_length: int, seed: int
) -> Any:
    """A source of episodes, `hplan.collection.Source`.

    Args:
        task: that they are for.
        minari: id of a Minari dataset; "" lets the task collect.
        policy: import path of what wanders in place of the task's own policy; "" for that one.
        num_episodes, episode_length, seed: as in `tasks.collect.collect`.

    Raises:
        ValueError: both a dataset and a policy.
    """
    if minari and policy:
        raise ValueError(
            f"data.minari = {minari!r} is a dataset that is there, data.policy = {policy!r} "
            "collects one; give one of them."
        )
    if minari:
        from tasks.minari_source import MinariSource

        return MinariSource(dataset_id=minari, task_name=task.name, task_spec=task.spec)
    return Collection(
        task=task,
        num_episodes=num_episodes,
        episode_length=episode_length,
        seed=seed,
        policy=policy or None,
    )
