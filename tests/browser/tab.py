"""The tab as a person sees it: chromium, headless, on TensorBoard's own page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.hplan.tensorboard_server import wait_for

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1440,900",
)  # fmt: skip
FRAME = "iframe[src*='name=subgoals']"
SHOWN = """
    const drawn = window.__subgoals || document.querySelector('.failed');
    return Boolean(drawn) && !document.querySelector('[aria-busy=true]');
"""
FOLLOW = """
    delete window.__subgoals;
    for (const pane of document.querySelectorAll('.pane')) pane.setAttribute('aria-busy', 'true');
    parent.location.hash = arguments[0];
"""


@contextmanager
def chromium(folder: Path) -> Iterator[Any]:
    """A browser of its own, that downloads into `folder`; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in paths.items() if path is None]:
        pytest.skip(f"no {' and no '.join(missing)}: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(paths["chromedriver"])
    )
    try:
        behaviour = {"behavior": "allow", "downloadPath": str(folder)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        yield driver
    finally:
        driver.quit()


class Tab:
    """The tab in a browser, and what a person does in it."""

    def __init__(self, driver: Any, url: str, folder: Path) -> None:
        self.driver, self.url, self.folder = driver, url, folder

    def open(self, address: str) -> None:
        """Loads TensorBoard's page anew, and goes into the tab's frame once it shows a tree."""
        self.driver.switch_to.default_content()
        self.driver.get("about:blank")
        self.driver.get(address)
        self.enter()
        wait_for(lambda: self.script(SHOWN))

    def enter(self) -> None:
        self.driver.switch_to.default_content()
        frame = wait_for(lambda: self.all(FRAME))[0]
        self.driver.switch_to.frame(frame)
        wait_for(lambda: self.all(".panes"))

    def show(self, run: str, tag: str, step: int, **state: object) -> None:
        """Follows a link to a tree, in the page that is open."""
        parts = {"run": run, "tag": tag, "step": step, **state}
        own = [f"p.subgoals.{key}={quote(str(value), safe='')}" for key, value in parts.items()]
        hash_ = "#subgoals&" + "&".join(own)
        self.script(FOLLOW, hash_)
        wait_for(lambda: self.script(SHOWN))

    def is_listed(self) -> bool:
        """Whether TensorBoard's page has the tab in its bar."""
        self.driver.switch_to.default_content()
        return "Subgoals" in self.texts("[role=tab]")

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        (element,) = self.all(selector)
        return element

    def texts(self, selector: str) -> list[str]:
        """The text of every such element that is displayed, at one moment."""
        text = """
            const all = [...document.querySelectorAll(arguments[0])];
            return all.filter((e) => e.getClientRects().length).map((e) => e.textContent.trim());
        """
        return self.script(text, selector)

    def press(self, text: str) -> None:
        """The first button of that text."""
        self.driver.find_element("xpath", f"//button[normalize-space()='{text}']").click()

    def nodes(self, pane: int = 0) -> list[int]:
        """Numbers of the drawn cards, in their order."""
        return self._numbers(pane, ".node")

    def marked(self, view: str) -> set[int]:
        """Numbers of what is marked in a view: `tree` or `timeline`."""
        return set(self._numbers(0, f".{view} .marked"))

    def _numbers(self, pane: int, selector: str) -> list[int]:
        text = """
            const pane = document.querySelectorAll('.pane')[arguments[0]];
            return [...pane.querySelectorAll(arguments[1])].map((e) => Number(e.dataset.node));
        """
        return self.script(text, pane, selector)

    def selected(self) -> list[int]:
        """The selected node in tree and timeline; in the latter none for the goal."""
        return self._numbers(0, ".node.selected") + self._numbers(0, ".bar.selected")

    def details(self) -> dict[str, str]:
        text = """
            const all = [...document.querySelectorAll('dd')];
            return all.map((e) => [e.dataset.attribute, e.textContent]);
        """
        return dict(self.script(text))

    def summary(self, pane: int = 0) -> str:
        return self.all(".summary")[pane].text

    def pictures(self) -> dict[str, tuple[str, str]]:
        """Of the scene, by title: the picture in base64, and the words under it."""
        found = {}
        for figure in self.all("figure"):
            title, *words = figure.find_element("css selector", "figcaption").text.split("\n")
            source = figure.find_element("css selector", "img").get_attribute("src")
            found[title] = (source.removeprefix("data:image/png;base64,"), " ".join(words))
        return found

    def download(self, button: str) -> str:
        """Presses it, and reads the file that comes of it."""
        ending = f"*.{button.lower()}"
        for old in self.folder.glob(ending):
            old.unlink()
        self.press(button)
        (path,) = wait_for(lambda: list(self.folder.glob(ending)))
        return path.read_text()

    def screenshot(self, folder: Path, name: str) -> Path:
        path = folder / f"subgoals-{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path

    def new_errors(self) -> list[str]:
        """What the console has called an error since the last time."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
