"""The tab beyond one well-behaved tree: two of them, links, odd data, large data, themes."""

import re

import pytest

from hplan.subgoal_tree import ROOT
from tests.browser import logs
from tests.hplan.tensorboard_server import wait_for

Keys = pytest.importorskip("selenium.webdriver", reason="selenium is not installed").Keys
Select = pytest.importorskip("selenium.webdriver.support.ui").Select

STEP = 5000
TREE, FLAT = logs.hierarchical(STEP), logs.flat(STEP)
TAG, FLAT_TAG = logs.tag_of(TREE), logs.tag_of(FLAT)
PAPER = "return getComputedStyle(document.body).backgroundColor"
MOST_DRAWN = 250  # cards in the page, of a tree of 1,000


def compared(tab):
    tab.show(logs.RUN, TAG, STEP)
    tab.press("Compare")
    wait_for(lambda: len(tab.all(".pane")) == 2 and tab.nodes(1))


def choose(tab, pane, field, value):
    Select(tab.all(f"select[name={field}]")[pane]).select_by_value(value)


def test_two_methods_on_the_same_start_and_goal(tab):
    compared(tab)
    assert sorted(tab.nodes(0)) == sorted(TREE) and sorted(tab.nodes(1)) == sorted(FLAT)
    assert tab.texts(".pair") == ["same start and goal"]
    assert "out of steps" in tab.summary(1) and "success" in tab.summary(0)
    assert len(tab.all(".timeline-scroll")) == 2
    slider = tab.all("input[type=range]")[1]
    assert slider.get_attribute("value") == "1"  # the same update in both
    choose(tab, 1, "run", logs.OTHER_RUN)
    wait_for(lambda: len(tab.nodes(1)) == len(logs.elsewhere()))
    assert tab.texts(".pair") == ["different start or goal"]
    assert sorted(tab.nodes(0)) == sorted(TREE)
    tab.press("Compare")
    assert len(tab.all(".pane")) == 1 and tab.texts(".pair") == [""]


def test_a_link_brings_back_what_was_shown(tab):
    compared(tab)
    tab.one(".pane:first-child [data-field=outcome][data-value=done]").click()
    plan = max(n for n in TREE if n != ROOT and TREE.nodes[n]["outcome"] != "done")
    tab.one(f".pane:first-child .bar[data-node='{plan}']").click()
    tab.all(".pane")[1].find_element("xpath", ".//button[.='Along time']").click()
    before = [tab.nodes(0), tab.nodes(1), tab.selected(), tab.details(), tab.texts("dd")]
    tab.press("Copy link")
    address = tab.one(".address").get_attribute("value")
    assert address.startswith(f"{tab.url}#subgoals&")
    tab.open(address)
    wait_for(lambda: len(tab.all(".pane")) == 2 and tab.nodes(1))
    after = [tab.nodes(0), tab.nodes(1), tab.selected(), tab.details(), tab.texts("dd")]
    assert after == before and tab.selected()[0] == plan
    assert len(tab.all(".pane:nth-child(2) .along")) == 1
    tab.driver.switch_to.default_content()
    assert tab.script("return location.href") == address
    tab.enter()


def test_a_link_to_a_tree_that_is_not_there_says_so(tab):
    tab.show("no-such-run", TAG, STEP)
    assert "not in this log directory" in tab.one(".pane .message").text
    assert tab.nodes() or tab.all(".failed")


def test_markup_in_names_tags_and_nodes_is_text(tab):
    tree = logs.marked_up()
    tab.show(logs.MARKUP, logs.MARKUP_TAG, logs.UPDATES[0])
    assert len(tab.nodes()) == len(tree)
    for field, text in (("run", logs.MARKUP), ("method", f"rooms / {logs.MARKUP}")):
        assert Select(tab.one(f"select[name={field}]")).first_selected_option.text == text
    details = tab.details()
    assert (details["task"], details["method"]) == (logs.SHORT_MARKUP, logs.MARKUP)
    assert tab.texts(".node[data-node='0'] .name") == [f"Goal  {logs.SHORT_MARKUP}"]
    saved = tab.download("SVG")
    assert "&lt;img src=x" in saved and "<img" not in saved
    tab.press("Compare")
    wait_for(lambda: len(tab.all(".pane")) == 2)
    tab.press("Compare")
    injected = "return [window.hacked, document.querySelectorAll('[onerror], #hacked').length]"
    assert tab.script(injected) == [None, 0]


