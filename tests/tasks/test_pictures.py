"""Pictures of symbolic grids: everything can be told apart, and is where it belongs."""

import numpy as np
import pytest
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from hplan.drawing import Drawer, Pictured, png
from tasks import build_task
from tasks.pictures import BOLT, FLOOR, LAVA, PALETTE, SMALLEST_CELL, grid_picture

EAST, SOUTH, WEST, NORTH = range(4)
PLAIN = {"unseen", "empty", "lava"}  # of one colour only


def _cell(kind, colour="red", state=0, cell=4):
    obs = np.array([[[OBJECT_TO_IDX[kind], COLOR_TO_IDX[colour], state]]], dtype=np.uint8)
    return grid_picture(obs, cell=cell)


@pytest.mark.parametrize("cell", [4, 5, 6, 7, 8])
def test_whatever_a_cell_can_hold_looks_different(cell):
    looks = {}
    for kind in OBJECT_TO_IDX:
        for colour in COLOR_TO_IDX if kind not in PLAIN else ["red"]:
            for state in range({"door": 3, "agent": 4}.get(kind, 1)):
                image = _cell(kind, colour, state, cell)
                assert image.shape == (cell, cell, 3) and image.dtype == np.uint8
                looks[kind, colour, state] = image.tobytes()
    assert len(looks) == 3 + 6 * (6 + 3 + 4)
    assert len(set(looks.values())) == len(looks)


def test_a_state_that_means_nothing_is_not_drawn():
    assert np.array_equal(_cell("ball", state=0), _cell("ball", state=2))
    assert not np.array_equal(_cell("door", state=0), _cell("door", state=2))


@pytest.mark.parametrize("cell", [4, 5, 8, 16])
def test_the_agent_is_an_arrow_that_narrows_where_it_heads(cell):
    for heading, turns in ((EAST, 0), (NORTH, 1), (WEST, 2), (SOUTH, 3)):
        image = np.rot90(_cell("agent", "red", heading, cell), -turns)
        widths = (image == PALETTE["red"]).all(-1).sum(0)
        assert widths[0] == cell and 1 <= widths[-1] <= cell / 2
        assert (np.diff(widths) <= 0).all()
        assert np.array_equal(image, image[::-1]), "symmetric to its heading"


def test_cells_are_where_the_grid_has_them():
    width, height, cell = 5, 3, 6
    obs = np.zeros((width, height, 3), dtype=np.uint8)
    obs[..., 0] = OBJECT_TO_IDX["empty"]
    obs[4, 1] = (OBJECT_TO_IDX["wall"], COLOR_TO_IDX["grey"], 0)
    image = grid_picture(obs, cell=cell)
    assert image.shape == (height * cell, width * cell, 3)
    painted = (image != FLOOR).any(-1)
    assert painted[cell : 2 * cell, 4 * cell :].all() and painted.sum() == cell**2


def test_cells_too_small_to_tell_apart_are_refused():
    with pytest.raises(ValueError, match="cell = 3 must be 4 or more"):
        grid_picture(np.zeros((2, 2, 3), dtype=np.uint8), cell=SMALLEST_CELL - 1)


def test_an_agent_in_lava_is_seen_to_be_there():
    task = build_task("MiniGrid-LavaCrossingS9N2-v0", 0)
    world, cell = task.world, SMALLEST_CELL
    for harmed, state in zip(world.in_lava, world.all_states, strict=True):
        x, y, heading = state
        image = task.picture(world.observe(state[None])[0])
        tile = image[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
        if harmed:
            arrow = (_cell("agent", "red", heading) == PALETTE["red"]).all(-1)
            assert (tile[arrow] == BOLT).all() and (tile[~arrow] == LAVA).all()
        else:
            assert np.array_equal(tile, _cell("agent", "red", heading))
    still = (image == LAVA).all(-1).sum()
    assert still >= (world.lava.sum() - 1) * cell**2 / 2, "lava is mostly of its own colour"


@pytest.mark.parametrize(
    ("name", "most_bytes"),
    [("rooms", 250), ("rooms-tiny", 250), ("four-rooms", 250), ("rooms-lava", 400)],
)
def test_a_tasks_pictures_are_small_and_one_for_each_state(name, most_bytes):
    task = build_task(name, 0)
    assert isinstance(task, Pictured) and not isinstance(task.world, Pictured)
    frames, width_and_height = task.world.frames()[::7], np.array(task.spec.shape[:2])
    images = [task.picture(obs) for obs in frames]
    assert all(image.shape == (*4 * width_and_height[::-1], 3) for image in images)
    files = {png(image) for image in images}
    assert len(files) == len(frames) and max(map(len, files)) < most_bytes
    drawer = Drawer(task.picture)
    assert drawer(frames[0]) is drawer(frames[0].copy()) and drawer(frames[0]) != drawer(frames[1])
