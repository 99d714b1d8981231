"""No page shows a command that did not run: what was recorded then would teach a failure."""

from pathlib import Path

import pytest

from tests.docs import pages

PAGES = [pytest.param(page, id=str(page.relative_to(pages.ROOT))) for page in pages.pages()]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_a_command_that_failed(page: Path) -> None:
    for block in pages.FENCE.finditer(page.read_text()):
        assert not pages.FAILED.search(block[2]), block[2]


@pytest.mark.parametrize(
    "output",
    [
        'Traceback (most recent call last):\n  File "x.py", line 4, in <module>',
        "ModuleNotFoundError: No module named 'billing_client'",
        "/usr/bin/python3: No module named devstack",
        "sh: 1: billing: not found",
        "bash: jq: command not found",
        "cat: .data/api_key: No such file or directory",
        "no end within 60 s",
    ],
)
def test_a_command_that_did_not_run_is_known_by_what_it_prints(output: str) -> None:
    assert pages.FAILED.search(f"one line before\n{output}")


@pytest.mark.parametrize(
    "output",
    [
        "Error: unknown account 'clinic:nobody': create it with `billing accounts create`",
        '{"title": "Not Found", "status": 404, "detail": "no lead with this id is known"}',
    ],
)
def test_a_refusal_may_be_shown(output: str) -> None:
    assert not pages.FAILED.search(output)
