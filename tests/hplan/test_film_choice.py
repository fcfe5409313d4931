"""Which of a run's kept trees is filmed."""

import os
from pathlib import Path

import pytest

from hplan.film.frames import MOST_FRAMES
from hplan.film.write import choose_tree
from hplan.subgoal_tree import build_tree, save_tree


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two evaluations, the newer one of `rooms`."""
    kept = [("rooms", "hierarchical", 3, 17), ("rooms", "hierarchical", 12, 29)]
    kept += [("rooms", "hierarchical", 20, 29), ("rooms", "flat", 3, 40)]
    kept += [("rooms-brief", "hierarchical", 99, 50), ("rooms-brief", "flat_distance", 3, 50)]
    for suite, method, number, steps in kept:
        path = tmp_path / "a-run" / "eval" / suite / "episodes" / f"{method}-{number:05d}.json"
        save_tree(path, build_tree([], {"num_levels": 2, "env_steps": steps}))
        os.utime(path, (1000, 2000 if suite == "rooms" else 1000))
    return tmp_path / "a-run"


def test_the_longest_episode_of_the_newest_evaluation_is_chosen(run_dir: Path) -> None:
    trees = run_dir / "eval" / "rooms" / "episodes"
    assert choose_tree(run_dir, "hierarchical", None) == trees / "hierarchical-00012.json"
    assert choose_tree(run_dir, "hierarchical", "3") == trees / "hierarchical-00003.json"
    older = run_dir / "eval" / "rooms-brief" / "episodes" / "hierarchical-00099.json"
    os.utime(older, (3000, 3000))
    assert choose_tree(run_dir, "hierarchical", None) == older
    chosen = choose_tree(run_dir, "hierarchical", None, "rooms")
    assert chosen == trees / "hierarchical-00012.json"
    with pytest.raises(ValueError, match="--suite ro; .*these: rooms, rooms-brief"):
        choose_tree(run_dir, "hierarchical", None, "ro")


@pytest.mark.parametrize(
    ("method", "number", "message"),
    [
        ("hierarchical", "99", "no tree of hierarchical for episode 99; it has 3, 12, 20"),
        ("oracle", None, "trees of flat, flat_distance, hierarchical alone, none of 'oracle'"),
        ("../hierarchical", None, "none of '../hierarchical'"),
    ],
)
def test_a_tree_that_is_not_there_is_refused_with_what_is(
    run_dir: Path, method: str, number: str | None, message: str
) -> None:
    with pytest.raises(ValueError) as error:
        choose_tree(run_dir, method, number)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_episode_too_long_for_a_film_is_chosen_only_where_all_are(run_dir: Path) -> None:
    trees = run_dir / "eval" / "rooms" / "episodes"
    path = trees / "hierarchical-00025.json"
    save_tree(path, build_tree([], {"num_levels": 2, "env_steps": MOST_FRAMES}))
    assert choose_tree(run_dir, "hierarchical", None) == trees / "hierarchical-00012.json"
    save_tree(path, build_tree([], {"num_levels": 2, "env_steps": MOST_FRAMES - 1}))
    assert choose_tree(run_dir, "hierarchical", None) == path
    save_tree(
        trees / "random-00001.json", build_tree([], {"num_levels": 2, "env_steps": MOST_FRAMES})
    )
    assert choose_tree(run_dir, "random", None) == trees / "random-00001.json"


def test_a_run_without_trees_is_told_to_be_evaluated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no trees.*make eval RUN=.*a-run"):
        choose_tree(tmp_path / "a-run", "hierarchical", None)
