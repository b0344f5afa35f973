"""A headless Chromium that looks at pages as readers do. It reaches nothing but the file it is given."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ANSWERS_WITHIN_S = 60
LOOK = Path(__file__).with_name("browser_look.js").read_text(encoding="utf-8")
"""JavaScript functions that measure what is drawn."""


@contextmanager
def started_browser(profiles: Path) -> Iterator[Browser]:
    """Start Chromium with fresh profiles in a folder; skip where it, its driver or selenium is not installed."""
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed: the dev extra has it")
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("chromium or chromedriver is not installed: apt-get install chromium chromium-driver")
    browser = Browser(profiles)
    try:
        yield browser
    finally:
        browser.close()


@dataclass(frozen=True)
class Shown:
    """A page and how it is shown; sizes in CSS pixels."""

    page: Path
    width: int
    height: int
    scheme: str


class Browser:
    """One window, and what it logged since the last page was opened.

    A Chromium that does not answer in time is ended, the page opened again in a new one, and the question put once
    more; a second silence is the error of the test.
    """

    def __init__(self, profiles: Path) -> None:
        self._profiles = profiles
        self._driver: Any = None
        self._shown: Shown | None = None

    def open(self, page: Path, *, width: int, height: int, scheme: str = "light") -> None:
        """Show a page at a size in CSS pixels and with a preferred colour scheme."""
        self._shown = Shown(page, width, height, scheme)
        self._ask(lambda driver: _show(driver, self._shown))

    def prefer(self, scheme: str) -> None:
        """Prefer the light or the dark colour scheme."""
        self._shown = replace(self._shown, scheme=scheme)
        self._ask(lambda driver: _prefer(driver, scheme))

    def look(self, expression: str) -> Any:
        """Return the value of an expression that may use the functions of browser_look.js."""
        return self._ask(lambda driver: driver.execute_script(f"{LOOK}\nreturn {expression};"))

    def console(self) -> list[str]:
        """Return what the page wrote to the console: errors, warnings, refusals of its content security policy."""
        return [entry["message"] for entry in self._ask(lambda driver: driver.get_log("browser"))]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, pictures within it left out."""
        entries = self._ask(lambda driver: driver.get_log("performance"))
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        sent = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        from selenium.common import WebDriverException
        from urllib3.exceptions import HTTPError

        try:
            return question(self._started())
        except (WebDriverException, HTTPError):
            self.close()
            _show(self._started(), self._shown)
            return question(self._started())

    def _started(self) -> Any:
        if self._driver is None:
            self._driver = _new_driver(Path(tempfile.mkdtemp(dir=self._profiles)))
        return self._driver

    def close(self) -> None:
        """End the driver and Chromium, also where they hang."""
        if self._driver is None:
            return
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._driver.service.process.wait()
        self._driver = None

    def processes(self) -> list[psutil.Process]:
        """Return those of Chromium and, last, its driver's."""
        driver = psutil.Process(self._driver.service.process.pid)
        return [*driver.children(recursive=True), driver]


def _show(driver: Any, shown: Shown) -> None:
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    _prefer(driver, shown.scheme)
    size = {"width": shown.width, "height": shown.height, "deviceScaleFactor": 1, "mobile": shown.width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(shown.page.as_uri())


def _prefer(driver: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _new_driver(profile: Path) -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    with pytest.MonkeyPatch.context() as patch:
        # The driver is on this machine: a proxy that the environment names must not stand between.
        patch.setenv("no_proxy", ",".join(filter(None, (os.environ.get("no_proxy"), "localhost,127.0.0.1"))))
        driver = webdriver.Chrome(options=options, service=service)
    driver.command_executor.client_config.timeout = ANSWERS_WITHIN_S
    driver.get("about:blank")  # in place of Chromium's own start page, which asks for files of its own
    return driver
