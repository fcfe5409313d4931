"""The subgoal tree: built, refused, written and read."""

import json
import math
from dataclasses import asdict, replace

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hplan.subgoal_tree import PlanRecord, build_tree, load_tree, save_tree

GOAL = {"num_levels": 3, "task": "rooms", "success": True, "env_steps": 11, "goal": 5}


def _plan(plan, parent, level, **changes):
    record = PlanRecord(
        plan=plan,
        parent=parent,
        level=level,
        cause="start",
        made=2,
        outcome="reached",
        ended=7,
        energy_before=13.25,
        energy_promised=0.5,
        energy_ended=1.0,
        horizon=5,
        steps_promised=15.0,
        predictor_evaluations=640,
        support=2.5,
        subgoal=17,
    )
    return replace(record, **changes)


def _records():
    """Levels 2, 1, 0, then a bottom plan that served the goal itself, levels skipped."""
    return [
        _plan(1, 0, 2),
        _plan(2, 1, 1, energy_ended=None, support=None),
        _plan(3, 2, 0, subgoal=None),
        _plan(4, 2, 0, cause="surprise", made=4, outcome="success"),
        _plan(5, 0, 0, cause="clock", made=8, ended=11, steps_promised=None),
    ]


def _file(tmp_path, change=lambda data: None):
    path = tmp_path / "tree.json"
    save_tree(path, build_tree(_records(), GOAL))
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def test_a_tree_holds_every_plan_under_the_plan_it_served():
    graph = build_tree(_records(), GOAL)
    assert nx.is_arborescence(graph)
    assert sorted(graph.edges) == [(0, 1), (0, 5), (1, 2), (2, 3), (2, 4)]
    assert graph.nodes[0] == {**GOAL, "level": 3}
    expected = asdict(_records()[3])
    del expected["plan"], expected["parent"]
    assert graph.nodes[4] == expected
    assert graph.graph == {"version": 1}


def test_the_order_of_the_records_does_not_matter(tmp_path):
    paths = [tmp_path / name for name in ("forwards.json", "backwards.json")]
    save_tree(paths[0], build_tree(_records(), GOAL))
    save_tree(paths[1], build_tree(reversed(_records()), dict(reversed(GOAL.items()))))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_episode_without_plans_is_a_goal_alone(tmp_path):
    save_tree(tmp_path / "t.json", build_tree([], GOAL))
    assert list(load_tree(tmp_path / "t.json").nodes) == [0]


@st.composite
def _episodes(draw):
    num_levels = draw(st.integers(1, 5))
    number = st.none() | st.floats(allow_nan=True, allow_infinity=True)
    records = []
    for plan in range(1, 1 + draw(st.integers(0, 12))):
        above = [0] + [r.plan for r in records if r.level > 0]
        parent = draw(st.sampled_from(above))
        top = num_levels if parent == 0 else records[parent - 1].level
        level = draw(st.integers(0, top - 1))
        support, made = draw(number), plan
        records.append(
            _plan(plan, parent, level, support=support, made=made, ended=made + 3, subgoal=None)
        )
    return records, {**GOAL, "num_levels": num_levels}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_episodes())
def test_what_is_written_is_read_back_whatever_the_depth(tmp_path, episode):
    graph = build_tree(*episode)
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
    record = _plan(1, 0, 0, support=math.nan, energy_ended=math.inf)
    save_tree(tmp_path / "t.json", build_tree([record], GOAL))
    text = (tmp_path / "t.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    node = load_tree(tmp_path / "t.json").nodes[1]
    assert node["support"] is None and node["energy_ended"] is None


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
    ],
)
def test_records_that_make_no_tree_are_refused(records, message):
    with pytest.raises(ValueError) as error:
        build_tree(records, GOAL)
    assert message in str(error.value)


def test_an_episode_without_its_depth_is_refused():
    with pytest.raises(ValueError, match="num_levels None"):
        build_tree([], {"task": "rooms"})


def _cycle(data):
    data["edges"] = [{"source": 0, "target": 1}, {"source": 0, "target": 5}]
    data["edges"] += [{"source": s, "target": t} for s, t in ((3, 2), (4, 3), (2, 4))]


def _edit(node, **changes):
    return lambda data: data["nodes"][node].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cycle, "cycle: 2 -> 4 -> 3"),
        (lambda data: data["graph"].update(version=2), "version 2; this hplan reads 1"),
        (lambda data: data.pop("edges"), "KeyError: 'edges'"),
        (lambda data: data["edges"].pop(), "plan 4 is without a parent"),
        (lambda data: data["edges"].append({"source": 1, "target": 3}), "a plan has two parents"),
        (lambda data: data["edges"].append({"source": 1, "target": 9}), "plan 9 is without"),
        (lambda data: data["nodes"].pop(0), "node 0, the goal, is missing"),
        (lambda data: data["nodes"].append(data["nodes"][1]), "a plan occurs twice"),
        (lambda data: data.update(directed=False), "not a simple directed graph"),
        (lambda data: data["nodes"][2].pop("horizon"), "plan 2 lacks or should not have hor"),
        (_edit(2, colour="red"), "plan 2 lacks or should not have colour"),
        (_edit(2, cause="whim"), "plan 2 has cause 'whim'; known: start, clock"),
        (_edit(2, outcome=None), "plan 2 has outcome None; known: done, reached"),
        (_edit(2, support="far"), "plan 2 has support 'far'; allowed is a number"),
        (_edit(2, made=True), "plan 2 has made True"),
        (_edit(2, horizon=1.5), "plan 2 has horizon 1.5"),
        (_edit(0, num_levels=1), "plan 1 of level 2 has parent 0 of level 1"),
        (_edit(2, id="two"), "is without a parent or does not exist"),
        (_edit(2, id=[2]), "TypeError"),
    ],
)
def test_malformed_files_are_refused_in_one_line(tmp_path, change, message):
    path = _file(tmp_path, change)
    with pytest.raises(ValueError) as error:
        load_tree(path)
    assert message in str(error.value)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


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
    whole = _file(tmp_path).read_bytes()
    path = tmp_path / "part.json"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="part.json is truncated or not JSON"):
            load_tree(path)
    path.write_bytes(whole)
    assert len(load_tree(path)) == 6
