"""The front end as `make app` serves it, and a browser that looks at it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("chromium", "chromedriver")
WAIT_S = 30


@pytest.fixture(scope="session")
def chromium() -> tuple[str, str]:
    """Browser and driver; required in continuous integration, elsewhere tests are skipped without them."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        message = f"not found: {', '.join(missing)} (make system)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    browser, driver = (str(shutil.which(program)) for program in PROGRAMS)
    return browser, driver


@contextmanager
def served(models_folder: Path) -> Iterator[str]:
    """Where `make app` serves the models of `models_folder`."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # This environment is taken for installed, as after a first call.
    command = ["make", "-o", f"{sys.prefix}/.installed", "app", f"VENV={sys.prefix}"]
    command.append(f"APP_ARGS=--folder {models_folder} --port {port}")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{os.environ.get('PYTHONPATH', '')}"}
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _until_healthy(f"http://localhost:{port}", server)
        yield f"http://localhost:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=WAIT_S)


@pytest.fixture(scope="session")
def address(chromium: tuple[str, str], models_folder: Path) -> Iterator[str]:
    """A server of the front end for all tests."""
    with served(models_folder) as found:
        yield found


def _until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 2 * WAIT_S
    while time.monotonic() < end:
        assert server.poll() is None, f"make app ended with {server.returncode}"
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"make app did not answer within {2 * WAIT_S} s")


@pytest.fixture(scope="session")
def driver(chromium: tuple[str, str]) -> Iterator[webdriver.Chrome]:
    """Chromium without a screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = chromium[0]
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # Containers have no user namespaces and little shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument("--window-size=1300,1600")
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromium[1]))
    try:
        yield started
    finally:
        started.quit()


@dataclass(frozen=True)
class Page:
    """The page in the browser, as a user sees it; downloads land in `downloads`."""

    driver: webdriver.Chrome
    downloads: Path

    @property
    def text(self) -> str:
        """All visible text."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def of(self, key: str, selector: str = "") -> list[WebElement]:
        """The elements of the widget with that key."""
        return self.driver.find_elements(By.CSS_SELECTOR, f".st-key-{key} {selector}".strip())

    def wait(self, condition, what: str):
        """The first true value of `condition`; fails after `WAIT_S`, with what is on the page instead."""
        try:
            return WebDriverWait(
                self.driver, WAIT_S, ignored_exceptions=[StaleElementReferenceException]
            ).until(lambda _: condition())
        except WebDriverException:
            pytest.fail(f"waited for {what}; the page shows:\n{self.text}")

    def wait_for(self, text: str) -> None:
        """Until the page shows a text."""
        self.wait(lambda: text in self.text, repr(text))

    def click(self, key: str, selector: str) -> None:
        """Click once it is there."""
        self.wait(lambda: self.of(key, selector), f"{key} {selector}")[0].click()

    def open_tab(self, name: str) -> None:
        """Open a tab once it has its name."""

        def named():
            tabs = self.driver.find_elements(By.CSS_SELECTOR, "[data-testid=stTab]")
            return [tab for tab in tabs if tab.text == name]

        self.wait(named, f"tab {name}")[0].click()

    def choose(self, key: str, option: str) -> None:
        """Choose an option of a select box and wait until the server has it."""
        self.click(key, "button")
        options = (By.CSS_SELECTOR, "[role=option]")

        def named():
            return [e for e in self.driver.find_elements(*options) if e.text == option]

        self.wait(named, f"option {option}")[0].click()
        self.wait(lambda: self.of(key, "input")[0].get_attribute("value") == option, f"{key} = {option}")
        self.settle()

    def enter(self, key: str, value: int) -> None:
        """Type a number and wait until the server has it."""
        field = self.wait(lambda: self.of(key, "input"), key)[0]
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.ENTER)
        self.settle()

    def confirm(self) -> None:
        """Confirm that a model is not private; the side bar has check boxes of its own."""
        box = "[data-testid=stMainBlockContainer] [data-testid=stCheckbox] label"
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, box), "a check box")[0].click()
        self.settle()

    def settle(self) -> None:
        """Until the server has rerun the page and nothing on it is stale."""
        app = "[data-testid=stApp]"
        time.sleep(0.2)
        self.wait(
            lambda: (
                self.driver.find_element(By.CSS_SELECTOR, app).get_attribute("data-test-script-state")
                == "notRunning"
            ),
            "the end of the run",
        )

    def download(self) -> Path:
        """Press the download button; the finished file."""
        self.click("download", "button")

        def finished():
            return [path for path in self.downloads.iterdir() if path.suffix == ".zip"]

        return self.wait(finished, "a zip file")[0]

    def hosts(self) -> set[str]:
        """Hosts that the page has asked since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [event["request"]["url"] for event in sent]
        return {str(urlsplit(url).hostname) for url in urls if urlsplit(url).scheme.startswith("http")}


@pytest.fixture
def page(driver: webdriver.Chrome, address: str, tmp_path: Path) -> Page:
    """A freshly loaded page."""
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    driver.get_log("performance")
    driver.get(address)
    made = Page(driver, tmp_path)
    made.wait(lambda: made.of("fold", "input"), "the choice of models")
    made.settle()
    return made
