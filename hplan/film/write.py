"""An episode as a film, from its subgoal tree alone: a frame for every env step.

Left the world, beside it the goal and what each level aims at; below, every level's energy up to
now, with the plans that it made and why. A subgoal is a latent, so the film shows the real
observation nearest to it and states how far off that is.
"""

import io
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import networkx as nx
import numpy as np
from PIL import Image

from hplan.files import write_atomically
from hplan.film.frames import MOST_FRAMES, Frames
from hplan.subgoal_tree import ROOT, load_tree

MOST_FRAMES_PER_SECOND = 50  # a GIF tells time in hundredths, and players skip delays below two
LAST_FRAME_MS = 2000  # of the GIF, which begins again and again


def write_film(graph: nx.DiGraph, folder: Path, *, fps: int = 8) -> tuple[Path, Path]:
    """Writes `<method>-<episode>.gif` and `.mp4`, each whole or not at all.

    Args:
        graph: a subgoal tree that holds the pictures of its episode.
        fps: env steps shown in a second.

    Returns:
        The paths of the GIF and the MP4.

    Raises:
        ValueError: a tree without pictures or with broken ones, an impossible `fps`, no ffmpeg, or
            a full disk.
    """
    if type(fps) is not int or not 1 <= fps <= MOST_FRAMES_PER_SECOND:
        raise ValueError(f"fps = {fps!r}; allowed is an integer from 1 to {MOST_FRAMES_PER_SECOND}")
    frames = Frames(graph)
    stem = _stem(graph)
    shades: list[Image.Image] = []

    def kept() -> Iterable[np.ndarray]:
        for frame in frames:
            # Without dithering: flat areas stay flat, and the file small.
            shades.append(Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE))
            yield frame

    movie = _encoded(kept(), frames.size, fps)
    paths = folder / f"{stem}.gif", folder / f"{stem}.mp4"
    write_atomically(paths[0], _gif(shades, fps))
    write_atomically(paths[1], movie)
    return paths


def choose_tree(
    run_dir: Path, method: str, episode: str | None = None, suite: str | None = None
) -> Path:
    """The tree to film: of the run's newest evaluation that kept trees of `method`.

    Args:
        episode: number of the episode; None takes the longest of those that fit into a film, of
            equal ones the first.
        suite: the evaluation's folder in `run_dir`/eval, in place of the newest.

    Raises:
        ValueError: there is no such tree, with what there is instead.
    """
    if episode is not None and not episode.isdecimal():
        raise ValueError(f"--episode {episode}; allowed is a whole number from 0 up")
    kept = sorted((run_dir / "eval").glob("*/episodes/*.json"))
    if suite is not None:
        suites = {path.parts[-3] for path in kept}
        if suite not in suites:
            there = ", ".join(sorted(suites)) or "none"
            raise ValueError(f"--suite {suite}; run {run_dir} has trees of these: {there}")
        kept = [path for path in kept if path.parts[-3] == suite]
    trees = [path for path in kept if path.name.rpartition("-")[0] == method]
    if not trees:
        methods = sorted({path.name.rpartition("-")[0] for path in kept})
        there = f"has trees of {', '.join(methods)} alone" if methods else "has no trees"
        raise ValueError(
            f"run {run_dir} {there}, none of {method!r}; give METHOD one of these, or evaluate "
            f"the run: make eval RUN={run_dir}"
        )
    newest = max(trees, key=lambda path: path.stat().st_mtime_ns).parent
    by_episode = {path.stem.rpartition("-")[2]: path for path in trees if path.parent == newest}
    if episode is None:
        lengths = {path: _length(path) for path in by_episode.values()}
        fitting = [path for path, steps in lengths.items() if steps < MOST_FRAMES]
        return max(fitting or lengths, key=lengths.__getitem__)
    for name, path in by_episode.items():
        if name.isdecimal() and int(name) == int(episode):
            return path
    numbers = ", ".join(str(int(name)) for name in by_episode if name.isdecimal())
    raise ValueError(f"{newest} has no tree of {method} for episode {episode}; it has {numbers}")


def _length(path: Path) -> int:
    steps = load_tree(path).nodes[ROOT].get("env_steps")
    return steps if type(steps) is int else -1


def _stem(graph: nx.DiGraph) -> str:
    """`<method>-<episode>` as the tree files are called, of letters that no path is made of."""
    goal = graph.nodes[ROOT]
    method = "".join(c if c.isalnum() or c in "_-" else "_" for c in str(goal.get("method", "")))
    episode = goal.get("episode")
    number = f"{episode:05d}" if type(episode) is int and episode >= 0 else "unknown"
    return f"{method[:100] or 'episode'}-{number}"


def _gif(shades: list[Image.Image], fps: int) -> bytes:
    durations = [round(1000 / fps)] * (len(shades) - 1) + [LAST_FRAME_MS]
    content = io.BytesIO()
    shades[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=shades[1:],
        duration=durations,
        loop=0,
    )
    return content.getvalue()


def _encoded(frames: Iterable[np.ndarray], size: tuple[int, int], fps: int) -> bytes:
    """The frames as H.264 in an MP4 that every player reads (yuv420p, which needs even sizes).

    Args:
        frames: (height, width, 3) uint8 each.
        size: their width and height.
    """
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ValueError(
            "there is no ffmpeg to write the MP4 with; install one, or imageio-ffmpeg, which "
            "brings its own"
        ) from error
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as complaints:
        path = Path(folder) / "film.mp4"
        command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-"]
        command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18"]
        command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
        try:
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints) as process:
                for frame in frames:
                    process.stdin.write(frame.tobytes())
        except BrokenPipeError:
            pass  # ffmpeg gave up; its own words say why
        if process.returncode:
            complaints.seek(0)
            words = " ".join(complaints.read().decode(errors="replace").split())
            raise ValueError(f"ffmpeg could not write the MP4: {words or process.returncode}")
        return path.read_bytes()
