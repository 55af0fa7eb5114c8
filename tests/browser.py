"""A headless Chromium, for tests of pages; the test run saves pictures where it is told to."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1366,1500",
)  # fmt: skip
PICTURES = os.environ.get("GEODASK_PICTURES")
"""A folder for pictures of the pages, to look at."""


def missing() -> str | None:
    """Why there is no browser."""
    try:
        import selenium  # noqa: F401 (asked whether it is there)
    except ImportError:
        return "selenium is not installed"
    wanted = ("chromium", "chromedriver")
    gone = [name for name in wanted if shutil.which(name) is None]
    return f"{' and '.join(gone)} not installed: .ci/run does it" if gone else None


@contextmanager
def chromium(profile: Path, *flags: str) -> Iterator[Any]:
    """A browser of its own."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    # The path of a socket has at most 107 letters: that of a test's own folder may have more.
    short = os.environ | {"TMPDIR": "/tmp"}
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver"), env=short))
    try:
        yield driver
    finally:
        driver.quit()


def eventually(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What a function gives once that is true."""
    end = monotonic() + seconds
    while not (answer := found()):
        assert monotonic() < end, "it did not come"
        sleep(0.2)
    return answer


def text_of(driver: Any) -> str:
    """All the text that is drawn, that of Bokeh's parts included."""
    return driver.execute_script(
        """
        const within = node => [...node.childNodes].map(each =>
          each.nodeType === 3 ? each.data
          : ["STYLE", "SCRIPT"].includes(each.tagName) ? ""
          : (each.shadowRoot ? within(each.shadowRoot) : "") + within(each) + " ").join("");
        return within(document.body).replace(/\\s+/g, " ");
        """
    )


def complaints(driver: Any) -> list[str]:
    """What the console of the page holds against it."""
    entries = driver.get_log("browser")
    return [each["message"] for each in entries if each["level"] in ("SEVERE", "WARNING")]


def picture(driver: Any, name: str) -> None:
    """Saves what the page looks like, where pictures are wanted."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(f"{PICTURES}/{name}.png")
