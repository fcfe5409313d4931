"""MiniGrid's worlds of doors, keys, balls and boxes, batched in numpy."""

from tasks.objects.build import make_objects_task
from tasks.objects.env import ObjectGoal
from tasks.objects.task import ObjectsTask
from tasks.objects.wanderer import ObjectWanderer

__all__ = ["ObjectGoal", "ObjectWanderer", "ObjectsTask", "make_objects_task"]
