"""Rooms to steer a point mass through: continuous control, from its state or from pixels."""

from tasks.point_rooms.env import ENV_IDS, PointRoomsEnv
from tasks.point_rooms.roam import Roamer
from tasks.point_rooms.task import PointRoomsTask, point_rooms, point_rooms_pixels

__all__ = [
    "ENV_IDS",
    "PointRoomsEnv",
    "PointRoomsTask",
    "Roamer",
    "point_rooms",
    "point_rooms_pixels",
]
