"""Without a browser the browser tests skip, unless they must run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import settings
from tests import browser


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)


@pytest.mark.usefixtures("no_browser")
def test_without_a_browser_the_tests_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "REQUIRED", False)
    assert not browser.is_there()


@pytest.mark.usefixtures("no_browser")
def test_without_a_browser_that_is_required_they_fail_and_say_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browser, "REQUIRED", True)
    with pytest.raises(pytest.fail.Exception, match=r"make browser.*apt-get install chromium"):
        browser.is_there()


def test_the_browser_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/opt/chromium/chrome")
    assert browser.executable() == "/opt/chromium/chrome"


def test_ci_says_at_once_that_a_required_browser_is_missing(tmp_path: Path) -> None:
    # Given a machine with neither Chromium nor apt-get
    for name in ("bash", "dirname", "id"):
        (tmp_path / name).symlink_to(shutil.which(name) or os.devnull)

    # When CI begins there
    done = subprocess.run(
        ["bash", settings.PROJECT_DIR / ".ci" / "run"], env={"PATH": str(tmp_path)},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip

    # Then it ends before all the tests, and says what to do
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no Chromium" in done.stderr
    assert "BROWSER_TESTS=optional" in done.stderr
