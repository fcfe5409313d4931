"""Where a run's episodes come from: a folder of earlier ones, the task itself, or other people."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from hplan.config import Config
from hplan.files import as_file_name
from hplan.level_config import level_configs, strides
from hplan.run import is_main_process
from hplan.shell import Stopped, say

if TYPE_CHECKING:
    from hplan.data import ClipSampler
    from hplan.dataset import EpisodeStore, ObservationSpec
    from hplan.dataset_writer import DatasetWriter
    from hplan.objective import ClipBatch
    from hplan.task import Task

Report = Callable[[Path, Any, Sequence[int]], list[str]]
HELD_OUT_SEED = 1_000_003  # added to the seed: episodes that no training run sees
HELD_OUT_EPISODES = 256
HELD_OUT_SHARE = 20  # of a dataset that nobody can add to, one episode in so many
HELD_OUT_CLIPS = 64
MINARI = "minari"  # in the metadata of a dataset of others: its id
SIZE = "minari_size"  # beside it: of how many episodes and env steps it was then


@runtime_checkable
class Reads(Protocol):
    """What a task is here."""

    @property
    def name(self) -> str:
        """As given to `build_task`."""

    @property
    def layout_seed(self) -> int:
        """Fixes the world."""

    @property
    def spec(self) -> "ObservationSpec":
        """What observations and actions look like."""


@runtime_checkable
class Source(Protocol):
    """Where episodes come from that are not there yet."""

    def metadata(self) -> dict[str, Any]:
        """Plain data on the origin of the episodes."""

    def asked(self) -> dict[str, Any]:
        """Plain data on how many, and in what chunks."""

    def chunks(self, first: int) -> "Iterator[EpisodeStore]":
        """The chunks of episodes from number `first` on, always the same."""

    def held_out(self, num_episodes: int, seed: int) -> "EpisodeStore | None":
        """Further episodes, of another seed; None where there are no others."""


def dataset_folder(config: Config) -> Path:
    """Where the episodes are: data.folder itself if it is a dataset, else a folder in it."""
    from hplan.dataset_files import METADATA_FILE

    folder, task, data = Path(config.data.folder), config.task, config.data
    if (folder / METADATA_FILE).exists():
        return folder
    if data.minari:
        return folder / f"minari-{as_file_name(data.minari)}"
    parts = [
        as_file_name(task.name),
        *([] if task.view == "full" else [task.view]),
        f"layout{task.layout_seed}",
        f"{data.num_episodes}x{data.episode_length}",
        f"s{config.seed}",
        *([as_file_name(data.policy)] if data.policy else []),
    ]
    return folder / "-".join(parts)


def collect_dataset(config: Config, task: Reads, source: Source) -> Path:
    """The folder of the episodes; those that are missing are written to it, chunk by chunk.

    Raises:
        ValueError: the collection stopped, and says what is kept and where; or those that are there
            are of another task or behaviour.
        Stopped: the user stopped it.
    """
    from hplan.dataset_writer import DatasetWriter

    folder = dataset_folder(config)
    if folder.exists():
        check_dataset(folder, task)
        if folder != Path(config.data.folder):
            _check_behaviour(folder, source)
        return folder
    with DatasetWriter(folder, metadata=source.metadata(), asked=source.asked()) as writer:
        if not writer.is_done:
            had = f", {writer.num_episodes} episodes are there" if writer.chunks else ""
            say(f"data: {folder} is missing; collecting it{had}")
            _fill(writer, source)
            writer.finish()
    return folder


def collect_and_tell(
    config: Config, task: Reads, source: Source, report: Report, *, again: bool = False
) -> Path:
    """`collect_dataset`, and says what the episodes cover if they are new.

    Args:
        report: of the folder, the task and each level's env steps of a clip, makes lines: how much
            it is, and what it covers. In one process, however many train together.
        again: says it of episodes that were there, too.
    """
    already = dataset_folder(config).exists()
    folder = collect_dataset(config, task, source)
    if is_main_process() and (again or not already):
        total, *lines = report(folder, task, clip_lengths(config))
        say(f"collect: {'found' if already else 'wrote'} {folder}: {total}")
        for line in lines:
            say(line)
    return folder


def _fill(writer: "DatasetWriter", source: Source) -> None:
    from hplan.dataset import CollectionStopped

    try:
        for chunk in source.chunks(len(writer.chunks)):
            writer.append(chunk)
    except CollectionStopped as stop:
        if stop.kept is not None:
            writer.append(stop.kept, unfinished=True)
        raise ValueError(f"{stop} {_kept(writer)}") from stop
    except KeyboardInterrupt as stop:
        raise Stopped(f"interrupted; {_kept(writer)}") from stop


def _kept(writer: "DatasetWriter") -> str:
    if not writer.chunks:
        return "No episode was finished; the same command starts again."
    return (
        f"{writer.num_episodes} episodes are kept in {writer.partial}: the same command goes on, "
        f"data.folder={writer.partial} uses them as they are."
    )


def clip_lengths(config: Config) -> list[int]:
    """For each level, bottom first, env steps of a clip that it learns from."""
    levels = level_configs(config.hierarchy)
    pairs = zip(levels, strides(levels), strict=True)
    return [stride * level.loss.longest for level, stride in pairs]


def episodes(config: Config, task: Reads, source: Source) -> "EpisodeStore":
    """The training episodes: loaded and checked, before that collected if they are missing."""
    return load_episodes(collect_dataset(config, task, source), task)


def with_goals_at_hand(config: Config, task: "Task") -> "Task":
    """The task, with goals from its data if that is where it takes them from and they are there.

    Raises:
        ValueError: they are of another task, or damaged.
    """
    from hplan.task import NeedsEpisodes

    folder = dataset_folder(config)
    if not isinstance(task, NeedsEpisodes) or not folder.exists():
        return task
    return task.with_episodes(load_episodes(folder, task))


def load_episodes(folder: Path, task: Reads) -> "EpisodeStore":
    """The episodes of a dataset, which must be of the task, or of others but look the same.

    Raises:
        ValueError: they are not, or the dataset is damaged.
    """
    from hplan.dataset import EpisodeStore

    check_dataset(folder, task)
    return EpisodeStore.load(folder)


def check_dataset(folder: Path, task: Reads) -> None:
    """Refuses a dataset that is not of the task, nor of others with the same looks."""
    from hplan.dataset import ObservationSpec
    from hplan.dataset_files import check_origin, read_metadata

    content = read_metadata(folder)
    if MINARI not in content["metadata"]:
        check_origin(folder, content, task=task.name, layout_seed=task.layout_seed)
    spec = ObservationSpec.from_dict(content["spec"])
    if spec != task.spec:
        raise ValueError(
            f"dataset {folder} has {spec}, task.name = {task.name} has {task.spec}; give the task "
            "that it was collected in, or another data.folder."
        )


def _check_behaviour(folder: Path, source: Source) -> None:
    """Refuses a dataset whose walkers behaved otherwise than those who would collect it now.

    So is one of others that has grown since.
    """
    from hplan.dataset_files import read_metadata

    before = read_metadata(folder)["metadata"]
    current = json.loads(json.dumps(source.metadata()))  # tuples become lists
    for told in ("behaviour", SIZE):
        then, now = before.get(told, {}), current.get(told, {})
        if not then or not now:
            continue  # of others, or of before it was written down
        for key in sorted(then | now):
            if then.get(key) != now.get(key):
                raise ValueError(
                    f"dataset {folder} was collected with {key} = {then.get(key)}, by now it is "
                    f"{now.get(key)}; delete the folder to collect again, or give "
                    f"data.folder={folder} to take it as it is."
                )


def clip_sources(
    config: Config, source: Source, store: "EpisodeStore"
) -> tuple["ClipSampler", "ClipBatch"]:
    """Where training draws its clips, and the held-out clips of validation.

    These are of episodes of another seed; where there are none, of the last 5 % of the dataset's
    that are long enough, which training does not see then.
    """
    from hplan.data import ClipSampler

    training = config.training
    held_out = source.held_out(HELD_OUT_EPISODES, config.seed + HELD_OUT_SEED)
    if held_out is None or not held_out.fraction_with(training.clip_length):
        store, held_out = split(store, training.clip_length)
    sampler, validation = (
        ClipSampler(
            of,
            batch_size=batch_size,
            clip_length=training.clip_length,
            num_goals=training.num_goals,
            seed=config.seed,
            evenly=training.evenly,
        )
        for of, batch_size in ((store, training.batch_size), (held_out, HELD_OUT_CLIPS))
    )
    return sampler, validation.draw(0)


def split(store: "EpisodeStore", clip_length: int) -> tuple["EpisodeStore", "EpisodeStore"]:
    """All but the last 5 % of the episodes that hold a clip, and these.

    Raises:
        ValueError: fewer than two hold one.
    """
    long_enough = np.flatnonzero(store.lengths >= clip_length)
    if len(long_enough) < 2:
        raise ValueError(
            f"training.clip_length = {clip_length}; {len(long_enough)} of the "
            f"{store.num_episodes} episodes are that long, and one to train on and one to "
            "validate with are needed; lower it, or give longer episodes."
        )
    last = long_enough[-max(1, len(long_enough) // HELD_OUT_SHARE) :]
    return tuple(
        replace(
            store,
            frame_index=store.frame_index[rows],
            actions=store.actions[rows],
            lengths=store.lengths[rows],
        )
        for rows in (np.setdiff1d(np.arange(store.num_episodes), last), last)
    )
