"""The subgoal tree: built, refused, written and read."""

import base64
import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hplan.subgoal_tree import build_tree, load_tree, parse_tree, save_tree, tree_json
from tests.hplan import trees

OLD_FILE, SECOND_FILE = (
    Path(__file__).parent / "data" / f"tree-version-{version}.json" for version in (1, 2)
)
PICTURES = [base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes([0, i])).decode() for i in range(3)]
GOAL = {
    "num_levels": 3, "task": "rooms", "method": "hierarchical", "energy": "distance",
    "pair": "0123456789ab-7", "episode": 7, "bin": "far", "update": 500, "env_steps": 11,
    "optimal_steps": 9, "success": True, "observations": [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
    "goal": 2, "stuck": False, "refused": False, "unsafe": False,
}  # fmt: skip

ENDINGS_UNKNOWN = dict.fromkeys(("stuck", "refused", "unsafe"))


def _plan(number, parent, level, **changes):
    told = {
        "made": 2, "ended": 7, "energy_before": 13.25, "energy_promised": 0.5, "energy_ended": 1.0,
        "support": 97.5, "subgoal": 2, "subgoal_distance": 0.75, "target": 1,
        "target_distance": 0.25,
    }  # fmt: skip
    return trees.plan(number, parent, level, **told | changes)


def _build(records, goal=GOAL):
    return build_tree(records, goal, PICTURES)


def _records():
    """Levels 2, 1, 0, then a bottom plan that served the goal itself, levels skipped."""
    return [
        _plan(1, 0, 2, energies=[13.25, 8.0, 9.5, None, 2.0, 1.0]),
        _plan(2, 1, 1, energy_ended=None, support=None, steps_promised=None),
        _plan(3, 2, 0, subgoal=None),
        _plan(4, 2, 0, cause="infeasible", made=4, outcome="success"),
        _plan(
            5,
            0,
            0,
            cause="clock",
            made=8,
            ended=11,
            steps_promised=None,
            energies=[7.0, 6.0, 5.0, 1.0],
        ),
    ]


def test_a_tree_holds_every_plan_under_the_plan_it_served():
    graph = _build(_records())
    assert nx.is_arborescence(graph)
    assert sorted(graph.edges) == [(0, 1), (0, 5), (1, 2), (2, 3), (2, 4)]
    assert graph.nodes[0] == {**GOAL, "level": 3}
    expected = asdict(_records()[3])
    del expected["plan"], expected["parent"]
    assert graph.nodes[4] == expected
    assert graph.graph == {"version": 3, "pictures": PICTURES}


def test_the_order_of_the_records_does_not_matter(tmp_path):
    paths = [tmp_path / name for name in ("forwards.json", "backwards.json")]
    save_tree(paths[0], _build(_records()))
    save_tree(paths[1], _build(reversed(_records()), dict(reversed(GOAL.items()))))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_episode_without_plans_is_a_goal_alone(tmp_path):
    save_tree(tmp_path / "t.json", build_tree([], {"num_levels": 2}))
    tree = load_tree(tmp_path / "t.json")
    assert list(tree.nodes) == [0]
    unknown = dict.fromkeys(GOAL) | {"num_levels": 2, "level": 2, "observations": []}
    assert tree.nodes[0] == unknown and tree.graph["pictures"] == []


@st.composite
def _episodes(draw):
    """What differs between plans (plan, parent, level, changes), and the goal's attributes."""
    num_levels = draw(st.integers(1, 5))
    number = st.none() | st.floats(allow_nan=True, allow_infinity=True)
    plans = []
    for plan in range(1, 1 + draw(st.integers(0, 12))):
        above = [0] + [number for number, _, level, _ in plans if level > 0]
        parent = draw(st.sampled_from(above))
        top = num_levels if parent == 0 else plans[parent - 1][2]
        level = draw(st.integers(0, top - 1))
        energies = draw(st.none() | st.lists(number, min_size=4, max_size=4))
        support = draw(st.none() | st.just(math.nan) | st.floats(0, 100))
        changes = {"support": support, "energies": energies, "made": plan, "ended": plan + 3}
        changes["energy_ended"] = energies[-1] if energies else draw(number)
        for key in ("subgoal", "target"):
            changes[key] = draw(st.none() | st.integers(0, len(PICTURES) - 1))
        changes["target_distance"] = draw(number)
        plans.append((plan, parent, level, changes))
    extra = draw(st.dictionaries(st.text(min_size=12), number | st.text() | st.booleans()))
    return plans, {"num_levels": num_levels, "task": draw(st.text()), **extra}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_episodes())
