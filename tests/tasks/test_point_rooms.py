"""Point masses among walls: physics by hand, paths against networkx, and what the task promises."""

import networkx as nx
import numpy as np
import pytest

from tasks.point_rooms import PointRoomsTask, point_rooms, point_rooms_pixels
from tasks.point_rooms.paths import SUCCESS_RADIUS, CellPaths, steps_bound
from tasks.point_rooms.world import ACCELERATION, FRICTION, MAX_SPEED, RADIUS, PointWorld

B, T = 13, 97
TASK, PIXELS = point_rooms(0), point_rooms_pixels(0)
WORLD, PATHS = TASK.world, TASK.paths
SUITE = TASK.suite(episodes_per_bin=29, seed=0)
# 4 x 3 free cells, but for a wall in the middle of the second row: a pillar at x, y = 2, 2.
HALL = np.ones((5, 6), bool)
HALL[1:-1, 1:-1] = False
HALL[2, 2] = True
HALL_WORLD = PointWorld(walls=HALL)


def _at(x, y, vx=0.0, vy=0.0):
    return np.array([[x, y, vx, vy]])


def _random_states(count, seed=0):
    random = np.random.default_rng(seed)
    cells = random.integers(len(WORLD.cells), size=count)
    return WORLD.random_states(cells, random, speed=MAX_SPEED)


def _driven(states, goals, num_steps):
    """(num_steps + 1, B, 4) states under the controller."""
    batch, seen = TASK.batch(states), [states]
    for _ in range(num_steps):
        batch.step(TASK.optimal_actions(batch.states, goals))
        seen.append(batch.states)
    return np.stack(seen)


def test_far_from_walls_a_point_moves_by_the_stated_law():
    x, v = np.array([3.5, 1.5]), np.array([0.02, -0.03])
    state, action = _at(*x, *v), np.array([[0.5, 1.0]])
    for _ in range(3):
        v = FRICTION * v + ACCELERATION * action[0]
        x = x + v
        state = HALL_WORLD.step(state, action)
        assert state[0] == pytest.approx([*x, *v], abs=1e-12)


def test_speed_approaches_its_bound_and_a_cell_takes_five_steps():
    state = _at(1.3, 1.5)
    corridor = PointWorld(walls=np.pad(np.zeros((1, 40), bool), 1, constant_values=True))
    xs = []
    for _ in range(60):
        state = corridor.step(state, np.array([[1.0, 0.0]]))
        xs.append(state[0, 0])
        assert state[0, 2] < MAX_SPEED
    assert xs[-1] - xs[-6] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("start", "action", "axis", "stop"),
    [
        (_at(4.7, 1.5, 0.19, 0.1), (1, 0), 0, 5 - RADIUS),
        (_at(1.3, 1.5, -0.19, 0.1), (-1, 0), 0, 1 + RADIUS),
        (_at(3.5, 3.65, 0.1, 0.19), (0, 1), 1, 4 - RADIUS),
        (_at(2.5, 1.75, 0.1, 0.19), (0, 1), 1, 2 - RADIUS),  # on the pillar
        (_at(1.95, 1.75, 0.01, 0.19), (0, 1), 1, 2 - RADIUS),  # on its corner
    ],
)
def test_a_wall_stops_the_point_along_one_axis_only(start, action, axis, stop):
    after = HALL_WORLD.step(start, np.array([action], float))
    assert after[0, axis] == pytest.approx(stop, abs=1e-12) and after[0, 2 + axis] == 0.0
    other = 1 - axis
    assert after[0, 2 + other] == pytest.approx(FRICTION * start[0, 2 + other])
    assert after[0, other] == pytest.approx(start[0, other] + after[0, 2 + other])
    again = HALL_WORLD.step(after, np.array([action], float))
    assert again[0, axis] == after[0, axis], "it stays there"
    away = HALL_WORLD.step(after, -np.array([action], float))
    assert abs(away[0, axis] - after[0, axis]) == pytest.approx(ACCELERATION), "and comes away"


def test_a_point_slides_along_a_wall_that_it_is_pressed_against():
    for x, push in ((5 - RADIUS, 1.0), (1 + RADIUS, -1.0)):
        state = _at(x, 1.5)
        for _ in range(20):
            state = HALL_WORLD.step(state, np.array([[push, 1.0]]))
        assert state[0, 0] == pytest.approx(x) and state[0, 1] == pytest.approx(4 - RADIUS)


def test_no_point_ever_enters_a_wall():
    random, batch = np.random.default_rng(0), TASK.batch(_random_states(200))
    action = np.zeros((200, 2))
    for _ in range(300):
        action = np.clip(0.9 * action + random.normal(size=(200, 2)), -1, 1)
        batch.step(action)
        WORLD.check_states(batch.states)  # raises


def test_path_lengths_are_those_of_networkx():
    graph = nx.Graph()
    cells = {tuple(cell) for cell in WORLD.cells.tolist()}
    graph.add_edges_from(
        ((x, y), (x + dx, y + dy))
        for x, y in cells
        for dx, dy in ((1, 0), (0, 1))
        if (x + dx, y + dy) in cells
    )
    expected = dict(nx.all_pairs_shortest_path_length(graph))
    for i, start in enumerate(map(tuple, WORLD.cells.tolist())):
        for j, goal in enumerate(map(tuple, WORLD.cells.tolist())):
            assert PATHS.lengths[i, j] == expected[start][goal]


