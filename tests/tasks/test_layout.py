"""Wall plans: geometry, doorways, connection, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.layout import rooms_layout


def _reachable(walls: np.ndarray) -> int:
    """Cells reached from the first free one by a flood fill of our own."""
    front = [tuple(np.argwhere(~walls)[0])]
    seen = set(front)
    while front:
        y, x = front.pop()
        for cell in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if not walls[cell] and cell not in seen:
                seen.add(cell)
                front.append(cell)
    return len(seen)


@given(
    rooms_per_side=st.integers(1, 5),
    room_size=st.integers(1, 7),
    layout_seed=st.integers(0, 2**40),
    loop_fraction=st.floats(0, 1),
    tree=st.sampled_from(["bushy", "winding"]),
)
@settings(max_examples=60, deadline=None)
def test_rooms_are_joined_by_one_doorway_per_open_wall(
    rooms_per_side, room_size, layout_seed, loop_fraction, tree
):
    walls = rooms_layout(rooms_per_side, room_size, layout_seed, loop_fraction, tree=tree)
    pitch = room_size + 1
    assert walls.shape == (rooms_per_side * pitch + 1,) * 2
    assert walls[[0, -1]].all() and walls[:, [0, -1]].all()
    lines = np.arange(len(walls)) % pitch == 0
    assert walls[np.ix_(lines, lines)].all(), "a doorway where walls cross"
    assert not walls[np.ix_(~lines, ~lines)].any(), "a wall inside a room"

    num_shared = 2 * rooms_per_side * (rooms_per_side - 1)
    num_tree = rooms_per_side**2 - 1
    doors = np.argwhere(~walls & (lines[:, None] | lines[None, :]))
    assert len(doors) == num_tree + round(loop_fraction * (num_shared - num_tree))
    # A wall is told by its line and by the room that it runs along.
    shared = {(y % pitch == 0, y // pitch, x // pitch) for y, x in doors}
    assert len(shared) == len(doors), "two doorways in one wall"
    assert _reachable(walls) == (~walls).sum()


@pytest.mark.parametrize("tree", ["bushy", "winding"])
def test_seed_fixes_the_layout(tree):
    first, again, other = (rooms_layout(3, 5, seed, 0.25, tree=tree) for seed in (11, 11, 13))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, 0, 0.25), "rooms_per_side = 0"),
        ((2, 0, 0, 0.25), "room_size = 0"),
        ((2, 5, -1, 0.25), "layout_seed = -1"),
        ((2, 5, 0, 1.5), "loop_fraction = 1.5"),
        ((2, 5, 0, float("nan")), "loop_fraction = nan"),
    ],
)
def test_impossible_layouts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rooms_layout(*arguments)


def test_unknown_tree_is_refused():
    with pytest.raises(ValueError, match="'loopy' is unknown"):
        rooms_layout(2, 5, 0, 0.25, tree="loopy")
