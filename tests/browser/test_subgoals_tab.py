"""The TensorBoard tab, driven in a real browser over TensorBoard's own server and page."""

import json
from xml.etree import ElementTree

import pytest

from hplan.subgoal_tree import ROOT, tree_json
from tests.browser import logs
from tests.hplan.tensorboard_server import wait_for

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
Keys = webdriver.Keys

STEP = 5000
TREE = logs.hierarchical(STEP)
TAG = logs.tag_of(TREE)
SVG = "{http://www.w3.org/2000/svg}"


def show(tab, **state):
    tab.show(logs.RUN, TAG, STEP, **state)


def plans(tree, **attributes):
    """Numbers of the plans with these attributes."""
    return {
        node
        for node, facts in tree.nodes.items()
        if node != ROOT and all(facts[key] == value for key, value in attributes.items())
    }


def words_of(distance):
    """What is said of a nearest real observation less than 1 away."""
    return f"nearest real observation, distance {float(f'{distance:.2g}'):g} moves"


def test_an_empty_log_directory_says_what_to_do(tab):
    assert "make eval RUN=" in tab.empty


def test_the_tab_is_listed_once_there_are_trees_and_draws_every_node(tab):
    assert tab.listed == [False, True]
    show(tab)
    assert sorted(tab.nodes()) == sorted(TREE)
    assert len(tab.all(".timeline .bar")) == len(TREE) - 1
    assert len(tab.all("[role=treeitem]")) == len(TREE)


def test_a_click_shows_all_attributes_of_a_plan(tab):
    show(tab)
    plan = max(plans(TREE, level=1))
    tab.one(f".node[data-node='{plan}']").click()
    assert tab.selected() == [plan, plan]
    details, facts = tab.details(), TREE.nodes[plan]
    assert set(details) == set(facts) | {"parent"}
    assert details["parent"] == str(next(TREE.predecessors(plan)))
    for name in ("level", "made", "ended", "cause", "outcome", "energy_before", "horizon"):
        assert details[name] == f"{facts[name]:g}" if name == "horizon" else str(facts[name])
    assert len(details["energies"].split()) == facts["ended"] - facts["made"] + 1
    tab.one(".tree-scroll").send_keys(Keys.HOME)
    assert tab.selected() == [ROOT] and set(tab.details()) == set(TREE.nodes[ROOT])


def test_the_scene_shows_the_observation_and_the_nearest_real_one(tab):
    plan = min(plans(TREE, level=1) - plans(TREE, made=0))
    facts, goal = TREE.nodes[plan], TREE.nodes[ROOT]
    show(tab, node=plan)
    pictures, shown = TREE.graph["pictures"], tab.pictures()
    moment = facts["made"]
    seen, _ = shown[f"Observation at env step {moment}"]
    assert seen == pictures[goal["observations"][moment]]
    nearest, words = shown[f"Level 1's subgoal, plan {plan}"]
    assert nearest == pictures[facts["subgoal"]] and nearest != seen
    assert words == words_of(facts["subgoal_distance"])
    assert shown["Goal"][0] == pictures[goal["goal"]]
    tab.one(".timeline-scroll").send_keys(Keys.ARROW_RIGHT)
    assert f"Observation at env step {moment + 1}" in tab.pictures()


def test_the_scene_goes_on_with_a_plan_to_its_next_subgoal(tab):
    """It is the target of the plan that then serves it."""
    plan = min(plans(TREE, level=2) - plans(TREE, made=0))
    pictures = TREE.graph["pictures"]
    below = [TREE.nodes[child] for child in sorted(TREE.successors(plan))]
    found = set()
    for facts in below:
        show(tab, node=plan, at=facts["made"])
        expected = pictures[facts["target"]], words_of(facts["target_distance"])
        assert tab.pictures()[f"Level 2's subgoal, plan {plan}"] == expected
        found.add(expected)
    assert len(found) == len(below) > 2, "no two are alike"


def test_the_scene_shows_what_a_plan_pursues(tab):
    above = min(plans(TREE, level=2))
    plan = max(TREE.successors(above))  # not the first
    facts, pictures = TREE.nodes[plan], TREE.graph["pictures"]
    assert facts["target"] != TREE.nodes[above]["subgoal"]
    show(tab, node=plan)
    expected = pictures[facts["target"]], words_of(facts["target_distance"])
    assert tab.pictures()[f"Plan {plan} pursues"] == expected
    show(tab, node=above)
    goal = pictures[TREE.nodes[ROOT]["goal"]]
    assert tab.pictures()[f"Plan {above} pursues"] == (goal, "the goal, its real observation")
    show(tab)
    assert not [title for title in tab.pictures() if title.endswith("pursues")]


def test_of_an_old_tree_the_scene_shows_the_first_subgoal_and_says_so(tab):
    tree = logs.old()
    above = min(plans(tree, level=1))
    facts, last = tree.nodes[above], max(tree.successors(above))
    tab.show(logs.RUN, logs.tag_of(tree), logs.UPDATES[0], node=last)
    words = f"plan {above}'s first subgoal {words_of(facts['subgoal_distance'])}"
    expected = tree.graph["pictures"][facts["subgoal"]], words
    shown = tab.pictures()
    assert shown[f"Plan {last} pursues"] == shown[f"Level 1's subgoal, plan {above}"] == expected


def test_filters_hide_plans_and_keep_their_ancestors(tab):
    show(tab)
    tab.one("[data-field=level][data-value='0']").click()
    assert set(tab.nodes()) == set(TREE) - plans(TREE, level=0)
    for chip in tab.all("[data-field=outcome]"):
        if chip.get_attribute("data-value") != "surprise":
            chip.click()
    wanted = plans(TREE, outcome="surprise") - plans(TREE, level=0)
    above = {parent for plan in wanted for parent in TREE.predecessors(plan)} | {ROOT}
    assert wanted and set(tab.nodes()) == wanted | above
    tab.one("[data-field=level][data-value='0']").click()
    assert plans(TREE, outcome="surprise") <= set(tab.nodes())


