"""Collects a task's reward-free episodes chunk by chunk, in one process or several.

Every chunk draws from its own stream of the seed, so the episodes are the same whatever the number
of processes, and a collection that was interrupted goes on with the chunk that it lacked.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hplan.dataset import CollectionStopped, EpisodeStore
from hplan.joining import joined
from tasks.seeds import Stream, stream_generator

EPISODES_PER_CHUNK = 500
SECONDS_WORTH_A_PROCESS = 15  # it takes some 2 of them to start

logger = logging.getLogger(__name__)


@runtime_checkable
class Wanders(Protocol):
    """What a task is here. To be collected by several processes it must pickle."""

    @property
    def name(self) -> str:
        """As given to `build_task`."""

    @property
    def layout_seed(self) -> int:
        """Fixes the world."""

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters, plain data."""

    @property
    def episodes_per_chunk(self) -> int:
        """How many episodes are drawn from one stream; another number makes other data."""

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Any = None,
    ) -> EpisodeStore:
        """That many reward-free episodes, a pure function of the arguments."""


def behaviour_of(policy: object) -> dict[str, Any]:
    """A behaviour policy's name and, of a dataclass, its parameters: for a dataset's metadata.

    Args:
        policy: an instance, a class or function, or the import path of one.
    """
    if isinstance(policy, str):
        return {"policy": policy}
    if isinstance(policy, type | FunctionType):
        return {"policy": f"{policy.__module__}.{policy.__qualname__}"}
    name = {"policy": f"{type(policy).__module__}.{type(policy).__qualname__}"}
    return {**name, **asdict(policy)} if is_dataclass(policy) else name


def origin(task: Wanders, *, seed: int, policy: Any = None) -> dict[str, Any]:
    """Where episodes come from, plain data: the metadata of a dataset."""
    return {
        "task": task.name,
        "layout_seed": task.layout_seed,
        "version": _library_version(),
        "seed": seed,
        "behaviour": task.behaviour if policy is None else behaviour_of(policy),
    }


def collect(
    task: Wanders,
    *,
    num_episodes: int,
    episode_length: int,
    seed: int,
    num_workers: int = 1,
    policy: Any = None,
) -> EpisodeStore:
    """Collect episodes into memory; the result is the same whatever `num_workers`.

    Args:
        num_episodes: E.
        episode_length: T, the most env steps of an episode.
        seed: every chunk of episodes draws from its own stream of this seed.
        num_workers: processes; 1 stays in this one, which is quickest below some million steps.
        policy: what wanders in place of the task's own behaviour policy.
    """
    chunks = collect_chunks(
        task,
        num_episodes=num_episodes,
        episode_length=episode_length,
        seed=seed,
        num_workers=num_workers,
        policy=policy,
    )
    return joined(chunks, origin(task, seed=seed, policy=policy))


