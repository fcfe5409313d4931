"""One TensorBoard and one browser for all these tests.

The packages under test are imported by the fixtures, not here: pytest's hooks have to come first.
"""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tab(tmp_path_factory):
    """The tab, opened while the log directory is still empty; then trees are written and loaded.

    `tab.empty` is what it says at first; `tab.listed` whether TensorBoard lists it, first and
    later; `tab.before` the errors that TensorBoard's page logs without the tab.
    """
    from tests.browser.logs import NUM_TAGS, write_logs
    from tests.browser.tab import SHOWN, Tab, chromium
    from tests.hplan.tensorboard_server import tensorboard, wait_for

    folder, logdir = tmp_path_factory.mktemp("browser"), tmp_path_factory.mktemp("logs")
    with chromium(folder) as driver, tensorboard(logdir, "--reload_interval=1") as server:
        tab = Tab(driver, f"http://127.0.0.1:{server.port}/", folder)
        driver.get(tab.url)
        wait_for(lambda: tab.all("plugins-component .warning"))
        tab.before = tab.new_errors()
        tab.script("location.hash = '#subgoals'")
        tab.enter()
        (message,) = wait_for(lambda: tab.all("body.nothing > .message"))
        tab.empty, tab.listed = message.text, [tab.is_listed()]
        write_logs(logdir)
        wait_for(lambda: len(server.trees()) >= NUM_TAGS)
        tab.driver.switch_to.default_content()
        tab.one(".reload-button").click()
        tab.listed.append(wait_for(tab.is_listed))
        tab.driver.find_element("xpath", "//*[@role='tab'][contains(., 'Subgoals')]").click()
        tab.enter()
        wait_for(lambda: tab.script(SHOWN))
        yield tab


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory) -> Path:
    """Where screenshots go: HPLAN_SCREENSHOTS, or a temporary folder."""
    given = os.environ.get("HPLAN_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
