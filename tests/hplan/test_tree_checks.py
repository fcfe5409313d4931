"""Trees from strangers: whatever they hold, the answer is a tree or one line."""

import copy
import json
import math
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hplan.subgoal_tree import PlanRecord, parse_tree, tree_json
from hplan.tree_checks import LARGEST, LONGEST_TEXT, MOST_LEVELS, PLAN
from tests.hplan.test_subgoal_tree import GOAL, PICTURES, _build, _records

TREE = json.loads(tree_json(_build(_records())))
DEEP = json.loads("[" * 500 + "]" * 500)


def _set(*path, to):
    """A change of TREE that sets what is at the path of keys."""

    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return change


def _cycle(data):
    data["edges"] = [{"source": 0, "target": 1}, {"source": 0, "target": 5}]
    data["edges"] += [{"source": s, "target": t} for s, t in ((3, 2), (4, 3), (2, 4))]


def _ring(data):
    """Plans that serve each other in one long circle, beside many that lead to it."""
    plan, size = data["nodes"][3], 3000
    for number in range(6, 6 + size):
        data["nodes"].append({**plan, "id": number})
        data["edges"].append({"source": 6 + (number - 5) % size, "target": number})
        data["nodes"].append({**plan, "id": number + size})
        data["edges"].append({"source": number, "target": number + size})


MALFORMED = [
    (_ring, "the plans form a cycle: 6 -> 3005 -> 3004 -> "),
    (_cycle, "cycle: 2 -> 4 -> 3"),
    (_set("graph", "version", to=4), "has version 4; this hplan reads 1 to 3"),
    (_set("graph", "version", to=True), "has version True"),
    (_set("graph", to=[]), "has version None"),
    (_set("graph", "pictures", to=None), "the pictures are not a list"),
    (_set("graph", "pictures", to=[*PICTURES, PICTURES[0]]), "a picture occurs twice"),
    (_set("graph", "pictures", to=PICTURES[:2]), "the goal has goal 2, but there are 2 pictures"),
    (_set("graph", "pictures", 0, to="javascript:alert(1)"), "each a PNG in base64"),
    (_set("graph", "pictures", 0, to=PICTURES[0] + "<"), "each a PNG in base64"),
    (_set("graph", "pictures", 0, to=PICTURES[0] + "A" * 1_000_000), "each a PNG in base64"),
    (_set("directed", to=False), "not a simple directed graph"),
    (lambda data: data.pop("edges"), "has no list of objects as edges"),
    (lambda data: data["edges"].pop(), "plan 4 is without a parent"),
    (lambda data: data["edges"].append({"source": 1, "target": 3}), "plan 3 has two parents"),
    (lambda data: data["edges"].append({"source": 1, "target": 9}), "plan 9 is without a parent"),
    (lambda data: data["edges"].append({"source": 1, "target": 0}), "plan 0 is without a parent"),
    (_set("edges", 0, to={"source": 0}), "an edge has target None"),
    (_set("edges", 0, "source", to=[1]), "an edge has source (a list)"),
    (_set("edges", 0, "source", to=9), "plan 1 has parent 9, which does not exist"),
    (lambda data: data["nodes"].pop(0), "node 0, the goal, is missing"),
    (lambda data: data["nodes"].append(data["nodes"][1]), "plan 1 occurs twice"),
    (_set("nodes", 2, to=None), "has no list of objects as nodes"),
    (_set("nodes", 2, "id", to="two"), "a node has id 'two'"),
    (_set("nodes", 2, "id", to=[2]), "a node has id (a list)"),
    (_set("nodes", 2, "parent", to=1), "plan 2 should not have 'parent'"),
    (lambda data: data["nodes"][2].pop("horizon"), "plan 2 lacks horizon"),
    (_set("nodes", 2, "colour\n", to="red"), "plan 2 should not have 'colour\\n'"),
    (_set("nodes", 2, "cause", to="whim"), "plan 2 has cause 'whim'; allowed is one of: start, "),
    (_set("nodes", 2, "outcome", to=None), "plan 2 has outcome None; allowed is one of: done, "),
    (_set("nodes", 2, "support", to="far"), "plan 2 has support 'far'; allowed is a number fro"),
    (_set("nodes", 2, "support", to=100.5), "plan 2 has support 100.5; allowed is a number from 0"),
    (_set("nodes", 2, "support", to=math.nan), "plan 2 has support nan"),
    (_set("nodes", 1, "energies", 1, to=math.inf), "plan 1 has energies (a list); allowed is a l"),
    (_set("nodes", 1, "energies", 5, to=2.0), "plan 1 has energy_ended 1.0, not the last of"),
    (_set("nodes", 1, "energies", to=[]), "plan 1 has 0 energies; allowed is one at every env"),
    (_set("nodes", 2, "energy_unit", to="miles"), "plan 2 has energy_unit 'miles'"),
    (_set("nodes", 2, "made", to=True), "plan 2 has made True"),
    (_set("nodes", 2, "made", to=LARGEST + 1), "plan 2 has made (an integer too large)"),
    (_set("nodes", 2, "ended", to=12), "plan 2 ended at 12, after its episode of 11 steps"),
    (_set("nodes", 2, "horizon", to=1.5), "plan 2 has horizon 1.5"),
    (_set("nodes", 2, "horizon", to=DEEP), "plan 2 has horizon (a list)"),
    (_set("nodes", 2, "subgoal", to=3), "plan 2 has subgoal 3, but there are 3 pictures"),
    (_set("nodes", 2, "subgoal", to=-1), "plan 2 has subgoal -1"),
    (_set("nodes", 2, "target", to=3), "plan 2 has target 3, but there are 3 pictures"),
    (_set("nodes", 2, "target", to="<b>"), "plan 2 has target '<b>'"),
    (_set("nodes", 2, "target_distance", to=math.inf), "plan 2 has target_distance inf"),
    (_set("nodes", 0, "num_levels", to=1), "the goal has level 3; allowed is its num_levels"),
    (_set("nodes", 1, "level", to=3), "plan 1 of level 3 has parent 0 of level 3"),
    (_set("nodes", 0, "num_levels", to=MOST_LEVELS + 1), "the goal has num_levels 101"),
    (_set("nodes", 0, "goal", to=3), "the goal has goal 3, but there are 3 pictures"),
    (_set("nodes", 0, "observations", 4, to=3), "the goal has observations 3, but there are 3"),
    (_set("nodes", 0, "observations", to=[0, 1]), "the goal has 2 observations and env_steps 11"),
    (_set("nodes", 0, "task", to="x" * 10**7), "the goal has task 'xxxxx"),
    (_set("nodes", 0, "success", to=1), "the goal has success 1; allowed is true or false"),
    (_set("nodes", 0, "stuck", to="yes"), "the goal has stuck 'yes'; allowed is true or false"),
    (_set("nodes", 0, "own", to={"a": 1}), "the goal has 'own' (an object)"),
    (_set("nodes", 0, "k" * (LONGEST_TEXT + 1), to=1), "the goal has attribute 'kkkk"),
]


