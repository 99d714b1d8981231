"""A real Chromium for the tests of pages: Playwright's driver, the system's browser.

`pytest_plugins` of tests/conftest.py brings the fixtures: a test asks for `page`, or for `new_page`
if it needs several, of another width or without scripts. Nothing outside of this machine is
reached. A page that logs an error, throws, or breaks a policy fails its test, unless the test
says what it expects: `expected_faults.append("part of the message")`.

Without the driver (`make browser`) or without Chromium the tests skip and say how to get it; with
BROWSER_TESTS=required, as in CI, they fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page

REQUIRED = os.environ.get("BROWSER_TESTS") == "required"
NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW = (
    "a browser test needs Chromium and its driver: `make browser` installs the driver,"
    " `apt-get install chromium` the browser (CHROMIUM names one that is not on the PATH)"
)
ONLY_THIS_MACHINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
TIMEOUT_MILLISECONDS = 15_000
"""Of every wait; pages of this machine answer in a fraction of it, unless the machine is busy."""

NewPage = Callable[..., "Page"]


def executable() -> str | None:
    """Return the path of the system's Chromium; None if there is none."""
    given = os.environ.get("CHROMIUM")
    return given or next(filter(None, map(shutil.which, NAMES)), None)


def is_there() -> bool:
    """Tell whether browser tests can run; raises if they must and cannot."""
    try:
        import playwright.sync_api  # noqa: F401, PLC0415  (is not installed everywhere)
    except ImportError:
        driver = False
    else:
        driver = True
    there = driver and executable() is not None
    if REQUIRED and not there:
        pytest.fail(f"BROWSER_TESTS=required, but {HOW}", pytrace=False)
    return there


@contextmanager
def launched() -> Iterator["Browser"]:
    """Run a headless Chromium for as long as the block lasts.

    Until it ends this thread has an event loop that runs: no `asyncio.run` beside it.
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=executable(), args=[ONLY_THIS_MACHINE, "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, once a module: a longer scope would leave its event loop to other tests."""
    if not is_there():
        pytest.skip(HOW)
    with launched() as it:
        yield it


@pytest.fixture
def expected_faults() -> list[str]:
    """Parts of messages that pages of the test may log."""
    return []


@pytest.fixture
def new_page(browser: "Browser", expected_faults: list[str]) -> Iterator[NewPage]:
    """Return a maker of pages, each in a session of its own; faults of a page fail the test."""
    faults: list[str] = []
    contexts = []

    def make(*, width: int = 1280, height: int = 800, **options: Any) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: _note(faults, message))
        page.on("pageerror", lambda error: faults.append(_text(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    unexpected = [fault for fault in faults if not any(part in fault for part in expected_faults)]
    assert not unexpected, unexpected


@pytest.fixture
def page(new_page: NewPage) -> "Page":
    """A page of 1280 x 800."""
    return new_page()


def picture(page: "Page", name: str) -> None:
    """Keep what the page shows as NAME.png in the folder that BROWSER_PICTURES names, if any."""
    if folder := os.environ.get("BROWSER_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def _note(faults: list[str], message: "ConsoleMessage") -> None:
    if message.type in {"error", "warning"} and "favicon" not in str(message.location):
        faults.append(f"{message.type}: {message.text}")


def _text(error: "Error") -> str:
    return f"uncaught: {error}"