def test_what_is_written_is_read_back_whatever_the_depth(tmp_path, episode):
    plans, goal = episode
    graph = _build([_plan(*place, **changes) for *place, changes in plans], goal)
    path = tmp_path / "folder" / "tree.json"
    save_tree(path, graph)
    loaded = load_tree(path)
    assert loaded.nodes == graph.nodes
    assert set(loaded.edges) == set(graph.edges)
    assert loaded.graph == graph.graph
    before = path.read_bytes()
    save_tree(path, loaded)
    assert path.read_bytes() == before
    assert [child.name for child in path.parent.iterdir()] == ["tree.json"]


def test_what_is_not_finite_becomes_null(tmp_path):
    energies = [math.nan, 1.0, 1.0, 1.0, 1.0, math.inf]
    record = _plan(1, 0, 0, support=math.nan, energies=energies, energy_ended=math.inf)
    save_tree(tmp_path / "t.json", _build([record]))
    text = (tmp_path / "t.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    node = load_tree(tmp_path / "t.json").nodes[1]
    assert node["support"] is None and node["energy_ended"] is None
    assert node["energies"] == [None, 1, 1, 1, 1, None]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([_plan(1, 9, 0)], "plan 1 has parent 9, which does not exist"),
        ([_plan(1, 0, 1), _plan(1, 0, 0)], "plan 1 occurs twice"),
        ([_plan(1, 2, 1), _plan(2, 1, 1)], "the plans form a cycle: 1 -> 2"),
        ([_plan(1, 1, 1)], "the plans form a cycle: 1"),
        ([_plan(1, 0, 1), _plan(2, 1, 1)], "plan 2 of level 1 has parent 1 of level 1"),
        ([_plan(1, 0, 3)], "plan 1 of level 3 has parent 0 of level 3"),
        ([_plan(1, 0, 1), _plan(2, 1, 0, made=1)], "plan 2 was made at 1, before its parent 1"),
        ([_plan(0, 0, 1)], "plan 0 has plan 0; allowed is an integer from 1"),
        ([_plan(1, 0, -1)], "plan 1 has level -1"),
        ([_plan(1, 0, 0, made=8)], "plan 1 ended at 7, before it was made at 8"),
        ([_plan(1, 0, 0, ended=12)], "plan 1 ended at 12, after its episode of 11 steps"),
        ([_plan(1, 0, 0, subgoal=3)], "plan 1 has subgoal 3, but there are 3 pictures"),
        ([_plan(1, 0, 0, target=3)], "plan 1 has target 3, but there are 3 pictures"),
        ([_plan(1, 0, 0, energies=[1.0, 2.0])], "plan 1 has 2 energies; allowed is one at every"),
        ([_plan(1, 0, 0, energies=[1.0] * 5 + [0.5])], "energy_ended 1.0, not the last of its en"),
    ],
)
def test_records_that_make_no_tree_are_refused(records, message):
    with pytest.raises(ValueError) as error:
        _build(records)
    assert message in str(error.value)


def test_an_episode_without_its_depth_is_refused():
    with pytest.raises(ValueError, match="num_levels None"):
        build_tree([], {"task": "rooms"})


def test_a_malformed_file_is_named_in_one_line(tmp_path):
    path = tmp_path / "tree.json"
    save_tree(path, _build(_records()))
    path.write_text(path.read_text().replace('"cause": "clock"', '"cause": "clo\\nck"'))
    with pytest.raises(ValueError) as error:
        load_tree(path)
    assert str(error.value).startswith(f"subgoal tree {path} is malformed: plan 5 has cause 'clo")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"{}"])
def test_files_that_are_no_tree_at_all_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "tree.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        load_tree(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing.json cannot be read: No such file"):
        load_tree(tmp_path / "nothing.json")


def test_a_file_truncated_anywhere_is_refused(tmp_path):
    path = tmp_path / "part.json"
    save_tree(path, _build(_records()))
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 11):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="part.json is truncated or not JSON"):
            load_tree(path)
    path.write_bytes(whole)
    assert len(load_tree(path)) == 6


