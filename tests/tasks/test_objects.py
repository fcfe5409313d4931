"""Worlds of objects: every step equals MiniGrid's own, cell for cell."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from minigrid.core.actions import Actions
from minigrid.core.constants import OBJECT_TO_IDX
from minigrid.core.world_object import Ball, Box, Key

from tasks.objects.moves import step
from tasks.objects.wanderer import ObjectWanderer, routes_of, wander
from tasks.objects.world import CARRIED, GONE, IN_BOX, LOCKED, OPEN, ObjectWorld

WALKS, STEPS, SEED = 5, 211, 2
FAMILIES = (
    "MiniGrid-DoorKey-8x8-v0",
    "MiniGrid-MultiRoom-N4-S5-v1",
    "MiniGrid-KeyCorridorS3R2-v0",
    "MiniGrid-UnlockPickup-v0",
    "MiniGrid-BlockedUnlockPickup-v0",
    "MiniGrid-ObstructedMaze-1Dlhb-v0",
    "MiniGrid-ObstructedMaze-2Dlhb-v1",
)


def grid_of(env: gym.Env) -> np.ndarray:
    """MiniGrid's full grid, what is carried in the corner."""
    base = env.unwrapped
    grid = base.grid.encode()
    grid[tuple(base.agent_pos)] = (OBJECT_TO_IDX["agent"], 0, base.agent_dir)
    if base.carrying is not None:
        grid[0, 0] = base.carrying.encode()
    return grid


@pytest.mark.parametrize("env_id", FAMILIES)
def test_walks_equal_minigrids_own(env_id):
    env = gym.make(env_id, max_steps=10**6)
    world = ObjectWorld.from_env(env, SEED)
    wanderer = ObjectWanderer(fresh_probability=1, drop_probability=0.1, unbox_probability=0.3)
    walks, actions = wander(
        world,
        routes_of(world),
        np.repeat(world.start[None], WALKS, axis=0),
        num_steps=STEPS,
        wanderer=wanderer,
        generator=np.random.default_rng(6),
    )
    for states, taken in zip(walks, actions, strict=True):
        env.reset(seed=SEED)
        for image, action in zip(world.observe(states[1:]), taken, strict=True):
            env.step(world.actions[action])
            assert np.array_equal(image, grid_of(env)), (action, world.actions)
    # The walks do something: poses, doors and things change.
    changing = (walks != world.start).any((0, 1))
    assert changing[:3].all() and changing[3 : 3 + world.num_doors].any()
    if world.num_things:
        places = world.places(walks.reshape(-1, walks.shape[2]))
        assert (places == CARRIED).any()
        assert ((places >= 0) & (places != world.places(world.start[None]))).any()


@pytest.mark.parametrize("whim", [0.0, 0.1])
def test_only_on_a_whim_agents_put_down_what_they_do_not_carry(whim):
    world = ObjectWorld.from_env(gym.make("MiniGrid-DoorKey-6x6-v0"), SEED)
    walks, actions = wander(
        world,
        routes_of(world),
        np.repeat(world.start[None], WALKS, axis=0),
        num_steps=STEPS,
        wanderer=ObjectWanderer(whim_probability=whim, again_probability=0.5 * (whim > 0)),
        generator=np.random.default_rng(6),
    )
    drops = actions == world.actions.index(Actions.drop)
    nothing_changes = (walks[:, 1:] == walks[:, :-1]).all(-1)
    assert (drops & nothing_changes).any() == (whim > 0)
    again = (drops & nothing_changes)[:, 1:] & drops[:, :-1]
    assert again.any() == (whim > 0)


def room_with(cells: dict[tuple[int, int], object]) -> tuple[gym.Env, ObjectWorld]:
    """An empty 6 x 6 room with some objects, the agent at (1, 1) looking right."""
    env = gym.make("MiniGrid-Empty-6x6-v0", max_steps=10**6)
    base = env.unwrapped
    empty = base._gen_grid

    def furnished(width: int, height: int) -> None:
        empty(width, height)
        for (x, y), thing in cells.items():
            base.put_obj(thing, x, y)

    base._gen_grid = furnished
    return env, ObjectWorld.from_env(env, SEED)


