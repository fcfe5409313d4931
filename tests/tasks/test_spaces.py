"""Gymnasium's spaces: what each becomes, that nothing of a value is lost, and what is refused."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Sequence,
    Text,
    Tuple,
)

from hplan.dataset import ObservationSpec
from tasks.spaces import (
    OutOfSpace,
    from_actions,
    left_out,
    spec_of,
    to_action,
    to_observation,
    to_observations,
)

SIX = Discrete(6)
SPEED = Box(-np.inf, np.inf, (3,))
CAMERA = Box(0, 255, (37, 41, 3), np.uint8)
BOARD = Box(0, 255, (7, 5, 3), np.uint8)
GOAL_ENV = Dict({"observation": SPEED, "achieved_goal": SPEED, "desired_goal": SPEED})
MINIGRID = Dict({"image": BOARD, "direction": Discrete(4), "mission": Text(20)})


def _spec(space):
    return spec_of(space, SIX)


@pytest.mark.parametrize(
    ("space", "kind", "shape", "num_values"),
    [
        (SPEED, "vector", (3,), ()),
        (Box(-1, 1, ()), "vector", (1,), ()),
        (Box(-1, 1, (2, 5)), "vector", (10,), ()),
        (Box(0, 255, (128,), np.uint8), "vector", (128,), ()),
        (Box(-(2**40), 2**40, (3, 5), np.int64), "vector", (15,), ()),
        (MultiBinary(7), "vector", (7,), ()),
        (Discrete(5), "vector", (5,), ()),
        (MultiDiscrete([2, 3, 5]), "vector", (10,), ()),
        (CAMERA, "pixels", (37, 41, 3), ()),
        (Box(0, 255, (3, 37, 41), np.uint8), "pixels", (37, 41, 3), ()),
        (Box(0, 255, (4, 37, 41), np.uint8), "pixels", (37, 41, 4), ()),
        (Box(0, 255, (37, 41), np.uint8), "pixels", (37, 41, 1), ()),
        (Box(0, 1, (37, 41, 3)), "pixels", (37, 41, 3), ()),
        (BOARD, "grid", (7, 5, 3), (256, 256, 256)),
        (Box(0, 1, (7, 5, 2), np.bool_), "grid", (7, 5, 2), (2, 2)),
        (Box(-1, 9, (7, 5), np.int64), "grid", (7, 5, 1), (11,)),
        (MultiDiscrete(np.full((7, 5), 3)), "grid", (7, 5, 1), (3,)),
        (MultiBinary((7, 5, 2)), "grid", (7, 5, 2), (2, 2)),
        (GOAL_ENV, "vector", (3,), ()),
        (MINIGRID, "grid", (7, 5, 3), (11, 6, 4)),
        (Dict({"b": SPEED, "a": Discrete(5)}), "vector", (8,), ()),
        (Tuple((Discrete(5), SPEED)), "vector", (8,), ()),
        (Dict({"camera": CAMERA, "speed": SPEED}), "pixels", (37, 41, 3), ()),
    ],
    ids=str,
)
def test_what_becomes_of_observations(space, kind, shape, num_values):
    spec = _spec(space)
    assert (spec.kind, spec.shape, spec.num_values) == (kind, shape, num_values)
    space.seed(0)
    values = [space.sample() for _ in range(3)]
    if space is MINIGRID:
        for value in values:
            value["image"] %= np.uint8(4)
    seen = np.stack([to_observation(space, value) for value in values])
    assert seen.shape == (3, *shape) and seen.dtype == spec.dtype
    assert len(np.unique(seen, axis=0)) > 1 or shape == (1,)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (Dict({"a": Discrete(3), "b": Tuple([Discrete(2), Box(-1, 1, (2,))])}), ""),
        (
            Dict({"grid": Box(0, 6, (5, 7), np.int64), "inventory": MultiDiscrete([3, 3])}),
            "observations: grid 5x7x1 from key grid; ignored: inventory",
        ),
        (
            Dict({"view": Dict({"eye": Box(0, 255, (64, 48, 3), np.uint8), "at": Discrete(2)})}),
            "observations: pixels 64x48x3 from key view.eye; ignored: view.at",
        ),
        (
            Dict(
                {
                    "observation": Dict({"a": Discrete(2), "b": Discrete(3)}),
                    "achieved_goal": Discrete(2),
                    "desired_goal": Discrete(2),
                }
            ),
            "observations: vector 5 from keys observation.a, observation.b; "
            "ignored: achieved_goal, desired_goal",
        ),
        (
            Tuple([Discrete(4), MultiBinary([5, 7])]),
            "observations: grid 5x7x1 from key 1; ignored: 0",
        ),
    ],
)
def test_parts_that_are_not_read_are_named(space, said):
    assert left_out(space) == said


def test_numbers_are_kept():
    speed = np.array([1.5, -2.25, 1e9])
    assert to_observation(SPEED, speed).tolist() == speed.tolist()
    assert to_observation(MultiDiscrete([2, 3]), [1, 2]).tolist() == [0, 1, 0, 0, 1]
    assert to_observation(Discrete(3, start=-1), 0).tolist() == [0, 1, 0]
    parts = Dict({"b": SPEED, "a": Discrete(2)})
    assert to_observation(parts, {"b": speed, "a": 1}).tolist() == [0, 1, *speed.tolist()]
    goal = {"observation": speed, "achieved_goal": 0 * speed, "desired_goal": 0 * speed}
    assert to_observation(GOAL_ENV, goal).tolist() == speed.tolist()


def test_images_have_their_channels_last_and_boards_begin_at_zero():
    first = Box(0, 255, (3, 37, 41), np.uint8)
    image = first.sample()
    assert np.array_equal(to_observation(first, image), image.transpose(1, 2, 0))
    floats = Box(0, 1, (32, 32, 1))
    assert to_observation(floats, np.full((32, 32, 1), 0.4))[0, 0, 0] == 102
    board = Box(-1, 9, (2, 2), np.int64)
    assert to_observation(board, [[-1, 9], [0, 3]])[..., 0].tolist() == [[0, 10], [1, 4]]


def test_real_environments_are_taken():
    import minigrid  # noqa: F401

    for env_id, kind in (("CartPole-v1", "vector"), ("MiniGrid-Empty-5x5-v0", "grid")):
        env = gym.make(env_id)
        spec = spec_of(env.observation_space, env.action_space)
        value, _ = env.reset(seed=0)
        seen = to_observation(env.observation_space, value)
        assert spec.kind == kind and seen.shape == spec.shape
    assert np.array_equal(seen, value["image"]) and spec.num_values == (11, 6, 4)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Text(5), r"observations Text\(.*\) cannot be taken; allowed are Box"),
        (Sequence(SPEED), "observations Sequence.* cannot be taken"),
        (Dict({"speed": SPEED, "name": Text(3)}), r"observations Text\(.*\) cannot be taken"),
        (Dict({"a": CAMERA, "b": CAMERA}), r"hold 2 images or grids \(\['a', 'b'\]\)"),
        (Box(-1, 1, (70, 70)), "would be a vector of 4900 numbers, 1 to 4096 are taken"),
        (Discrete(10**6), "would be a vector of 1000000 numbers"),
    ],
)
def test_observations_that_cannot_be_taken(space, message):
    with pytest.raises(ValueError, match=message):
        _spec(space)


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (SPEED, [0.0, np.nan, 0.0], r"nan at \[1\] is not of Box"),
        (SPEED, [0.0, 0.0], r"float64 of shape \(2,\) is not of Box"),
        (SPEED, [0.0, 0.0, -np.inf], r"-inf at \[2\]"),
        (Discrete(3), 3, r"3 is not of Discrete\(3\)"),
        (Box(0, 3, (2, 2), np.uint8), [[0, 4], [0, 0]], r"4 at \[0, 1\]"),
        (CAMERA, np.full((37, 41, 3), -1), r"-1 at \[0, 0, 0\]"),
        (MINIGRID, {"image": np.full((7, 5, 3), 9), "mission": "", "direction": 0}, "9 at"),
    ],
)
def test_values_outside_their_space_are_named(space, value, message):
    with pytest.raises(OutOfSpace, match=message):
        to_observation(space, value)


def test_of_many_values_the_wrong_one_is_named():
    values = np.zeros((5, 3))
    values[3, 1] = np.nan
    with pytest.raises(OutOfSpace) as error:
        to_observations(SPEED, values)
    assert error.value.row == 3


def test_discrete_actions_there_and_back():
    space = Discrete(6, start=-2)
    assert _spec(SPEED) == ObservationSpec(kind="vector", shape=(3,), num_actions=6)
    numbers = from_actions(space, np.array([-2, 0, 3]))
    assert numbers.tolist() == [0, 2, 5] and numbers.dtype == np.int8
    assert [to_action(space, number) for number in numbers] == [-2, 0, 3]
    assert from_actions(Discrete(999), np.array([998])).tolist() == [998]
    for wrong in (4, -3, 0.5):
        with pytest.raises(OutOfSpace, match=f"{wrong} is not of Discrete"):
            from_actions(space, np.array([0, wrong]))


def test_continuous_actions_there_and_back():
    space = Box(np.array([[-1, 0.1]]), np.array([[1, 0.3]]), dtype=np.float64)
    spec = spec_of(SPEED, space)
    assert (spec.action_low, spec.action_high) == ((-1.0, 0.1), (1.0, 0.3))
    taken = from_actions(space, np.array([[[0.5, 0.3]], [[-1.0, 0.1]]]))
    assert taken.shape == (2, 2) and taken.dtype == np.float32
    for action in taken:
        assert space.contains(to_action(space, action))
    with pytest.raises(OutOfSpace, match=r"1.01 at \[0, 0\]") as error:
        from_actions(space, np.array([[[0.5, 0.2]], [[1.01, 0.2]]]))
    assert error.value.row == 1
    whole = Box(0, 4, (2,), np.int32)
    assert to_action(whole, np.float32([1.4, 3.6])).tolist() == [1, 4]


@pytest.mark.parametrize(
    "space", [SPEED, Box(0, np.inf, (2,)), Box(1, 1, (2,)), MultiDiscrete([3, 3]), Discrete(10**6)]
)
def test_actions_that_cannot_be_taken(space):
    with pytest.raises(ValueError, match="actions .* cannot be taken; allowed are Discrete, and"):
        spec_of(SPEED, space)
