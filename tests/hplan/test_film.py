"""The film of an episode, read back: what it shows at each env step, and what it refuses."""

import base64
import colorsys
import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from hplan.film.frames import Frames
from hplan.film.parts import MARKS, EnergyCurve, SubgoalPanel, picture
from hplan.film.story import Story, Subgoal
from hplan.film.write import write_film
from hplan.subgoal_tree import PlanRecord, build_tree
from hplan.tree_checks import Cause
from tests.hplan.test_tree_text import plan

STEPS = 6
# Pictures after those of the observations.
GOAL, SUBGOAL, NEXT, AFTER = range(STEPS + 1, STEPS + 5)
NUM_PICTURES = AFTER + 1
SURPRISE = 4  # env step


def colour(index: int) -> np.ndarray:
    """Of picture `index`: light and far from every other, and from what the film draws itself."""
    rgb = colorsys.hls_to_rgb(index / NUM_PICTURES, 0.72 if index % 2 else 0.5, 1.0)
    return np.array(rgb) * 255


def png(index: int, size: tuple[int, int] = (25, 25)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, tuple(colour(index).astype(int).tolist())).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def pictures() -> list[str]:
    return [png(index) for index in range(NUM_PICTURES)]


def records() -> list[PlanRecord]:
    """Level 1 plans at 0 and 2, level 0 serves it, is surprised at 4, and heads for the goal at 5.

    Level 1's last plan is ended only by the episode.
    """
    made = [
        plan(1, 0, 1, 0, 2, cause="start", subgoal=SUBGOAL, subgoal_distance=0.25),
        plan(2, 1, 0, 0, 2, cause="start", target=SUBGOAL, target_distance=0.25),
        plan(3, 0, 1, 2, STEPS, subgoal=NEXT, subgoal_distance=0.5),
        plan(4, 3, 0, 2, SURPRISE, cause="target_changed", outcome="surprise", target=NEXT),
        plan(5, 3, 0, SURPRISE, 5, cause="surprise", target=NEXT),
        plan(6, 0, 0, 5, STEPS, cause="target_changed", outcome="success", target=GOAL),
    ]
    kept = []
    for record in made:
        energies = [20.0 - step for step in range(record.made, record.ended + 1)]
        kept.append(replace(record, energies=energies, energy_ended=energies[-1]))
    return kept


def onwards() -> list[PlanRecord]:
    """The same, but level 1 goes on to its second subgoal where level 0 was surprised."""
    moved = {"cause": "target_changed", "target": AFTER, "target_distance": 0.75}
    return [replace(record, **moved) if record.plan == 5 else record for record in records()]


def episode(plans: list[PlanRecord] | None = None, **changes) -> nx.DiGraph:
    goal = {"num_levels": 2, "task": "rooms", "method": "hierarchical", "episode": 12}
    goal |= {"env_steps": STEPS, "success": True}
    goal |= {"observations": list(range(STEPS + 1)), "goal": GOAL}
    return build_tree(plans or records(), {**goal, **changes}, pictures())


EXPECTED_SUBGOAL = [SUBGOAL, SUBGOAL, NEXT, NEXT, NEXT, None, None]


def shown(frame: np.ndarray, tolerance: int) -> set[int]:
    """The pictures that fill a part of the frame, by every fourth row and column."""
    few = frame[::4, ::4].astype(np.int16)
    gaps = [np.abs(few - colour(i).astype(np.int16)).max(-1) for i in range(NUM_PICTURES)]
    return {i for i, gap in enumerate(gaps) if (gap <= tolerance).sum() > 300}


def in_world(frame: np.ndarray, tolerance: int) -> set[int]:
    """The pictures in the left half of the frame's upper part, where the world is."""
    left = frame.copy()
    left[:, 250:] = 0
    return shown(left, tolerance)


def gif_frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as gif:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]