def test_search_finds_plans_by_their_words(tab):
    show(tab)
    tab.one(".tree-scroll").send_keys("/")
    box = tab.driver.switch_to.active_element
    box.send_keys("Expired level:1 cause:target_changed")
    found = sorted(plans(TREE, cause="target_changed", level=1, outcome="expired"))
    assert len(found) > 1 and tab.texts(".found-count") == [f"{len(found)} found"]
    assert tab.script(
        "return [...document.querySelectorAll('.node.found')].map((e) => +e.dataset.node)"
    ) == [node for node in tab.nodes() if node in found]
    box.send_keys(Keys.ENTER)
    assert tab.selected() == [found[0]] * 2
    box.send_keys(Keys.ENTER)
    assert tab.selected() == [found[1]] * 2
    box.send_keys(Keys.ESCAPE)
    assert tab.texts(".found-count") == [""] and not tab.all(".node.found")


def test_collapsing_hides_what_is_below(tab):
    show(tab)
    first = min(plans(TREE, level=2))
    below = set(TREE.successors(first))
    below |= {leaf for plan in below for leaf in TREE.successors(plan)}
    tab.one(f"[data-toggle='{first}']").click()
    assert set(tab.nodes()) == set(TREE) - below
    assert tab.one(f".node[data-node='{first}']").get_attribute("aria-expanded") == "false"
    tab.press("Collapse all")
    assert set(tab.nodes()) == {ROOT} | set(TREE.successors(ROOT))
    tab.press("Expand all")
    assert set(tab.nodes()) == set(TREE)


def test_the_keyboard_walks_the_tree(tab):
    show(tab)
    tree = tab.one(".tree-scroll")
    child, sibling = sorted(TREE.successors(ROOT))[:2]
    for key, node in (
        (Keys.ARROW_RIGHT, child),
        (Keys.ARROW_DOWN, sibling),
        (Keys.ARROW_UP, child),
        (Keys.ARROW_RIGHT, min(TREE.successors(child))),
        (Keys.ARROW_LEFT, child),
    ):
        tree.send_keys(key)
        assert tab.selected() == [node, node]
        active = tree.get_attribute("aria-activedescendant")
        assert active == tab.one(f".node[data-node='{node}']").get_attribute("id")
    tree.send_keys(Keys.ENTER)
    assert not set(TREE.successors(child)) & set(tab.nodes())
    outline = tab.script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_slider_goes_through_the_updates(tab):
    show(tab)
    slider = tab.one("input[type=range]")
    for key, update in ((Keys.ARROW_LEFT, 1000), (Keys.END, 20000), (Keys.ARROW_LEFT, 5000)):
        slider.send_keys(key)
        tree = logs.hierarchical(update)
        wait_for(lambda tree=tree: len(tab.nodes()) == len(tree))
        assert f"{tree.nodes[ROOT]['env_steps']} env steps" in tab.summary()
        assert f"{update} (" in tab.one("output:not([class])").text


def test_the_timeline_selects_in_the_tree_and_the_tree_in_the_timeline(tab):
    show(tab)
    plan = max(plans(TREE, level=2), key=lambda n: TREE.nodes[n]["ended"] - TREE.nodes[n]["made"])
    tab.one(f".bar[data-node='{plan}']").click()
    assert tab.selected() == [plan, plan]
    below = set(TREE.successors(plan))
    assert below < tab.marked("timeline") and below < tab.marked("tree")
    other = min(plans(TREE, level=0))
    tab.one(f".node[data-node='{other}']").click()
    assert tab.selected() == [other, other]


def test_brushing_either_view_marks_in_both(tab):
    show(tab)
    spans = plans(TREE, level=0)
    bars = {plan: tab.one(f".bar[data-node='{plan}']") for plan in sorted(spans)[2:5]}
    first, *_, last = bars.values()
    webdriver.ActionChains(tab.driver, duration=50).drag_and_drop(first, last).perform()
    assert set(bars) <= tab.marked("timeline") == tab.marked("tree") < set(TREE)
    tab.one(".tree-scroll").send_keys(Keys.HOME)
    assert not tab.marked("tree")
    one, two = (tab.one(f".node[data-node='{n}']") for n in sorted(TREE.successors(1))[:2])
    chain = webdriver.ActionChains(tab.driver, duration=50).key_down(Keys.SHIFT)
    chain.drag_and_drop(one, two).key_up(Keys.SHIFT).perform()
    assert tab.marked("timeline") == tab.marked("tree") == set(sorted(TREE.successors(1))[:2])


def test_along_time_the_nodes_stand_above_their_bars(tab):
    show(tab, along=1)
    assert sorted(tab.nodes()) == sorted(TREE)
    for plan in (1, max(TREE)):
        card = tab.one(f".node[data-node='{plan}'] .card").rect
        bar = tab.one(f".bar[data-node='{plan}'] rect").rect
        assert abs(card["x"] - bar["x"]) < 2 and abs(card["width"] - bar["width"]) < 3


def test_the_files_saved_hold_what_is_shown(tab):
    show(tab)
    assert json.loads(tab.download("JSON")) == json.loads(tree_json(TREE))
    drawing = ElementTree.fromstring(tab.download("SVG"))
    assert drawing.tag == f"{SVG}svg"
    cards = [e for e in drawing.iter(f"{SVG}g") if "node" in e.get("class", "").split()]
    assert sorted(int(e.get("data-node")) for e in cards) == sorted(TREE)
