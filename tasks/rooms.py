"""The `rooms` worlds as real MiniGrid environments, registered with gymnasium."""

import gymnasium as gym
import numpy as np
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Goal, Lava, Wall
from minigrid.minigrid_env import MiniGridEnv

from tasks.layout import Tree, lava_pools, rooms_layout

ROOM_SIZE = 5


class RoomsEnv(MiniGridEnv):
    """Rooms joined by doorways, fixed by `layout_seed`; each episode draws start and green goal."""

    def __init__(
        self,
        *,
        rooms_per_side: int = 4,
        room_size: int = ROOM_SIZE,
        layout_seed: int = 0,
        loop_fraction: float = 0.25,
        tree: Tree = "bushy",
        lava: bool = False,
        max_steps: int = 260,
        render_mode: str | None = None,
    ) -> None:
        """See `tasks.layout.rooms_layout`; `max_steps` is in env steps.

        With `lava` every room has a pool of it, see `tasks.layout.lava_pools`.
        """
        self.walls = rooms_layout(rooms_per_side, room_size, layout_seed, loop_fraction, tree=tree)
        self.lava = np.zeros_like(self.walls)
        if lava:
            self.lava = lava_pools(rooms_per_side, room_size, layout_seed)
        super().__init__(
            mission_space=MissionSpace(mission_func=_mission),
            grid_size=len(self.walls),
            max_steps=max_steps,
            render_mode=render_mode,
        )

    def _gen_grid(self, width: int, height: int) -> None:
        self.grid = Grid(width, height)
        for y, x in np.argwhere(self.walls):
            self.grid.set(int(x), int(y), Wall())
        for y, x in np.argwhere(self.lava):
            self.grid.set(int(x), int(y), Lava())
        self.place_agent()
        self.place_obj(Goal())


def _mission() -> str:
    return "reach the goal"


ROOMS_OPTIONS = {
    "rooms": {"rooms_per_side": 4},
    # Of a bushy tree with many loops no two cells would be 160 env steps apart.
    "rooms-large": {"rooms_per_side": 8, "tree": "winding", "loop_fraction": 0.05},
    "rooms-tiny": {"rooms_per_side": 2},
    "rooms-lava": {"rooms_per_side": 3, "lava": True},
}
ROOMS_IDS = {
    "rooms": "hplan/Rooms-v0",
    "rooms-large": "hplan/RoomsLarge-v0",
    "rooms-tiny": "hplan/RoomsTiny-v0",
    "rooms-lava": "hplan/RoomsLava-v0",
}

for _name, _id in ROOMS_IDS.items():
    if _id not in gym.registry:
        gym.register(id=_id, entry_point="tasks.rooms:RoomsEnv", kwargs=ROOMS_OPTIONS[_name])
