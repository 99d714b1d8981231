"""Without a browser the browser tests skip, unless they must run."""

import pytest

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
