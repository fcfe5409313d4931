"""The commands that look at what a run has left: a film of an episode, a tree of its subgoals."""

from pathlib import Path

from hplan.arguments import Arguments
from hplan.run import EVALUATED_WITH, config_of_run
from hplan.shell import Command, say


def watch(arguments: Arguments) -> None:
    """Films an episode of a run's evaluation: runs/RUN/watch/SUITE/*.gif and *.mp4."""
    _, run_dir = config_of_run(arguments, EVALUATED_WITH)
    from hplan.film.write import choose_tree, write_film
    from hplan.subgoal_tree import load_tree

    own = arguments.own
    path = choose_tree(
        run_dir, own.get("method", "hierarchical"), own.get("episode"), own.get("suite")
    )
    for film in write_film(load_tree(path), run_dir / "watch" / path.parts[-3]):
        say(f"wrote {film}")


def tree(arguments: Arguments) -> None:
    """Shows the subgoal tree of an episode file in the terminal."""
    from hplan.results import plain_console
    from hplan.tree_text import show

    plans = arguments.own.get("plans", "folded")
    if len(arguments.words) != 1 or plans not in ("all", "folded"):
        raise ValueError("usage: hplan tree EPISODE.json [--plans all|folded]")
    show(Path(arguments.words[0]), all_plans=plans == "all", console=plain_console())


WATCH = Command(
    run=watch,
    own={
        "episode": "number of the episode in its suite; the longest one if not given",
        "method": "of which method: hierarchical if not given",
        "suite": "folder of the evaluation in RUN/eval: the newest if not given",
    },
    settings=False,
)
TREE = Command(
    run=tree,
    own={"plans": "all, or folded (similar plans of the bottom in one line)"},
    word="FILE",
    settings=False,
)