def test_waypoints_are_in_view_and_never_farther_from_the_goal():
    for i, (x, y) in enumerate(WORLD.cells):
        for j in range(len(WORLD.cells)):
            u, v = WORLD.cells[PATHS.waypoints[i, j]]
            rectangle = WORLD.walls[min(y, v) : max(y, v) + 1, min(x, u) : max(x, u) + 1]
            assert not rectangle.any()
            gained = PATHS.lengths[i, j] - PATHS.lengths[PATHS.waypoints[i, j], j]
            assert gained == abs(u - x) + abs(v - y) and (gained > 0 or i == j)


def test_the_controller_arrives_from_anywhere_in_the_steps_it_says():
    states, goals = _random_states(100, seed=1), _random_states(100, seed=2)
    steps = PATHS.steps(states, goals)
    driven = _driven(states, goals, steps.max())
    away = np.hypot(*np.moveaxis(driven[..., :2] - goals[:, :2], -1, 0))
    rows = np.arange(100)
    assert (away[steps, rows] <= SUCCESS_RADIUS).all()
    assert all((away[: steps[b], b] > SUCCESS_RADIUS).all() for b in rows)


@pytest.mark.parametrize("layout_seed", range(1, 8))
def test_of_a_longest_path_the_stated_bound_holds_in_any_layout(layout_seed):
    suite = point_rooms(layout_seed).suite(episodes_per_bin=100, seed=0)
    longest = np.array([high for _, _, high in suite.bins])[suite.bin_index]
    assert (suite.optimal_steps <= steps_bound(longest)).all()


def test_pairs_of_the_suite_are_at_rest_in_their_bins_with_a_budget():
    lengths = PATHS.lengths[WORLD.cells_of(SUITE.starts), WORLD.cells_of(SUITE.goals)]
    for index, (_, low, high) in enumerate(((0, 5, 8), (0, 9, 12), (0, 13, 16))):
        mine = lengths[SUITE.bin_index == index]
        assert mine.min() >= low and mine.max() <= high and len(np.unique(mine)) == 4
        assert (SUITE.budgets[SUITE.bin_index == index] == 3 * (6 * high + 15) + 20).all()
    assert not SUITE.starts[:, 2:].any() and not SUITE.goals[:, 2:].any()
    WORLD.check_states(np.concatenate([SUITE.starts, SUITE.goals]))
    assert np.array_equal(PATHS.steps(SUITE.starts, SUITE.goals), SUITE.optimal_steps)
    assert not TASK.is_success(SUITE.starts, SUITE.goals).any()


def test_seed_decides_the_suite_and_the_view_does_not():
    again = point_rooms(0).suite(episodes_per_bin=29, seed=0)
    assert SUITE.sha256 == again.sha256 != TASK.suite(episodes_per_bin=29, seed=1).sha256
    pixels = PIXELS.suite(episodes_per_bin=29, seed=0)
    assert np.array_equal(SUITE.starts, pixels.starts)
    assert not np.array_equal(SUITE.starts[:29], point_rooms(1).suite(
        episodes_per_bin=29, seed=0).starts[:29])  # fmt: skip


def test_validation_pairs_are_spread_over_all_lengths_and_none_of_the_suite():
    pairs = TASK.validation_pairs(500, seed=0)
    lengths = PATHS.lengths[WORLD.cells_of(pairs.starts), WORLD.cells_of(pairs.goals)]
    assert set(lengths) >= set(range(1, 21))
    assert np.array_equal(PATHS.steps(pairs.starts, pairs.goals), pairs.optimal_steps)
    assert not set(map(tuple, pairs.starts)) & set(map(tuple, SUITE.starts))
    obs, steps = TASK.distances_to_a_goal(41)
    assert obs.shape == (41, 4) and steps.max() > 40
    assert np.array_equal(obs, TASK.distances_to_a_goal(41)[0])


def test_success_is_the_place_within_half_a_cell_whatever_the_velocity():
    goal = _at(3.5, 3.5)
    for x, y, reached in ((4.0, 3.5, True), (4.01, 3.5, False), (3.9, 3.9, False)):
        assert TASK.is_success(_at(x, y, 0.2, -0.2), goal).tolist() == [reached]


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ValueError, match=r"action \[nan, 0.0\] of agent 1; allowed are"):
        TASK.batch(SUITE.starts[:2]).step(np.array([[0.0, 0.0], [np.nan, 0.0]]))
    with pytest.raises(ValueError, match=r"action \[0.0, 1.1\] of agent 0"):
        TASK.batch(SUITE.starts[:1]).step(np.array([[0.0, 1.1]]))
    for wrong in (_at(0.5, 0.5), _at(1.1, 1.5), _at(-3.0, 1.5), _at(1.5, 1.5, 0.3)):
        with pytest.raises(ValueError, match="is in a wall or faster than 0.2"):
            TASK.batch(wrong)
    with pytest.raises(ValueError, match=r"not \(B, 4\) finite"):
        TASK.batch(np.array([[1.5, 1.5, np.nan, 0.0]]))
    with pytest.raises(ValueError, match="bin 'endless' of 90 to 91 cells cannot be filled"):
        PointRoomsTask(name="x", layout_seed=0, view="state", bins=(("endless", 90, 91),)).suite(
            episodes_per_bin=1, seed=0
        )
    with pytest.raises(ValueError, match="view = 'depth' is unknown"):
        PointRoomsTask(name="x", layout_seed=0, view="depth")
    with pytest.raises(ValueError, match="wanders by itself"):
        TASK.wander(1, 1, np.random.default_rng(0), policy="random")
    with pytest.raises(ValueError, match="all joined"):
        PointWorld(walls=np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], bool))
    assert isinstance(CellPaths(world=HALL_WORLD).waypoints, np.ndarray)
