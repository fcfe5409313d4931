"""The batched simulator against MiniGrid itself, cell for cell."""

import pickle

import gymnasium as gym
import minigrid  # noqa: F401  (registers the official ids)
import numpy as np
import pytest

from tasks import build_task
from tasks.simulator import FORWARD, GridBatch, GridWorld
from tasks.wander import Wanderer, wander
from tests.tasks.minigrid_env import fully_observed, place

B, T, LAYOUT_SEED = 3, 251, 7

ENVIRONMENTS = {
    "rooms": ("hplan/Rooms-v0", {"layout_seed": LAYOUT_SEED}),
    "rooms-large": ("hplan/RoomsLarge-v0", {"layout_seed": LAYOUT_SEED}),
    "rooms-tiny": ("hplan/RoomsTiny-v0", {"layout_seed": LAYOUT_SEED}),
    "four-rooms": ("MiniGrid-FourRooms-v0", {}),
}


def _image(env: gym.Env) -> np.ndarray:
    return env.observation(env.unwrapped.gen_obs())["image"]


@pytest.mark.parametrize(
    "name", ["rooms", pytest.param("rooms-large", marks=pytest.mark.slow), "four-rooms"]
)
def test_walks_equal_minigrid_cell_for_cell(name):
    task = build_task(name, LAYOUT_SEED)
    generator = np.random.default_rng(5)
    visited, actions = wander(
        transitions=task.world.transitions,
        in_lava=task.world.in_lava,
        starts=generator.integers(task.world.num_states, size=B),
        num_steps=T,
        wanderer=Wanderer(),
        generator=generator,
    )
    batch = task.batch(task.world.all_states[visited[:, 0]])
    images = np.empty((B, T + 1, *task.spec.shape), np.uint8)
    images[:, 0] = batch.observe()
    for t in range(T):
        batch.step(actions[:, t])
        images[:, t + 1] = batch.observe()
    assert (visited[:, :-1] == visited[:, 1:]).any(), "no walk bumped into a wall"
    assert np.array_equal(images, task.world.frames()[visited])

    env = fully_observed(*ENVIRONMENTS[name], LAYOUT_SEED)
    for b in range(B):
        place(env, task.world.all_states[visited[b, 0]])
        assert np.array_equal(images[b, 0], _image(env))
        for t in range(T):
            assert np.array_equal(images[b, t + 1], env.step(actions[b, t])[0]["image"]), (b, t)


def test_every_state_and_action_equals_minigrid():
    world = build_task("rooms-tiny", LAYOUT_SEED).world
    env = fully_observed(*ENVIRONMENTS["rooms-tiny"], LAYOUT_SEED)
    for index, state in enumerate(world.all_states):
        for action in range(3):
            place(env, state)
            env.unwrapped.step(action)
            arrived = np.array([*env.unwrapped.agent_pos, env.unwrapped.agent_dir])
            assert np.array_equal(world.all_states[world.transitions[index, action]], arrived)


def test_rooms_are_as_large_as_their_layout():
    sizes = {name: build_task(name, LAYOUT_SEED).spec.shape[0] for name in ENVIRONMENTS}
    assert sizes == {"rooms": 25, "rooms-large": 49, "rooms-tiny": 13, "four-rooms": 19}


def test_states_are_numbered_once_and_look_different():
    world = build_task("rooms-tiny", LAYOUT_SEED).world
    assert np.array_equal(world.state_index(world.all_states), np.arange(world.num_states))
    frames = world.frames().reshape(world.num_states, -1)
    assert len(np.unique(frames, axis=0)) == world.num_states == 4 * (~world.walls).sum()


def test_width_and_height_are_not_swapped():
    walls = np.ones((5, 7), bool)
    walls[1:4, 1:6] = False
    world = GridWorld.from_walls(walls)
    assert world.background.shape == (7, 5, 3)
    batch = GridBatch(world, np.array([[4, 3, 0]]))
    batch.step(np.array([FORWARD]))
    batch.step(np.array([FORWARD]))
    assert batch.states.tolist() == [[5, 3, 0]]


def test_world_survives_pickling_without_its_tables():
    world = build_task("rooms", LAYOUT_SEED).world
    fresh_size = len(pickle.dumps(world))
    transitions = world.transitions
    content = pickle.dumps(world)
    assert len(content) == fresh_size
    assert np.array_equal(pickle.loads(content).transitions, transitions)


@pytest.mark.parametrize("state", [(0, 0, 0), (-1, 1, 0), (1, 13, 0), (1, 1, 4), (1, 1, -1)])
def test_impossible_states_are_refused(state):
    world = build_task("rooms-tiny", LAYOUT_SEED).world
    with pytest.raises(ValueError, match=r"state \(.*\) is in a wall or outside the 13 x 13"):
        GridBatch(world, np.array([[1, 1, 0], state]))


@pytest.mark.parametrize("action", [-1, 3])
def test_unknown_actions_are_refused(action):
    world = build_task("rooms-tiny", LAYOUT_SEED).world
    with pytest.raises(ValueError, match="allowed are 0"):
        GridBatch(world, world.all_states[:2]).step(np.array([0, action]))


def test_worlds_with_objects_or_an_open_border_are_refused():
    background = build_task("rooms-tiny", LAYOUT_SEED).world.background.copy()
    background[1, 2] = (5, 0, 0)
    with pytest.raises(ValueError, match=r"object \(index 5\) at \(1, 2\)"):
        GridWorld.from_background(background)
    with pytest.raises(ValueError, match="border is open"):
        GridWorld.from_walls(np.zeros((5, 7), bool))
    with pytest.raises(ValueError, match="no free cell"):
        GridWorld.from_walls(np.ones((5, 7), bool))
