"""Minari datasets of other people: read as they are, or refused with one clear line."""

from dataclasses import replace

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text
from minari.data_collector import EpisodeBuffer

from hplan.collection import collect_dataset
from hplan.config import Config, DataConfig, TaskConfig
from hplan.dataset import EpisodeStore
from hplan.dataset_writer import DatasetWriter
from tasks import minari_source
from tasks.minari_source import MinariSource, import_minari
from tasks.sources import data_source
from tasks.spaces import spec_of, to_observation
from tests.tasks.corridor_tasks import corridor

pytestmark = pytest.mark.filterwarnings("ignore:.*is set to None", "ignore:env_spec is None")
ID, LENGTHS = "others/walks-v0", (3, 7, 5)
SPEED = Box(-np.inf, np.inf, (3,), np.float64)
PUSH = Box(-1, 1, (2,), np.float32)
SPACES = {
    "vector": SPEED,
    "goals": Dict({"observation": SPEED, "achieved_goal": SPEED, "desired_goal": SPEED}),
    "minigrid": Dict(
        {"image": Box(0, 255, (7, 5, 3), np.uint8), "direction": Discrete(4), "mission": Text(9)}
    ),
    "image": Box(0, 255, (3, 32, 37), np.uint8),
    "numbers": MultiDiscrete([2, 3]),
    "number": Discrete(5),
    "parts": Dict({"speed": SPEED, "place": Discrete(4)}),
}


