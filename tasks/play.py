"""Lets a person play a task from the keyboard, in the terminal or in a window."""

import os
import select
import sys
import termios
import tty
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np
import pygame

from hplan.drawing import Pictured
from hplan.task import Hazardous, Solvable
from tasks.text_pictures import grid_text

# MiniGrid's numbers of actions; a task with fewer has the first of them.
ACTIONS = {"left": 0, "right": 1, "forward": 2, "pick up": 3, "drop or wait": 4, "toggle": 5}
_KEYS = {
    "a": "left", "d": "right", "w": "forward", "p": "pick up", " ": "drop or wait", "t": "toggle",
    "\x1b[D": "left", "\x1b[C": "right", "\x1b[A": "forward",
}  # fmt: skip
_AGAIN, _QUIT = "r", "q"
_HELP = "arrows or a d w: turn, walk · p: pick up · space: wait · t: toggle · r: again · q: quit"
_ESCAPE_SECONDS = 0.05  # within which the rest of an arrow key's sequence follows
_FRAMES_PER_SECOND = 30
_WINDOW, _FONT = 640, 22  # pixels: what the picture is enlarged to, about, and the words' height
_ARROWS = {pygame.K_LEFT: "\x1b[D", pygame.K_RIGHT: "\x1b[C", pygame.K_UP: "\x1b[A"}


@runtime_checkable
class Captioned(Protocol):
    """A task that can say in words what an observation shows."""

    def caption(self, obs: np.ndarray) -> list[str]:
        """Lines on one observation (*obs_shape)."""


class Game:
    """One episode of a task's suite, from start to goal.

    Attributes:
        obs: (*obs_shape) what is seen now.
        num_steps, budget, reference: env steps taken, allowed, and of the oracle or, without one,
            what the suite reckons by.
    """

    def __init__(self, task: Any, *, seed: int) -> None:
        """The last and hardest episode of a small suite drawn with `seed`."""
        spec = task.spec
        if not spec.num_actions or spec.num_actions > len(ACTIONS):
            kind = f"{spec.num_actions} actions" if spec.num_actions else "continuous actions"
            raise ValueError(
                f"task '{task.name}' has {kind}; from the keyboard only tasks with the first of "
                f"MiniGrid's actions can be played: {', '.join(ACTIONS)}."
            )
        self.task = task
        suite = task.suite(episodes_per_bin=1, seed=seed)
        self._start, self._goal = suite.starts[-1:], suite.goals[-1:]
        self.reference = int(suite.optimal_steps[-1])
        longest = suite.bins[suite.bin_index[-1]][2]
        self.budget = 3 * longest + 20 if suite.budgets is None else int(suite.budgets[-1])
        self.restart()

    def restart(self) -> None:
        """From the start again; chance, if there is any, comes out as before."""
        self._world, self.num_steps = self.task.batch(self._start), 0
        self.obs = self._world.observe()[0]

    @property
    def is_lost(self) -> bool:
        """Something has happened that never should, such as a step into lava."""
        return isinstance(self.task, Hazardous) and bool(self.task.is_unsafe(self._world.states)[0])

    @property
    def is_won(self) -> bool:
        """The goal is reached, unharmed."""
        reached = self.task.is_success(self._world.states, self._goal)[0]
        return bool(reached) and not self.is_lost

    @property
    def is_over(self) -> bool:
        """It is won or lost, or no step is left."""
        return self.is_won or self.is_lost or self.num_steps >= self.budget

    def press(self, key: str) -> None:
        """Does what a key means, if it means anything here."""
        action = ACTIONS.get(_KEYS.get(key, ""), self.task.spec.num_actions)
        if key == _AGAIN:
            self.restart()
        elif action < self.task.spec.num_actions and not self.is_over:
            self._world.step(np.array([action]))
            self.obs, self.num_steps = self._world.observe()[0], self.num_steps + 1

    def words(self) -> list[str]:
        """What there is to say beside the picture."""
        lines = self.task.caption(self.obs) if isinstance(self.task, Captioned) else []
        known = "the oracle takes" if isinstance(self.task, Solvable) else "the reference is"
        status = f"step {self.num_steps} of {self.budget}; {known} {self.reference}"
        if self.is_won:
            status = f"THERE, in {self.num_steps} env steps; {known} {self.reference}"
        elif self.is_lost:
            status = f"LOST: lava, or something hit, after {self.num_steps} env steps"
        elif self.is_over:
            status = f"TOO LATE: all {self.budget} env steps are taken"
        return [f"{self.task.name}: {self.task.success_rule}", *lines, status, _HELP]