def collect_chunks(
    task: Wanders,
    *,
    num_episodes: int,
    episode_length: int,
    seed: int,
    num_workers: int = 1,
    policy: Any = None,
    first: int = 0,
) -> Iterator[EpisodeStore]:
    """Collect episodes of which only a few chunks are in memory at a time.

    Args:
        first: the chunk to begin with, of those that all the episodes have; other arguments are
            as in `collect`.
    """
    for name, value in (
        ("num_episodes", num_episodes),
        ("episode_length", episode_length),
        ("num_workers", num_workers),
    ):
        if value < 1:
            raise ValueError(f"{name} = {value} must be at least 1; give a positive integer.")
    per_chunk = task.episodes_per_chunk
    work = [
        (min(per_chunk, num_episodes - begin), episode_length, seed, begin // per_chunk, policy)
        for begin in range(first * per_chunk, num_episodes, per_chunk)
    ]
    if num_workers == 1 or len(work) < 2:
        return (_chunk(task, *arguments) for arguments in work)
    return _in_processes(task, work, num_workers)


def _chunk(
    task: Wanders, num_episodes: int, episode_length: int, seed: int, chunk: int, policy: Any
) -> EpisodeStore:
    generator = stream_generator(Stream.DATA, seed, chunk)
    return task.wander(num_episodes, episode_length, generator, policy)


def _in_processes(
    task: Wanders, work: list[tuple[Any, ...]], num_workers: int
) -> Iterator[EpisodeStore]:
    """Chunks in their order; no process begins one before an earlier one has been taken."""
    context = multiprocessing.get_context("spawn")
    num_workers = min(num_workers, len(work))
    waiting: deque[Future[EpisodeStore]] = deque()
    pool = ProcessPoolExecutor(num_workers, context, initializer=_remember, initargs=(task,))
    with pool:
        try:
            for arguments in work:
                waiting.append(pool.submit(_chunk_of_remembered, *arguments))
                if len(waiting) > num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise CollectionStopped(
                f"task '{task.name}': a process that collected was killed, perhaps for its memory."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """What a worker process remembers: the task, which is pickled only once."""

    task: Wanders
    is_collecting = False


def _remember(task: Wanders) -> None:
    _Worker.task = task
    signal.signal(signal.SIGINT, _on_interrupt)


def _on_interrupt(number: int, frame: object) -> None:
    """Ctrl-C, which every process gets: leave the chunk, but die at no bad moment."""
    if _Worker.is_collecting:
        raise KeyboardInterrupt


def _chunk_of_remembered(*arguments: Any) -> EpisodeStore:
    _Worker.is_collecting = True
    try:
        return _chunk(_Worker.task, *arguments)
    finally:
        _Worker.is_collecting = False


def _library_version() -> str:
    try:
        return version("hplan")
    except PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A task's own episodes as a source of them; arguments as in `collect`.

    Attributes:
        task: may wander or not; one that does not needs a dataset of others.
    """

    task: Any
    num_episodes: int
    episode_length: int
    seed: int
    policy: Any = None

    def metadata(self) -> dict[str, Any]:
        """Where the episodes come from, plain data."""
        return origin(self._wanderer, seed=self.seed, policy=self.policy)

    def asked(self) -> dict[str, Any]:
        """How many episodes, and in what chunks."""
        return {
            "data.num_episodes": self.num_episodes,
            "data.episode_length": self.episode_length,
            "episodes in a chunk": self._wanderer.episodes_per_chunk,
        }

    def chunks(self, first: int) -> Iterator[EpisodeStore]:
        """The chunks from number `first` on; by several processes where that is soon quicker."""
        task, begin = self._wanderer, time.perf_counter()
        yield from self._chunks(first, min(self._num_chunks, first + 1), 1)
        seconds_left = (time.perf_counter() - begin) * (self._num_chunks - first - 1)
        several = seconds_left > SECONDS_WORTH_A_PROCESS and _pickles((task, self.policy))
        yield from self._chunks(first + 1, self._num_chunks, _num_cores() if several else 1)

    def held_out(self, num_episodes: int, seed: int) -> EpisodeStore | None:
        """Further episodes of another seed; None of a task that does not wander."""
        if not isinstance(self.task, Wanders):
            return None
        return collect(
            self.task,
            num_episodes=num_episodes,
            episode_length=self.episode_length,
            seed=seed,
            policy=self.policy,
        )

    @property
    def _wanderer(self) -> Wanders:
        if not isinstance(self.task, Wanders):
            raise ValueError(
                f"task '{self.task.name}' has no behaviour policy to collect with; give a dataset "
                "of it, data.minari or data.folder."
            )
        return self.task

    @property
    def _num_chunks(self) -> int:
        return -(-self.num_episodes // self._wanderer.episodes_per_chunk)

    def _chunks(self, first: int, last: int, num_workers: int) -> Iterator[EpisodeStore]:
        return collect_chunks(
            self.task,
            num_episodes=min(self.num_episodes, last * self._wanderer.episodes_per_chunk),
            episode_length=self.episode_length,
            seed=self.seed,
            num_workers=num_workers,
            policy=self.policy,
            first=first,
        )


def _pickles(value: object) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        logger.warning(f"collecting in one process, for the task does not pickle ({error})")
        return False
    return True


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
