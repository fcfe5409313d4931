"""What a person sees of a training run: one bar, or plain lines where no one watches."""

import math
import statistics
import sys
import time
from collections import deque

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_LINES = 10
RECENT = 200  # updates over which speed is averaged


def spoken_time(seconds: float) -> str:
    """Seconds as a person says them."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def health(metrics: dict[str, float], num_levels: int) -> str:
    """Spread of the latent and relative error one step ahead, each from the bottom level up."""
    parts = []
    for word, metric in (("spread", "latent_std"), ("error", "relative_error_1")):
        values = [metrics.get(f"level{k}/{metric}", float("nan")) for k in range(num_levels)]
        parts.append(" ".join([word, *(f"{value:.2f}" for value in values)]))
    return "  ".join(parts)


class TrainingProgress:
    """Tells how far a training run is and how long it will take.

    The time left counts the validations still to come, at what they cost so far.

    Args:
        first, last: updates done at the start and to be done in all.
        validate_every: updates between validations.
    """

    def __init__(self, *, first: int, last: int, validate_every: int, num_levels: int) -> None:
        self.last = last
        self.done = self.first = first
        self.validate_every = validate_every
        self.num_levels = num_levels
        self.updates: deque[float] = deque(maxlen=RECENT)
        self.validations: list[float] = []
        self.health = ""
        self.bar: Progress | None = None
        self.task = None
        self.since = time.perf_counter()

    def start(self) -> None:
        """Begins to show; on a terminal a bar."""
        self.since = time.perf_counter()
        console = Console(file=sys.stdout)
        if not console.is_terminal:
            return
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=12),
            TextColumn("{task.completed}/{task.total}  {task.fields[note]}"),
            console=console,
        )
        self.task = self.bar.add_task("training", total=self.last, completed=self.first, note="")
        self.bar.start()

    def update(self, done: int, loss: float) -> None:
        """After each update."""
        now = time.perf_counter()
        if done > self.first + 1:  # the first one also warms everything up
            self.updates.append(now - self.since)
        self.since, self.done = now, done
        left = f"left {spoken_time(self.seconds_left())}" if len(self.updates) >= 5 else ""
        parts = [f"loss {loss:.3f}", left, self.health]
        if self.bar is not None:
            self.bar.update(self.task, completed=done, note="  ".join(filter(None, parts)))
        elif done == self.last or done * PLAIN_LINES // self.last > (
            (done - 1) * PLAIN_LINES // self.last
        ):
            print(f"update {done}/{self.last}  {'  '.join(filter(None, parts))}", flush=True)

    def validated(self, seconds: float, metrics: dict[str, float]) -> None:
        """After each validation, which took `seconds`."""
        self.validations.append(seconds)
        self.health = health(metrics, self.num_levels)
        self.since = time.perf_counter()

    def seconds_left(self) -> float:
        """Until the last update, validations included."""
        left = statistics.fmean(self.updates) * (self.last - self.done)
        if self.validations:
            every = self.validate_every
            to_come = math.ceil(self.last / every) - self.done // every  # one ends training
            left += statistics.fmean(self.validations) * to_come
        return left

    def stop(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