def play(env: gym.Env, world: ObjectWorld, *actions: Actions) -> np.ndarray:
    """The last state, every grid compared."""
    env.reset(seed=SEED)
    state = world.start[None]
    for action in actions:
        env.step(int(action))
        state = step(world, state, np.array([world.actions.index(int(action))]))
        assert np.array_equal(world.observe(state)[0], grid_of(env))
    return state


def test_key_comes_out_of_its_box_and_is_dropped_elsewhere():
    box = Box("green", contains=Key("red"))
    env, world = room_with({(2, 1): box})
    assert world.places(world.start[None]).tolist() == [[2 * 6 + 1, IN_BOX]]
    state = play(env, world, Actions.toggle)
    assert world.places(state).tolist() == [[GONE, 2 * 6 + 1]]
    env, world = room_with({(2, 1): Box("green", contains=Key("red"))})
    out = (Actions.toggle, Actions.pickup, Actions.right, Actions.drop)
    assert world.places(play(env, world, *out)).tolist() == [[GONE, 1 * 6 + 2]]


def test_box_is_carried_with_what_it_holds():
    env, world = room_with({(2, 1): Box("green", contains=Key("red"))})
    state = play(env, world, Actions.pickup, Actions.forward, Actions.drop, Actions.toggle)
    assert world.places(state).tolist() == [[GONE, 3 * 6 + 1]]


def test_full_hands_pick_up_nothing_and_a_taken_cell_takes_nothing():
    env, world = room_with({(2, 1): Ball("blue"), (3, 1): Key("red")})
    actions = (Actions.pickup, Actions.forward, Actions.pickup, Actions.drop)
    state = play(env, world, *actions)
    assert world.places(state).tolist() == [[CARRIED, 3 * 6 + 1]]


def test_key_of_another_colour_opens_nothing():
    for colour, expected in (("red", LOCKED), ("yellow", OPEN)):
        env = gym.make("MiniGrid-DoorKey-5x5-v0", max_steps=10**6)
        world = ObjectWorld.from_env(env, SEED)
        state = world.start[None].copy()
        x, y = divmod(int(world.door_cells[0]), world.height)
        state[0, :3] = (x - 1, y, 0)
        world.places(state)[0, 0] = CARRIED
        other = ObjectWorld(
            **{**world.__getstate__(), "colours": Key(colour).encode()[1] + 0 * world.colours}
        )
        after = step(other, state, np.array([world.actions.index(Actions.toggle)]))
        assert other.doors(after).tolist() == [[expected]]


def test_actions_of_no_use_are_left_out():
    known = {"MultiRoom-N2-S4-v0": (0, 1, 2, 5), "DoorKey-5x5-v0": (0, 1, 2, 3, 4, 5)}
    for name, actions in {**known, "Dynamic-Obstacles-5x5-v0": (0, 1, 2)}.items():
        assert ObjectWorld.from_env(gym.make(f"MiniGrid-{name}"), 0).actions == actions


def test_pickled_world_goes_on_alike():
    world = ObjectWorld.from_env(gym.make("MiniGrid-UnlockPickup-v0"), 0)
    copy = pickle.loads(pickle.dumps(world))
    states = np.repeat(world.start[None], 7, axis=0)
    actions = np.arange(7) % len(world.actions)
    assert np.array_equal(step(world, states, actions), step(copy, states, actions))


@pytest.mark.parametrize(
    ("column", "value"), [(0, 0), (2, 4), (3, 3), (4, 0), (4, GONE - 1)], ids=str
)
def test_impossible_states_are_refused(column, value):
    world = ObjectWorld.from_env(gym.make("MiniGrid-DoorKey-5x5-v0"), SEED)
    bad = world.start[None].copy()
    world.check_states(bad)
    bad[0, column] = value
    with pytest.raises(ValueError, match="is none of this world"):
        world.check_states(bad)
    with pytest.raises(ValueError, match="rows of 5 numbers"):
        world.check_states(bad[:, :-1])