@pytest.mark.parametrize(("change", "message"), MALFORMED)
def test_what_is_malformed_is_refused_in_one_short_line(change, message):
    data = copy.deepcopy(TREE)
    parse_tree(data)
    change(data)
    with pytest.raises(ValueError) as error:
        parse_tree(data)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


@pytest.mark.parametrize("data", [None, 3, "tree", [], {}, DEEP, {"graph": {"version": DEEP}}, b""])
def test_what_is_no_tree_at_all_is_refused(data):
    with pytest.raises(ValueError):
        parse_tree(data)


def _spots(value, path=()):
    """Paths to all values inside of a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from _spots(item, (*path, key))


SPOTS = list(_spots(TREE))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SPOTS), ANYTHING), min_size=1, max_size=3), ANYTHING)
def test_any_json_gives_a_tree_or_one_line(changes, anything):
    data = copy.deepcopy(TREE)
    for path, value in changes:
        try:
            _set(*path, to=value)(data)
        except (KeyError, IndexError, TypeError):
            continue  # another change took the place away
    for candidate in (data, anything, {**TREE, "nodes": anything}, {**TREE, "edges": anything}):
        try:
            tree = parse_tree(candidate)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert parse_tree(json.loads(tree_json(tree))).nodes == tree.nodes


def test_every_number_of_a_tree_is_guarded():
    """Whichever number is put out of range, nowhere is it let in."""
    numbers = [path for path in SPOTS if type(_at(path)) in (int, float)]
    assert len(numbers) > 50
    for path in numbers:
        for bad in (math.nan, -math.inf, 10**400, "1", [1]):
            data = copy.deepcopy(TREE)
            _set(*path, to=bad)(data)
            with pytest.raises(ValueError):
                parse_tree(data)


def _at(path):
    value = TREE
    for key in path:
        value = value[key]
    return value


def test_every_attribute_of_a_plan_has_its_check():
    assert list(PLAN) == [field.name for field in fields(PlanRecord)]


def test_a_version_1_tree_is_guarded_as_well():
    old = json.loads((Path(__file__).parent / "data" / "tree-version-1.json").read_text())
    parse_tree(old)
    old["nodes"][3]["cause"] = "whim"
    with pytest.raises(ValueError, match="plan 3 has cause 'whim'"):
        parse_tree(old)
    assert GOAL["num_levels"] == 3
