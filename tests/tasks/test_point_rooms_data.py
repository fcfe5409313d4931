"""What is seen of point masses, and the data that they leave."""

import numpy as np
import pytest

from hplan.drawing import Pictured
from tasks.point_rooms import Roamer, point_rooms, point_rooms_pixels
from tasks.point_rooms.pixels import POINT, SIDE, TRAIL, TRAIL_STEPS, WALLS
from tasks.point_rooms.roam import roam
from tasks.point_rooms.world import MAX_SPEED

B, T = 13, 97
TASK, PIXELS = point_rooms(0), point_rooms_pixels(0)
WORLD, PATHS = TASK.world, TASK.paths


def _random_states(count, seed=0):
    random = np.random.default_rng(seed)
    cells = random.integers(len(WORLD.cells), size=count)
    return WORLD.random_states(cells, random, speed=MAX_SPEED)


def test_episodes_follow_the_law_and_both_views_are_of_the_same():
    state, pixels = (task.wander(B, T, np.random.default_rng(5)) for task in (TASK, PIXELS))
    assert np.array_equal(state.actions, pixels.actions)
    assert state.actions.dtype == np.float32 and np.abs(state.actions).max() == 1.0
    states, actions = roam(
        PATHS, num_agents=B, num_steps=T, roamer=Roamer(), generator=np.random.default_rng(5)
    )
    for t in range(T):
        after = WORLD.step(states[:, t], state.actions[:, t].astype(float))
        assert np.array_equal(after, states[:, t + 1])
    assert np.array_equal(state.observations(7), TASK.observe(states[7]))
    assert np.array_equal(pixels.observations(7), PIXELS.observe(states[7]))
    other = TASK.wander(B, T, np.random.default_rng(6))
    assert not np.array_equal(other.actions, state.actions)


def test_data_covers_the_world_its_speeds_and_long_ways():
    states, actions = roam(
        PATHS, num_agents=200, num_steps=150, roamer=Roamer(), generator=np.random.default_rng(0)
    )
    cells = WORLD.cells_of(states.reshape(-1, 4)).reshape(200, -1)
    assert np.bincount(cells.ravel(), minlength=len(WORLD.cells)).min() > 10
    assert PATHS.lengths[cells[:, :1], cells].max() >= 16, "a far goal within one episode"
    speed = np.abs(states[..., 2:]).max(-1)
    assert (speed > 0.7 * MAX_SPEED).mean() > 0.2 and (speed < 0.1 * MAX_SPEED).mean() > 0.03
    assert actions.std() > 0.5


def test_parameters_of_the_roamer_matter_and_are_told():
    def roamed(**parameters):
        generator = np.random.default_rng(0)
        return roam(
            PATHS, num_agents=50, num_steps=T, roamer=Roamer(**parameters), generator=generator
        )[1]

    base = roamed()
    for change in ({"errand_share": 0.1}, {"noise_std": 0.1}, {"slip_probability": 0.5},
                   {"mean_stretch": 5.0}, {"rest_share": 0.9}, {"drift_std": 0.2}):  # fmt: skip
        assert not np.array_equal(roamed(**change), base), change
    assert TASK.behaviour["errand_share"] == 0.7
    with pytest.raises(ValueError, match="roamer.rest_share = 1.5; allowed is 0 to 1"):
        Roamer(rest_share=1.5)


def test_the_vector_is_the_state_scaled_to_one():
    states = _random_states(B)
    obs = TASK.observe(states)
    assert obs.dtype == np.float32 and np.abs(obs).max() <= 1.0
    side = WORLD.walls.shape[0]
    back = np.hstack([(obs[:, :2] + 1) * side / 2, obs[:, 2:] * MAX_SPEED])
    assert back == pytest.approx(states, abs=1e-5)


def _centre(channel):
    """(x, y) in cells of the brightness of a channel (64, 64)."""
    at = (np.arange(SIDE) + 0.5) * WORLD.walls.shape[0] / SIDE
    weights = channel / channel.sum()
    return np.array([(weights.sum(0) * at).sum(), (weights.sum(1) * at).sum()])


def test_place_and_velocity_can_be_read_off_the_pixels():
    for state, image in zip(_random_states(B), PIXELS.observe(_random_states(B)), strict=True):
        place, before = _centre(image[..., POINT]), _centre(image[..., TRAIL])
        assert place == pytest.approx(state[:2], abs=0.01)
        assert (place - before) / TRAIL_STEPS == pytest.approx(state[2:], abs=0.005)


def test_pixels_show_the_walls_where_they_are():
    walls = PIXELS.observe(_random_states(1))[0, ..., WALLS]
    side = WORLD.walls.shape[0]
    middle = ((np.arange(side) + 0.5) * SIDE / side).astype(int)
    assert np.array_equal(walls[middle[:, None], middle] == 255, WORLD.walls)
    share = WORLD.walls.mean()
    assert walls.mean() / 255 == pytest.approx(share, abs=0.01), "edges are in between"


def test_every_place_has_a_picture_of_its_own():
    states = _random_states(B)
    pictures = []
    for task in (TASK, PIXELS):
        assert isinstance(task, Pictured)
        pictures.append([task.picture(obs) for obs in task.observe(states)])
    assert pictures[0][0].shape == (256, 256, 3)
    assert len({picture.tobytes() for picture in pictures[0]}) == B
    for one, other in zip(*pictures, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 2, "either view is drawn alike"


def test_a_change_of_how_points_approach_shows_and_older_data_stay_valid(monkeypatch):
    before = TASK.behaviour
    assert "approach" not in before, "datasets of before it was written down do not say it"
    monkeypatch.setattr("tasks.point_rooms.task.APPROACH", 0.6)
    assert TASK.behaviour == {**before, "approach": 0.6}
