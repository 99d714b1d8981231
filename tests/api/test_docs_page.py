"""`/docs` shows the document to people and asks no other host for anything."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api import docs_page
from tests.api.api_process import ApiProcess

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def test_it_needs_no_key_and_loads_only_its_own_files(api: ApiProcess) -> None:
    page = api.get("/docs")

    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    addresses = re.findall(r'(?:href|src)="([^"]+)"', page.body.decode())
    assert addresses
    # Relative, so that they lead to the same server behind any path of a proxy.
    assert {a.removeprefix("docs/") for a in addresses} <= docs_page.FILES | {"openapi.json"}


def test_the_browser_is_told_to_ask_no_other_host(api: ApiProcess) -> None:
    for path in ("/docs", *(f"/docs/{name}" for name in docs_page.FILES)):
        answer = api.get(path)
        assert answer.status == 200
        policy = answer.headers["content-security-policy"].split("; ")
        assert policy[0] == "default-src 'none'"
        sources = {source for directive in policy for source in directive.split()[1:]}
        assert sources == {"'none'", "'self'", "data:"}  # no host, nothing inline
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_browser_that_has_a_file_is_not_sent_it_again(api: ApiProcess) -> None:
    first = api.get("/docs/swagger-ui.js")
    again = api.request(
        "GET", "/docs/swagger-ui.js", headers=[("if-none-match", first.headers["etag"])]
    )

    assert first.headers["cache-control"] == "no-cache"  # ask whether there is another one
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/docs/", "/docs/page.html", "/docs/..%2fapp.py", "/docs/app.py"])
def test_nothing_else_is_served(api: ApiProcess, path: str) -> None:
    assert api.get(path).status == 404


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: apt-get install chromium")
def test_a_browser_shows_each_route_and_refuses_nothing(api: ApiProcess, tmp_path: Path) -> None:
    """Slow (6 s): a browser starts."""
    paths = api.get("/openapi.json").json["paths"]
    ran = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            "--enable-logging=stderr", "--virtual-time-budget=20000",
            f"--user-data-dir={tmp_path}", f"http://127.0.0.1:{api.port}/docs",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    shown = set(re.findall(r'data-path="([^"]+)"', ran.stdout))
    assert shown == set(paths)
    assert "Content Security Policy" not in ran.stderr
