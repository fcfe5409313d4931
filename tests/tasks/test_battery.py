"""The battery: what has to hold of every task, registered here or named by MiniGrid's ids."""

import copy
import pickle
import warnings
from itertools import chain, cycle
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from minigrid.minigrid_env import MiniGridEnv

from hplan.drawing import Pictured
from hplan.task import Hazardous, KnownDistances, Solvable, Task, Worlds
from tasks.mazes import MAZES
from tasks.point_rooms import PointRoomsTask
from tests.tasks.every_task import (
    DATA_SEED,
    EPISODE_LENGTH,
    EPISODES,
    NAMES,
    PAIRS,
    SLOW_ENVS,
    SOLVED_IN_BATCH,
    WITH_ENV,
    actions_for,
    data_of,
    each,
    env_of,
    first_states,
    seen,
    suite_of,
    task_of,
)

T, LOCKSTEP, MAX_STEPS, FAR = 11, 200, 29, 2000
COPIES = (copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each)))
# Its optimal steps are those without balls: there is no saying how long one waits for them.
LOWER_BOUND = "MiniGrid-Dynamic-Obstacles-6x6-v0"


@pytest.fixture(autouse=True)
def _without_screen_and_waiting(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setitem(MiniGridEnv.metadata, "render_fps", 10_000)
    # MiniGrid asks for a font by a name that few systems have.
    warnings.filterwarnings("ignore", message="The system font")


def _same(one: Any, other: Any) -> bool:
    """Of what `reset` and `step` return."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return np.array_equal(one, other)


def _pair(name: str, pair: int) -> dict[str, np.ndarray]:
    """Options of `reset`."""
    return {"start": suite_of(name).starts[pair], "goal": suite_of(name).goals[pair]}


@each(WITH_ENV, slow=SLOW_ENVS)
def test_gymnasium_accepts_the_environment(name):
    env, spec = env_of(name, MAX_STEPS), task_of(name).spec
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The one remark that any wrapper gets.
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        # What is drawn has a test of its own.
        check_env(env, skip_render_check=True)
        if env.unwrapped.spec.id.startswith("hplan/"):
            check_env(env.unwrapped, skip_render_check=True)
    looks = [(space.shape, space.dtype) for space in env.observation_space.values()]
    assert looks == [(spec.shape, spec.dtype)] * 2
    box = spaces.Box(-1, 1, spec.action_shape, np.float32)
    assert env.action_space == (spaces.Discrete(spec.num_actions) if spec.num_actions else box)


@each(WITH_ENV, slow=SLOW_ENVS)
def test_same_seed_in_lockstep_with_the_batch_beside(name):
    task, random = task_of(name), np.random.default_rng(0)
    envs = [env_of(name, LOCKSTEP + 1) for _ in range(2)]
    first = [env.reset(seed=5) for env in envs]
    assert _same(*first) and not _same(first[0], env_of(name, FAR).reset(seed=6))
    obs, info = first[0]
    batch = task.batch(info["state"][None])
    # Then with a draw of its own, then from the suite's pairs.
    options = chain([None], cycle(_pair(name, pair) for pair in range(PAIRS)))
    for _ in range(LOCKSTEP):
        assert np.array_equal(batch.states[0], info["state"])
        assert np.array_equal(batch.observe()[0], seen(obs))
        action = actions_for(task, info["state"][None], info["goal"][None], random)
        batch.step(action)
        stepped = [env.step(action[0]) for env in envs]
        assert _same(*stepped)
        obs, reward, terminated, truncated, info = stepped[0]
        state = info["state"][None]
        harmed = isinstance(task, Hazardous) and task.is_unsafe(state)[0]
        reached = task.is_success(state, info["goal"][None])[0] and not harmed
        assert (reward, terminated, truncated) == (float(reached), reached or harmed, False)
        if terminated:
            begins = next(options)
            (obs, info), again = (env.reset(options=begins) for env in envs)
            assert _same((obs, info), again)
            batch = task.batch(info["state"][None])


@each(WITH_ENV, slow=SLOW_ENVS)
def test_episode_is_truncated_at_the_limit_and_copies_go_on_alike(name):
    env = env_of(name, MAX_STEPS)
    env.reset(seed=0, options=_pair(name, -1))
    still = np.zeros(env.action_space.shape, env.action_space.dtype)[()]
    envs = [env]
    for step in range(MAX_STEPS):
        if step == 7:
            envs += [again(env) for again in COPIES]
        stepped = [each.step(still) for each in envs]
        assert all(_same(stepped[0], other) for other in stepped[1:])
        assert stepped[0][2:4] == (False, step == MAX_STEPS - 1)
    begun = [each.reset() for each in envs]
    assert all(_same(begun[0], other) for other in begun[1:])


@each(WITH_ENV, slow=SLOW_ENVS)
def test_oracle_reaches_the_goal_in_the_promised_steps(name):
    task, suite, env = task_of(name), suite_of(name), env_of(name, FAR)
    for pair in range(0, suite.num_episodes, PAIRS):
        goal, ends = suite.goals[pair], []
        obs, info = env.reset(seed=0, options=_pair(name, pair))
        assert np.array_equal(task.observe(goal[None])[0], obs["goal"])
        assert np.array_equal(info["state"], suite.starts[pair])
        while not ends or not any(ends[-1][2:4]):
            ends.append(env.step(task.optimal_actions(info["state"][None], goal[None])[0]))
            info = ends[-1][4]
        assert [end[1] for end in ends] == [0.0] * (len(ends) - 1) + [1.0]
        assert task.is_success(info["state"][None], goal[None])[0]
        if getattr(task, "optimal_is_exact", True):
            assert len(ends) == suite.optimal_steps[pair]
        else:
            most = suite.optimal_steps[pair]
            if name == LOWER_BOUND:
                assert len(ends) >= most
                most = 3 * suite.bins[suite.bin_index[pair]][2] + 20
            assert len(ends) <= most
            assert task.reference != "exact", "results must not be said to be against an optimum"


@each(SOLVED_IN_BATCH)
def test_oracle_takes_the_promised_steps_where_there_is_no_environment(name):
    task, suite = task_of(name), suite_of(name)
    assert isinstance(task, Solvable) and getattr(task, "optimal_is_exact", True)
    worlds, arrived = task.batch(suite.starts), np.full(suite.num_episodes, -1)
    for step in range(suite.optimal_steps.max() + 1):
        arrived[(arrived < 0) & task.is_success(worlds.states, suite.goals)] = step
        worlds.step(task.optimal_actions(worlds.states, suite.goals))
    assert np.array_equal(arrived, suite.optimal_steps)


def _picture(env: Any) -> bytes:
    """What the environment shows; in a window without being asked."""
    if env.render_mode != "human":
        frame = env.render()
        assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        return frame.tobytes()
    shown = env.unwrapped.window.copy().get_buffer().raw
    env.render()
    assert env.unwrapped.window.get_buffer().raw == shown, "the window shows another state"
    return shown


@each(WITH_ENV, slow=SLOW_ENVS)
def test_every_render_mode_draws_the_present_state(name):
    modes = env_of(name, FAR).metadata["render_modes"]
    assert "rgb_array" in modes and set(modes) <= {"rgb_array", "human"}
    for mode in modes:
        env = env_of(name, FAR, render_mode=mode)
        env.reset(seed=0)
        moves = isinstance(env.action_space, spaces.Box)
        before = _picture(env)
        env.step(env.action_space.high if moves else 0)
        assert _picture(env) != before
        env.close()


@each(NAMES)
def test_task_draws_its_observations(name):
    task, suite = task_of(name), suite_of(name)
    assert isinstance(task, Pictured)
    obs = np.concatenate([task.batch(suite.starts).observe(), task.observe(suite.goals)])
    one, other = task.picture(obs[0]), task.picture(obs[-1])
    assert one.dtype == np.uint8 and one.ndim == 3 and one.shape[2] == 3
    assert one.shape == other.shape and not np.array_equal(one, other)


@each(NAMES)
def test_wandering_is_a_function_of_its_arguments(name):
    task = task_of(name)
    before = np.random.get_state()[1].copy()
    store, same, other = (
        data_of(name),
        *(
            each.wander(EPISODES, EPISODE_LENGTH, np.random.default_rng(seed))
            for each, seed in ((COPIES[1](task), DATA_SEED), (task, DATA_SEED + 1))
        ),
    )
    for part in ("frames", "frame_index", "actions", "lengths"):
        assert np.array_equal(getattr(store, part), getattr(same, part))
    assert not np.array_equal(store.actions, other.actions)
    assert np.array_equal(np.random.get_state()[1], before), "it drew from the global stream"
    spec = task.spec
    assert store.spec == spec and store.num_episodes == EPISODES
    assert store.frames.shape[1:] == spec.shape and store.frames.dtype == spec.dtype
    assert np.issubdtype(store.actions.dtype, np.integer) == bool(spec.num_actions)
    low, high = (0, spec.num_actions - 1) if spec.num_actions else (-1, 1)
    assert store.actions.min() >= low and store.actions.max() <= high
    if spec.kind == "grid":
        assert (store.frames < spec.num_values).all()
    assert all(isinstance(key, str) for key in task.behaviour) and task.episodes_per_chunk > 0


@each(NAMES)
def test_episodes_are_what_the_world_does(name):
    task, store = task_of(name), data_of(name)
    worlds, num_steps = task.batch(first_states(task, store)), store.actions.shape[1]
    for now in range(num_steps + 1):
        running = now <= store.lengths
        frames = store.frames[store.frame_index[:, min(now, store.frame_index.shape[1] - 1)]]
        assert np.array_equal(worlds.observe()[running], frames[running])
        if now < num_steps:
            worlds.step(store.actions[:, now])
    assert running.any() and store.lengths.max() == num_steps


@each(NAMES)
def test_suite_is_of_its_seed_and_keeps_to_its_bins(name):
    task, suite = task_of(name), suite_of(name)
    assert isinstance(task, Task) and task.name == name
    assert suite.sha256 == COPIES[1](task).suite(episodes_per_bin=PAIRS, seed=0).sha256
    assert suite.sha256 != task.suite(episodes_per_bin=PAIRS, seed=1).sha256
    assert suite.bins == task.bins
    lengths = suite.optimal_steps
    if isinstance(task, PointRoomsTask):  # whose bins are in cells
        lengths = task.paths.lengths[
            task.world.cells_of(suite.starts), task.world.cells_of(suite.goals)
        ]
    for index, (_, low, high) in enumerate(suite.bins):
        own = lengths[suite.bin_index == index]
        assert len(own) == PAIRS and own.min() >= low and own.max() <= high
    worlds = task.batch(suite.starts)
    assert isinstance(worlds, Worlds)
    assert not task.is_success(worlds.states, suite.goals).any()
    assert not isinstance(task, Hazardous) or not task.is_unsafe(worlds.states).any()
    assert suite.budgets is None or (suite.budgets >= suite.optimal_steps).all()
    looks = task.observe(suite.goals)
    assert looks.shape == (suite.num_episodes, *task.spec.shape) and looks.dtype == task.spec.dtype


@each(NAMES)
def test_known_distances_are_the_same_at_every_call(name):
    task = task_of(name)
    if not isinstance(task, KnownDistances):
        assert not isinstance(task, Solvable)
        return
    pairs, again = (each.validation_pairs(PAIRS, seed=0) for each in (task, COPIES[1](task)))
    assert np.array_equal(pairs.starts, again.starts) and np.array_equal(pairs.goals, again.goals)
    assert not np.array_equal(pairs.starts, suite_of(name).starts[:PAIRS])
    assert pairs.optimal_steps.shape == (PAIRS,) and (pairs.optimal_steps > 0).all()
    (obs, steps), (obs_again, steps_again) = (task.distances_to_a_goal(PAIRS) for _ in range(2))
    assert obs.shape == (PAIRS, *task.spec.shape) and obs.dtype == task.spec.dtype
    assert steps.shape == (PAIRS,) and (steps >= 0).all()
    assert np.array_equal(obs, obs_again) and np.array_equal(steps, steps_again)


@each(NAMES)
def test_company_changes_nothing_and_copies_go_on_alike(name):
    task, suite, random = task_of(name), suite_of(name), np.random.default_rng(0)
    together, backwards = task.batch(suite.starts), task.batch(suite.starts[::-1])
    alone = [task.batch(start[None]) for start in suite.starts]
    copies, begun = [], together.observe()
    for step in range(T):
        if step == T // 2:
            copies = [again(together) for again in COPIES if name not in MAZES]  # MuJoCo's: anew
        actions = actions_for(task, together.states, suite.goals, random)
        for batch in (together, *copies):
            batch.step(actions)
        backwards.step(actions[::-1])
        for batch, action in zip(alone, actions, strict=True):
            batch.step(action[None])
        obs = together.observe()
        assert np.array_equal(task.observe(together.states), obs)
        assert np.array_equal(np.concatenate([batch.observe() for batch in alone]), obs)
        for other, order in zip((backwards, *copies), (-1, 1, 1), strict=False):
            assert np.array_equal(other.observe()[::order], obs)
            if together.states.dtype != object:
                assert np.array_equal(other.states[::order], together.states)
    assert not np.array_equal(begun, obs)
