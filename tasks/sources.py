"""Where a task's data come from, as the settings say."""

from typing import Any, Protocol, runtime_checkable

from gymnasium import spaces

from hplan.collection import Source
from hplan.config import DataConfig
from hplan.shell import say
from tasks.collect import Collection
from tasks.spaces import left_out


@runtime_checkable
class OfSpaces(Protocol):
    """A task that is an environment with spaces of its own."""

    observation_space: spaces.Space
    action_space: spaces.Space


def data_source(task: Any, data: DataConfig, *, seed: int) -> Source:
    """The episodes of the task's own policy or another one, or a Minari dataset.

    Says so if parts of the observations are not looked at.

    Raises:
        ValueError: both a dataset and a policy.
    """
    if data.minari and data.policy:
        raise ValueError(
            f"data.minari = {data.minari!r} is a dataset that is there, data.policy = "
            f"{data.policy!r} collects one; give one of them."
        )
    if isinstance(task, OfSpaces) and (line := left_out(task.observation_space)):
        say(line)
    if data.minari:
        from tasks.minari_source import MinariSource

        return MinariSource(
            dataset_id=data.minari,
            task_name=task.name,
            task_spec=task.spec,
            task_spaces=(task.observation_space, task.action_space)
            if isinstance(task, OfSpaces)
            else None,
        )
    return Collection(
        task=task,
        num_episodes=data.num_episodes,
        episode_length=data.episode_length,
        seed=seed,
        policy=data.policy or None,
    )