def movie_frames(path: Path, shape: tuple[int, ...]) -> tuple[str, list[np.ndarray]]:
    """What ffmpeg says of the file, and its frames, which are of that shape."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stderr.decode(), list(np.frombuffer(done.stdout, np.uint8).reshape(-1, *shape))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_film(episode(), tmp_path_factory.mktemp("watch"), fps=5)


def test_the_pictures_of_this_test_differ() -> None:
    everything = [colour(i) for i in range(NUM_PICTURES)]
    gaps = [np.abs(a - b).max() for i, a in enumerate(everything) for b in everything[:i]]
    assert min(gaps) > 60


def test_both_films_show_the_observation_of_every_step(film: tuple[Path, Path]) -> None:
    gif = gif_frames(film[0])
    facts, movie = movie_frames(film[1], gif[0].shape)
    assert [path.name for path in film] == ["hierarchical-00012.gif", "hierarchical-00012.mp4"]
    height, width, _ = gif[0].shape
    for fact in ("Video: h264", "yuv420p", f"{width}x{height}", "5 fps"):
        assert fact in facts
    assert len(gif) == len(movie) == STEPS + 1
    for frames, tolerance in ((gif, 8), (movie, 25)):
        for step, frame in enumerate(frames):
            assert frame.shape == gif[0].shape and not any(n % 2 for n in frame.shape[:2])
            assert in_world(frame, tolerance) == {step}
            expected = {step, GOAL, EXPECTED_SUBGOAL[step]} - {None}
            assert shown(frame, tolerance) == expected


def test_the_gif_lasts_as_long_as_the_steps_and_rests_at_the_end(film: tuple[Path, Path]) -> None:
    with Image.open(film[0]) as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
        assert gif.info["loop"] == 0
    assert durations == [200] * STEPS + [2000]


def test_another_order_of_observations_makes_another_film() -> None:
    backwards = list(reversed(range(STEPS + 1)))
    frames = list(Frames(episode(observations=backwards)))
    assert [in_world(frame, 8) for frame in frames] == [{step} for step in backwards]


def test_marks_appear_as_they_happen() -> None:
    frames = list(Frames(episode()))
    red = np.array([int(MARKS["surprise"][1][i : i + 2], 16) for i in (1, 3, 5)])
    marks = [(frame == red).all(-1).sum() for frame in frames]
    # Before, the colour is in the legend alone.
    assert len(set(marks[:SURPRISE])) == 1 and marks[0] > 0
    assert len(set(marks[SURPRISE:])) == 1 and marks[SURPRISE] > marks[0]


def test_a_curve_goes_up_to_now_and_breaks_at_a_new_plan() -> None:
    plans = [data for _, data in episode().nodes(data=True) if data["level"] == 0]
    curve = EnergyCurve(0, plans, Figure().add_axes((0, 0, 1, 1)), "#000000", STEPS)
    for now in range(STEPS + 1):
        curve.show(None, now)
        steps, energies = curve.line.get_data()
        measured = ~np.isnan(energies)
        assert set(steps[measured]) == set(range(now + 1))
        assert (energies[measured] == 20 - steps[measured]).all()
        assert np.isnan(energies).sum() == sum(node["ended"] <= now for node in plans)
        assert len(curve.promise.get_xdata()) == 0
    curve.show(plans[1], 3)
    assert np.array_equal(curve.promise.get_data(), [[2.0, 21.0], [23.75, 0.5]])


@pytest.mark.parametrize("num_levels", [1, 3, 5])
def test_every_level_above_the_bottom_has_its_panel(num_levels: int) -> None:
    chain = [
        plan(n, n - 1, num_levels - n, 0, 1, subgoal=None if n == num_levels else n)
        for n in range(1, num_levels + 1)
    ]
    info = {"num_levels": num_levels, "observations": [0, 0], "goal": GOAL}
    frames = Frames(build_tree(chain, info, pictures()))
    first = next(iter(frames))
    assert shown(first, 8) == {0, GOAL, *range(1, num_levels)}
    assert first.shape == (frames.size[1], frames.size[0], 3)
    assert not any(side % 2 for side in frames.size)


def test_a_story_tells_what_is_served_and_why() -> None:
    story = Story(episode(), STEPS)
    levels = [{1: 1, 0: 2}] * 2 + [{1: 3, 0: 4}] * 2 + [{1: 3, 0: 5}] + [{0: 6}] * 2
    assert [story.served(now) for now in range(STEPS + 1)] == levels
    assert "newest plan: 3 of level 1, at step 2: its turn on schedule" in story.reason(3)
    assert story.reason(3).endswith("(clock), with 1 below it")
    assert "5 of level 0, at step 4: a prediction failed (surprise)" in story.reason(4)
    assert story.reason(STEPS).startswith("GOAL REACHED")
    assert story.without(1, 5) == "none now:\nlevel 0 aims at the goal"


def test_a_plan_that_goes_on_is_shown_with_its_next_subgoal_from_then_on() -> None:
    untold = [replace(record, target=None, target_distance=None) for record in onwards()]
    for plans, then in ((onwards(), AFTER), (records(), NEXT), (untold, NEXT)):
        frames = list(Frames(episode(plans)))
        subgoals = [*EXPECTED_SUBGOAL[:SURPRISE], then, None, None]
        for step, subgoal in enumerate(subgoals):
            assert shown(frames[step], 8) == {step, GOAL, subgoal} - {None}


def test_the_current_subgoal_is_the_target_of_the_plan_that_serves_it() -> None:
    story = Story(episode(onwards()), STEPS)
    told = [story.subgoal(plan, now) for plan, now in ((1, 0), (3, SURPRISE))]
    assert told == [
        Subgoal(picture=SUBGOAL, distance=0.25, is_first=False),
        Subgoal(picture=AFTER, distance=0.75, is_first=False),
    ]
    # At its end level 0 heads for the goal and serves it no more.
    assert story.subgoal(3, 5) == Subgoal(picture=NEXT, distance=0.5, is_first=True)


@pytest.mark.parametrize(
    ("subgoal", "note"),
    [
        ((NEXT, 0.5, False), ["distance 0.5"]),
        ((NEXT, 0.5, True), ["distance 0.5", "its first subgoal"]),
        ((None, None, True), ["no observation looked up"]),
    ],
)
def test_the_note_tells_the_distance_and_which_subgoal_it_is(subgoal: tuple, note: list) -> None:
    axes = Figure().add_axes((0, 0, 1, 1))
    panel = SubgoalPanel(1, axes.imshow(picture(0, png(0))), axes.text(0, 0, ""))
    shown_one = Subgoal(**dict(zip(("picture", "distance", "is_first"), subgoal, strict=True)))
    panel.show(3, 2, shown_one, picture(0, png(0)))
    assert panel.note.get_text().split("\n") == ["plan 3 since step 2", *note]


def test_a_picture_that_is_not_square_keeps_its_shape() -> None:
    tall = picture(0, png(3, size=(10, 30)))
    assert tall.shape == (30, 30, 3)
    assert (np.abs(tall - colour(3)).max(-1) < 2).sum() == 300


def test_names_of_a_file_steer_neither_path_nor_drawing(tmp_path: Path) -> None:
    tree = episode(method="../../x\x00y", episode=None, task="$\\frac{$", bin="\x1b[31m世界\u202e")
    paths = write_film(tree, tmp_path / "watch")
    assert {path.parent for path in paths} == {tmp_path / "watch"}
    assert [path.name for path in paths] == [f"______x_y-unknown.{kind}" for kind in ("gif", "mp4")]
    assert os.listdir(tmp_path) == ["watch"] and len(os.listdir(tmp_path / "watch")) == 2


def test_a_tree_without_pictures_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for tree in (episode(observations=[]), build_tree([], {"num_levels": 2})):
        with pytest.raises(ValueError, match="no pictures .*make eval") as error:
            write_film(tree, tmp_path)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n\x00\x00", "large"])
def test_a_broken_picture_is_refused(content: bytes | str) -> None:
    coded = png(0, (1025, 1)) if content == "large" else base64.b64encode(content).decode()
    with pytest.raises(ValueError, match="^picture 3 of the subgoal tree cannot be shown") as error:
        picture(3, coded)
    assert "\n" not in str(error.value)


def test_a_broken_picture_leaves_no_file(tmp_path: Path) -> None:
    tree = episode()
    tree.graph["pictures"][1] = "QUJD"
    with pytest.raises(ValueError, match="^picture 1 of"):
        write_film(tree, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0, 51, True])
def test_an_impossible_speed_is_refused(fps: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"fps = {fps}; allowed is an integer from 1 to 50"):
        write_film(episode(), tmp_path, fps=fps)


def test_a_film_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("gif", "mp4"):
        (tmp_path / f"hierarchical-00012.{kind}").write_text("old")
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    with pytest.raises(ValueError, match="^ffmpeg could not write the MP4: no such codec$"):
        write_film(episode(), tmp_path)
    program.unlink()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old", "old"]


def test_every_cause_has_a_mark_of_its_own_shape() -> None:
    assert set(MARKS) == set(Cause.__args__)
    assert len({shape for shape, _ in MARKS.values()}) == len(MARKS)