def test_a_file_of_version_1_still_loads_with_what_it_lacks_as_none():
    old, tree = json.loads(OLD_FILE.read_text()), load_tree(OLD_FILE)
    assert old["graph"] == {"version": 1} and len(old["nodes"]) == 10
    assert tree.graph == {"version": 3, "pictures": []}
    assert {(edge["source"], edge["target"]) for edge in old["edges"]} == set(tree.edges)
    missing = ("energies", "energy_unit", "subgoal", "subgoal_distance", "target", "support")
    assert any(node["support"] for node in old["nodes"][1:]), "in the old unit"
    for node in old["nodes"][1:]:
        number = node.pop("id")
        expected = {**node, **dict.fromkeys((*missing, "target_distance"))}
        assert tree.nodes[number] == expected
    goal = old["nodes"][0]
    del goal["id"]
    missing = {"pair": None, "update": None, "goal": None, "observations": []}
    assert tree.nodes[0] == {**goal, **missing, **ENDINGS_UNKNOWN}
    assert parse_tree(json.loads(tree_json(tree))).nodes == tree.nodes


def test_a_file_of_version_2_loads_without_its_support_in_the_old_unit():
    """An episode that the version before wrote."""
    old, tree = json.loads(SECOND_FILE.read_text()), load_tree(SECOND_FILE)
    assert old["graph"]["version"] == 2 and tree.graph["version"] == 3
    assert tree.graph["pictures"] == old["graph"]["pictures"] != []
    assert any(node["support"] for node in old["nodes"][1:]), "in the old unit"
    for node in old["nodes"]:
        number = node.pop("id")
        expected = {**node, "support": None} if number else {**node, **ENDINGS_UNKNOWN}
        assert tree.nodes[number] == expected
    assert parse_tree(json.loads(tree_json(tree))).nodes == tree.nodes


def test_a_file_of_version_2_from_before_targets_were_kept_loads_without_them():
    tree = _build(_records())
    data = json.loads(tree_json(tree))
    data["graph"]["version"] = 2
    for node in data["nodes"][1:]:
        assert (node.pop("target"), node.pop("target_distance")) == (1, 0.25)
    loaded, missing = parse_tree(data), dict.fromkeys(("target", "target_distance", "support"))
    for plan in range(1, 6):
        assert loaded.nodes[plan] == {**tree.nodes[plan], **missing}
    assert loaded.graph == tree.graph and loaded.nodes[0] == tree.nodes[0]
    del data["nodes"][1]["subgoal"]
    with pytest.raises(ValueError, match="plan 1 lacks subgoal"):
        parse_tree(data)
    whole = json.loads(tree_json(tree))
    del whole["nodes"][1]["target"]
    with pytest.raises(ValueError, match="plan 1 lacks target"):
        parse_tree(whole)


def test_an_old_files_indices_into_the_data_are_not_taken_for_pictures():
    old = json.loads(OLD_FILE.read_text())
    old["nodes"][0]["goal"], old["nodes"][1]["subgoal"] = 5, 17
    tree = parse_tree(old)
    assert tree.nodes[0]["goal"] is None and tree.nodes[1]["subgoal"] is None
    old["graph"]["version"] = 2
    with pytest.raises(ValueError, match="the pictures are not a list"):
        parse_tree(old)


def test_json_is_the_same_for_equal_trees_and_never_holds_what_is_not_finite():
    graph = _build(_records())
    assert tree_json(graph) == tree_json(parse_tree(json.loads(tree_json(graph))))
    assert tree_json(graph) != tree_json(_build(_records(), {**GOAL, "update": 501}))
    graph.nodes[1]["energy_before"] = math.nan
    with pytest.raises(ValueError):
        tree_json(graph)


def test_reading_trees_needs_no_torch():
    """TensorBoard reads trees, and must start fast."""
    code = (
        "import sys, hplan.subgoal_tree; print([n in sys.modules for n in ('torch', 'networkx')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[False, True]", found.stderr


def test_the_documented_question_is_answered():
    tree = _build(_records())
    plans = tree.nodes - {0}
    assert max(plans, key=lambda n: tree.nodes[n]["ended"] - tree.nodes[n]["made"]) == 1