def test_a_malformed_tree_gives_the_servers_message_and_no_more(tab):
    tab.new_errors()
    tab.show(logs.RUN, TAG, STEP)
    choose(tab, 0, "method", f"{logs.SUITE} / broken-l2")
    message = wait_for(lambda: tab.one(".pane .message").text)
    assert "zlib" in message and "\n" not in message
    assert not tab.texts(".node")
    (error,) = tab.new_errors()
    assert "422" in error and "step=1000" in error
    choose(tab, 0, "method", f"{logs.SUITE} / flat-distance")
    wait_for(lambda: tab.texts(".node"))
    assert not tab.texts(".pane .message")


def test_a_server_that_does_not_answer_is_told_and_comes_back(tab):
    tab.show(logs.RUN, FLAT_TAG, STEP)
    slider = tab.one("input[type=range]")
    tab.driver.set_network_conditions(offline=True, latency=0, throughput=-1)
    try:
        slider.send_keys(Keys.END)  # not shown before: the tab keeps what it has fetched
        message = wait_for(lambda: tab.one(".pane .message").text)
        assert "does not answer" in message
    finally:
        tab.driver.set_network_conditions(offline=False, latency=0, throughput=-1)
    for key in (Keys.ARROW_LEFT, Keys.END):
        slider.send_keys(key)
        wait_for(lambda: tab.texts(".node"))
    assert str(logs.UPDATES[-1]) in tab.one("output:not([class])").text
    assert not tab.texts(".pane .message")
    tab.new_errors()


def test_a_tree_of_a_thousand_nodes_draws_what_is_in_sight(tab, record_property):
    tree = logs.large()
    tab.show(logs.RUN, logs.tag_of(tree), logs.UPDATES[0])
    told = tab.script("return window.__subgoals")
    assert told["nodes"] == len(tree) >= 1000
    record_property("render_ms", told["renderMs"])
    print(f"{told['nodes']} nodes drawn {told['renderMs']:.0f} ms after the data")
    assert 20 < len(tab.nodes()) < MOST_DRAWN
    last = max(tree)
    assert last not in tab.nodes()
    tab.script("const s = document.querySelector('.tree-scroll'); s.scrollTop = s.scrollHeight")
    wait_for(lambda: last in tab.nodes())
    assert len(tab.nodes()) < MOST_DRAWN
    assert tab.download("SVG").count('role="treeitem"') == len(tree)


@pytest.mark.slow
def test_it_is_light_or_dark_with_tensorboard_or_by_choice(tab, screenshots):
    tab.driver.set_window_size(1440, 900)
    papers = {}
    for theme in ("light", "dark"):
        Select(tab.one("select[aria-label=Theme]")).select_by_value(theme)
        tab.show(logs.RUN, TAG, STEP, node=2)
        tab.screenshot(screenshots, theme)
        compared(tab)
        tab.screenshot(screenshots, f"compared-{theme}")
        tab.show(logs.RUN, logs.tag_of(logs.large()), logs.UPDATES[0], along=1, span="200-420")
        tab.screenshot(screenshots, f"large-{theme}")
        papers[theme] = tab.script(PAPER)
    assert brightness(papers["light"]) > 200 > 60 > brightness(papers["dark"])
    Select(tab.one("select[aria-label=Theme]")).select_by_value("auto")
    for dark in (True, False):
        tab.script("parent.document.body.classList.toggle('dark-mode', arguments[0])", dark)
        paper = papers["dark" if dark else "light"]
        wait_for(lambda paper=paper: tab.script(PAPER) == paper)


def brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_nothing_of_the_tab_is_an_error_in_the_console(tab):
    """The one that the malformed tree caused was read there."""
    assert not [error for error in tab.new_errors() if error not in tab.before]