def play(
    task: Any,
    *,
    seed: int,
    render: str = "text",
    keyboard: IO[Any] | None = None,
    output: IO[str] | None = None,
) -> Game:
    """Plays until `q`, or until the window is closed.

    Args:
        task: with numbered actions; "text" needs symbolic grids, "human" a `picture`.
        seed: of the suite whose last episode is played.
        render: "text" draws in the terminal, "human" in a window.
        keyboard: a terminal; None is standard input.
        output: None is standard output.

    Returns:
        The game as it was left.
    """
    if render not in ("text", "human"):
        raise ValueError(f"render = {render!r} is unknown; give text or human.")
    game = Game(task, seed=seed)
    if render == "human":
        _play_in_window(game)
        return game
    if task.spec.kind != "grid":
        raise ValueError(
            f"task '{task.name}' shows a {task.spec.kind}, no grid that text can draw; give "
            "--render human."
        )
    with closing(_terminal_keys((keyboard or sys.stdin).fileno())) as keys:
        _play_in_terminal(game, keys, output or sys.stdout)
    return game


def _play_in_terminal(game: Game, keys: Iterator[str], output: IO[str]) -> None:
    def show() -> None:
        lines = [*grid_text(game.obs), *game.words()]
        output.write("\x1b[H\x1b[2J" + "\n".join(lines) + "\n")
        output.flush()

    show()
    for key in keys:
        if key == _QUIT:
            return
        game.press(key)
        show()


def _terminal_keys(terminal: int) -> Generator[str, None, None]:
    """Keys as they are pressed, until the terminal is closed; it is put back as it was."""
    if not os.isatty(terminal):
        raise ValueError(
            "the keyboard is no terminal (standard input is a file or a pipe); play from a "
            "terminal, or give --render human."
        )
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)  # what was typed ahead counts
    try:
        while pressed := os.read(terminal, 1):
            if pressed == b"\x1b" and select.select([terminal], [], [], _ESCAPE_SECONDS)[0]:
                pressed += os.read(terminal, 2)
            yield pressed.decode(errors="replace")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _play_in_window(game: Game) -> None:
    if not isinstance(game.task, Pictured):
        raise ValueError(f"task '{game.task.name}' has no picture; play it without --render human.")
    try:
        pygame.display.init()
        pygame.font.init()
        window = _show_in_window(game, None)
        clock = pygame.time.Clock()
        while True:
            for event in pygame.event.get():
                if event.type == pygame.KEYDOWN:
                    key = _ARROWS.get(event.key, event.unicode)
                    game.press(key)
                    window = _show_in_window(game, window)
                if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and key == _QUIT):
                    return
            clock.tick(_FRAMES_PER_SECOND)
    except pygame.error as error:
        raise ValueError(f"no window opens ({error}); play without --render human.") from error
    finally:
        pygame.display.quit()


def _show_in_window(game: Game, window: pygame.Surface | None) -> pygame.Surface:
    """Draws picture and words; the window is opened at the first call, to fit them."""
    picture = pygame.surfarray.make_surface(game.task.picture(game.obs).swapaxes(0, 1))
    picture = pygame.transform.scale_by(picture, max(1, _WINDOW // max(picture.get_size())))
    font = pygame.font.Font(None, _FONT)
    words = [font.render(line, True, "white") for line in game.words()]
    if window is None:
        width = max(surface.get_width() for surface in (picture, *words))
        height = picture.get_height() + sum(line.get_height() for line in words)
        window = pygame.display.set_mode((width, height))
        pygame.display.set_caption(game.task.name)
    window.fill("black")
    window.blit(picture, (0, 0))
    top = picture.get_height()
    for line in words:
        window.blit(line, (0, top))
        top += line.get_height()
    pygame.display.flip()
    return window