@pytest.fixture(autouse=True)
def datasets_path(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def _values(space, count):
    values = [space.sample() for _ in range(count)]
    if "mission" in getattr(space, "spaces", {}):
        values = [{**v, "image": v["image"] % np.uint8(4), "mission": "go"} for v in values]
    return values


def _stacked(space, values):
    if isinstance(space, Dict):
        return {k: _stacked(part, [v[k] for v in values]) for k, part in space.spaces.items()}
    return values if isinstance(space, Text) else np.stack(values)


def _buffer(number, seed, observations, actions):
    return EpisodeBuffer(
        id=number,
        seed=seed,
        observations=observations,
        actions=actions,
        rewards=np.zeros(len(actions)),
        terminations=np.zeros(len(actions), bool),
        truncations=np.arange(1, len(actions) + 1) == len(actions),
    )


def _write(space, acted=PUSH, *, seeds=(11, 2**63 + 5, 13), change=None):
    """A dataset of three episodes; gives what was seen and done in each."""
    space.seed(0)
    acted.seed(0)
    seen = [_values(space, length + 1) for length in LENGTHS]
    taken = [np.stack([acted.sample() for _ in range(length)]) for length in LENGTHS]
    if change:
        change(seen, taken)
    buffers = [
        _buffer(number, seed, _stacked(space, observations), actions)
        for number, (observations, actions, seed) in enumerate(zip(seen, taken, seeds, strict=True))
    ]
    minari.create_dataset_from_buffers(
        ID, buffers, observation_space=space, action_space=acted, jpeg_encoding=False
    )
    return seen, taken


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_observations_are_those_that_the_environment_would_show(space):
    seen, taken = _write(space)
    store = import_minari(ID)
    assert store.spec == spec_of(space, PUSH)
    assert store.lengths.tolist() == list(LENGTHS)
    for episode in range(3):
        expected = np.stack([to_observation(space, value) for value in seen[episode]])
        assert np.array_equal(store.observations(episode), expected)
        assert np.array_equal(store.actions[episode, : LENGTHS[episode]], taken[episode])


def test_numbered_actions_begin_at_zero():
    _, taken = _write(SPEED, Discrete(4, start=-2))
    store = import_minari(ID)
    assert store.spec.num_actions == 4 and store.actions.dtype == np.int8
    assert store.actions[1].tolist() == (taken[1] + 2).tolist()


def test_the_origin_is_told_with_the_seeds_if_all_are_known():
    _write(SPEED)
    assert MinariSource(dataset_id=ID).metadata() == {
        "task": ID,
        "minari": ID,
        "minari_size": {"episodes": 3, "steps": sum(LENGTHS)},
        "behaviour": {"policy": "not told"},
        "reset_seeds": [11, 2**63 + 5, 13],
    }


def test_seeds_that_are_not_all_known_are_not_told():
    _write(SPEED, seeds=(11, None, 13))
    assert "reset_seeds" not in MinariSource(dataset_id=ID).metadata()


def test_it_is_converted_some_episodes_at_a_time(monkeypatch, tmp_path):
    _write(SPEED)
    monkeypatch.setattr(minari_source, "_MOST_EPISODES_PER_CHUNK", 2)
    source = MinariSource(dataset_id=ID)
    assert [chunk.num_episodes for chunk in source.chunks(0)] == [2, 1]
    assert [chunk.lengths.tolist() for chunk in source.chunks(1)] == [[LENGTHS[2]]]
    with DatasetWriter(tmp_path / "a", metadata=source.metadata(), asked=source.asked()) as writer:
        for chunk in source.chunks(0):
            writer.append(chunk)
        writer.finish()
    store, whole = EpisodeStore.load(tmp_path / "a"), import_minari(ID)
    assert np.array_equal(store.frames, whole.frames)
    assert np.array_equal(store.actions, whole.actions) and store.metadata == whole.metadata
    assert source.held_out(5, 0) is None


def test_a_dataset_that_has_grown_is_not_what_was_converted(tmp_path):
    task = corridor()
    seen, taken = _write(task.observation_space, task.action_space)
    asked = DataConfig(minari=ID, folder=str(tmp_path / "data"))
    config = Config(task=TaskConfig(name=task.name), data=asked)

    def converted(config):
        source = data_source(task, asked, seed=0)  # as another process would open it
        return collect_dataset(config, task, source)

    folder = converted(config)
    assert converted(config) == folder
    more = _buffer(3, 17, np.stack(seen[1]), taken[1])
    minari.load_dataset(ID).update_dataset_from_buffer([more])
    with pytest.raises(ValueError) as error:
        converted(config)
    assert f"dataset {folder} was collected with episodes = 3, by now it is 4; delete the" in str(
        error.value
    )
    by_name = replace(config, data=replace(asked, folder=str(folder)))
    assert EpisodeStore.load(converted(by_name)).num_episodes == 3


def test_the_task_of_another_environment_is_refused():
    _write(SPEED)
    source = MinariSource(
        dataset_id=ID, task_name="gym:Other-v0", task_spec=spec_of(SPEED, Discrete(3))
    )
    with pytest.raises(ValueError) as error:
        next(source.chunks(0))
    said = str(error.value)
    assert f"Minari dataset {ID} has observations Box(-inf, inf, (3,), float64) and actions" in said
    assert "task 'gym:Other-v0' has ObservationSpec(kind='vector'" in said
    same = MinariSource(dataset_id=ID, task_name="a", task_spec=spec_of(SPEED, PUSH))
    assert next(same.chunks(0)).num_episodes == 3


def _for(observed, acted):
    """The dataset, as data of a task with these spaces."""
    return MinariSource(
        dataset_id=ID,
        task_name="gym:Other-v0",
        task_spec=spec_of(observed, acted),
        task_spaces=(observed, acted),
    )


MOVES = Discrete(3, start=5)
DIGITS = MultiDiscrete([2, 3])


@pytest.mark.parametrize(
    ("held", "acted", "wanted", "done"),
    [
        (SPEED, MOVES, SPEED, Discrete(3)),
        (Box(-50, 50, (2,), np.float64), MOVES, Box(-1, 1, (2,), np.float32), MOVES),
        (DIGITS, MOVES, Discrete(5), MOVES),
        (DIGITS, MOVES, MultiDiscrete([2, 3], start=[1, 0]), MOVES),
        (SPACES["parts"], MOVES, Dict({"a": SPEED, "b": Discrete(4)}), MOVES),
        (SPACES["parts"], MOVES, Dict({"speed": SPEED, "place": Discrete(4, start=1)}), MOVES),
    ],
)
def test_other_spaces_are_refused_though_a_stack_would_see_the_same(held, acted, wanted, done):
    assert spec_of(held, acted) == spec_of(wanted, done)
    _write(held, acted)
    with pytest.raises(ValueError) as error:
        _for(wanted, done).metadata()
    said = str(error.value)
    assert f"Minari dataset {ID} has observations {held} and actions {acted}, task " in said
    assert f"'gym:Other-v0' has observations {wanted} and actions {done}; give" in said
    assert _for(held, acted).metadata()["task"] == ID


def test_the_data_of_a_gymnasium_task_must_have_its_spaces():
    task, asked = corridor(), DataConfig(minari=ID)
    _write(task.observation_space, Discrete(2))
    with pytest.raises(ValueError, match=r"actions Discrete\(2\), task .* Discrete\(2, start=1\)"):
        data_source(task, asked, seed=0).metadata()


def test_dtypes_and_parts_that_are_not_read_may_differ():
    far = Box(-np.pi, 1.0, (3,), np.float64)
    held = Dict({"observation": far, "achieved_goal": SPEED, "desired_goal": SPEED})
    other = Box(-1, 1, (4,), np.float32)
    near = Box(-np.pi, 1.0, (3,), np.float32)
    wanted = Dict({"observation": near, "achieved_goal": other, "desired_goal": other})
    _write(held)
    assert next(_for(wanted, Box(-1, 1, (2,), np.float64)).chunks(0)).num_episodes == 3


def test_spaces_that_cannot_be_taken_are_refused():
    _write(SPEED, MultiDiscrete([2, 2]))
    with pytest.raises(ValueError, match=f"Minari dataset {ID}: actions MultiDiscrete.* cannot be"):
        import_minari(ID)


def test_values_that_are_not_numbers_are_named():
    def spoil(seen, taken):
        seen[1][4] = np.array([0.0, np.nan, 0.0])

    _write(SPEED, change=spoil)
    with pytest.raises(ValueError, match=f"{ID}, episode 1, step 4: nan at \\[1\\] is not of Box"):
        import_minari(ID)


def test_actions_outside_their_space_are_named():
    def spoil(seen, taken):
        taken[2][3, 1] = 1.5

    _write(SPEED, change=spoil)
    with pytest.raises(ValueError, match=f"{ID}, episode 2, step 3: 1.5 at \\[1\\] is not of Box"):
        import_minari(ID)


def test_an_observation_too_few_is_named(datasets_path):
    _write(SPEED)
    with h5py.File(next((datasets_path / ID).rglob("*.hdf5")), "a") as file:
        shorter = file["episode_1/observations"][:-1]
        del file["episode_1/observations"]
        file["episode_1/observations"] = shorter
    with pytest.raises(ValueError, match=f"{ID}, episode 1: 7 observations and 7 actions"):
        import_minari(ID)


def test_a_real_environment_replays_what_was_read():
    env, buffers = gym.make("CartPole-v1"), []
    for seed in range(3):
        seen, actions, ended = [env.reset(seed=seed)[0]], [], False
        while not ended:
            actions.append(len(actions) % 2)
            observation, _, ended, _, _ = env.step(actions[-1])
            seen.append(observation)
        buffers.append(
            EpisodeBuffer(
                id=seed,
                seed=seed,
                observations=np.stack(seen),
                actions=np.array(actions),
                rewards=np.ones(len(actions)),
                terminations=np.arange(1, len(actions) + 1) == len(actions),
                truncations=np.zeros(len(actions), bool),
            )
        )
    minari.create_dataset_from_buffers(ID, buffers, env=env, algorithm_name="to and fro")
    store = import_minari(ID)
    assert store.spec == spec_of(env.observation_space, env.action_space)
    assert store.metadata["reset_seeds"] == [0, 1, 2]
    assert store.metadata["behaviour"] == {"policy": "to and fro"}
    first, _ = env.reset(seed=2)
    assert np.array_equal(store.observations(2)[0], first)
    for step, action in enumerate(store.actions[2, : store.lengths[2]]):
        assert np.array_equal(store.observations(2)[step + 1], env.step(int(action))[0])
