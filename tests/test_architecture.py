"""The shape of the code base: who may import whom, and how long things may be."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    path.relative_to(ROOT)
    for name in ("hplan", "levels", "tasks")
    for path in (ROOT / name).rglob("*.py")
]
COMPOSITION_ROOT = Path("hplan/__main__.py")
KNOWS_LIGHTNING = {
    COMPOSITION_ROOT,
    Path("hplan/training.py"),
    Path("hplan/trainer.py"),
    Path("hplan/data.py"),
}
KNOWS_NETWORKX = {
    Path("hplan/evaluation.py"),
    Path("hplan/film/write.py"),
    Path("hplan/film/frames.py"),
    Path("hplan/film/story.py"),
    Path("hplan/finished_trials.py"),
    Path("hplan/recording.py"),
    Path("hplan/run_evaluation.py"),
    Path("hplan/subgoal_tree.py"),
    Path("hplan/subgoals_plugin/bench.py"),
    Path("hplan/tree_summary.py"),
    Path("hplan/tree_text.py"),
}
ENVIRONMENTS = {"gymnasium", "minigrid", "minari"}
LIGHTNING = {"pytorch_lightning", "lightning", "lightning_fabric"}
LEVEL_NUMBER_IN_NAME = re.compile(r"(^|_)l[12]_|level_?[0-9]|(^|_)(high|low)_")
LONGEST_FILE = 300
LONGEST_FUNCTION = 80


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse((ROOT / path).read_text())))


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").partition(".")[0])
    return found


def identifiers(path: Path) -> Iterator[str]:
    for node in nodes(path):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name


def forbidden_imports(path: Path) -> set[str]:
    """Packages that a file of that place must not know."""
    if path == COMPOSITION_ROOT:
        return set()
    lightning = set() if path in KNOWS_LIGHTNING else LIGHTNING
    if path.parts[0] == "levels":
        return {"tasks", "networkx"} | ENVIRONMENTS | LIGHTNING
    if path.parts[0] == "tasks":
        return {"levels", "torch"} | LIGHTNING
    networkx = set() if path in KNOWS_NETWORKX else {"networkx"}
    return {"levels", "tasks"} | ENVIRONMENTS | lightning | networkx


def test_imports_point_towards_the_core() -> None:
    known = {path: imported_packages(path) for path in FILES}
    wrong = {path: known[path] & (forbidden_imports(path) | {"tests"}) for path in FILES}
    assert not {str(path): names for path, names in wrong.items() if names}


def test_no_name_holds_the_number_of_a_level() -> None:
    names = [(str(path), name) for path in FILES for name in identifiers(path)]
    assert not [found for found in names if LEVEL_NUMBER_IN_NAME.search(found[1])]


def test_files_and_functions_are_short() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in FILES}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}
    functions = [
        (str(path), node.name, node.end_lineno - node.lineno)
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef)
    ]
    assert not [found for found in functions if found[2] >= LONGEST_FUNCTION]


@pytest.mark.parametrize("name", ["level1", "level_0", "high_level", "l2_weight", "z_low_dim"])
def test_a_level_number_in_a_name_would_be_found(name: str) -> None:
    assert LEVEL_NUMBER_IN_NAME.search(name)


@pytest.mark.parametrize("name", ["level", "levels", "highest", "below", "slow", "num_levels"])
def test_other_names_are_left_alone(name: str) -> None:
    assert not LEVEL_NUMBER_IN_NAME.search(name)


def test_a_wrong_shape_is_found_by_the_test_run() -> None:
    from hplan.diagnostics import latent_std

    with pytest.raises(TypeCheckError, match="latent_std"):
        latent_std(torch.randn(5))
    assert latent_std(torch.randn(5, 3)).shape == ()
