"""`trip`: from an office in New York to a cafe in Paris."""

from tasks.trip.task import TRIPS, TripTask, trip_task

__all__ = ["TRIPS", "TripTask", "trip_task"]
