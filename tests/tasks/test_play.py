"""Playing from the keyboard, with keys that come through a pseudo terminal or a window's queue."""

import io
import os
import pty
import termios

import numpy as np
import pygame
import pytest

from tasks import build_task
from tasks.play import ACTIONS, Game, play
from tasks.text_pictures import grid_text
from tasks.trip import trip_task
from tasks.trip.oracle import hindsight_plan
from tasks.trip.world import FLOOR

SEED = 3
KEYS = dict(zip(ACTIONS.values(), ["\x1b[D", "\x1b[C", "w", "p", " ", "t"], strict=True))
STREET = trip_task(0, name="trip-street")


def _typed(task: object, keys: str) -> tuple[Game, str]:
    """The game, and what was drawn, after these keys and `q` in a terminal."""
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    drawn = io.StringIO()
    try:
        os.write(keyboard, (keys + "q").encode())
        with open(terminal, closefd=False) as stream:
            game = play(task, seed=SEED, keyboard=stream, output=drawn)
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(keyboard)
        os.close(terminal)
    return game, drawn.getvalue()


def test_the_oracles_keys_lead_to_the_goal():
    suite = STREET.suite(episodes_per_bin=1, seed=SEED)
    plan = hindsight_plan(suite.starts[0], suite.goals[0])
    game, drawn = _typed(STREET, "".join(KEYS[action] for action in plan))
    assert game.is_won and game.num_steps == len(plan) == game.reference
    frames = drawn.split("\x1b[H\x1b[2J")[1:]
    assert len(frames) == len(plan) + 1
    assert "New York: the office" in frames[0] and "pick up the passport" in frames[0]
    assert "New York: in the taxi" in frames[-1] and f"THERE, in {len(plan)}" in frames[-1]
    assert any("lift on floor" in frame for frame in frames)


def test_keys_that_mean_nothing_are_no_steps_and_again_begins_anew():
    game, drawn = _typed(STREET, "xwwr")
    assert game.num_steps == 0 and "step 2 of" in drawn
    rooms, _ = _typed(build_task("rooms-tiny", 0), "tp \x1b[C\x1b[D")
    assert rooms.num_steps == 2  # it has neither toggle nor pick up
    assert np.array_equal(rooms.obs, rooms.task.observe(rooms._start)[0])


def test_a_game_ends_when_no_step_is_left():
    game = Game(STREET, seed=SEED)
    game.budget = 2
    for _ in range(5):
        game.press(" ")
    assert game.num_steps == 2 and game.is_over and not game.is_won
    assert any("TOO LATE" in line for line in game.words())


@pytest.mark.parametrize("view", ["full", "partial"])
def test_a_game_ends_in_lava(view):
    task = build_task("rooms-lava", 0, view=view)
    game, world = Game(task, seed=SEED), build_task("rooms-lava", 0).world
    brink = world.in_lava[world.transitions[:, 2]] & ~world.in_lava
    game._start = world.all_states[brink][:1]
    game._goal = world.all_states[world.transitions[brink, 2]][:1]  # in lava itself
    game.restart()
    assert not game.is_over
    game.press("w")
    assert game.is_lost and game.is_over and not game.is_won
    assert any("LOST" in line for line in game.words())
    game.press("a")
    assert game.num_steps == 1
    game.press("r")
    assert not game.is_over


def test_a_window_takes_the_same_keys(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    for key, letter in ((pygame.K_RIGHT, ""), (pygame.K_w, "w"), (pygame.K_q, "q")):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=letter))
    game = play(STREET, seed=SEED, render="human")
    by_hand = Game(STREET, seed=SEED)
    by_hand.press("d")
    by_hand.press("w")
    assert game.num_steps == 2 and np.array_equal(game.obs, by_hand.obs)


def test_text_shows_every_cell():
    state = STREET.goal.copy()
    lines = grid_text(STREET.observe(state[None])[0])
    assert len(lines) == STREET.spec.shape[1]
    assert sum("↑↑" in line for line in lines) == 1
    state[2:6], state[FLOOR] = (1, 1, 8, 0), 3
    assert "->" in "".join(grid_text(STREET.observe(state[None])[0]))


def test_what_cannot_be_played_is_refused(tmp_path):
    with pytest.raises(ValueError, match="render = 'loud' is unknown; give text or human"):
        play(STREET, seed=0, render="loud")
    with pytest.raises(ValueError, match="'point-rooms' has continuous actions; from the keyboard"):
        play(build_task("point-rooms", 0), seed=0)
    file = tmp_path / "keys"
    file.write_text("wq")
    with (
        file.open() as stream,
        pytest.raises(ValueError, match="no terminal .* give --render human"),
    ):
        play(STREET, seed=0, keyboard=stream)
