"""A headless Chromium that looks at pages as readers do. It reaches nothing but the file it is given."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOK = Path(__file__).with_name("browser_look.js").read_text(encoding="utf-8")
"""JavaScript functions that measure what is drawn."""


@contextmanager
def started_browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a fresh profile folder; skip where it, its driver or selenium is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: the dev extra has it")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    # The driver is on this machine: a proxy that the environment names must not stand between.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", ",".join(filter(None, (os.environ.get("no_proxy"), "localhost,127.0.0.1"))))
        service = webdriver.ChromeService(executable_path=driver)
        own = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(own)
        finally:
            own.quit()


class Browser:
    """One window, and what it logged since the last page was opened."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def open(self, page: Path, *, width: int, height: int, scheme: str = "light") -> None:
        """Show a page at a size in CSS pixels and with a preferred colour scheme."""
        for kind in ("browser", "performance"):
            self._driver.get_log(kind)
        self.prefer(scheme)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.get(page.as_uri())

    def prefer(self, scheme: str) -> None:
        """Prefer the light or the dark colour scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def look(self, expression: str) -> Any:
        """Return the value of an expression that may use the functions of browser_look.js."""
        return self._driver.execute_script(f"{LOOK}\nreturn {expression};")

    def console(self) -> list[str]:
        """Return what the page wrote to the console: errors, warnings, refusals of its content security policy."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, pictures within it left out."""
        messages = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        sent = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]
