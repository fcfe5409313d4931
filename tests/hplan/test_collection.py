"""Where episodes come from: collected to disk, gone on with after a stop, and split."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hplan.collection import clip_sources, dataset_folder, episodes, load_episodes, split
from hplan.config import Config, DataConfig, TaskConfig, TrainingConfig
from hplan.dataset import CollectionStopped, EpisodeStore
from hplan.joining import joined
from hplan.shell import Stopped
from tests.hplan.walks import SPECS, same_episodes, walks

ORIGIN = {"task": "walk", "layout_seed": 0}
CHUNKS = [walks(chunk=chunk) for chunk in range(3)]


@dataclass
class Walks:
    """A source of three chunks, which fails before one of them; `asked_for` is from which on."""

    failure: BaseException | None = None
    fails_at: int = 0
    has_others: bool = False
    asked_for: int | None = None
    mistakes: float = 0.1
    whims: dict[str, float] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        behaviour = {"policy": "a.Walker", "mistakes": self.mistakes, "shares": (0.5, 0.5)}
        return {**ORIGIN, "behaviour": behaviour | self.whims}

    def asked(self) -> dict[str, Any]:
        return {}

    def chunks(self, first: int) -> Iterator[EpisodeStore]:
        self.asked_for = first
        for number in range(first, 3):
            if self.failure and number == self.fails_at:
                raise self.failure
            yield CHUNKS[number]

    def held_out(self, num_episodes: int, seed: int) -> EpisodeStore | None:
        return walks(chunk=seed, num_episodes=num_episodes) if self.has_others else None


@dataclass
class Task:
    name: str = "walk"
    layout_seed: int = 0
    spec = SPECS["grid"]


def _config(folder: Path, clip_length: int = 5, **data: Any) -> Config:
    return Config(
        task=TaskConfig(name="walk"),
        data=DataConfig(folder=str(folder), **data),
        training=TrainingConfig(clip_length=clip_length, batch_size=3, num_goals=2),
    )


def test_folders_are_named_after_what_makes_the_data(tmp_path):
    config = _config(tmp_path, num_episodes=7, episode_length=11)
    names = {
        "walk-layout0-7x11-s0": config,
        "walk-layout0-7x11-s5": replace(config, seed=5),
        "walk-partial-layout0-7x11-s0": replace(
            config, task=TaskConfig(name="walk", view="partial")
        ),
        "gym-A-B-v0-layout0-7x11-s0": replace(config, task=TaskConfig(name="gym:A/B-v0")),
        "walk-layout0-7x11-s0-my.Policy": _config(
            tmp_path, num_episodes=7, episode_length=11, policy="my.Policy"
        ),
        "minari-D4RL-walks-v2": _config(tmp_path, minari="D4RL/walks-v2"),
    }
    assert {dataset_folder(config).name: config for config in names.values()} == names


def test_episodes_are_collected_once(tmp_path, capsys):
    source = Walks()
    store = episodes(_config(tmp_path), Task(), source)
    assert same_episodes(store, joined(CHUNKS, {}))
    assert "is missing; collecting it\n" in capsys.readouterr().out
    again = episodes(_config(tmp_path), Task(), Walks(failure=AssertionError("collected twice")))
    assert same_episodes(again, store)
    folder = dataset_folder(_config(tmp_path))
    assert dataset_folder(_config(folder)) == folder, "a dataset's folder is taken as it is"


def test_episodes_of_walkers_who_behaved_otherwise_are_taken_only_by_name(tmp_path):
    config = _config(tmp_path)
    folder = dataset_folder(config)
    episodes(config, Task(), Walks())
    with pytest.raises(ValueError, match=r"with mistakes = 0\.1, by now it is 0\.2; delete .* or"):
        episodes(config, Task(), Walks(mistakes=0.2))
    with pytest.raises(ValueError, match=r"with whim = None, by now it is 0\.5; delete"):
        episodes(config, Task(), Walks(whims={"whim": 0.5}))
    assert episodes(_config(folder), Task(), Walks(mistakes=0.2)).num_episodes == 9


@pytest.mark.parametrize(
    ("failure", "kind", "message", "num_kept"),
    [
        (CollectionStopped("task 'walk': broke at env step 3."), ValueError, "broke at", 6),
        (CollectionStopped("Broke.", walks(chunk=2, num_episodes=2)), ValueError, "Broke.", 8),
        (KeyboardInterrupt(), Stopped, "interrupted; ", 6),
    ],
)
def test_what_is_collected_is_kept_and_gone_on_with(tmp_path, failure, kind, message, num_kept):
    config = _config(tmp_path)
    partial = Path(f"{dataset_folder(config)}.partial")
    with pytest.raises(kind) as error:
        episodes(config, Task(), Walks(failure=failure, fails_at=2))
    assert message in str(error.value)
    assert (
        f"{num_kept} episodes are kept in {partial}: the same command goes on, "
        f"data.folder={partial} uses them as they are." in str(error.value)
    )
    assert episodes(_config(partial), Task(), Walks()).num_episodes == num_kept
    source = Walks()
    assert same_episodes(episodes(config, Task(), source), joined(CHUNKS, {}))
    assert source.asked_for == 2, "two of three chunks were there"


def test_where_nothing_was_finished_nothing_is_promised(tmp_path):
    with pytest.raises(ValueError, match=r"Broke\. No episode was finished"):
        episodes(_config(tmp_path), Task(), Walks(failure=CollectionStopped("Broke.")))
    assert list(tmp_path.iterdir()) == []


def test_data_of_another_task_are_refused_and_those_of_others_must_look_the_same(tmp_path):
    for name, metadata in (("own", ORIGIN), ("theirs", {"task": "a/b-v0", "minari": "a/b-v0"})):
        replace(walks(), metadata=metadata).save(tmp_path / name)
    with pytest.raises(ValueError, match="is of task 'walk', 'swim' was asked for"):
        load_episodes(tmp_path / "own", Task(name="swim"))
    assert load_episodes(tmp_path / "theirs", Task(name="swim")).num_episodes == 3
    other = Task()
    other.spec = SPECS["vector"]
    with pytest.raises(ValueError, match=r"has Obs.*grid.*, task.name = walk has Obs.*vector"):
        load_episodes(tmp_path / "theirs", other)


def test_held_out_clips_are_of_other_episodes(tmp_path):
    store = joined([walks(chunk=chunk, num_episodes=101) for chunk in range(2)], {})
    rest, held_out = split(store, clip_length=5)
    long_enough = np.flatnonzero(store.lengths >= 5)
    assert held_out.num_episodes == len(long_enough) // 20 and held_out.lengths.min() >= 5
    assert rest.num_episodes == store.num_episodes - held_out.num_episodes
    assert np.array_equal(held_out.actions, store.actions[long_enough[-held_out.num_episodes :]])
    sampler, _ = clip_sources(_config(tmp_path), Walks(), store)
    assert len(sampler.lengths) == rest.num_episodes
    sampler, _ = clip_sources(_config(tmp_path), Walks(has_others=True), store)
    assert len(sampler.lengths) == store.num_episodes


@pytest.mark.parametrize("evenly", ["starts", "steps"])
def test_clips_are_drawn_as_the_training_settings_say(tmp_path, evenly):
    config = _config(tmp_path)
    config = replace(config, seed=7, training=replace(config.training, evenly=evenly))
    sampler, _ = clip_sources(config, Walks(has_others=True), walks())
    assert (sampler.evenly, sampler.seed) == (evenly, 7)
    assert (sampler.batch_size, sampler.clip_length, sampler.num_goals) == (3, 5, 2)


def test_a_dataset_with_one_long_episode_cannot_be_split():
    with pytest.raises(ValueError, match="clip_length = 5; 1 of the 3 episodes are that long"):
        split(walks(), clip_length=5)
